import { LinbpError } from '../errors.js';

/** Edit distance with insertions, deletions, substitutions and swaps of neighbors (optimal string alignment). */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(change, rows[i - 1]![j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** The known name that is most like `name`, if any is like it. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  // Nothing known is longer, and comparing takes the product of the lengths.
  if (name.length > 64) return undefined;
  const wanted = name.toLowerCase();
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const far = distance(wanted, candidate.toLowerCase());
    const likely = wanted.length >= 3 && candidate.startsWith(wanted) ? Math.min(far, 1) : far;
    if (likely < least) {
      least = likely;
      best = candidate;
    }
  }
  return best;
}

/** ` (did you mean X?)`, or nothing where no known name is like it. */
export function didYouMean(name: string, known: readonly string[]): string {
  const best = nearest(name, known);
  return best === undefined || best === name ? '' : ` (did you mean ${best}?)`;
}

/** The same error with the nearest known name at the end of its message. */
export function withHint(error: unknown, name: string, known: readonly string[]): unknown {
  const hint = didYouMean(name, known);
  if (!(error instanceof LinbpError) || hint === '') return error;
  return new LinbpError(error.code, `${error.message}${hint}`, {
    ...(error.field !== undefined && { field: error.field }),
    cause: error,
  });
}
