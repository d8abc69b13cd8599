import { LinbpError } from '../errors.js';

/** A cell of an experiment that has no figure, because something it would be computed from is not finite. */
export interface DivergedCell {
  readonly cell: string;
  readonly diverged: true;
  /** What was not finite, and where. */
  readonly cause: string;
}

/** The cells of an experiment: one that diverges is recorded, and the others go on. */
export class Cells {
  /** For the figures of the result. */
  readonly diverged: DivergedCell[] = [];
  private readonly say: (line: string) => void;

  constructor({ progress }: { readonly progress: { line(text: string): void } }) {
    this.say = (line) => progress.line(line);
  }

  /**
   * What `work` gives, or undefined where it throws `diverged`. Other errors pass.
   *
   * @param cell its name, also one that is known only when it ends
   */
  async run<T>(cell: string | (() => string), work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof LinbpError) || error.code !== 'diverged') throw error;
      const name = typeof cell === 'string' ? cell : cell();
      this.diverged.push({ cell: name, diverged: true, cause: error.message });
      this.say(`${name}: diverged, ${error.message.replace(/^training diverged: /, '')}`);
      return undefined;
    }
  }

  /** Those whose `work` does not diverge, in their order. */
  async finite<T>(items: readonly T[], name: (item: T) => string, work: (item: T) => Promise<unknown>): Promise<T[]> {
    const kept: T[] = [];
    for (const item of items) {
      const found = await this.run(name(item), async () => {
        await work(item);
        return true;
      });
      if (found === true) kept.push(item);
    }
    return kept;
  }

  /** Throws `diverged` where nothing is left to report on. */
  expectSome(left: number, what: string): void {
    if (left === 0) throw this.nothingLeft(what);
  }

  /** The error `diverged` that says why nothing is left. */
  nothingLeft(what: string): LinbpError {
    const causes = this.diverged.map(({ cell, cause }) => `${cell}: ${cause}`).join('; ');
    return new LinbpError('diverged', `no ${what} is left: ${causes}`, { field: 'model' });
  }
}

/** What reports say of a cell that diverged. */
export const withoutFigures = (cell: string, cause: string): string =>
  `${cell} has no figures: it diverges (${cause}).`;
