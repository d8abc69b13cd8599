/** What takes jobs of a queue, and can leave off for a while. */
export interface Taker {
  /** Takes no further job; with true, what is at work goes on. */
  pause(keepWorking: boolean): Promise<void>;
  resume(): unknown;
}

/**
 * How many jobs may be done, over all takers together. Those at work count, so that several takers do not begin the
 * last one at the same time.
 */
export class JobLimit<T extends Taker> {
  readonly workers: T[] = [];
  private begun = 0;
  private ended = 0;

  constructor(private readonly most: number) {}

  /** Begins a job, unless as many as there may be are done or at work; then nobody takes any more. */
  begin(): boolean {
    if (this.begun >= this.most) return false;
    this.begun += 1;
    if (this.begun >= this.most) for (const worker of this.workers) void worker.pause(true);
    return true;
  }

  /** A job was not done, so another may be begun in its place. */
  giveBack(): void {
    this.begun -= 1;
    for (const worker of this.workers) void worker.resume();
  }

  /** A job was done. Returns whether it was the last. */
  end(): boolean {
    this.ended += 1;
    return this.ended >= this.most;
  }
}
