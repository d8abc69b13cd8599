import { LinbpError } from '../errors.js';

/** How long plain loops keep the thread before others get a turn, in milliseconds. */
const longest = 50;

/** Counts the pieces of a computation by plain loops, and lets timers and signal handlers run between them. */
export class Turn {
  private done = 0;
  private began = performance.now();

  constructor(
    private readonly pieces: number,
    private readonly options: {
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: ((share: number) => void) | undefined;
    },
  ) {
    this.expectWanted();
  }

  /** Call it after each piece. Throws `aborted`. */
  async next(): Promise<void> {
    this.done += 1;
    const last = this.done === this.pieces;
    if (!last && performance.now() - this.began < longest) return;
    this.options.onProgress?.(this.done / this.pieces);
    await new Promise((resolve) => setImmediate(resolve));
    if (!last) this.expectWanted();
    this.began = performance.now();
  }

  private expectWanted(): void {
    if (this.options.signal?.aborted === true) throw new LinbpError('aborted', 'the computation was aborted');
  }
}
