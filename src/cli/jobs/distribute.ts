import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { check, LinbpError } from '../../errors.js';
import { collect } from '../../jobs/collect.js';
import type { CollectState, PartResult } from '../../jobs/collect.js';
import { ComputeProcess } from '../../jobs/computeProcess.js';
import { taskOf } from '../../jobs/description.js';
import type { JobKind } from '../../jobs/description.js';
import { LocalQueue } from '../../jobs/localQueue.js';
import { removeAtExit } from '../../io/atExit.js';
import { openStore } from '../../jobs/openStore.js';
import { fixedPlan, partsOf, probeSize, shardSize } from '../../jobs/plan.js';
import type { Parts } from '../../jobs/plan.js';
import type { Computer, JobQueue } from '../../jobs/queue.js';
import { shownUrl } from '../../jobs/redis.js';
import { JobRunner, outcomeOf } from '../../jobs/runner.js';
import { getPlan, putTask, settlePlan } from '../../jobs/store.js';
import type { JobStore, ResultAdapter, StoredPlan } from '../../jobs/store.js';
import { duration } from '../progress.js';
import type { VerbContext } from '../verb.js';
import type { JobValues } from './options.js';
import { openMachine } from './sessions.js';

/** Where a shard was computed. */
interface ShardReport {
  readonly from: number;
  readonly to: number;
  readonly worker: string;
  readonly seconds: number;
  /** Index into `adapters`. */
  readonly adapter: number;
}

/** The field `workers` of a result. */
export interface WorkersReport {
  readonly jobs: number;
  readonly shard: number;
  readonly workerSeconds: number;
  readonly adapters: readonly ResultAdapter[];
  readonly shards: readonly ShardReport[];
}

/** Work to be cut. */
export interface Work extends JobValues {
  readonly kind: JobKind;
  /** Images or cells. */
  readonly count: number;
  /** Images that a program takes at once; jobs are cut into whole batches where they can be. 1 for cells. */
  readonly batch: number;
  /** One job for each of `count`, without measuring. */
  readonly cells?: boolean;
  readonly device: 'auto' | 'software' | 'reference';
  readonly adapter?: string | undefined;
  /** Puts what the jobs need into the store and returns their settings. */
  readonly settings: (store: JobStore) => Promise<Readonly<Record<string, unknown>>>;
}

/** What all jobs found, in the order of their ranges. */
export interface Distributed {
  readonly parts: readonly PartResult[];
  readonly report: WorkersReport;
  readonly adapter: ResultAdapter;
}

const processModule = new URL('./process.js', import.meta.url);

/** Where a job's machine part is chosen: the reference needs none. */
const machineOf = ({ device, adapter }: Work): { device: 'auto' | 'software'; adapter?: string } => ({
  device: device === 'software' ? 'software' : 'auto',
  ...(adapter !== undefined && { adapter }),
});

/** This process as the only worker. A GPU that was lost or could not be opened is opened again for the next attempt. */
function ownComputer(work: Work, store: JobStore, { signal }: VerbContext): Computer {
  const open = () => {
    const machine = openMachine(machineOf(work));
    const runner = new JobRunner(store, machine.open, `${hostname()}:${process.pid}`);
    const close = (): void => {
      runner.close();
      machine.close();
    };
    return { runner, close };
  };
  let own = open();
  return {
    async run(job) {
      const outcome = await own.runner.run(job, signal).then(() => ({ state: 'done' as const }), outcomeOf);
      if (outcome.state === 'again' && ['device-lost', 'disposed', 'no-adapter'].includes(outcome.code ?? '')) {
        own.close();
        own = open();
      }
      return outcome;
    },
    async close() {
      own.close();
    },
  };
}

async function openQueue(work: Work, store: JobStore, storeUrl: string, context: VerbContext): Promise<JobQueue> {
  if (work.queue !== undefined) return (await import('../../jobs/bullQueue.js')).openBullQueue(work.queue);
  const computers =
    work.workers === undefined
      ? [ownComputer(work, store, context)]
      : Array.from(
          { length: work.workers },
          () => new ComputeProcess(processModule, { store: storeUrl, ...machineOf(work) }),
        );
  return new LocalQueue(computers, (reason) => context.progress.line(`note: a job is tried again: ${reason}`));
}

/** Shows one line over all workers, and says once where a queue has none. */
function showState({ kind: name, queue }: Work, began: number, { progress }: VerbContext) {
  let said = false;
  let before: number | undefined;
  return ({ done, total, found, waiting, active, failed, workers }: CollectState): void => {
    // What timed the first jobs is found when the others are collected, and counts.
    before ??= found;
    if (workers === 0 && queue !== undefined && done < total && !said) {
      said = true;
      progress.line(
        `no worker serves this queue yet; one starts with: linbp worker --queue ${shownUrl(queue)} --store DIR`,
      );
    }
    const seconds = (performance.now() - began) / 1000;
    const rate = (done - before) / seconds;
    const speed = rate > 0 ? `${rate.toPrecision(3)}/s  ${duration((total - done) / rate)} left  ` : '';
    const counts =
      `${waiting} waiting, ${active} at work, ${failed} ` + `failed, ${workers} worker${workers === 1 ? '' : 's'}`;
    progress.update(name, total === 0 ? 0 : done / total, `${speed}${counts}`);
  };
}

class Distribution {
  private readonly found = new Map<number, PartResult>();
  private readonly onState: (state: CollectState) => void;

  constructor(
    private readonly work: Work,
    private readonly store: JobStore,
    private readonly queue: JobQueue,
    private readonly task: string,
    private readonly context: VerbContext,
  ) {
    this.onState = showState(work, performance.now(), context);
  }

  private async collectParts(parts: Parts, upTo = parts.count): Promise<void> {
    const { kind } = this.work;
    await collect({
      ...{ store: this.store, queue: this.queue, kind, task: this.task, parts, upTo, signal: this.context.signal },
      onResult: (result) => {
        this.found.set(result.index, result);
        if (this.work.sameAdapter) this.expectSameAdapter();
      },
      onState: this.onState,
    });
  }

  private expectSameAdapter(): void {
    const names = new Set([...this.found.values()].map(({ record }) => JSON.stringify(record.adapter)));
    const shown = [...this.found.values()].map(({ record }) => record.adapter.description);
    check(
      names.size <= 1,
      'bad-argument',
      `--same-adapter: results came from ${[...new Set(shown)].join(' and ')}`,
      'sameAdapter',
    );
  }

  /** The plan that the options or an earlier submission state, or one by measured speed. */
  private async plan(): Promise<StoredPlan> {
    const { work, store, task, queue } = this;
    const { count, batch } = work;
    if (work.cells === true) return fixedPlan(1);
    if (work.shard !== undefined) return fixedPlan(work.shard);
    const stored = await getPlan(store, task);
    if (stored !== undefined) return stored;
    const workers = Math.max(1, (await queue.state()).workers);
    const probe = probeSize(count, workers, batch);
    const probing = partsOf(count, { probe, probes: workers, shard: probe });
    const probes = Math.min(workers, probing.count);
    await this.collectParts(probing, probes);
    const measured = [...this.found.values()];
    const seconds = measured.reduce((sum, { record }) => sum + record.seconds, 0);
    const images = measured.reduce((sum, { from, to }) => sum + to - from, 0);
    const shard = shardSize({ images, seconds }, Math.max(1, count - images), workers, batch);
    return settlePlan(store, task, { probe, probes, shard });
  }

  async run(): Promise<Distributed> {
    await this.queue.begin(this.task);
    const plan = await this.plan();
    this.found.clear();
    const parts = partsOf(this.work.count, plan);
    await this.collectParts(parts);
    this.context.progress.clear();
    const results = Array.from({ length: parts.count }, (_, index) => this.found.get(index)!);
    const adapters: ResultAdapter[] = [];
    const indexOf = (adapter: ResultAdapter): number => {
      const at = adapters.findIndex((each) => JSON.stringify(each) === JSON.stringify(adapter));
      return at < 0 ? adapters.push(adapter) - 1 : at;
    };
    const shards = results.map(({ from, to, record }) => {
      const { worker, seconds, adapter } = record;
      return { from, to, worker, seconds, adapter: indexOf(adapter) };
    });
    const workerSeconds = shards.reduce((sum, { seconds }) => sum + seconds, 0);
    const report = { jobs: parts.count, shard: plan.shard, workerSeconds, adapters, shards };
    return { parts: results, report, adapter: adapters[0]! };
  }
}

/**
 * Cuts work into jobs, has them done, and returns their results. With `--queue` workers anywhere do them, with
 * `--workers` processes of this machine, else this process. On one adapter the results have the same bits in each case.
 *
 * @throws LinbpError the typed error of a job that cannot be done; `aborted`; `unreachable`
 */
export async function distribute(work: Work, context: VerbContext): Promise<Distributed> {
  const folder = work.store === undefined ? await mkdtemp(join(tmpdir(), 'linbp-jobs-')) : undefined;
  const settled = folder === undefined ? undefined : removeAtExit(folder);
  const storeUrl = work.store ?? folder!;
  try {
    const store = await openStore(storeUrl);
    const queue = await openQueue(work, store, storeUrl, context);
    try {
      const task = await putTask(store, taskOf(work.kind, work.count, await work.settings(store)));
      if (work.queue !== undefined) {
        context.progress.line(`task ${task.slice(0, 12)}; the same command attaches to it again`);
      }
      return await new Distribution(work, store, queue, task, context).run();
    } finally {
      context.progress.clear();
      await queue.close();
      store.close();
    }
  } catch (error) {
    if (error instanceof LinbpError && error.code === 'aborted' && work.queue !== undefined)
      context.progress.line(
        'the jobs stay in the queue: the same command attaches again, "linbp jobs cancel" takes them back',
      );
    throw error;
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    settled?.();
  }
}
