import { expect } from 'chai';
import { appendFileSync } from 'node:fs';

/** The largest deviation of each comparison with reference values, and what was allowed there. */
const worst = new Map<string, { figure: number; tolerance: number }>();

/**
 * Expects a deviation from a reference value to be within a tolerance. `LINBP_FIGURES=FILE` appends the largest one of
 * each entry to a file, one JSON object a line.
 */
export function expectWithin(entry: string, figure: number, tolerance: number, message: string): void {
  const known = worst.get(entry);
  // where tolerances differ, the one that was used up most; nothing of nothing is none
  const used = (each: { figure: number; tolerance: number }): number =>
    each.figure === 0 ? 0 : each.figure / each.tolerance;
  if (known === undefined || used({ figure, tolerance }) > used(known)) worst.set(entry, { figure, tolerance });
  expect(figure, `${entry}: ${message}`).to.be.at.most(tolerance);
}

/** The largest difference of two tensors' entries. */
export const largestDifference = (mine: ArrayLike<number>, theirs: ArrayLike<number>): number => {
  let most = mine.length === theirs.length ? 0 : Infinity;
  for (let i = 0; i < mine.length; i++) {
    const off = Math.abs(mine[i]! - theirs[i]!);
    if (!(off <= most)) most = off;
  }
  return most;
};

/** Relative rounding of nine digits and of float32. */
export const [nineDigits, float32Digits] = [5e-9, 2 ** -24] as const;

/**
 * How far gradients of a length may be off that a reference code took in float64 and a file holds in so many digits:
 * 1e-9, the digits, and what the code's p_y - 1 takes from images that it is certain of. These have gradients of up to
 * 150 times that difference, of which the sum of exponentials, its logarithm and p_y each round 2^-53.
 */
export const gradientTolerance = (length: number, digits: number): number =>
  Math.min(1e-6, 1e-9 + digits + (3 * 150 * 2 ** -53) / length);

/** Two proportions of the same images agree within 1.96 standard errors, and what seeds of the reference differ by. */
export function expectAgree(
  entry: string,
  mine: readonly number[],
  theirs: readonly number[],
  images: number,
  message: string,
): void {
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [p, q] = [mean(mine), mean(theirs)];
  const spread = Math.max(...theirs) - Math.min(...theirs);
  const slack = 1.96 * Math.sqrt((p * (1 - p) + q * (1 - q)) / images) + spread;
  expectWithin(entry, Math.abs(p - q), slack, `${message}: ${p} and ${q}`);
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
};

// At the end of the process: a worker of `mocha --parallel` runs several files.
process.once('exit', () => {
  const file = process.env['LINBP_FIGURES'];
  if (file === undefined) return;
  for (const [entry, { figure, tolerance }] of worst)
    appendFileSync(file, `${JSON.stringify({ entry, figure, tolerance })}\n`);
});
