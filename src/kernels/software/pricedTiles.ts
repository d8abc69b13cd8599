import type { KernelDevice } from '../device.js';
import type { Tile } from '../problem.js';
import { shareOf } from '../tiles.js';
import type { TileProblem } from '../tiles.js';

type ProductSize = Pick<TileProblem, 'rows' | 'columns'>;

/** Rows and columns of a tile of 8 lanes, and what a result costs in one that is full, measured on llvmpipe. */
export interface PricedTile {
  readonly rows: number;
  readonly columns: number;
  readonly cost: number;
}

const costOf = ({ rows, columns }: ProductSize, tile: PricedTile): number =>
  tile.cost * (Math.ceil(rows / tile.rows) * tile.rows) * (Math.ceil(columns / (8 * tile.columns)) * 8 * tile.columns);

/**
 * The cheapest tile for the results that there are and those that it computes beyond them, none where all have more
 * rows.
 */
function cheapest<T extends PricedTile>(problem: ProductSize, tiles: readonly T[]): T | undefined {
  return tiles
    .filter(({ rows }) => rows <= problem.rows)
    .reduce<T | undefined>(
      (best, tile) => (best && costOf(problem, best) <= costOf(problem, tile) ? best : tile),
      undefined,
    );
}

/**
 * The cheapest of `few`, unless one of `more` costs less than `share` of it or none of them fits: each tile is a
 * pipeline, so rare ones must be worth it. On the CPU, where neither workgroups nor registers decide but how often a
 * loaded number is used.
 */
export function pricedTile(
  problem: ProductSize,
  few: readonly PricedTile[],
  more: readonly PricedTile[],
  share: number,
  device: KernelDevice,
): Tile | undefined {
  const usual = cheapest(problem, few);
  const rare = cheapest(problem, more);
  const best = usual === undefined || (rare && costOf(problem, rare) < share * costOf(problem, usual)) ? rare : usual;
  return best && { rows: best.rows, columns: best.columns, lanes: 8, share: shareOf(device) };
}
