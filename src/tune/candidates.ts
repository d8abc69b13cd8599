import { orderOf, roundsOperands, unfit } from '../kernels/choice.js';
import type { KernelChoice, KernelChoices, ProductKernel, SumOrder, TuningProblem } from '../kernels/problem.js';
import { kernelTraits } from '../kernels/products.js';
import { shareOf, unrollings, usualUnrolling } from '../kernels/tiles.js';
import type { KernelDevice } from '../kernels/types.js';
import { sameChoice } from '../choices/table.js';

/** Each choice once, and only those that can run. */
function possible(
  choices: readonly KernelChoice[],
  problem: TuningProblem,
  device: KernelDevice,
  order: SumOrder | undefined,
): KernelChoice[] {
  return choices.filter(
    (choice, index) =>
      unfit(choice, problem, device) === undefined &&
      (order === undefined || orderOf(choice.kernel) === order) &&
      choices.findIndex((other) => sameChoice(choice, other)) === index,
  );
}

/** Most results of an invocation whose loops are all unrolled on the CPU, where more take long to compile. */
const mostWrittenOut = 64;

/** Other ways to unroll the loops of a tile. A driver that unrolls nothing needs them all unrolled. */
function unrolledOtherwise(choice: KernelChoice, device: KernelDevice): KernelChoice[] {
  if (kernelTraits(choice.kernel)?.unrolls !== true || device.plainCompiler === true) return [];
  return unrollings
    .filter((loops) => loops !== usualUnrolling(device))
    .filter((loops) => loops !== 'lanes' || choice.share > 1)
    .filter((loops) => loops !== 'all' || !device.software || choice.rows * choice.columns <= mostWrittenOut)
    .map((unroll) => ({ ...choice, unroll }));
}

/** How lanes work together, how loops are unrolled, and how a contraction is split, with the tile as it is. */
function arrangements(choice: KernelChoice, device: KernelDevice): KernelChoice[] {
  const { lanes, share, splits, stage } = choice;
  const parts =
    splits === undefined
      ? []
      : [1, Math.ceil(splits / 2), 2 * splits, 4 * splits].map((count) => ({ ...choice, splits: count }));
  if (stage !== undefined) {
    const depths = [stage.depth / 2, 2 * stage.depth].map((depth) => ({ ...choice, stage: { ...stage, depth } }));
    if (kernelTraits(choice.kernel)?.operands === 'subgroup matrices') return depths;
    return [
      ...depths,
      { ...choice, stage: { ...stage, vectors: !stage.vectors } },
      ...parts,
      ...unrolledOtherwise(choice, device),
    ];
  }
  return [
    ...(device.software ? [2 * lanes] : [lanes / 2, 2 * lanes, 4 * lanes]).map((count) => ({
      ...choice,
      lanes: count,
    })),
    ...[1, 4, 8, 16].filter((count) => count !== share).map((count) => ({ ...choice, share: count })),
    ...parts,
    ...unrolledOtherwise(choice, device),
  ];
}

/** Another kernel in place of the usual one, as a start for its tiles. */
function otherKernel({ stage, ...usual }: KernelChoice, kernel: ProductKernel, device: KernelDevice): KernelChoice {
  if (kernelTraits(kernel)?.operands === 'workgroup memory')
    return { ...usual, kernel, share: 1, ...(stage !== undefined && { stage }) };
  return { ...usual, kernel, ...(stage !== undefined && { lanes: 32, share: shareOf(device) }) };
}

/**
 * The first round of candidates for a problem: the usual choice first, then all tiles of every kernel that can compute
 * it. `order` restricts them to one accumulation order; without `halfProducts` they leave out kernels that round their
 * operands to f16.
 */
export function candidates(
  problem: TuningProblem,
  usual: KernelChoice,
  device: KernelDevice,
  {
    order,
    halfProducts = false,
  }: { readonly order?: SumOrder | undefined; readonly halfProducts?: boolean | undefined } = {},
): KernelChoice[] {
  const others = problem.kernels
    .filter((kernel) => kernel !== usual.kernel && (halfProducts || !roundsOperands(kernel)))
    .map((kernel) => otherKernel(usual, kernel, device));
  return possible(
    [
      usual,
      ...[usual, ...others].flatMap((choice) => kernelTraits(choice.kernel)?.candidates(choice, problem, device) ?? []),
    ],
    problem,
    device,
    order,
  );
}

/** The usual choice and those that tables hold for a problem, in place of {@link candidates}. */
export const candidatesAmong = (
  tables: readonly KernelChoices[],
  problem: TuningProblem,
  usual: KernelChoice,
  device: KernelDevice,
  order: SumOrder | undefined,
): KernelChoice[] => possible([usual, ...tables.flatMap((table) => table.find(problem) ?? [])], problem, device, order);

/** The second round: other ways to arrange the lanes and to split the contraction, around the best of the first. */
export function refinements(
  problem: TuningProblem,
  best: KernelChoice,
  known: readonly KernelChoice[],
  device: KernelDevice,
): KernelChoice[] {
  const fresh = arrangements(best, device).filter((choice) => !known.some((other) => sameChoice(choice, other)));
  return possible(fresh, problem, device, orderOf(best.kernel));
}
