import { inFours } from './staging.js';
import { laneRegions, pricedTile, tileName } from './tiles.js';
import type { Tile } from './tiles.js';
import { bindingBase } from './types.js';
import type { KernelDevice } from './types.js';
import type { WeightProblem } from './weightProblem.js';

/**
 * Whether neighboring columns are neighbors in memory that load in fours: on the CPU, where a load of four numbers
 * costs half of four loads.
 */
export const readsColumns = (
  { x, columns, bStrides }: WeightProblem,
  { software, plainCompiler }: KernelDevice,
): boolean =>
  software &&
  plainCompiler !== true &&
  bStrides.channel === 1 &&
  inFours(columns, bindingBase(x), bStrides.batch, bStrides.h, bStrides.w);

/**
 * Whether gemm/weightGradientLinear can run a problem: of a linear layer on the CPU, whose neighboring columns load
 * and store in fours.
 */
export function suitsWeightLinear(problem: WeightProblem, device: KernelDevice): boolean {
  const { rows, columns, lines, taps, attrs, aStrides, storesFours } = problem;
  const linear =
    [lines, ...taps, ...attrs.stride, aStrides.row].every((count) => count === 1) &&
    attrs.padding.every((size) => size === 0);
  return linear && storesFours === true && rows >= 8 && columns >= 4 && readsColumns(problem, device);
}

/** Tiles, the usual one and others; see {@link pricedTile}. */
const tiles = [{ rows: 32, columns: 8, cost: 1 }] as const;
const otherTiles = [
  { rows: 16, columns: 8, cost: 1.03 },
  { rows: 40, columns: 4, cost: 1 },
] as const;

/** The same with AVX-512. */
const wideTiles = [{ rows: 40, columns: 8, cost: 1 }] as const;
const otherWideTiles = [
  { rows: 16, columns: 8, cost: 1.22 },
  { rows: 32, columns: 8, cost: 1.02 },
] as const;

/** The usual tile, if any has no more rows and columns than the layer. */
export function weightLinearTile({ rows, columns }: WeightProblem, device: KernelDevice): Tile | undefined {
  if (columns < 8) return undefined;
  const [few, others] = device.avx512 === true ? [wideTiles, otherWideTiles] : [tiles, otherTiles];
  return pricedTile({ rows, columns }, few, others, 0.85, device);
}

/** The name, constants and regions of a tile. */
export function weightLinearForm(tile: Tile, bias: boolean, device: KernelDevice) {
  return {
    name: tileName(tile),
    constants: { TM: tile.rows, TN: tile.columns, WX: tile.lanes, SG: tile.share },
    regions: { ...laneRegions(tile, device), ...(bias ? {} : { bias: '' }) },
  };
}
