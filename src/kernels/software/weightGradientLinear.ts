import type { KernelDevice } from '../device.js';
import type { Tile } from '../problem.js';
import { unfitTile } from '../registerTiles.js';
import { laneRegions, tileName } from '../tiles.js';
import type { WeightProblem } from '../weightProblem.js';
import { weightStrategy } from '../weightStrategy.js';
import { pricedTile } from './pricedTiles.js';
import { processorOf } from './processor.js';
import { readsColumns } from './readsColumns.js';

/**
 * Whether software/weightGradientLinear can run a problem: of a linear layer on the CPU, whose neighboring columns load
 * and store as vec4.
 */
function suitsWeightLinear(problem: WeightProblem, device: KernelDevice): boolean {
  const { rows, columns, lines, taps, attrs, aStrides, storesFours } = problem;
  const linear =
    [lines, ...taps, ...attrs.stride, aStrides.row].every((count) => count === 1) &&
    attrs.padding.every((size) => size === 0);
  return linear && storesFours === true && rows >= 8 && columns >= 4 && readsColumns(problem, device);
}

/** The usual tile, if any has no more rows and columns than the layer. */
function weightLinearTile({ rows, columns }: WeightProblem, device: KernelDevice): Tile | undefined {
  return columns < 8 ? undefined : pricedTile({ rows, columns }, processorOf(device).linearWeights, device);
}

/** Whole tiles of a linear layer's weights, stored as vec4. */
export const weightGradientLinear = weightStrategy({
  name: 'software/weightGradientLinear',
  operands: 'registers',
  unrolls: false,
  writtenOut: true,
  ownStore: true,
  suits: (problem, _bias, device) => suitsWeightLinear(problem, device),
  usualTile: (problem, _width, device) => weightLinearTile(problem, device),
  owners: ({ columns }, tile) => Math.ceil(columns / tile.columns),
  unfit(choice, problem, device) {
    const { rows, columns } = choice;
    if (columns % 4 !== 0 || rows > problem.rows || columns > problem.width)
      return `${rows} rows and ${columns} columns are not whole tiles in fours`;
    return unfitTile(choice, problem, device, { tall: true });
  },
  // rows of any length in eights, so that few are computed twice
  candidates: (start) =>
    [8, 16, 24, 32, 40, 48].flatMap((rows) => [4, 8].map((columns) => ({ ...start, rows, columns }))),
  form: (tile, _slice, { bias }, device) => ({
    name: tileName(tile),
    constants: { TM: tile.rows, TN: tile.columns, WX: tile.lanes, SG: tile.share },
    regions: { ...laneRegions(tile, device), ...(bias ? {} : { bias: '' }) },
  }),
});
