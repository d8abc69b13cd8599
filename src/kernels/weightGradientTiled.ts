import { stagedChoice } from './convTiled.js';
import { stagedTiles, unfitTile } from './registerTiles.js';
import { inFours, stageConstants, stagedName, stagedTile, stageRegions, suitsStages } from './staging.js';
import type { LoadMode } from './staging.js';
import { bindingBase } from './types.js';
import type { WeightProblem } from './weightProblem.js';
import { mostSplits, weightStrategy } from './weightStrategy.js';

/** How gemm/weightGradientTiled can read the gradient and the input four numbers at a time. */
function loadModes(
  { g, x, rows, columns, lines, linesPerImage, pixels, source, aStrides, bStrides, aStart }: WeightProblem,
  padded: boolean,
  linesPerSplit: number,
): [LoadMode, LoadMode] {
  // Pixels of an image in one piece, of which every range begins at a multiple of four.
  const even = inFours(linesPerImage * pixels) && (linesPerSplit >= lines || inFours(linesPerSplit * pixels));
  const [aBase, bBase] = [bindingBase(g) + aStart, bindingBase(x)];
  const left = (): LoadMode => {
    if (!inFours(aBase, aStrides.batch)) return 0;
    if (aStrides.pixel === 1 && even && (linesPerImage === 1 || aStrides.line === pixels) && inFours(aStrides.row))
      return 2;
    return aStrides.row === 1 && inFours(rows, aStrides.line, aStrides.pixel) ? 1 : 0;
  };
  const right = (): LoadMode => {
    if (padded || !inFours(bBase, bStrides.batch)) return 0;
    if (bStrides.w === 1 && even && (linesPerImage === 1 || bStrides.h === source[1]) && inFours(bStrides.channel))
      return 2;
    return bStrides.channel === 1 && inFours(columns, bStrides.h, bStrides.w) ? 1 : 0;
  };
  return [left(), right()];
}

/** Tiles of a workgroup, staged through its memory. */
export const weightGradientTiled = weightStrategy({
  name: 'gemm/weightGradientTiled',
  operands: 'workgroup memory',
  unrolls: true,
  suits: () => true,
  usualTile(problem, width, device) {
    const { rows, groups, lines, pixels } = problem;
    if (!suitsStages(rows, lines * pixels, device)) return undefined;
    return stagedTile(rows, width, groups * mostSplits(problem), device);
  },
  unfit: (choice, problem, device) => unfitTile(choice, problem, device, { staged: true }),
  candidates: (start, _problem, device) => stagedTiles(start, device),
  form(choice, slice, { padded, linesPerSplit }, device) {
    const tile = stagedChoice(choice);
    const [left, right] = tile.stage.vectors ? loadModes(slice, padded, linesPerSplit) : ([0, 0] as const);
    const along = slice.aStrides.pixel < slice.aStrides.row;
    return {
      name: stagedName(tile, left, right),
      constants: { PADDED: padded, ...stageConstants(tile, left, right, along, device) },
      regions: stageRegions(left, right),
    };
  },
});
