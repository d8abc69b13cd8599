import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { Turns } from '../runtime/turns.js';
import type { Job } from './description.js';
import type { Computer, Outcome } from './queue.js';

/** What the parent tells a compute process. */
export type ToProcess =
  | { readonly type: 'start'; readonly store: string; readonly device: 'auto' | 'software'; readonly adapter?: string }
  | { readonly type: 'run'; readonly job: Job }
  | { readonly type: 'abort' };

/** What a compute process answers to `run`. */
export interface FromProcess {
  readonly outcome: Outcome;
  /** Bytes that the process holds in memory. */
  readonly memory: number;
  /** The process cannot go on, for instance because its GPU is lost. */
  readonly spent: boolean;
}

/** Which machine part a compute process uses. */
export interface ComputeOptions {
  /** The store's URL or folder. */
  readonly store: string;
  readonly device: 'auto' | 'software';
  readonly adapter?: string;
  /** Bytes after which the process makes room for a new one between two jobs. */
  readonly maxMemory?: number;
}

/** Crashes in a row during one job, of signals that a program brings upon itself, after which the job counts as bad. */
const mostCrashes = 5;
const crashSignals: readonly string[] = ['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP'];

/**
 * A process of its own that computes jobs with one GPU. A lost GPU, a crash of the driver or a kill ends that process
 * only; the next job starts another one.
 */
export class ComputeProcess implements Computer {
  private readonly turns = new Turns();
  private child: ChildProcess | undefined;
  private closed = false;
  private crashes = { job: '', count: 0 };

  /**
   * @param module the file that the process runs
   */
  constructor(
    private readonly module: URL,
    private readonly options: ComputeOptions,
  ) {}

  private started(): ChildProcess {
    if (this.child !== undefined) return this.child;
    // Its standard output belongs to the parent's result; errors go where the parent's go.
    const child = fork(this.module, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const { store, device, adapter } = this.options;
    child.on('exit', () => {
      if (this.child === child) this.child = undefined;
    });
    // Sending to a process that has just ended; its end is noticed anyway.
    child.on('error', () => undefined);
    this.child = child;
    this.tell(child, { type: 'start', store, device, ...(adapter !== undefined && { adapter }) });
    return child;
  }

  private tell(child: ChildProcess, message: ToProcess): void {
    if (child.connected) child.send(message, () => undefined);
  }

  /** Calls may overlap: an answer says nothing about which job it is of, so each waits for those before it. */
  run(job: Job): Promise<Outcome> {
    return this.turns.run(() => this.runNow(job));
  }

  private async runNow(job: Job): Promise<Outcome> {
    if (this.closed) return { state: 'again', reason: 'the worker is closed' };
    const child = this.started();
    const answer = await new Promise<FromProcess | NodeJS.Signals | number>((resolve) => {
      const onMessage = (message: unknown): void => settle(message as FromProcess);
      const onExit = (code: number | null, signal: NodeJS.Signals | null): void => settle(signal ?? code ?? 1);
      const settle = (result: FromProcess | NodeJS.Signals | number): void => {
        child.off('message', onMessage);
        child.off('exit', onExit);
        resolve(result);
      };
      child.on('message', onMessage);
      child.on('exit', onExit);
      this.tell(child, { type: 'run', job });
    });
    if (typeof answer !== 'object') return this.ended(job, answer);
    this.crashes = { job: '', count: 0 };
    const full = answer.memory > (this.options.maxMemory ?? Infinity);
    if (answer.spent || full) await this.stop();
    return answer.outcome;
  }

  /** The process ended during a job: killed, out of memory, or crashed. Only crashes count against a job. */
  private ended(job: Job, how: NodeJS.Signals | number): Outcome {
    const name = `${job.task} ${job.from}`;
    const reason =
      typeof how === 'number' ? `the compute process ended with code ${how}` : `the compute process got ${how}`;
    if (typeof how === 'number' || !crashSignals.includes(how)) return { state: 'again', reason };
    this.crashes = { job: name, count: this.crashes.job === name ? this.crashes.count + 1 : 1 };
    if (this.crashes.count < mostCrashes) return { state: 'again', reason };
    return {
      state: 'failed',
      failure: { code: 'gpu-error', message: `${reason} ${mostCrashes} times in a row during this job` },
    };
  }

  /** Asks the job at work to stop; it ends as `again`. */
  abort(): void {
    if (this.child !== undefined) this.tell(this.child, { type: 'abort' });
  }

  private async stop(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (child.connected) child.disconnect();
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.stop();
  }
}
