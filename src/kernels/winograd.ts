import { byteLength } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import type { ConvProblem } from './convProblem.js';
import { words } from './grid.js';
import { link, shaderSource } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import { laneRegions, shareOf, signedWords, tileConstants, tileName, unrolled } from './tiles.js';
import type { Tile } from './tiles.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, LoweringContext } from './types.js';
import type { WinogradKernel } from './problem.js';
import { registerTiles, unfitTile } from './registerTiles.js';
import type { ProductStrategy } from './strategy.js';

/** Channels of a packed mask's word, which an invocation of gemm/winogradOutput owns. */
const channelBlock = 16;

/** Whether a problem is a plain 3 x 3 convolution with stride 1, the only one that the Winograd kernels compute. */
function suitsWinograd({ taps, step, tapStep, phases, groups, bStrides, cStrides, accumulate }: ConvProblem): boolean {
  return (
    [0, 1].every(
      (axis) => taps[axis] === 3 && step[axis] === 1 && phases[axis] === 1 && Math.abs(tapStep[axis]!) === 1,
    ) &&
    groups === 1 &&
    bStrides.w === 1 &&
    cStrides.w === 1 &&
    accumulate !== true
  );
}

/** Sizes of a Winograd convolution. */
interface Sizes {
  readonly outputs: number;
  /** Products of a tile. */
  readonly products: number;
  readonly tiles: readonly [number, number];
  /** Tiles of the batch, and the same rounded up to whole vectors of four. */
  readonly columns: number;
  readonly pitch: number;
  /** Lanes of a workgroup of the transforms. */
  readonly lanes: number;
}

function sizesOf(problem: ConvProblem, outputs: number, software: boolean): Sizes {
  const tiles = [Math.ceil(problem.columns[0] / outputs), Math.ceil(problem.columns[1] / outputs)] as const;
  const columns = problem.batch * tiles[0] * tiles[1];
  return {
    outputs,
    products: (outputs + 2) ** 2,
    tiles,
    columns,
    pitch: 4 * Math.ceil(columns / 4),
    lanes: software ? 8 : 64,
  };
}

/** The shader text of the transforms of a method. */
const methodOf = (outputs: number): Record<string, string> => ({ method: shaderSource(`gemm/winogradF${outputs}`) });

function transformWeights(
  problem: ConvProblem,
  transformed: Tensor,
  { outputs, products, lanes }: Sizes,
  context: LoweringContext,
): Dispatch {
  const { rows, inner, aStrides } = problem;
  // The input gradient walks the taps backwards: its window begins at the last tap.
  const mirrored = [0, 1].map((axis) => problem.tapStep[axis]! < 0) as [boolean, boolean];
  const start = (mirrored[0] ? 2 * aStrides.tapH : 0) + (mirrored[1] ? 2 * aStrides.tapW : 0);
  return {
    kernel: 'gemm/winogradWeights',
    variant: `F${outputs}`,
    code: link('gemm/winogradWeights', {
      constants: { WX: lanes, UNROLLED: !context.device.software },
      regions: methodOf(outputs),
    }),
    operands: [
      { name: 'a', tensor: problem.a, access: 'read' },
      { name: 'u', tensor: transformed, access: 'write' },
    ],
    parameters: signedWords(
      {
        rows,
        inner,
        aBase: bindingBase(problem.a) + start,
        aRow: aStrides.row,
        aInner: aStrides.inner,
        aTapH: mirrored[0] ? -aStrides.tapH : aStrides.tapH,
        aTapW: mirrored[1] ? -aStrides.tapW : aStrides.tapW,
        lines: outputs + 2,
      },
      ['aTapH', 'aTapW'],
    ),
    workgroups: [Math.ceil(rows / lanes), inner, 1],
    flops: 0,
    bytes: 4 * rows * inner * (9 + products),
  };
}

function transformInput(
  problem: ConvProblem,
  transformed: Tensor,
  { outputs, products, tiles, columns, pitch, lanes }: Sizes,
  context: LoweringContext,
): Dispatch {
  const { inner, source, bStrides, tapOrigin, tapStep } = problem;
  const origin = [0, 1].map((axis) => tapOrigin[axis]! - (tapStep[axis]! < 0 ? 2 : 0));
  return {
    kernel: 'gemm/winogradInput',
    variant: `F${outputs}`,
    code: link('gemm/winogradInput', {
      constants: { WX: lanes, UNROLLED: !context.device.software },
      regions: methodOf(outputs),
    }),
    operands: [
      { name: 'b', tensor: problem.b, access: 'read' },
      { name: 'v', tensor: transformed, access: 'write' },
    ],
    parameters: signedWords(
      {
        inner,
        columns,
        pitch,
        tilesH: tiles[0],
        tilesW: tiles[1],
        sourceH: source[0],
        sourceW: source[1],
        bBase: bindingBase(problem.b) + (problem.bStart ?? 0),
        originH: origin[0]!,
        originW: origin[1]!,
        bBatch: bStrides.batch,
        bInner: bStrides.inner,
        bH: bStrides.h,
        lines: outputs + 2,
      },
      ['originH', 'originW'],
    ),
    workgroups: [Math.ceil(columns / lanes), inner, 1],
    flops: 0,
    bytes: byteLength(problem.b) + 4 * products * inner * columns,
  };
}

function multiply(
  { rows, inner }: ConvProblem,
  tile: Tile,
  [u, v, m]: readonly [Tensor, Tensor, Tensor],
  { products, columns, pitch }: Sizes,
  context: LoweringContext,
): Dispatch {
  const vectors = tile.columns / 4;
  return {
    kernel: 'gemm/winogradProducts',
    variant: tileName(tile),
    code: link('gemm/winogradProducts', {
      unroll: unrolled(tile, context.device),
      constants: { ...tileConstants(tile, context.device), TN: vectors },
      regions: laneRegions(tile, context.device),
    }),
    operands: [
      { name: 'u', tensor: u, access: 'read' },
      { name: 'v', tensor: v, access: 'read' },
      { name: 'm', tensor: m, access: 'write' },
    ],
    parameters: words({ rows, inner, vectors: pitch / 4, tileColumns: vectors, tileRows: tile.rows }),
    workgroups: [Math.ceil(pitch / (tile.columns * tile.lanes)), Math.ceil(rows / tile.rows), products],
    flops: 2 * products * rows * inner * columns,
    bytes: 4 * products * (rows * inner + (rows + inner) * columns),
  };
}

function transformOutput(
  problem: ConvProblem,
  m: Tensor,
  sizes: Sizes,
  group: Group,
  context: LoweringContext,
): Dispatch {
  const { outputs, products, tiles, columns, pitch, lanes } = sizes;
  const { rows, cStrides } = problem;
  const tail = epilogue(group, 3, problem.bias, outputs * outputs);
  return {
    kernel: 'gemm/winogradOutput',
    variant: [`F${outputs}`, tail.variant].filter((part) => part !== '').join(' '),
    code: link('gemm/winogradOutput', {
      constants: { WX: lanes, UNROLLED: !context.device.software },
      regions: { ...methodOf(outputs), ...tail.regions },
    }),
    operands: [
      { name: 'm', tensor: m, access: 'read' },
      { name: 'c', tensor: tail.output, access: 'write' },
      ...tail.operands,
    ],
    parameters: [
      ...words({
        rows,
        columns,
        pitch,
        tilesH: tiles[0],
        tilesW: tiles[1],
        colsH: problem.columns[0],
        colsW: problem.columns[1],
        cBase: bindingBase(tail.output),
        cBatch: cStrides.batch,
        cRow: cStrides.row,
        slots: outputs * outputs,
      }),
      ...tail.parameters,
    ],
    workgroups: [Math.ceil(columns / lanes), Math.ceil(rows / channelBlock), 1],
    flops: tail.flops,
    bytes: 4 * products * rows * columns + byteLength(tail.output) + tail.bytes,
  };
}

/**
 * Lowers a convolution to transforms of weights and inputs, a product for each place of a tile, and the transform of
 * the outputs.
 */
function lowerWinograd(
  problem: ConvProblem,
  outputs: number,
  tile: Tile,
  group: Group,
  context: LoweringContext,
): Dispatch[] {
  const sizes = sizesOf(problem, outputs, context.device.software);
  const { name } = group.anchor.outputs[0]!;
  const mirrored = problem.tapStep.map((by) => (by < 0 ? 'mirrored' : '')).join('');
  const shape = [sizes.products, problem.inner, problem.rows];
  const weights = context.derive(problem.a, `F${sizes.outputs} ${shape.join('x')} ${mirrored}`, shape, (u) =>
    transformWeights(problem, u, sizes, context),
  );
  const v = context.scratch(`${name}.tiles`, [sizes.products, problem.inner, sizes.pitch]);
  const m = context.scratch(`${name}.products`, [sizes.products, problem.rows, sizes.pitch]);
  return [
    ...weights.dispatches,
    transformInput(problem, v, sizes, context),
    multiply(problem, tile, [weights.tensor, v, m], sizes, context),
    transformOutput(problem, m, sizes, group, context),
  ];
}

/** Winograd's method for tiles of `outputs` x `outputs`. Usual only where a table prescribes its accumulation order. */
const winogradStrategy = (
  name: WinogradKernel,
  order: 'winograd2' | 'winograd4',
  outputs: number,
): ProductStrategy<ConvProblem> => ({
  name,
  order,
  operands: 'registers',
  unrolls: false,
  suits: suitsWinograd,
  usual(problem, tuning, device) {
    const { columns } = sizesOf(problem, outputs, device.software);
    const lanes = device.software ? 8 : 32;
    const rows = device.software || problem.rows <= 8 ? 8 : 16;
    const choice = { kernel: name, rows, columns: columns > 4 * lanes ? 8 : 4, lanes, share: shareOf(device) };
    return this.unfit(choice, tuning, device) === undefined ? [choice] : [];
  },
  unfit: (choice, problem, device) => unfitTile(choice, problem, device, { columnsInFours: true, masks: false }),
  candidates: (start, _problem, device) => registerTiles(start, [4, 8], device),
  lower: (problem, choice, group, context) => lowerWinograd(problem, outputs, choice, group, context),
});

export const winogradF2 = winogradStrategy('gemm/winogradF2', 'winograd2', 2);
export const winogradF4 = winogradStrategy('gemm/winogradF4', 'winograd4', 4);
