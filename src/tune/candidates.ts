import { orderOf, unfit } from '../kernels/choice.js';
import type { KernelChoice, SumOrder, TuningProblem } from '../kernels/choice.js';
import type { KernelDevice } from '../kernels/types.js';
import { sameChoice } from './table.js';

/** Each choice once, and only those that can run. */
function possible(choices: readonly KernelChoice[], problem: TuningProblem, device: KernelDevice, order: SumOrder | undefined): KernelChoice[] {
  return choices.filter(
    (choice, index) =>
      unfit(choice, problem, device) === undefined &&
      (order === undefined || orderOf(choice.kernel) === order) &&
      choices.findIndex((other) => sameChoice(choice, other)) === index,
  );
}

/** Sizes of the register tile: rows by columns. Where loops are written out, wider ones take long to compile. */
function tiles(choice: KernelChoice, device: KernelDevice): KernelChoice[] {
  const wide = choice.kernel === 'gemm/convRows' ? [4, 6, 8] : [2, 4, 8];
  const columns = device.plainCompiler === true ? [2, 4] : wide;
  return [8, 16].flatMap((rows) => columns.map((count) => ({ ...choice, rows, columns: count })));
}

/** How lanes work together, and how a contraction is split, with the tile as it is. */
function arrangements(choice: KernelChoice, device: KernelDevice): KernelChoice[] {
  const { lanes, share, splits } = choice;
  return [
    ...(device.software ? [2 * lanes] : [lanes / 2, 2 * lanes, 4 * lanes]).map((count) => ({ ...choice, lanes: count })),
    ...[1, 4, 8, 16].filter((count) => count !== share).map((count) => ({ ...choice, share: count })),
    ...(splits === undefined ? [] : [1, Math.ceil(splits / 2), 2 * splits, 4 * splits].map((count) => ({ ...choice, splits: count }))),
  ];
}

/**
 * The first round of candidates for a problem: the usual choice first, then all tiles of every kernel that can compute it. `order`
 * restricts them to one order of sums.
 */
export function candidates(problem: TuningProblem, usual: KernelChoice, device: KernelDevice, order?: SumOrder): KernelChoice[] {
  const others = problem.kernels.filter((kernel) => kernel !== usual.kernel).map((kernel) => ({ ...usual, kernel }));
  return possible([usual, ...[usual, ...others].flatMap((choice) => tiles(choice, device))], problem, device, order);
}

/** The second round: other ways to arrange the lanes and to split the contraction, around the best of the first. */
export function refinements(problem: TuningProblem, best: KernelChoice, known: readonly KernelChoice[], device: KernelDevice): KernelChoice[] {
  const fresh = arrangements(best, device).filter((choice) => !known.some((other) => sameChoice(choice, other)));
  return possible(fresh, problem, device, orderOf(best.kernel));
}
