import { check } from '../errors.js';
import { expectFinite } from '../finite.js';
import { philox4x32, randomStreams } from '../random/philox.js';
import { studentQuantile95 } from '../theory/gaussian.js';

/** A mean with its 95 % interval. */
export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/** Arithmetic mean. Throws `bad-shape` for no values, `diverged` for one that is not finite. */
export function mean(values: ArrayLike<number>): number {
  check(values.length > 0, 'bad-shape', 'the mean of no values', 'values');
  expectFinite(values, (i) => `value ${i} of a mean`);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Standard deviation with n - 1; 0 for a single value. */
export function deviation(values: ArrayLike<number>): number {
  const center = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - center) ** 2;
  return Math.sqrt(squares / Math.max(1, values.length - 1));
}

/** Mean over seeds with Student's 95 % interval; a single value has an interval without width. */
export function interval(values: ArrayLike<number>): Interval {
  const center = mean(values);
  if (values.length < 2) return { mean: center, low: center, high: center };
  const half = (studentQuantile95(values.length - 1) * deviation(values)) / Math.sqrt(values.length);
  return { mean: center, low: center - half, high: center + half };
}

/**
 * Mean of `b - a` over pairs, such as one a seed, with Student's 95 % interval: for few pairs, where the bootstrap's
 * is too narrow. A single pair has an interval without bounds.
 *
 * @throws LinbpError `bad-shape` for lengths that differ or no pairs
 */
export function pairedInterval(a: ArrayLike<number>, b: ArrayLike<number>): Interval {
  check(
    a.length === b.length && a.length > 0,
    'bad-shape',
    `pairs need as many values on both sides, got ${a.length} and ${b.length}`,
    'values',
  );
  const differences = Array.from(a, (value, i) => b[i]! - value);
  return differences.length === 1 ? { mean: differences[0]!, low: -Infinity, high: Infinity } : interval(differences);
}

/** The value below which a share of the sorted values lies, with linear interpolation between neighbors. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  check(sorted.length > 0, 'bad-shape', 'a quantile of no values', 'values');
  check(share >= 0 && share <= 1, 'bad-range', `share must be from 0 to 1, got ${share}`, 'share');
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const next = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return sorted[below]! + (place - below) * (next - sorted[below]!);
}

/**
 * Mean of `b - a` over pairs with its 95 % percentile bootstrap interval (B. Efron, "Bootstrap methods", 1979): whole
 * pairs are drawn with replacement, so what a and b share, such as the image or the seed, cancels.
 *
 * @param seed 0..2^32-1; the same seed gives the same interval
 * @throws LinbpError `bad-shape` for lengths that differ or no pairs
 */
export function pairedBootstrap(a: ArrayLike<number>, b: ArrayLike<number>, seed = 0, resamples = 2000): Interval {
  check(
    a.length === b.length && a.length > 0,
    'bad-shape',
    `pairs need as many values on both sides, got ${a.length} and ${b.length}`,
    'values',
  );
  const count = a.length;
  const differences = Float64Array.from({ length: count }, (_, i) => b[i]! - a[i]!);
  const means = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (let i = 0; i < count; i += 4) {
      const words = philox4x32([i >>> 2, r, 0, 0], [seed, randomStreams.bootstrap]);
      for (let k = 0; k < Math.min(4, count - i); k++) sum += differences[Math.floor((words[k]! / 2 ** 32) * count)]!;
    }
    means[r] = sum / count;
  }
  means.sort();
  return { mean: mean(differences), low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

/**
 * As {@link pairedBootstrap} for the same pairs in several groups, such as the same images under several seeds:
 * `a[g][i]` and `b[g][i]` belong to pair i in group g. Groups and pairs are each drawn with replacement, and the drawn
 * pairs are the same in all drawn groups, so that the interval covers other seeds and other images (A. Owen, "The
 * pigeonhole bootstrap", 2007). Repeating a group does not make it narrower than that of one group.
 *
 * @param seed 0..2^32-1; the same seed gives the same interval
 * @throws LinbpError `bad-shape` for no groups, no pairs, or groups of different sizes
 */
export function crossedBootstrap(
  a: readonly (readonly number[])[],
  b: readonly (readonly number[])[],
  seed = 0,
  resamples = 2000,
): Interval {
  const count = a[0]?.length ?? 0;
  const fits = a.length === b.length && count > 0 && [...a, ...b].every((group) => group.length === count);
  check(
    fits,
    'bad-shape',
    `groups need the same pairs on both sides, got ${a.length} and ${b.length} groups, the first of ${count} pairs`,
    'values',
  );
  const differences = a.map((group, g) => Float64Array.from(group, (value, i) => b[g]![i]! - value));
  const draws = (r: number, part: 0 | 1, from: number, size: number): number[] =>
    Array.from({ length: Math.ceil(size / 4) }, (_, block) =>
      philox4x32([block, r, part, 1], [seed, randomStreams.bootstrap]),
    )
      .flat()
      .slice(0, size)
      .map((word) => Math.floor((word / 2 ** 32) * from));
  const means = Array.from({ length: resamples }, (_, r) => {
    const chosen = draws(r, 0, count, count);
    let total = 0;
    for (const g of draws(r, 1, a.length, a.length)) for (const i of chosen) total += differences[g]![i]!;
    return total / (a.length * count);
  }).sort((x, y) => x - y);
  return {
    mean: mean(differences.map((each) => mean(each))),
    low: quantile(means, 0.025),
    high: quantile(means, 0.975),
  };
}

/**
 * A share with Wilson's 95 % score interval (E. Wilson, "Probable inference", 1927), which stays inside [0, 1] and has
 * width also where all or none succeed.
 *
 * @param successes 0 to `count`; `count` from 1
 * @throws LinbpError `bad-range`
 */
export function wilson(successes: number, count: number): Interval {
  check(
    count >= 1 && successes >= 0 && successes <= count,
    'bad-range',
    `a share needs 0 to ${count} successes of at least one, got ${successes}`,
    'successes',
  );
  const z = 1.959963984540054;
  const share = successes / count;
  const scale = 1 + (z * z) / count;
  const center = (share + (z * z) / (2 * count)) / scale;
  const half = (z / scale) * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
  // Rounding must not put the share of none or all outside of its interval.
  return {
    mean: share,
    low: Math.max(0, Math.min(share, center - half)),
    high: Math.min(1, Math.max(share, center + half)),
  };
}

/** Whether an interval lies above zero, below zero, or holds it. */
export function verdictOf({ low, high }: Interval): 'above' | 'below' | 'open' {
  if (low > 0) return 'above';
  return high < 0 ? 'below' : 'open';
}

/** The trailing mean over up to `width` values at each place. */
export function trailingMean(values: readonly number[], width: number): number[] {
  let sum = 0;
  return values.map((value, i) => {
    sum += value - (i >= width ? values[i - width]! : 0);
    return sum / Math.min(i + 1, width);
  });
}
