import { shaderFragment } from './fragment.js';
import { unrollName } from './tiles.js';
import type { KernelDevice } from './device.js';
import type { Stage, StagedTile, Tile } from './problem.js';

export type { Stage, StagedTile };

/**
 * Whether a product of `rows` rows and `inner` products a tap is worth staging: on a GPU, where a stage is full of
 * products and a tile of rows. Depends on the layer alone, because it decides its accumulation order.
 */
export const suitsStages = (rows: number, inner: number, device: KernelDevice): boolean =>
  !device.software && rows >= 32 && inner >= 16;

/** Tiles from the largest to the smallest; 16 rows an invocation, so that it owns whole words of a packed mask. */
const tiles: readonly StagedTile[] = [
  { rows: 16, columns: 4, lanes: 32, share: 1, stage: { ranks: 8, depth: 16, vectors: true } }, // 128 x 128
  { rows: 16, columns: 4, lanes: 32, share: 1, stage: { ranks: 8, depth: 8, vectors: true } }, // 128 x 128
  { rows: 16, columns: 4, lanes: 16, share: 1, stage: { ranks: 8, depth: 16, vectors: true } }, // 128 x 64
  { rows: 16, columns: 4, lanes: 16, share: 1, stage: { ranks: 4, depth: 16, vectors: true } }, // 64 x 64
  { rows: 16, columns: 4, lanes: 16, share: 1, stage: { ranks: 2, depth: 16, vectors: true } }, // 32 x 64
];

/** The tile of a product of few outputs whose contraction is split. */
export const splitTile: StagedTile = tiles[4]!;

/** Workgroups that a tile must give, so that a GPU of many multiprocessors has work for each. */
const fewestWorkgroups = 128;

/**
 * The usual staged tile of a product: the largest that gives enough workgroups and that at least three quarters of
 * its rows and columns are used of. `parts` are equal products side by side: channel groups, phases, splits.
 * Undefined where there are too few workgroups for any, so that kernels of smaller tiles do better.
 */
export function stagedTile(
  rows: number,
  columns: number,
  parts: number,
  device: Pick<KernelDevice, 'maxWorkgroupStorage'>,
): StagedTile | undefined {
  return tiles.find((tile) => {
    if (stageBytes(tile, tile.stage) > device.maxWorkgroupStorage) return false;
    const [high, wide] = [
      Math.ceil(rows / (tile.rows * tile.stage.ranks)),
      Math.ceil(columns / (tile.columns * tile.lanes)),
    ];
    const used = (rows * columns) / (high * tile.rows * tile.stage.ranks * wide * tile.columns * tile.lanes);
    return high * wide * parts >= fewestWorkgroups && used >= 0.75;
  });
}

/** How an operand is read: by scalar loads, four neighbors across (rows or columns), or four along the contraction. */
export type LoadMode = 0 | 1 | 2;

/** Rows that an epilogue takes at once where they come out of workgroup memory: a whole word of a packed mask. */
export const bandRows = 16;

/** Invocations that every device has. */
const mostInvocations = 256;

const isPower = (value: unknown, least: number, most: number): boolean =>
  typeof value === 'number' && value >= least && value <= most && Number.isInteger(Math.log2(value));

/** Bytes of workgroup memory: both tiles, and for weight gradients the table of columns. */
function stageBytes({ rows, columns, lanes }: Tile, { ranks, depth }: Stage): number {
  const vectors = depth * ((rows * ranks) / 4 + 1 + (columns * lanes) / 4 + 1) + columns * lanes;
  return 16 * vectors;
}

/** Why a staged tile cannot run on a device, or undefined where it can. */
export function unfitStage(tile: Tile, stage: Stage, device: KernelDevice): string | undefined {
  if (typeof stage !== 'object' || (stage as unknown) === null || typeof stage.vectors !== 'boolean')
    return 'no stages';
  const { ranks, depth } = stage;
  if (tile.share !== 1) return 'lanes of staged products share nothing';
  if (tile.columns % 4 !== 0) return `${tile.columns} columns do not load four by four`;
  if (!isPower(ranks, 1, 256) || tile.lanes * ranks > Math.min(mostInvocations, device.maxInvocations))
    return `${tile.lanes} x ${ranks} invocations`;
  if (!isPower(depth, 4, Math.min(64, tile.lanes * ranks))) return `${depth} products a stage`;
  const bytes = stageBytes(tile, stage);
  return bytes > device.maxWorkgroupStorage ? `${bytes} bytes of workgroup memory` : undefined;
}

/** The shader constants of a staged tile with its loaders. */
export const stageConstants = (
  tile: StagedTile,
  left: LoadMode,
  right: LoadMode,
  along: boolean,
  device: KernelDevice,
): Record<string, number | boolean> => ({
  TX: tile.lanes,
  TY: tile.stage.ranks,
  RM: tile.rows,
  RN: tile.columns,
  BK: tile.stage.depth,
  ADJACENT: right === 1,
  LEFT: left,
  RIGHT: right,
  ALONG: along,
  UNROLLED: !device.software,
});

/** The shader region that declares the left operand. */
export const leftRegion = (fours: boolean): Record<string, string> =>
  fours ? { left: shaderFragment('gemm/leftVectors') } : {};

/** The shader region that declares the right operand. */
export const rightRegion = (fours: boolean): Record<string, string> =>
  fours ? { right: shaderFragment('gemm/rightVectors') } : {};

/** The shader regions that declare the operands. */
export const stageRegions = (left: LoadMode, right: LoadMode): Record<string, string> => ({
  ...leftRegion(left !== 0),
  ...rightRegion(right !== 0),
});

/**
 * A staged tile for people to read: rows x columns of an invocation, lanes x ranks, products a stage, how operands
 * are read.
 */
export const stagedName = (tile: StagedTile, left: LoadMode, right: LoadMode): string => {
  const { rows, columns, lanes, stage } = tile;
  return (
    `${rows}x${columns}x${lanes}x${stage.ranks} stage ` +
    `${stage.depth}${left + right === 0 ? '' : ` vec4 ${left}${right}`}${unrollName(tile)}`
  );
};

/** Whether all numbers are multiples of four, as places that are read four at a time must be. */
export const inFours = (...numbers: readonly number[]): boolean => numbers.every((number) => number % 4 === 0);
