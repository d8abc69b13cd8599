import type { ConvProblem } from '../convProblem.js';
import type { KernelDevice } from '../device.js';
import type { KernelChoice, Tile } from '../problem.js';
import { chooseTile, mostShiftedRows } from '../tiles.js';
import type { TileProblem } from '../tiles.js';
import { pricedTile } from './pricedTiles.js';
import { processorOf } from './processor.js';
import type { PricedTile } from './processor.js';

/** Whether a product on the CPU has one tap and columns that are no neighbors in memory, as those of linear layers. */
export const gathers = (
  { taps, step, phases, bStrides }: ConvProblem,
  { software, plainCompiler }: KernelDevice,
): boolean =>
  software &&
  plainCompiler !== true &&
  bStrides.inner === 1 &&
  [...taps, ...step, ...phases].every((count) => count === 1);

/**
 * The register tile on the CPU for a product none of whose operands has neighbors along the lanes: many rows, so that
 * a number that is loaded is used often, as long as they exist. Masks are written whole words at a time.
 */
export function gatherTile(problem: TileProblem, writesMask: boolean, device: KernelDevice): Tile {
  const fits = ({ rows }: PricedTile): boolean => !writesMask || rows % mostShiftedRows === 0;
  const tile = pricedTile(problem, processorOf(device).scalarLoads, device, fits);
  return tile === undefined || tile.rows <= mostShiftedRows ? chooseTile(problem, device) : tile;
}

/** Most rows of a tile whose sums lie in memory. */
const mostRows = 48;

/** Whether a tile can have so many rows, more than are kept in registers. */
export const tallRows = (rows: number, device: KernelDevice): boolean =>
  device.software && rows % 8 === 0 && rows <= mostRows;

/** Candidates with so many rows. */
export const tallTiles = (start: KernelChoice, device: KernelDevice): KernelChoice[] =>
  device.software ? [32, 40, 48].flatMap((rows) => [4, 8].map((columns) => ({ ...start, rows, columns }))) : [];
