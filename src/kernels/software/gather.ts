import type { ConvProblem } from '../convProblem.js';
import type { KernelDevice } from '../device.js';
import type { KernelChoice, Tile } from '../problem.js';
import { chooseTile, mostShiftedRows } from '../tiles.js';
import type { TileProblem } from '../tiles.js';
import { pricedTile } from './pricedTiles.js';
import type { PricedTile } from './pricedTiles.js';

/** Whether a product on the CPU has one tap and columns that are no neighbors in memory, as those of linear layers. */
export const gathers = (
  { taps, step, phases, bStrides }: ConvProblem,
  { software, plainCompiler }: KernelDevice,
): boolean =>
  software &&
  plainCompiler !== true &&
  bStrides.inner === 1 &&
  [...taps, ...step, ...phases].every((count) => count === 1);

/** Tiles of products that load number by number, and those that few layers need. */
const gatherTiles: readonly PricedTile[] = [
  { rows: 32, columns: 4, cost: 1 },
  { rows: 16, columns: 8, cost: 1.17 },
  { rows: 16, columns: 4, cost: 1.2 },
];
const rareGatherTiles: readonly PricedTile[] = [
  { rows: 40, columns: 4, cost: 1 },
  { rows: 48, columns: 4, cost: 1 },
];

/** The same with AVX-512. */
const wideGatherTiles: readonly PricedTile[] = [
  { rows: 48, columns: 8, cost: 1 },
  { rows: 32, columns: 4, cost: 1.27 },
  { rows: 16, columns: 8, cost: 1.47 },
  { rows: 16, columns: 4, cost: 1.75 },
];
/** Fewest rows for which they compile another pipeline: smaller layers save less than that takes. */
const fewestRareRows = 128;
const rareWideGatherTiles: readonly PricedTile[] = [
  { rows: 40, columns: 8, cost: 1.02 },
  { rows: 48, columns: 4, cost: 1.19 },
];

/**
 * The register tile on the CPU for a product none of whose operands has neighbors along the lanes: many rows, so that
 * a number that is loaded is used often, as long as they exist. Masks are written whole words at a time.
 */
export function gatherTile(problem: TileProblem, writesMask: boolean, device: KernelDevice): Tile {
  const [few, more] =
    device.avx512 === true
      ? [wideGatherTiles, problem.rows < fewestRareRows ? [] : rareWideGatherTiles]
      : [gatherTiles, rareGatherTiles];
  const rare = more.filter(({ rows }) => !writesMask || rows % mostShiftedRows === 0);
  const tile = pricedTile(problem, few, rare, 0.9, device);
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
