import { byteLength } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { signedWords } from './tiles.js';
import type { Tile } from './tiles.js';
import { bindingBase } from './types.js';
import type { UniformParameter } from './types.js';

/** One implicit GEMM of shaders/gemm/conv.wgsl, in the terms of its parameters. */
export interface ConvProblem {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly bias: Tensor | undefined;
  readonly rows: number;
  readonly batch: number;
  readonly inner: number;
  readonly groups: number;
  readonly taps: readonly [number, number];
  readonly columns: readonly [number, number];
  readonly source: readonly [number, number];
  readonly step: readonly [number, number];
  readonly tapOrigin: readonly [number, number];
  readonly tapStep: readonly [number, number];
  readonly phases: readonly [number, number];
  readonly aStrides: {
    readonly row: number;
    readonly inner: number;
    readonly tapH: number;
    readonly tapW: number;
    readonly group: number;
  };
  readonly bStrides: {
    readonly batch: number;
    readonly inner: number;
    readonly h: number;
    readonly w: number;
    readonly group: number;
  };
  readonly cStrides: { readonly batch: number; readonly row: number; readonly w: number };
  /** Channel of the first row, and whether C holds sums to go on from: for weights that are bound in blocks. */
  readonly rowStart?: number;
  readonly accumulate?: boolean;
  /** First element of B inside its binding, beyond the tensor's own. */
  readonly bStart?: number;
  readonly flops: number;
}

/** Whether some tap of some column can fall outside the source. */
export const isPadded = ({ taps, phases, columns, step, source, tapOrigin, tapStep }: ConvProblem): boolean =>
  [0, 1].some((axis) => {
    if (phases[axis] !== 1) return true;
    const ends = [tapOrigin[axis]!, tapOrigin[axis]! + (taps[axis]! - 1) * tapStep[axis]!];
    return Math.min(...ends) < 0 || (columns[axis]! - 1) * step[axis]! + Math.max(...ends) >= source[axis]!;
  });

/** Columns of the largest phase, over the whole batch. */
export const columnsPerPhase = ({ batch, columns, phases }: ConvProblem): number =>
  batch * Math.ceil(columns[0] / phases[0]) * Math.ceil(columns[1] / phases[1]);

const signedFields = ['tapOriginH', 'tapOriginW', 'tapStepH', 'tapStepW'];

/**
 * The parameters of shaders/gemm/convProblem.wgsl, without those of an epilogue. `innerPart` is the number of products
 * a tap of each part, where the contraction is split.
 */
export function convParameters(
  problem: ConvProblem,
  output: Tensor,
  tile: Tile,
  innerPart: number = problem.inner,
): UniformParameter[] {
  const { aStrides, bStrides, cStrides } = problem;
  return signedWords(
    {
      rows: problem.rows,
      batch: problem.batch,
      inner: problem.inner,
      groups: problem.groups,
      tapsH: problem.taps[0],
      tapsW: problem.taps[1],
      colsH: problem.columns[0],
      colsW: problem.columns[1],
      sourceH: problem.source[0],
      sourceW: problem.source[1],
      stepH: problem.step[0],
      stepW: problem.step[1],
      tapOriginH: problem.tapOrigin[0],
      tapOriginW: problem.tapOrigin[1],
      tapStepH: problem.tapStep[0],
      tapStepW: problem.tapStep[1],
      phasesH: problem.phases[0],
      phasesW: problem.phases[1],
      aRow: aStrides.row,
      aInner: aStrides.inner,
      aTapH: aStrides.tapH,
      aTapW: aStrides.tapW,
      aGroup: aStrides.group,
      aBase: bindingBase(problem.a),
      bBatch: bStrides.batch,
      bInner: bStrides.inner,
      bH: bStrides.h,
      bW: bStrides.w,
      bGroup: bStrides.group,
      bBase: bindingBase(problem.b) + (problem.bStart ?? 0),
      cBase: bindingBase(output),
      cBatch: cStrides.batch,
      cRow: cStrides.row,
      cW: cStrides.w,
      rowStart: problem.rowStart ?? 0,
      tileColumns: tile.columns,
      tileRows: tile.rows,
      innerPart,
    },
    signedFields,
  );
}

/** Bytes that the product itself moves, each operand counted once. */
export const convBytes = (problem: ConvProblem, output: Tensor): number =>
  byteLength(problem.a) + byteLength(problem.b) + byteLength(output);
