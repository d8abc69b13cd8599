import { expectMembers } from '../arguments.js';
/** Functions of the normal distribution, in float64. */

/** Density of the standard normal distribution. */
export function normalDensity(x: number): number {
  return Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}

/**
 * Distribution function of the standard normal distribution, to about 1e-15: the series
 * Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + ...) in the middle, Laplace's continued fraction
 * 1 - Phi(x) = phi(x) / (x + 1/(x + 2/(x + ...))) in the tails (Abramowitz and Stegun 26.2.11 and 26.2.14).
 */
export function normalDistribution(x: number): number {
  const size = Math.abs(x);
  if (size < 4) {
    let term = x;
    let sum = x;
    for (let k = 3; Math.abs(term) > 1e-18 * Math.abs(sum); k += 2) {
      term *= (x * x) / k;
      sum += term;
    }
    return 0.5 + normalDensity(x) * sum;
  }
  let fraction = size;
  for (let k = 60; k >= 1; k--) fraction = size + k / fraction;
  const tail = normalDensity(size) / fraction;
  return x > 0 ? 1 - tail : tail;
}

/** E[X; X <= c] of X ~ N(mean, deviation^2). `c` may be infinite. */
export function lowerPartialMean(mean: number, deviation: number, c: number): number {
  if (deviation === 0) return mean <= c ? mean : 0;
  const u = (c - mean) / deviation;
  return mean * normalDistribution(u) - deviation * normalDensity(u);
}

/** P[X <= c] of X ~ N(mean, deviation^2). */
export function probabilityBelow(mean: number, deviation: number, c: number): number {
  if (deviation === 0) return mean <= c ? 1 : 0;
  return normalDistribution((c - mean) / deviation);
}

/**
 * The value that a Student variable of `freedom` degrees exceeds in magnitude with probability 0.05: half-width, in
 * standard errors, of a 95 % confidence interval of a mean of `freedom + 1` values. Expansion in 1/freedom
 * (Abramowitz and Stegun 26.7.5): within 0.1 % from 6 degrees, 1 % from 3; NaN below 1, where one value says nothing
 * about its spread.
 */
export function studentQuantile95(freedom: number): number {
  if (!(freedom >= 1)) return NaN;
  const z = 1.959963984540054;
  // The expansion diverges for the two smallest counts.
  if (freedom < 3) return freedom < 2 ? 12.706204736432095 : 4.302652729911275;
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160,
  ];
  return terms.reduce((sum, term, k) => sum + term / freedom ** (k + 1), z);
}

/** Throws `bad-argument` unless `law` has the numbers of a law of start and teacher. */
export const expectLaw = (law: unknown): void =>
  expectMembers(law, 'law', {
    ...{ dimension: 'number', targetMean: 'number', targetDeviation: 'number' },
    ...{ startMean: 'number', startDeviation: 'number' },
  });
