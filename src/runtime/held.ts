/** Objects to keep alive until the GPU has finished the submits that use them, in the order of those submits. */
export class HeldObjects {
  readonly #objects: object[] = [];
  /** How many were let go already; a wait releases up to a position in the whole sequence. */
  #releasedBefore = 0;

  add(objects: readonly object[]): void {
    this.#objects.push(...objects);
  }

  /** The position behind all objects held so far. */
  get end(): number {
    return this.#releasedBefore + this.#objects.length;
  }

  /** Lets go of the objects before a position; overlapping waits may have let go of some already. */
  release(end: number): void {
    const count = end - this.#releasedBefore;
    if (count <= 0) return;
    this.#objects.splice(0, count);
    this.#releasedBefore = end;
  }
}
