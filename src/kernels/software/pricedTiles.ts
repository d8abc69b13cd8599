import type { KernelDevice } from '../device.js';
import type { Tile } from '../problem.js';
import { shareOf } from '../tiles.js';
import type { TileProblem } from '../tiles.js';
import type { PricedTile, PricedTiles } from './processor.js';

type ProductSize = Pick<TileProblem, 'rows' | 'columns'>;

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
 * The cheapest usual tile, unless a rare one that `fits` is worth its pipeline or no usual one is small enough. For
 * software adapters, where neither workgroups nor registers decide but how often a loaded number is used.
 */
export function pricedTile(
  problem: ProductSize,
  tiles: PricedTiles,
  device: KernelDevice,
  fits: (tile: PricedTile) => boolean = () => true,
): Tile | undefined {
  const usual = cheapest(problem, tiles.usual);
  const rare = problem.rows < tiles.rareFromRows ? undefined : cheapest(problem, tiles.rare.filter(fits));
  const worth = usual !== undefined && rare && costOf(problem, rare) < tiles.rareBelow * costOf(problem, usual);
  const best = usual === undefined || worth ? rare : usual;
  return best && { rows: best.rows, columns: best.columns, lanes: 8, share: shareOf(device) };
}
