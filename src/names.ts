import { quoted, quotedValue } from './quote.js';

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

/** Names that a message suggests at most. */
const suggested = 3;

/** Letters of a list of names that a message takes in whole. */
const shortList = 120;

/** The known names that are like `name`, the most similar first, at most three; none where no name is like it. */
export function nearestNames(name: string, known: readonly string[]): string[] {
  // Nothing known is much longer, and comparing takes the product of the lengths.
  if (name.length > 64) return [];
  const wanted = name.toLowerCase();
  const most = Math.max(1, Math.floor(wanted.length / 3));
  const candidates = known.flatMap((candidate) => {
    const far = distance(wanted, candidate.toLowerCase());
    // The beginning of a name is as good as one wrong letter.
    const begun = wanted.length >= 3 && candidate.toLowerCase().startsWith(wanted);
    const likely = begun ? Math.min(far, 1) : far;
    return likely <= most && candidate !== name ? [{ candidate, likely, far }] : [];
  });
  candidates.sort((a, b) => a.likely - b.likely || a.far - b.far);
  return candidates.slice(0, suggested).map(({ candidate }) => candidate);
}

/** `a, b or c` */
const alternatives = (names: readonly string[]): string =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;

/** ` (did you mean X or Y?)`, or nothing where no known name is like it; `before` stands before each. */
export function didYouMean(name: string, known: readonly string[], before = ''): string {
  const near = nearestNames(name, known).map((each) => `${before}${each}`);
  return near.length === 0 ? '' : ` (did you mean ${alternatives(near)}?)`;
}

/** Names, of which one was expected. */
export interface KnownNames {
  readonly names: readonly string[];
  /** The command that lists them, where they are many. */
  readonly command?: string;
  /** What else is taken, in words. */
  readonly also?: string;
}

/**
 * What follows in a message after a name that nobody knows: the nearest names, and all of them where they are few, else
 * the command that lists them.
 */
export function instead(name: string, { names, command, also }: KnownNames): string {
  const near = didYouMean(name, names);
  const list = `known are ${[...names, ...(also === undefined ? [] : [also])].join(', ')}`;
  if (list.length <= shortList) return `${near}; ${list}`;
  if (command !== undefined) return `${near}; "${command}" lists all ${names.length}`;
  return near === '' ? `; ${list}` : near;
}

/** The message about a name that nobody knows, with {@link instead}. */
export const unknownName = (what: string, name: unknown, known: KnownNames): string =>
  typeof name === 'string'
    ? `there is no ${what} ${quoted(name)}${instead(name, known)}`
    : `the name of a ${what} must be a string, got ${quotedValue(name)}`;
