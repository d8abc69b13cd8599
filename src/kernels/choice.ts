import { LinbpError } from '../errors.js';
import type { KernelDevice } from './device.js';
import type { KernelChoice, ProductKernel, SumOrder, TuningProblem } from './problem.js';
import { kernelTraits } from './products.js';
import type { ProductStrategy } from './strategy.js';
import { unrollings } from './tiles.js';

/** Order of a kernel's sums; undefined for a name that is no kernel, as a file may hold. */
export const orderOf = (kernel: ProductKernel): SumOrder | undefined => kernelTraits(kernel)?.order;

/** Whether a kernel rounds its operands to f16. */
export const roundsOperands = (kernel: ProductKernel): boolean => kernelTraits(kernel)?.roundsOperands === true;

/** The key of a problem: the layer and its batch rounded up to a power of two. */
export const problemKey = (problem: TuningProblem): string =>
  `${layerKey(problem)} n${2 ** Math.ceil(Math.log2(problem.batch))}`;

/** The key of all batch sizes of a problem. */
export const layerKey = (problem: TuningProblem): string => `${problem.layer}${problem.writesMask ? ' mask' : ''}`;

/** Kernel and tile of a choice, whatever its splits: what may be right or wrong on a device. */
export function tileKey({ kernel, rows, columns, lanes, share, stage, unroll }: KernelChoice): string {
  const staged = stage === undefined ? '' : ` stage ${stage.ranks}x${stage.depth}${stage.vectors ? ' vectors' : ''}`;
  return (
    `${kernel} ${rows}x${columns}x${lanes} share ` +
    `${share}${staged}${unroll === undefined ? '' : ` unroll ${unroll}`}`
  );
}

/**
 * Why a choice cannot run a problem on a device, or undefined where it can. Tables come from files, so nothing about
 * a choice is taken for granted.
 */
export function unfit(choice: KernelChoice, problem: TuningProblem, device: KernelDevice): string | undefined {
  const { kernel, unroll } = choice;
  const traits = kernelTraits(kernel);
  if (traits === undefined || !problem.kernels.includes(kernel)) return `${String(kernel)} does not compute it`;
  if (unroll !== undefined && !(traits.unrolls && unrollings.includes(unroll)))
    return `${kernel} does not unroll ${String(unroll)}`;
  return traits.unfit(choice, problem, device);
}

/** The strategy and the choice with which a product runs. `suiting` are those that compute it, the preferred first. */
export function choose<P>(
  product: P,
  suiting: readonly ProductStrategy<P>[],
  problem: TuningProblem,
  device: KernelDevice,
): { readonly strategy: ProductStrategy<P>; readonly choice: KernelChoice } {
  const usual = suiting.flatMap((strategy) => strategy.usual(product, problem, device));
  const choice = chooseAmong(problem, device, usual);
  return { strategy: suiting.find(({ name }) => name === choice.kernel)!, choice };
}

/**
 * The choice for a problem: the table's where it has one that can run, else the usual one in the accumulation order
 * that the table prescribes, else the first of `usual`.
 */
export function chooseAmong(
  problem: TuningProblem,
  device: KernelDevice,
  usual: readonly KernelChoice[],
): KernelChoice {
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
    .filter((kernel) => kernelTraits(kernel)?.operands === 'registers')
    .flatMap((kernel) => shares.flatMap((share) => [16, 8].flatMap((rows) => ({ kernel, rows, share }))))
    .flatMap((part) =>
      [4, 8, 2].map((columns): KernelChoice => ({ ...part, columns, lanes: device.software ? 8 : 32 })),
    )
    .filter((choice) => unfit(choice, problem, device) === undefined);
}

/**
 * {@link chooseAmong} where some choices gave wrong results: the table's, then the usual ones in their order, then
 * others, whatever their accumulation order; kernels with another tile that was wrong come last. Throws `unsupported`
 * where none is left.
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
  const before = chooseAmong(problem, others, usual);
  if (right(before)) return before;
  const order = orderOf(before.kernel);
  const left = [...usual, ...plainChoices(problem, device)].filter(right);
  const clear = left.filter((choice) => !suspect(choice));
  const found = clear.find((choice) => orderOf(choice.kernel) === order) ?? clear[0] ?? left[0];
  if (found !== undefined) return found;
  throw new LinbpError(
    'unsupported',
    `no kernel is left for ${problem.layer}: all gave wrong results on this device; use another ` +
      '(--adapter), or --device reference',
    { field: problem.layer },
  );
}
