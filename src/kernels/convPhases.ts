import type { ConvProblem } from './convProblem.js';

/** A product of gemm/convRows. */
export interface RowsProblem extends ConvProblem {
  /** First element of A inside its binding, beyond the tensor's own. */
  readonly aStart?: number;
  /**
   * Where outputs lie in their plane, in pixels: the first, and from one row or column to the next. Absent: row after
   * row.
   */
  readonly place?: { readonly first: number; readonly row: number; readonly column: number };
  /** The columns are images of one pixel each, `cStrides.batch` apart in C and next to each other in B. */
  readonly columnsAreImages?: boolean;
}

/** What one phase of an axis is: every `phases`-th output from `phase` on, and the taps that meet a source for them. */
interface Axis {
  readonly size: number;
  readonly taps: number;
  readonly firstTap: number;
  readonly origin: number;
}

function phaseOf({ phases, columns, taps, tapOrigin }: ConvProblem, axis: 0 | 1, phase: number): Axis {
  const by = phases[axis];
  const from = phase + tapOrigin[axis];
  const firstTap = from % by;
  return {
    size: Math.ceil((columns[axis] - phase) / by),
    taps: Math.max(0, Math.ceil((taps[axis] - firstTap) / by)),
    firstTap,
    origin: (from - firstTap) / by,
  };
}

/**
 * The phases of a strided input gradient as convolutions with stride 1 each: output i * phases + phase takes the taps
 * k = firstTap + m * phases with source i + origin - m, because only those leave no remainder in (phase + padding -
 * k) / phases. Taps of the problem must be one apart. A phase without taps has one of height 0, so that its outputs
 * are written as zeros and what is fused behind them runs.
 */
export function phaseProblems(problem: ConvProblem): RowsProblem[] {
  const { phases, columns, aStrides, flops, taps } = problem;
  const found: RowsProblem[] = [];
  for (let h = 0; h < Math.min(phases[0], columns[0]); h++) {
    for (let w = 0; w < Math.min(phases[1], columns[1]); w++) {
      const [down, across] = [phaseOf(problem, 0, h), phaseOf(problem, 1, w)];
      const some = down.taps * across.taps > 0;
      found.push({
        ...problem,
        phases: [1, 1],
        columns: [down.size, across.size],
        taps: some ? [down.taps, across.taps] : [0, 1],
        tapOrigin: [down.origin, across.origin],
        aStrides: { ...aStrides, tapH: aStrides.tapH * phases[0], tapW: aStrides.tapW * phases[1] },
        aStart: some ? down.firstTap * aStrides.tapH + across.firstTap * aStrides.tapW : 0,
        place: { first: h * columns[1] + w, row: phases[0] * columns[1], column: phases[1] },
        flops: (flops * down.taps * across.taps) / (taps[0] * taps[1]),
      });
    }
  }
  return found;
}
