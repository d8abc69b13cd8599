import type { ConvAttrs } from '../graph/types.js';
import type { KernelDevice } from './device.js';
import type { Tile, Unrolling } from './problem.js';
import { narrowFits } from './software/narrowTiles.js';
import { processorOf } from './software/processor.js';
import type { UniformParameter } from './types.js';

export { unrollings } from './problem.js';
export type { Tile, Unrolling };

/** The results of a product, as far as its tile depends on them. */
export interface TileProblem {
  readonly rows: number;
  readonly columns: number;
  /** Most rows a tile may have (16 where a packed mask is written or read per column). */
  readonly maxRows: number;
}

/** Lanes that share loads: 8 where every subgroup has a multiple of 8 lanes, else 4, else none. */
export function shareOf(device: KernelDevice): number {
  if (device.subgroupSize >= 8) return 8;
  return device.subgroupSize >= 4 ? 4 : 1;
}

/**
 * The register tile for a product of `rows` x `columns`. Few shapes, because each is a pipeline: 8 rows when there
 * are no more, else 16; 8 columns an invocation, or 4 when that would leave lanes (on a GPU, workgroups) without work.
 */
export function chooseTile(problem: TileProblem, device: KernelDevice): Tile {
  const rows = problem.rows <= 8 ? 8 : Math.min(16, problem.maxRows);
  const lanes = device.software ? 8 : 32;
  // its compiler takes time that grows with the square of what is unrolled
  if (device.plainCompiler === true) return { rows, columns: 2, lanes, share: shareOf(device) };
  const workgroups = Math.ceil(problem.columns / (lanes * 8)) * Math.ceil(problem.rows / rows);
  const wide = device.software ? !narrowFits(problem.columns, lanes, device) : workgroups >= 64;
  return { rows, columns: wide ? 8 : 4, lanes, share: shareOf(device) };
}

/** Most rows whose sums a kernel keeps in registers or shifts there, and channels in a word of a packed mask. */
export const mostShiftedRows = 16;

/** The shader regions that say how lanes share loads. */
export function laneRegions(tile: Tile, device: KernelDevice): Record<string, string> {
  if (tile.share === 1) {
    return {
      enable: '',
      lane: '',
      laneless: '  let lane = 0u;\n',
      broadcast: 'fn broadcast(value: f32, lane: u32, source: u32) -> f32 { return value; }\n',
    };
  }
  // A constant source lane compiles to a register broadcast; it is known when the subgroup is no larger than the share.
  if (device.subgroupSize === tile.share) return {};
  return {
    broadcast:
      'fn broadcast(value: f32, lane: u32, source: u32) -> f32 { ' +
      `return subgroupShuffle(value, lane - lane % SG + source); }\n`,
  };
}

/**
 * Loops to be unrolled: all where the driver unrolls none; on software adapters what suits the processor, since
 * loops over lanes are a shuffle each otherwise; none on GPUs.
 */
export function usualUnrolling(device: KernelDevice): Unrolling {
  if (device.plainCompiler === true) return 'all';
  return device.software ? processorOf(device).unroll : 'none';
}

/** How the loops of a tile are unrolled, for the linker. */
export function unrolled(tile: Pick<Tile, 'unroll'>, device: KernelDevice): 'all' | 'lanes' | undefined {
  const loops = tile.unroll ?? usualUnrolling(device);
  return loops === 'none' ? undefined : loops;
}

/** The part of a variant's name that says how loops are unrolled; empty where it is as usual. */
export const unrollName = ({ unroll }: Pick<Tile, 'unroll'>): string =>
  unroll === undefined ? '' : ` unroll ${unroll}`;

/** Uniform words by name, in order; those listed in `signed` are i32. */
export const signedWords = (values: Readonly<Record<string, number>>, signed: readonly string[]): UniformParameter[] =>
  Object.entries(values).map(([name, value]) => ({ name, type: signed.includes(name) ? 'i32' : 'u32', value }));

/** A tile for people to read: rows x columns x lanes. */
export const tileName = (tile: Tile): string => `${tile.rows}x${tile.columns}x${tile.lanes}${unrollName(tile)}`;

/**
 * The shader constants of a tile. A software driver compiles stores slowly (each is a loop over lanes), so there
 * results are stored by a loop; a GPU gets straight-line code.
 */
export const tileConstants = (tile: Tile, device: KernelDevice): Record<string, number | boolean> => ({
  TM: tile.rows,
  TN: tile.columns,
  WX: tile.lanes,
  SG: tile.share,
  UNROLLED: !device.software,
});

/** A 1 x 1 convolution without padding or stride is one product over all pixels of an image. */
export const isPointwise = (attrs: ConvAttrs, kernel: readonly [number, number]): boolean =>
  kernel[0] === 1 && kernel[1] === 1 && attrs.stride.every((s) => s === 1) && attrs.padding.every((pad) => pad === 0);
