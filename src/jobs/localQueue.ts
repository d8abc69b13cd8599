import { jobId } from './description.js';
import type { Job } from './description.js';
import type { Computer, FailedJob, JobQueue, Outcome, QueueState } from './queue.js';

/** Milliseconds before another attempt, doubled each time up to the second figure. */
const firstPause = 200;
const longestPause = 10_000;

/** Losses of its GPU in a row after which a job counts as bad. */
const mostLosses = 5;

/**
 * Whether an attempt will go wrong again however often it is tried, where all workers are of one machine: another may
 * have an adapter, this one has none.
 */
const isFinal = ({ code }: Outcome & { state: 'again' }, attempt: number): boolean =>
  code === 'no-adapter' || (['device-lost', 'disposed'].includes(code ?? '') && attempt >= mostLosses);

/** How long to wait before attempt `attempt` + 1. */
export const pauseAfter = (attempt: number): number => Math.min(longestPause, firstPause * 2 ** Math.min(attempt, 10));

/** A queue in this process, whose jobs the given computers do: this process itself, or others of this machine. */
export class LocalQueue implements JobQueue {
  readonly shown = 'this machine';
  private readonly waiting = new Map<string, Job>();
  private readonly active = new Map<string, Job>();
  private readonly failed: FailedJob[] = [];
  private readonly attempts = new Map<string, number>();
  private readonly loops: Promise<void>[];
  private readonly told = new Set<string>();
  private closed = false;
  private listeners: (() => void)[] = [];

  /**
   * @param onAgain told why a job waits for another attempt, once for each reason
   */
  constructor(
    private readonly computers: readonly Computer[],
    private readonly onAgain?: (reason: string) => void,
  ) {
    this.loops = computers.map((computer) => this.work(computer));
  }

  private notify(): void {
    const { listeners } = this;
    this.listeners = [];
    for (const listener of listeners) listener();
  }

  changed(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.listeners.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  private async work(computer: Computer): Promise<void> {
    while (!this.closed) {
      const [next] = this.waiting;
      if (next === undefined) {
        await this.changed(60_000);
        continue;
      }
      const [id, job] = next;
      this.waiting.delete(id);
      this.active.set(id, job);
      const outcome = await computer.run(job);
      this.active.delete(id);
      const attempt = (this.attempts.get(id) ?? 0) + 1;
      if (outcome.state === 'failed') this.failed.push({ job, failure: outcome.failure });
      if (outcome.state === 'again' && isFinal(outcome, attempt)) {
        this.failed.push({ job, failure: { code: outcome.code!, message: outcome.reason } });
        this.notify();
      } else if (outcome.state === 'again' && !this.closed) {
        this.attempts.set(id, attempt);
        this.tell(outcome);
        this.waiting.set(id, job);
        this.notify();
        await new Promise((resolve) => setTimeout(resolve, pauseAfter(attempt - 1)));
      } else {
        this.attempts.delete(id);
        this.notify();
      }
    }
  }

  private tell({ reason, code }: Outcome & { state: 'again' }): void {
    if (code === 'aborted' || this.told.has(reason) || this.told.size >= 20) return;
    this.told.add(reason);
    this.onAgain?.(reason);
  }

  async add(jobs: readonly Job[]): Promise<void> {
    for (const job of jobs) {
      const id = jobId(job);
      if (!this.active.has(id)) this.waiting.set(id, job);
    }
    this.notify();
  }

  async failures(task: string): Promise<readonly FailedJob[]> {
    return this.failed.filter(({ job }) => job.task === task);
  }

  async forgotten(jobs: readonly Job[]): Promise<Job[]> {
    return jobs.filter((job) => {
      const id = jobId(job);
      return !this.waiting.has(id) && !this.active.has(id);
    });
  }

  async state(): Promise<QueueState> {
    return {
      waiting: this.waiting.size,
      active: this.active.size,
      failed: this.failed.length,
      workers: this.computers.length,
    };
  }

  async begin(): Promise<void> {}

  /** Nobody but its submitter reaches this queue. */
  async takenBack(): Promise<boolean> {
    return false;
  }

  async cancel(task: string): Promise<number> {
    const own = [...this.waiting].filter(([, job]) => job.task === task);
    for (const [id] of own) this.waiting.delete(id);
    return own.length;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.notify();
    await Promise.all(this.computers.map((computer) => computer.close()));
    await Promise.all(this.loops);
  }
}
