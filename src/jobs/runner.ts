import { check, LinbpError } from '../errors.js';
import { quotedValue } from '../quote.js';
import { Turns } from '../runtime/turns.js';
import { packageVersion } from '../version.js';
import type { Job, Task } from './description.js';
import type { Outcome } from './queue.js';
import { getResult, getTask, putResult } from './store.js';
import type { JobStore, ResultAdapter } from './store.js';

/** A task made ready: weights loaded, programs compiled. Kept between jobs of the task. */
export interface Session {
  readonly adapter: ResultAdapter;
  /** Computes images or cells `from` up to `to`; the bytes depend on the task and the range only. */
  run(from: number, to: number, signal: AbortSignal): Promise<Uint8Array>;
  close(): void;
}

/** Makes a task ready. Throws a typed error for a task that cannot be done. */
export type OpenSession = (task: Task, store: JobStore) => Promise<Session>;

/** Errors of the machine and of what it needs, not of the job: another attempt, maybe elsewhere, may succeed. */
const passing: readonly string[] = ['device-lost', 'unreachable', 'not-writable', 'aborted', 'no-adapter', 'disposed'];

/** What an error says about a job. */
export function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof LinbpError))
    return {
      state: 'failed',
      failure: { code: 'internal', message: error instanceof Error ? error.message : String(error) },
    };
  const { code, message, field } = error;
  if (passing.includes(code)) return { state: 'again', reason: message, code };
  return { state: 'failed', failure: { code, message, ...(field !== undefined && { field }) } };
}

/** Does jobs one after another in this process, and keeps what was made ready for the last task. */
export class JobRunner {
  /** A job of another task closes what the one before it made ready. */
  private readonly turns = new Turns();
  private current: { readonly task: string; readonly description: Task; readonly session: Session } | undefined;

  /**
   * @param worker what results call this process
   */
  constructor(
    private readonly store: JobStore,
    private readonly openSession: OpenSession,
    private readonly worker: string,
  ) {}

  /**
   * Does a job and stores its result, unless it is there already. Calls may overlap: each waits for those before it.
   * Throws what stands in the way.
   */
  run(job: Job, signal: AbortSignal): Promise<void> {
    return this.turns.run(() => this.runNow(job, signal));
  }

  private async runNow(job: Job, signal: AbortSignal): Promise<void> {
    if ((await getResult(this.store, job)) !== undefined) return;
    const { session, description } = await this.ready(job);
    check(
      job.kind === description.kind && job.to <= description.count,
      'bad-argument',
      `job ${job.kind} ${job.from}-${job.to} does not belong to a task ${description.kind} of ${description.count}`,
      'range',
    );
    const began = performance.now();
    const bytes = await session.run(job.from, job.to, signal);
    const { adapter } = session;
    const seconds = (performance.now() - began) / 1000;
    await putResult(this.store, job, bytes, { adapter, worker: this.worker, seconds });
  }

  private async ready({ task }: Job): Promise<{ readonly session: Session; readonly description: Task }> {
    if (this.current?.task === task) return this.current;
    this.close();
    const description = await getTask(this.store, task);
    const version = packageVersion();
    check(
      description.version === version,
      'unsupported',
      `the job was made by linbp ${quotedValue(description.version)}, this worker is linbp ${version}`,
      'version',
    );
    this.current = { task, description, session: await this.openSession(description, this.store) };
    return this.current;
  }

  /** Frees what was made ready. */
  close(): void {
    this.current?.session.close();
    this.current = undefined;
  }
}
