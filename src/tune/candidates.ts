import { choosesUnrolling, isStaged, orderOf, roundsOperands, unfit } from '../kernels/choice.js';
import type { KernelChoice, KernelChoices, ProductKernel, SumOrder, TuningProblem } from '../kernels/choice.js';
import { isMatrixKernel, matrixTile } from '../kernels/matrices.js';
import { shareOf, unrollings, usualUnrolling } from '../kernels/tiles.js';
import { isWinogradKernel } from '../kernels/winogradKernels.js';
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

/**
 * Tiles of workgroups whose operands go through workgroup memory: results of an invocation, lanes, ranks and products
 * a stage.
 */
const stagedTiles = [
  [4, 4, 8, 8, 32],
  [4, 4, 16, 16, 16],
  [8, 4, 16, 8, 16],
  [8, 4, 16, 16, 16],
  [16, 4, 16, 2, 16],
  [16, 4, 16, 4, 16],
  [16, 4, 16, 8, 8],
  [16, 4, 16, 8, 16],
  [16, 4, 32, 8, 8],
  [16, 4, 32, 8, 16],
] as const;

/**
 * Not for adapters that compute on the CPU: workgroup memory is ordinary memory there, and barriers cost more than
 * they bring.
 */
const stages = (choice: KernelChoice, device: KernelDevice): KernelChoice[] =>
  device.software
    ? []
    : stagedTiles.map(([rows, columns, lanes, ranks, depth]) => ({
        ...choice,
        rows,
        columns,
        lanes,
        share: 1,
        stage: { ranks, depth, vectors: true },
      }));

/** Tiles on subgroup matrices: results of a subgroup, subgroups along columns and rows, products a stage. */
const matrixShapes = [
  [16, 32, 2, 2, 16],
  [32, 32, 1, 2, 16],
  [32, 32, 2, 2, 16],
  [32, 32, 2, 2, 32],
  [32, 32, 2, 4, 32],
  [64, 32, 2, 2, 32],
  [64, 32, 2, 4, 32],
] as const;

const matrixTiles = (choice: KernelChoice, { matrices }: KernelDevice): KernelChoice[] =>
  matrices === undefined
    ? []
    : matrixShapes.map(([rows, columns, across, ranks, depth]) => ({
        kernel: choice.kernel,
        ...matrixTile(matrices.subgroupSize, [rows, columns], [across, ranks], depth),
      }));

/** Columns of the register tile. */
function widths(kernel: ProductKernel, taps: number): readonly number[] {
  if (isWinogradKernel(kernel)) return [4, 8];
  if (kernel === 'gemm/convRows') return [4, 6, 8];
  if (kernel === 'gemm/convPacked') return [4, 8];
  // whole rows of taps, of 1 to 4 channels
  if (kernel === 'gemm/weightGradientRows')
    return [taps, 2 * taps, 4 * taps, 8].filter((count, index, all) => all.indexOf(count) === index);
  return [2, 4, 8];
}

/** Sizes of the register tile: rows by columns. Where loops are written out, wider ones take long to compile. */
function tiles(choice: KernelChoice, problem: TuningProblem, device: KernelDevice): KernelChoice[] {
  if (isStaged(choice.kernel)) return stages(choice, device);
  if (isMatrixKernel(choice.kernel)) return matrixTiles(choice, device);
  const wholeImage = choice.kernel === 'gemm/convImages' || choice.kernel === 'gemm/weightGradientImages';
  const wide = wholeImage ? [problem.image ?? choice.columns] : widths(choice.kernel, problem.taps);
  const columns = device.plainCompiler === true ? [2, 4] : wide;
  // rows of any length in eights, so that few are computed twice
  if (choice.kernel === 'gemm/weightGradientLinear')
    return [8, 16, 24, 32, 40, 48].flatMap((rows) => [4, 8].map((count) => ({ ...choice, rows, columns: count })));
  const gathering = choice.kernel === 'gemm/conv' && device.software && problem.taps === 1;
  const tall =
    choice.kernel === 'gemm/weightGradientRows' && problem.rows > 16
      ? columns.filter((count) => count <= Math.max(4, problem.taps))
      : [];
  return [
    ...[8, 16].flatMap((rows) => columns.map((count) => ({ ...choice, rows, columns: count }))),
    ...tall.map((count) => ({ ...choice, rows: 32, columns: count })),
    ...(gathering ? [32, 40, 48] : []).flatMap((rows) => [4, 8].map((count) => ({ ...choice, rows, columns: count }))),
  ];
}

/** Most results of an invocation whose loops are all written out on the CPU, where more take long to compile. */
const mostWrittenOut = 64;

/** Other ways to write out the loops of a tile. A driver that unrolls nothing needs them all written out. */
function unrolledOtherwise(choice: KernelChoice, device: KernelDevice): KernelChoice[] {
  if (!choosesUnrolling(choice.kernel) || device.plainCompiler === true) return [];
  return unrollings
    .filter((loops) => loops !== usualUnrolling(device))
    .filter((loops) => loops !== 'lanes' || choice.share > 1)
    .filter((loops) => loops !== 'all' || !device.software || choice.rows * choice.columns <= mostWrittenOut)
    .map((unroll) => ({ ...choice, unroll }));
}

/** How lanes work together, how loops are written out, and how a contraction is split, with the tile as it is. */
function arrangements(choice: KernelChoice, device: KernelDevice): KernelChoice[] {
  const { lanes, share, splits, stage } = choice;
  const parts =
    splits === undefined
      ? []
      : [1, Math.ceil(splits / 2), 2 * splits, 4 * splits].map((count) => ({ ...choice, splits: count }));
  if (stage !== undefined) {
    const depths = [stage.depth / 2, 2 * stage.depth].map((depth) => ({ ...choice, stage: { ...stage, depth } }));
    if (isMatrixKernel(choice.kernel)) return depths;
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
  if (isStaged(kernel)) return { ...usual, kernel, share: 1, ...(stage !== undefined && { stage }) };
  return { ...usual, kernel, ...(stage !== undefined && { lanes: 32, share: shareOf(device) }) };
}

/**
 * The first round of candidates for a problem: the usual choice first, then all tiles of every kernel that can
 * compute it. `order` restricts them to one order of sums; without `halfProducts` they leave out kernels that round
 * their operands to f16.
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
    [usual, ...[usual, ...others].flatMap((choice) => tiles(choice, problem, device))],
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
