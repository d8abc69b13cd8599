import { LinbpError } from '../errors.js';
import { isMatrixKernel, unfitMatrices } from './matrices.js';
import type { KernelDevice } from './device.js';
import type { KernelChoice, ProductKernel, SumOrder, TuningProblem } from './problem.js';
import { unfitStage } from './staging.js';
import { mostShiftedRows, unrollings } from './tiles.js';
import { isWinogradKernel } from './winogradKernels.js';

export { sumOrders } from './problem.js';
export type { KernelChoice, KernelChoices, ProductKernel, SumOrder, TuningProblem } from './problem.js';

const orders: Readonly<Record<ProductKernel, SumOrder>> = {
  'gemm/conv': 'taps',
  'gemm/convRows': 'rows',
  'gemm/convImages': 'images',
  'gemm/convPacked': 'taps',
  'gemm/convTiled': 'taps',
  'gemm/convSplit': 'parts',
  'gemm/convMatrix': 'matrix',
  'gemm/convHalfMatrix': 'halfMatrix',
  'gemm/winogradF2': 'winograd2',
  'gemm/winogradF4': 'winograd4',
  'gemm/weightGradient': 'weights',
  'gemm/weightGradientRows': 'weights',
  'gemm/weightGradientImages': 'weights',
  'gemm/weightGradientLinear': 'weights',
  'gemm/weightGradientTiled': 'weights',
};

/** Order of a kernel's sums. */
export const orderOf = (kernel: ProductKernel): SumOrder => orders[kernel];

/** Whether a kernel rounds its operands to f16. */
export const roundsOperands = (kernel: ProductKernel): boolean => kernel === 'gemm/convHalfMatrix';

/** Kernels whose operands go through workgroup memory. */
export const isStaged = (kernel: ProductKernel): boolean =>
  kernel === 'gemm/convTiled' || kernel === 'gemm/convSplit' || kernel === 'gemm/weightGradientTiled';

/** Kernels whose loops can be written out or not as a choice says; the others decide themselves. */
export const choosesUnrolling = (kernel: ProductKernel): boolean => unrollable.has(kernel) || isStaged(kernel);

const unrollable: ReadonlySet<ProductKernel> = new Set([
  'gemm/conv',
  'gemm/convRows',
  'gemm/convPacked',
  'gemm/weightGradient',
]);

/** The key of a problem: the layer and its batch rounded up to a power of two. */
export const problemKey = (problem: TuningProblem): string =>
  `${layerKey(problem)} n${2 ** Math.ceil(Math.log2(problem.batch))}`;

/** The key of all batch sizes of a problem. */
export const layerKey = (problem: TuningProblem): string => `${problem.layer}${problem.writesMask ? ' mask' : ''}`;

/** Kernel and tile of a choice, whatever its splits: what may be right or wrong on a device. */
export function tileKey({ kernel, rows, columns, lanes, share, stage, unroll }: KernelChoice): string {
  const staged = stage === undefined ? '' : ` stage ${stage.ranks}x${stage.depth}${stage.vectors ? ' vectors' : ''}`;
  return `${kernel} ${rows}x${columns}x${lanes} share ${share}${staged}${unroll === undefined ? '' : ` unroll ${unroll}`}`;
}

/** Most products of a turn of gemm/convRows on a GPU; with more, compilers leave loops and keep sums in memory. */
const mostRowProducts = 512;

/** Most rows of a tile whose sums lie in memory. */
const mostRows = 48;

const isPower = (value: unknown, least: number, most: number): value is number =>
  typeof value === 'number' && value >= least && value <= most && Number.isInteger(Math.log2(value));

/**
 * Why a choice cannot run a problem on a device, or undefined where it can. Tables come from files, so nothing about
 * a choice is taken for granted.
 */
export function unfit(choice: KernelChoice, problem: TuningProblem, device: KernelDevice): string | undefined {
  const { kernel, rows, columns, lanes, share, splits = 1, unroll } = choice;
  if (!problem.kernels.includes(kernel)) return `${String(kernel)} does not compute it`;
  if (unroll !== undefined && !(choosesUnrolling(kernel) && unrollings.includes(unroll)))
    return `${kernel} does not unroll ${String(unroll)}`;
  if (isMatrixKernel(kernel)) {
    if (choice.stage === undefined || splits !== 1) return `${kernel} needs stages and has no splits`;
    return unfitMatrices(kernel, { ...choice, stage: choice.stage }, device);
  }
  if (!isPower(share, 1, Math.max(1, device.subgroupSize))) return `loads cannot be shared by ${share} lanes`;
  const linear = kernel === 'gemm/weightGradientLinear';
  const tall = rows > mostShiftedRows && (linear || kernel === 'gemm/conv');
  const fitting = tall
    ? device.software && rows % 8 === 0 && rows <= mostRows
    : isPower(rows, 4, kernel === 'gemm/weightGradientRows' ? 32 : 16);
  if (!fitting || rows % share !== 0) return `${rows} rows do not fit ${share} lanes that share loads`;
  if (tall && unroll !== undefined) return `${rows} rows are always written out`;
  if (tall && problem.writesMask && rows % mostShiftedRows !== 0) return `${rows} rows do not fill words of a mask`;
  const winograd = isWinogradKernel(kernel);
  if (problem.writesMask && !winograd && rows < Math.min(16, problem.rows)) return 'masks need 16 rows';
  const most = kernel === 'gemm/convRows' || kernel === 'gemm/convPacked' ? 8 : 16;
  if (!Number.isInteger(columns) || columns < 1 || columns > most || (winograd && columns % 4 !== 0))
    return `${columns} columns`;
  if (kernel === 'gemm/convRows' && !device.software && rows * columns * problem.taps > mostRowProducts)
    return `${rows} x ${columns} results of ${problem.taps} taps are more products than compilers unroll`;
  if (kernel === 'gemm/weightGradientRows' && columns % problem.taps !== 0)
    return `${columns} columns hold no whole rows of ${problem.taps} taps`;
  if (device.plainCompiler === true && rows * columns > 64)
    return `${rows} x ${columns} results are too many to write out`;
  if (!isPower(lanes, Math.max(4, share), Math.min(256, device.maxInvocations))) return `${lanes} lanes`;
  if (linear && (columns % 4 !== 0 || rows > problem.rows || columns > problem.width))
    return `${rows} rows and ${columns} columns are not whole tiles in fours`;
  if (isStaged(kernel) !== (choice.stage !== undefined))
    return `${kernel} ${isStaged(kernel) ? 'needs' : 'has no'} stages`;
  if (!Number.isInteger(splits) || splits < 1 || splits > problem.lines) return `${splits} splits`;
  return choice.stage === undefined ? undefined : unfitStage(choice, choice.stage, device);
}

/**
 * The choice for a problem: the table's where it has one that can run, else the usual one in the order of sums that
 * the table prescribes, else the first of `usual`.
 */
export function choose(problem: TuningProblem, device: KernelDevice, usual: readonly KernelChoice[]): KernelChoice {
  if (usual.length === 0)
    throw new LinbpError('internal', `no kernel computes ${problem.layer}`, { field: problem.layer });
  const { choices, refused } = device;
  if (refused !== undefined && refused.size > 0) return chooseRight(problem, device, usual, refused);
  const first = usual[0]!;
  if (choices === undefined) return first;
  const order = choices.order(problem) ?? orderOf(first.kernel);
  const found = choices.find(problem);
  if (found !== undefined && orderOf(found.kernel) === order && unfit(found, problem, device) === undefined)
    return found;
  return usual.find((choice) => orderOf(choice.kernel) === order) ?? first;
}

/** Register tiles that every kernel without stages can have, for devices where usual ones are wrong. */
function plainChoices(problem: TuningProblem, device: KernelDevice): KernelChoice[] {
  const shares = device.subgroupSize >= 4 ? [Math.min(8, device.subgroupSize), 4, 1] : [1];
  return problem.kernels
    .filter((kernel) => !isStaged(kernel) && !isMatrixKernel(kernel))
    .flatMap((kernel) => shares.flatMap((share) => [16, 8].flatMap((rows) => ({ kernel, rows, share }))))
    .flatMap((part) =>
      [4, 8, 2].map((columns): KernelChoice => ({ ...part, columns, lanes: device.software ? 8 : 32 })),
    )
    .filter((choice) => unfit(choice, problem, device) === undefined);
}

/**
 * {@link choose} where some choices gave wrong results: the table's, then the usual ones in their order, then others,
 * whatever the order of their sums; kernels with another tile that was wrong come last. Throws `unsupported` where none
 * is left.
 */
function chooseRight(
  problem: TuningProblem,
  device: KernelDevice,
  usual: readonly KernelChoice[],
  refused: ReadonlySet<string>,
): KernelChoice {
  const right = (choice: KernelChoice): boolean => !refused.has(tileKey(choice)) && !refused.has(choice.kernel);
  const suspect = ({ kernel }: KernelChoice): boolean => [...refused].some((key) => key.startsWith(`${kernel} `));
  const { refused: _refused, ...others } = device;
  const before = choose(problem, others, usual);
  if (right(before)) return before;
  const order = orderOf(before.kernel);
  const left = [...usual, ...plainChoices(problem, device)].filter(right);
  const clear = left.filter((choice) => !suspect(choice));
  const found = clear.find((choice) => orderOf(choice.kernel) === order) ?? clear[0] ?? left[0];
  if (found !== undefined) return found;
  throw new LinbpError(
    'unsupported',
    `no kernel is left for ${problem.layer}: all gave wrong results on this device; use another (--adapter), or --device reference`,
    { field: problem.layer },
  );
}
