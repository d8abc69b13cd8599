import { check } from '../errors.js';
import { columnsPerPhase, convBytes, convParameters, isPadded } from './convProblem.js';
import type { ConvProblem } from './convProblem.js';
import { link } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import type { Epilogue } from './pointwise.js';
import { stagedTiles, unfitTile } from './registerTiles.js';
import { inFours, stageConstants, stagedName, stagedTile, stageRegions, suitsStages } from './staging.js';
import type { LoadMode, StagedTile } from './staging.js';
import type { ProductStrategy } from './strategy.js';
import { unrolled } from './tiles.js';
import { bindingBase } from './types.js';
import type { KernelChoice } from './problem.js';
import type { Dispatch, LoweringContext } from './types.js';

/** How the weights can be read four numbers at a time. */
export function leftMode(problem: ConvProblem): LoadMode {
  const { row, inner, tapH, tapW, group } = problem.aStrides;
  if (!inFours(bindingBase(problem.a), tapH, tapW, group)) return 0;
  if (inner === 1 && inFours(problem.inner, row)) return 2;
  return row === 1 && inFours(problem.rows, inner) ? 1 : 0;
}

/** How the pixels can be read four numbers at a time. */
export function rightMode(problem: ConvProblem): LoadMode {
  const { batch, inner, h, w, group } = problem.bStrides;
  if (!inFours(bindingBase(problem.b) + (problem.bStart ?? 0), batch, group)) return 0;
  if (inner === 1 && inFours(problem.inner, h, w) && !isPadded(problem)) return 2;
  // Neighboring columns are neighbors in memory where the columns of an image are one line that no tap and no stride
  // disturbs.
  const plain =
    [...problem.taps, ...problem.step, ...problem.phases, problem.columns[0]].every((count) => count === 1) &&
    !isPadded(problem);
  return plain && w === 1 && inFours(inner, problem.columns[1]) ? 1 : 0;
}

/**
 * The dispatch of a product through workgroup memory whose results run through `tail`. With `innerPart`, products a
 * tap, the contraction is split into parts of that length.
 */
export function stagedProduct(
  problem: ConvProblem,
  tile: StagedTile,
  tail: Epilogue,
  context: LoweringContext,
  innerPart?: number,
): Dispatch {
  const [left, right] = tile.stage.vectors ? [leftMode(problem), rightMode(problem)] : ([0, 0] as const);
  const along = problem.aStrides.inner < problem.aStrides.row;
  const { lanes, ranks, rows, columns } = { ...tile, ...tile.stage };
  return {
    kernel: 'gemm/convTiled',
    variant: [stagedName(tile, left, right), tail.variant].filter((part) => part !== '').join(' '),
    code: link('gemm/convTiled', {
      unroll: unrolled(tile, context.device),
      constants: {
        ...stageConstants(tile, left, right, along, context.device),
        PADDED: isPadded(problem),
        ACCUMULATE: problem.accumulate ?? false,
        SPLIT: innerPart !== undefined,
      },
      regions: { ...tail.regions, ...stageRegions(left, right) },
    }),
    operands: [
      { name: 'a', tensor: problem.a, access: 'read' },
      { name: 'b', tensor: problem.b, access: 'read' },
      { name: 'c', tensor: tail.output, access: problem.accumulate === true ? 'readWrite' : 'write' },
      ...tail.operands,
    ],
    parameters: [...convParameters(problem, tail.output, tile, innerPart), ...tail.parameters],
    workgroups: [
      Math.ceil(columnsPerPhase(problem) / (lanes * columns)),
      Math.ceil(problem.rows / (ranks * rows)),
      problem.groups *
        problem.phases[0] *
        problem.phases[1] *
        (innerPart === undefined ? 1 : Math.ceil(problem.inner / innerPart)),
    ],
    flops: problem.flops + tail.flops,
    bytes: convBytes(problem, tail.output) + tail.bytes,
  };
}

/** A choice as the staged tile that it is. */
export function stagedChoice(choice: KernelChoice): StagedTile {
  const { stage } = choice;
  check(stage !== undefined, 'internal', `${choice.kernel} has no stages`, choice.kernel);
  return { ...choice, stage };
}

/** Tiles of a workgroup, staged through its memory. */
export const convTiled: ProductStrategy<ConvProblem> = {
  name: 'gemm/convTiled',
  order: 'taps',
  operands: 'workgroup memory',
  unrolls: true,
  suits: () => true,
  usual(problem, _tuning, device) {
    const { rows, inner, groups, phases } = problem;
    if (!suitsStages(rows, inner, device)) return [];
    const tile = stagedTile(rows, columnsPerPhase(problem), groups * phases[0] * phases[1], device);
    return tile === undefined ? [] : [{ kernel: 'gemm/convTiled', ...tile }];
  },
  unfit: (choice, problem, device) => unfitTile(choice, problem, device, { staged: true }),
  candidates: (start, _problem, device) => stagedTiles(start, device),
  lower: (problem, choice, group, context) => [
    stagedProduct(problem, stagedChoice(choice), epilogue(group, 4, problem.bias), context),
  ],
};
