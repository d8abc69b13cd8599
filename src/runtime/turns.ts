/**
 * Asynchronous work on one object, one piece at a time in the order in which it was asked for: what is asked for while
 * other work runs waits for its turn, so that two calls never see each other's data. Work that finds nobody before it
 * begins at once.
 */
export class Turns {
  private last: Promise<void> = Promise.resolve();
  private pending = 0;

  /** Whether some work runs or waits. */
  get busy(): boolean {
    return this.pending > 0;
  }

  /** Runs `work` when everything asked for before has ended, well or not. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.busy ? this.last.then(work) : begin(work);
    this.pending += 1;
    this.last = result.then(
      () => void (this.pending -= 1),
      () => void (this.pending -= 1),
    );
    return result;
  }

  /** For work that does not wait itself: done at once where nobody is before it, else in its turn. */
  runSync(work: () => void): void {
    if (!this.busy) work();
    // Nobody awaits it; what fails in it shows in the calls that follow.
    else this.run(() => Promise.resolve(work())).catch(() => undefined);
  }
}

/** Starts work now; what it throws before its first wait rejects, too. */
async function begin<T>(work: () => Promise<T>): Promise<T> {
  return work();
}

const measured = new WeakMap<object, Turns>();

/** The turns of a device's measurements: no two of them run at once, and neither slows the other down. */
export function measurements(device: object): Turns {
  let turns = measured.get(device);
  if (turns === undefined) measured.set(device, (turns = new Turns()));
  return turns;
}

/** Runs `work` when it has the turns of all these objects. For callers that take them one after another only. */
export function inTurns<T>(all: readonly Turns[], work: () => Promise<T>): Promise<T> {
  return [...new Set(all)].reduceRight((inner, turns) => () => turns.run(inner), work)();
}
