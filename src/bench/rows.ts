/** One measured figure. */
export interface BenchRow {
  /** What was measured. */
  readonly name: string;
  /** Who did it: `linbp`, a peer, or the device itself. */
  readonly subject: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Measurements that the three figures are of. */
  readonly rounds?: number;
  /**
   * Between parties: time of this subject over linbp's, the median over rounds that ran next to each other. For
   * kernels: rate over the device's copy or plain product. Null where there is nothing to compare with.
   */
  readonly ratio: number | null;
  /** Between parties: false where the results are not linbp's, so that the time counts for nothing. */
  readonly agrees?: boolean;
  /** What a reader must know, such as how far the results agree. */
  readonly note?: string;
}

/** The middle of some values; the mean of the two middle ones when their number is even. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A row from repeated measurements. */
export function row(
  name: string,
  subject: string,
  unit: string,
  values: readonly number[],
  rest: Pick<Partial<BenchRow>, 'ratio' | 'agrees' | 'note'> = {},
): BenchRow {
  const { ratio = null, ...others } = rest;
  return {
    name,
    subject,
    unit,
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    rounds: values.length,
    ratio,
    ...others,
  };
}

/**
 * Exponent p of t = c x^p that fits best, by least squares of the logarithms. Time against batch size gives 1 for
 * perfect scaling, less where fixed costs dominate.
 */
export function fittedExponent(points: readonly (readonly [x: number, t: number])[]): number {
  const logs = points.map(([x, t]) => [Math.log(x), Math.log(t)] as const);
  const meanX = logs.reduce((sum, [x]) => sum + x, 0) / logs.length;
  const meanT = logs.reduce((sum, [, t]) => sum + t, 0) / logs.length;
  const covariance = logs.reduce((sum, [x, t]) => sum + (x - meanX) * (t - meanT), 0);
  const variance = logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return covariance / variance;
}

/** A row that says why there is no figure. */
export const missing = (name: string, subject: string, unit: string, note: string): BenchRow => ({
  name,
  subject,
  unit,
  median: NaN,
  min: NaN,
  max: NaN,
  rounds: 0,
  ratio: null,
  note,
});
