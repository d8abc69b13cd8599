/** How much time there is, and how much is gone. */
export interface Budget {
  /** Seconds in all. */
  readonly total: number;
  /** Seconds since the start. */
  elapsed(): number;
  /** Seconds until this share of the whole has passed, at least a hundredth of it. */
  until(share: number): number;
}

/** A budget that begins now. */
export function budgetOf(seconds: number): Budget {
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  return { total: seconds, elapsed, until: (share) => Math.max(share * seconds - elapsed(), seconds / 100) };
}
