import { expectFinite } from '../finite.js';
import { studentQuantile95 } from './gaussian.js';

/** Mean over the repeats at every step 0..steps, and the half-width of its 95 % confidence interval (Student's). */
export interface Band {
  readonly mean: Float64Array;
  readonly halfWidth: Float64Array;
}

/** One measured quantity of both rules over the steps. */
export interface CurveStatistics {
  readonly bp: Band;
  readonly linbp: Band;
  /** BP - LinBP, paired within a repeat: positive where LinBP is lower. */
  readonly margin: Band;
  /** Share of the repeats with LinBP <= BP. */
  readonly won: Float64Array;
}

/** Curves of single repeats: `[rule][repeat][step]` with BP first. */
export type Curves = ArrayLike<number>;

/** Statistics per row in the order of `shaders/theory/curveStatistics.wgsl`. */
export const STATISTICS = 7;

/**
 * Turns the shader's rows (mean and standard deviation of BP, of LinBP, of the difference, share won) of one quantity
 * into bands.
 *
 * @param rows [STATISTICS][steps + 1]
 * @throws LinbpError `diverged` where one is not finite, naming its first step
 */
export function statisticsFromRows(rows: ArrayLike<number>, length: number, repeats: number): CurveStatistics {
  const names = ['mean of BP', 'deviation of BP', 'mean of LinBP', 'deviation of LinBP'];
  const named = (index: number): string => names[Math.floor(index / length)] ?? 'difference of BP and LinBP';
  expectFinite(rows, (index) => `the ${named(index)} at step ${index % length}`);
  const row = (k: number): Float64Array => Float64Array.from({ length }, (_, t) => rows[k * length + t]!);
  const scale = studentQuantile95(repeats - 1) / Math.sqrt(repeats);
  const band = (k: number): Band => ({ mean: row(k), halfWidth: row(k + 1).map((deviation) => scale * deviation) });
  return {
    bp: band(0),
    linbp: band(2),
    margin: band(4),
    won: row(6).map((share) => Math.round(share * repeats) / repeats),
  };
}

/** The shader's statistics in float64: rows [STATISTICS][length] from curves [2][repeats][length]. */
export function statisticRows(curves: Curves, length: number, repeats: number): Float64Array {
  const rows = new Float64Array(STATISTICS * length);
  for (let t = 0; t < length; t++) {
    const value = (rule: number, repeat: number): number => curves[(rule * repeats + repeat) * length + t]!;
    const measures = [(r: number) => value(0, r), (r: number) => value(1, r), (r: number) => value(0, r) - value(1, r)];
    for (const [k, measure] of measures.entries()) {
      let mean = 0;
      for (let r = 0; r < repeats; r++) mean += measure(r) / repeats;
      let squares = 0;
      for (let r = 0; r < repeats; r++) squares += (measure(r) - mean) ** 2;
      rows[2 * k * length + t] = mean;
      rows[(2 * k + 1) * length + t] = Math.sqrt(squares / (Math.max(repeats, 2) - 1));
    }
    let won = 0;
    for (let r = 0; r < repeats; r++) if (value(1, r) <= value(0, r)) won++;
    rows[6 * length + t] = won / repeats;
  }
  return rows;
}
