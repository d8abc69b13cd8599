import { LinbpError } from '../errors.js';
import { jobId } from './description.js';
import type { Job, JobKind } from './description.js';
import type { Parts } from './plan.js';
import type { JobQueue, QueueState } from './queue.js';
import { getBlob, getResult, listResults, removeResult } from './store.js';
import type { JobStore, ResultRecord } from './store.js';

/** A finished part of a task. */
export interface PartResult {
  readonly index: number;
  readonly from: number;
  readonly to: number;
  readonly record: ResultRecord;
  /** The result's bytes, verified. */
  readonly bytes: Uint8Array;
}

/** What is known while a task is at work. */
export interface CollectState extends QueueState {
  /** Images or cells that are done, of those of these parts. */
  readonly done: number;
  readonly total: number;
  /** Of these, found done at the beginning. */
  readonly found: number;
}

/** Settings of {@link collect}. */
export interface CollectOptions {
  readonly store: JobStore;
  readonly queue: JobQueue;
  readonly kind: JobKind;
  readonly task: string;
  readonly parts: Parts;
  /** Only the first `upTo` parts; all unless given. */
  readonly upTo?: number;
  /** Takes a result in; each part comes once, in no particular order. */
  readonly onResult: (result: PartResult) => void;
  readonly onState?: (state: CollectState) => void;
  readonly signal?: AbortSignal;
}

/** Jobs handed over at once, and looked at in one round. */
const bulk = 1000;
/** Milliseconds between looks at the store: the least, and the most, also after a store or queue that was away. */
const [shortest, longest] = [300, 10_000];
/** Rounds between checks that the queue has forgotten nothing. */
const checkEvery = 10;

/** Jobs of the parts that are not done, one bulk after another. */
function* bulks(open: Uint8Array, jobAt: (index: number) => Job, from = 0): Generator<Job[]> {
  let jobs: Job[] = [];
  for (let index = from; index < open.length; index++) {
    if (open[index] === 0) continue;
    jobs.push(jobAt(index));
    if (jobs.length < bulk) continue;
    yield jobs;
    jobs = [];
  }
  if (jobs.length > 0) yield jobs;
}

class Collection {
  private readonly open: Uint8Array;
  private left: number;
  private done = 0;
  private found = 0;
  private readonly total: number;
  private cursor = 0;

  constructor(private readonly options: CollectOptions) {
    const { parts, upTo = parts.count } = options;
    this.open = new Uint8Array(upTo).fill(1);
    this.left = upTo;
    this.total = upTo === 0 ? 0 : parts.at(upTo - 1).to;
  }

  private readonly jobAt = (index: number): Job => {
    const { kind, task, parts } = this.options;
    return { kind, task, ...parts.at(index) };
  };

  /** Takes in what is new in the store. */
  private async takeIn(): Promise<void> {
    const { store, task, parts, onResult, signal } = this.options;
    for (const range of await listResults(store, task)) {
      const index = parts.indexOf(range);
      if (index === undefined || index >= this.open.length || this.open[index] === 0) continue;
      if (signal?.aborted === true) return;
      const result = await this.read(index);
      if (result === undefined) continue;
      onResult(result);
      this.open[index] = 0;
      this.left -= 1;
      this.done += result.to - result.from;
    }
  }

  /** A part's result; where it is damaged the part counts as not done. */
  private async read(index: number): Promise<PartResult | undefined> {
    const { store } = this.options;
    const job = this.jobAt(index);
    const record = await getResult(store, job);
    try {
      if (record !== undefined)
        return { index, from: job.from, to: job.to, record, bytes: await getBlob(store, record.result) };
    } catch (error) {
      if (!(error instanceof LinbpError) || !['bad-file', 'missing-file'].includes(error.code)) throw error;
    }
    await removeResult(store, job);
    return undefined;
  }

  private async submit(): Promise<void> {
    const { queue, signal } = this.options;
    for (const jobs of bulks(this.open, this.jobAt)) {
      if (signal?.aborted === true) return;
      await queue.add(jobs);
    }
  }

  /** Adds again what the queue does not know; looks at one bulk of the open parts, the next one the next time. */
  private async recover(): Promise<void> {
    const { queue } = this.options;
    const [jobs] = bulks(this.open, this.jobAt, this.cursor);
    if (jobs === undefined) {
      this.cursor = 0;
      return;
    }
    const last = this.options.parts.indexOf(`${jobs.at(-1)!.from}-${jobs.at(-1)!.to}`)!;
    this.cursor = last + 1 >= this.open.length ? 0 : last + 1;
    const forgotten = await queue.forgotten(jobs);
    // What was finished between the look at the store and that at the queue is no loss.
    const lost: Job[] = [];
    for (const job of forgotten) if ((await getResult(this.options.store, job)) === undefined) lost.push(job);
    if (lost.length > 0) await queue.add(lost);
  }

  /** Throws `aborted` where somebody took the task back. */
  private async expectWanted(): Promise<void> {
    const { queue, task } = this.options;
    if (!(await queue.takenBack(task))) return;
    // What this submitter added again meanwhile goes too.
    await queue.cancel(task);
    throw new LinbpError('aborted', 'the task was taken back by "linbp jobs"; the same command goes on with it');
  }

  /** Throws the error of a job that failed for good; the task's other jobs that wait are taken back. */
  private async expectNoFailure(): Promise<void> {
    const { queue, task, parts } = this.options;
    for (const { job, failure } of await queue.failures(task)) {
      const index = parts.indexOf(`${job.from}-${job.to}`);
      if (index === undefined || this.open[index] !== 1) continue;
      await queue.cancel(task);
      const { code, message, field } = failure;
      const which = job.to - job.from === 1 ? `${job.from}` : `${job.from} to ${job.to - 1}`;
      throw new LinbpError(code, `job ${jobId(job)} (${which}) failed: ${message}`, {
        ...(field !== undefined && { field }),
      });
    }
  }

  async run(): Promise<void> {
    const { queue, onState, signal } = this.options;
    await this.takeIn();
    this.found = this.done;
    await this.submit();
    let state = await queue.state();
    for (let round = 1; this.left > 0; round++) {
      if (signal?.aborted === true) throw new LinbpError('aborted', 'interrupted while jobs were at work');
      onState?.({ ...state, done: this.done, total: this.total, found: this.found });
      const began = performance.now();
      await this.takeIn();
      const listing = performance.now() - began;
      if (this.left === 0) break;
      await this.expectWanted();
      state = await queue.state();
      if (state.failed > 0) await this.expectNoFailure();
      if (round % checkEvery === 0) await this.recover();
      // A large folder takes a while to list; most of the time belongs to the workers.
      await queue.changed(Math.min(Math.max(shortest, 10 * listing), longest));
    }
    onState?.({ ...state, done: this.done, total: this.total, found: this.found });
  }
}

/**
 * Has the parts of a task done that the store has no results of, and takes in the results as they come. It can be
 * interrupted at any moment and begun again: what is done is found.
 *
 * @throws LinbpError the error of a job that failed for good; `aborted`; `unreachable` where queue or store stay away
 */
export async function collect(options: CollectOptions): Promise<void> {
  await new Collection(options).run();
}
