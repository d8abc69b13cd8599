import { phaseProblems } from './convPhases.js';
import type { RowsProblem } from './convPhases.js';
import { convBytes } from './convProblem.js';
import type { ConvProblem } from './convProblem.js';
import { link } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import { inFours, rightRegion } from './staging.js';
import { laneRegions, shareOf, tileConstants, tileName, signedWords, unrolled } from './tiles.js';
import type { Tile } from './tiles.js';
import type { TuningProblem } from './problem.js';
import { registerTiles, unfitTile } from './registerTiles.js';
import { softwareTile, storesRows, storesStraight } from './software/rowTiles.js';
import type { ProductStrategy } from './strategy.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, KernelDevice, LoweringContext } from './types.js';

/**
 * Whether gemm/convRows can run a problem: rows of neighboring outputs whose inputs are neighbors too. On a GPU only
 * with several taps and stride 1; on the CPU, where loads and not their order in memory decide, also strided rows and
 * plain products.
 */
function suitsRows(problem: ConvProblem, device: KernelDevice): boolean {
  const [fewestTaps, largestStep] = device.software ? [1, 2] : [2, 1];
  const onePhase = problem.phases.every((count) => count === 1);
  return (
    problem.taps[1] >= fewestTaps &&
    problem.taps[1] <= 7 &&
    problem.step[1] <= largestStep &&
    problem.accumulate !== true &&
    (problem.rowStart ?? 0) === 0 &&
    (problem.bStart ?? 0) === 0 &&
    (onePhase || (device.software && problem.tapStep.every((step) => step === -1))) &&
    Math.abs(problem.tapStep[1]) === 1 &&
    problem.columns[1] >= 4 * problem.phases[1] &&
    problem.bStrides.w === 1 &&
    problem.cStrides.w === 1
  );
}

/** Most products per row and input channel that an invocation unrolls; more compile long and gain little. */
const mostProducts = 28;

/**
 * Outputs per invocation: the count from 4 to 8 that spends least on a row, where an output costs its products and an
 * input its load (worth about one column of products).
 */
function outputsPerInvocation(width: number, taps: number): number {
  let best = { count: 8, cost: Infinity };
  for (let count = Math.max(4, Math.min(8, Math.floor(mostProducts / taps))); count >= 4; count--) {
    const cost = Math.ceil(width / count) * (count * taps + (count + taps - 1) + 2);
    if (cost < best.cost) best = { count, cost };
  }
  return best.count;
}

/** The usual tile of gemm/convRows for outputs that are `step` inputs apart. */
function rowsTile(tuning: TuningProblem, step: number, device: KernelDevice): Tile {
  const { rows, width, taps, writesMask } = tuning;
  const tile: Tile = {
    rows: rows > 8 && writesMask ? 16 : 8,
    columns: device.plainCompiler === true ? 4 : outputsPerInvocation(width, taps),
    lanes: 32,
    share: shareOf(device),
  };
  return device.software ? softwareTile(tile, tuning, step, device) : tile;
}

/** Lowers a convolution to gemm/convRows, phase by phase where it has several. */
export function lowerConvRows(problem: RowsProblem, tile: Tile, group: Group, context: LoweringContext): Dispatch[] {
  if (problem.phases.every((count) => count === 1)) return [lowerRows(problem, tile, group, context)];
  // Each phase writes some of the pixels and leaves the others as they are.
  const keeping = (dispatch: Dispatch): Dispatch => ({
    ...dispatch,
    operands: dispatch.operands.map((operand) =>
      operand.access === 'write' ? { ...operand, access: 'readWrite' } : operand,
    ),
  });
  return phaseProblems(problem).map((phase, index) => {
    const dispatch = lowerRows(phase, tile, group, context);
    return index === 0 ? dispatch : keeping(dispatch);
  });
}

/** One dispatch of gemm/convRows. The taps of a row are visited in the order of the window, left to right. */
// eslint-disable-next-line max-lines-per-function -- mostly the table of what the kernel is told
function lowerRows(problem: RowsProblem, tile: Tile, group: Group, context: LoweringContext): Dispatch {
  const single = epilogue(group, 4, problem.bias);
  const fit = single.fits && storesRows(problem, tile, single.output, context.device);
  // with more to do for a result, straight-line code takes longer to compile than it saves
  const straight = fit && single.perChannel && storesStraight(problem, tile, context.device);
  // Bare results are stored a little faster column by column; results for which something else is read are not.
  const byRows = straight || (fit && single.operands.length > 0);
  const tail = byRows ? epilogue(group, 4, problem.bias, tile.columns / 4, true) : single;
  const [tapsH, tapsW] = problem.taps;
  // The input gradient walks the taps backwards: its window begins at the last tap.
  const mirrored = problem.tapStep[1] < 0;
  const stripsPerRow = Math.ceil(problem.columns[1] / tile.columns);
  const originW = problem.tapOrigin[1] - (mirrored ? tapsW - 1 : 0);
  const step = problem.step[1];
  const inputs = (tile.columns - 1) * step + tapsW;
  const lastStrip = (stripsPerRow - 1) * tile.columns * step;
  const edges = {
    FIRST: Math.max(0, -originW),
    LAST: Math.max(0, Math.min(inputs, problem.source[1] - lastStrip - originW)),
  };
  const { aStrides, bStrides, cStrides } = problem;
  const inVectors =
    tile.columns % 4 === 0 &&
    inFours(bindingBase(problem.b), bStrides.batch, bStrides.inner, bStrides.h, bStrides.group);
  const head = inVectors ? ((-originW % 4) + 4) % 4 : 0;
  const fours = inVectors ? Math.floor((inputs - head) / 4) : 0;
  const place = problem.place ?? { first: 0, row: problem.columns[1], column: 1 };
  const aStart = mirrored ? Math.max(0, tapsH - 1) * aStrides.tapH + (tapsW - 1) * aStrides.tapW : 0;
  const dilationH = Math.abs(problem.tapStep[0]);
  const originH = problem.tapOrigin[0] - (mirrored ? (tapsH - 1) * dilationH : 0);
  const bottom = originH + (problem.columns[0] - 1) * problem.step[0] + (tapsH - 1) * dilationH;
  return {
    kernel: 'gemm/convRows',
    variant: [
      `${tileName(tile)} ` +
        `taps${tapsW}${step === 1 ? '' : ` step${step}`}${inVectors ? ' vec4' : ''}${straight ? ' straight' : ''}`,
      tail.variant,
    ]
      .filter((part) => part !== '')
      .join(' '),
    code: link('gemm/convRows', {
      unroll: unrolled(tile, context.device),
      constants: {
        ...tileConstants(tile, context.device),
        TAPS: tapsW,
        STEP: step,
        INPUTS: inputs,
        ...edges,
        INSIDE: originH >= 0 && bottom < problem.source[0],
        SOLE: stripsPerRow === 1,
        HEAD: head,
        FOURS: fours,
        TAIL: inputs - head - 4 * fours,
        IMAGES: problem.columnsAreImages ?? false,
        WHOLE: problem.rows % tile.rows === 0,
        BY_ROWS: byRows,
        STRAIGHT: straight,
        // what is unrolled is slow to compile there
        RUN: context.device.plainCompiler === true ? 1 : straight ? tile.rows : byRows ? 2 : 4,
      },
      regions: { ...tail.regions, ...laneRegions(tile, context.device), ...rightRegion(inVectors) },
    }),
    operands: [
      { name: 'a', tensor: problem.a, access: 'read' },
      { name: 'b', tensor: problem.b, access: 'read' },
      { name: 'c', tensor: tail.output, access: 'write' },
      ...tail.operands,
    ],
    parameters: [
      ...signedWords(
        {
          rows: problem.rows,
          batch: problem.batch,
          inner: problem.inner,
          groups: problem.groups,
          tapsH,
          colsH: problem.columns[0],
          colsW: problem.columns[1],
          stripsPerRow,
          sourceH: problem.source[0],
          sourceW: problem.source[1],
          stepH: problem.step[0],
          dilationH,
          originH,
          originW,
          aTapW: mirrored ? -aStrides.tapW : aStrides.tapW,
          aTapH: mirrored ? -aStrides.tapH : aStrides.tapH,
          aRow: aStrides.row,
          aInner: aStrides.inner,
          aGroup: aStrides.group,
          aBase: bindingBase(problem.a) + (problem.aStart ?? 0) + aStart,
          bBatch: bStrides.batch,
          bInner: bStrides.inner,
          bH: bStrides.h,
          bGroup: bStrides.group,
          bBase: bindingBase(problem.b),
          cBase: bindingBase(tail.output),
          cBatch: cStrides.batch,
          cRow: cStrides.row,
          cFirst: place.first,
          cH: place.row,
          cW: place.column,
          tileColumns: tile.columns,
          tileRows: tile.rows,
        },
        ['originH', 'originW', 'aTapW', 'aTapH'],
      ),
      ...tail.parameters,
    ],
    workgroups: [
      Math.ceil((problem.batch * problem.columns[0] * stripsPerRow) / tile.lanes),
      Math.ceil(problem.rows / tile.rows),
      problem.groups,
    ],
    flops: problem.flops + tail.flops,
    bytes: convBytes(problem, tail.output) + tail.bytes,
  };
}

/** Most products of a turn on a GPU; with more, compilers leave loops and keep sums in memory. */
const mostTurn = 512;

/** Neighboring outputs of a row, which share their inputs. */
export const convRows: ProductStrategy<ConvProblem> = {
  name: 'gemm/convRows',
  order: 'rows',
  operands: 'registers',
  unrolls: true,
  suits: suitsRows,
  usual: (problem, tuning, device) => [{ kernel: 'gemm/convRows', ...rowsTile(tuning, problem.step[1], device) }],
  unfit(choice, problem, device) {
    const { rows, columns } = choice;
    if (!device.software && rows * columns * problem.taps > mostTurn)
      return `${rows} x ${columns} results of ${problem.taps} taps are more products than compilers unroll`;
    return unfitTile(choice, problem, device, { mostColumns: 8 });
  },
  candidates: (start, _problem, device) => registerTiles(start, [4, 6, 8], device),
  lower: lowerConvRows,
};
