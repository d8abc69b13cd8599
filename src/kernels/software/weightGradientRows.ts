import { inFours, leftRegion, rightRegion } from '../staging.js';
import { laneRegions, shareOf, tileConstants, tileName } from '../tiles.js';
import type { Tile, TuningProblem } from '../problem.js';
import { bindingBase } from '../types.js';
import type { KernelDevice } from '../types.js';
import { registerTiles, unfitTile } from '../registerTiles.js';
import type { WeightProblem } from '../weightProblem.js';
import { softwareWorkgroups, weightStrategy } from '../weightStrategy.js';
import type { WeightForm } from '../weightStrategy.js';
import { processorOf } from './processor.js';
import type { Processor, WideTile } from './processor.js';

/**
 * Whether software/weightGradientRows can run a problem: lines of neighboring pixels whose inputs are neighbors too. On
 * the CPU only, where loads decide and not their order in memory; a GPU stages them through workgroup memory instead.
 */
const suitsWeightRows = ({ taps, attrs, pixels, aStrides, bStrides }: WeightProblem, device: KernelDevice): boolean =>
  device.software &&
  taps[1] <= 7 &&
  attrs.stride[1] <= 2 &&
  (attrs.dilation[1] === 1 || taps[1] === 1) &&
  pixels >= 4 &&
  aStrides.pixel === 1 &&
  bStrides.w === 1;

/**
 * The usual tile: 32, 16 or 8 rows by the row of taps of as many channels as make at most 4 columns, of one where it
 * is longer. Short lines of three taps have two channels and fewer rows: of strided ones more inputs fit the
 * registers, and of those that are one strip few are loaded.
 */
function weightRowsTile(problem: WeightProblem, device: KernelDevice): Tile {
  const { rows, taps, columns, pixels, attrs } = problem;
  const step = attrs.stride[1];
  const { mostWrittenOut, mostRowsOfShortTiles, wideTile } = processorOf(device).weightRows;
  const wide = wideTile === undefined ? undefined : wideRowsTile(problem, wideTile);
  if (wide !== undefined) return { ...wide, lanes: 8, share: shareOf(device) };
  const short = step === 1 ? pixels <= stripLength(pixels) && rows <= mostRowsOfShortTiles : pixels <= 8;
  if (short && taps[1] === 3 && columns > taps[0] * taps[1]) {
    return { rows: step === 1 || rows <= 8 ? 8 : 16, columns: 6, lanes: 8, share: shareOf(device) };
  }
  const channels = Math.max(1, Math.min(columns / (taps[0] * taps[1]), Math.floor(4 / taps[1])));
  const products = stripLength(pixels) * taps[1] * channels;
  const tall = [...(rows % 32 === 0 ? [32] : []), ...(rows > 8 ? [16] : [])].find(
    (count) => count * products <= mostWrittenOut,
  );
  return { rows: tall ?? 8, columns: taps[1] * channels, lanes: 8, share: shareOf(device) };
}

/**
 * A tile of several channels. Not where it leaves so few workgroups that the product would be split, which other tiles
 * are not, since splits change the bits of results.
 */
function wideRowsTile(
  { rows, taps, columns, pixels, attrs }: WeightProblem,
  tile: WideTile,
): Pick<Tile, 'rows' | 'columns'> | undefined {
  if (taps[1] !== tile.taps || rows <= 8) return undefined;
  const channels = columns / (taps[0] * taps[1]);
  const sole = attrs.stride[1] === 1 && pixels <= stripLength(pixels);
  const workgroups = (count: number): number =>
    Math.ceil(rows / tile.rows) * Math.ceil((Math.ceil(channels / count) * taps[0]) / 8);
  return [...(sole ? [tile.channelsOfOneStrip] : []), tile.channels]
    .filter((count) => workgroups(count) >= softwareWorkgroups)
    .map((count) => ({ rows: tile.rows, columns: taps[1] * count }))[0];
}

/**
 * Pixels of a strip: the count from 4 to 7 that leaves least of the last strip unused. Longer ones hold more values
 * than there are registers.
 */
export function stripLength(pixels: number): number {
  const unused = (count: number): number => Math.ceil(pixels / count) * count - pixels;
  return [4, 5, 6, 7].reduce((best, count) => (unused(count) < unused(best) ? count : best));
}

/**
 * Whether a line's inputs, and its gradients, are fetched ahead of its products. Images in one line, which lanes read
 * in as many places as there are rows and channels, wait for memory otherwise, one line of the cache after the other;
 * so do the inputs of long strided lines.
 */
function fetchOf(
  { taps, attrs, linesPerImage, pixels, source }: WeightProblem,
  { cacheLine, fetchFromLines }: Processor['weightRows'],
): { right: boolean; left: boolean } {
  const long = fetchFromLines * cacheLine;
  const left = taps[0] * taps[1] === 1 && linesPerImage === 1 && pixels >= long;
  const strided = taps[1] > 1 && attrs.stride[1] > 1 && source[1] >= long;
  return { right: left || strided, left };
}

/** The name, constants and regions of a tile. */
function weightRowsForm(tile: Tile, problem: WeightProblem, bias: boolean, device: KernelDevice): WeightForm {
  const { g, x, taps, attrs, pixels, linesPerImage: lines, source, aStrides, bStrides, aStart } = problem;
  const [tapsW, step, padding] = [taps[1], attrs.stride[1], attrs.padding[1]];
  const strip = stripLength(pixels);
  const processor = processorOf(device).weightRows;
  const together =
    !bias &&
    step === 1 &&
    taps[0] > 1 &&
    lines <= processor.mostLinesTogether &&
    problem.columns % (tile.lanes * taps[0] * tile.columns) === 0;
  const inputs = (strip - 1) * step + tapsW;
  const lastStrip = (Math.ceil(pixels / strip) - 1) * strip * step;
  const whole = strip % 4 === 0;
  const inVectors = whole && inFours(bindingBase(x), bStrides.batch, bStrides.channel, bStrides.h);
  // inputs before the row that the next strip has in common with this one
  const overlap = Math.max(0, Math.min(padding, tapsW - step));
  const head = inVectors ? padding % 4 : overlap;
  const carried = head > 0 && overlap >= head;
  const fours = inVectors ? Math.max(0, Math.floor((inputs - head) / 4)) : 0;
  const fetch = fetchOf(problem, processor);
  const leftVectors = whole && inFours(bindingBase(g) + aStart, aStrides.batch, aStrides.row, aStrides.line);
  return {
    name:
      `${tileName(tile)} ` +
      `taps${tapsW}${step === 1 ? '' : ` step${step}`}${leftVectors || inVectors ? ' vec4' : ''}` +
      `${together ? ' together' : ''}${fetch.right ? ' fetch' : ''}`,
    constants: {
      ...tileConstants(tile, device),
      TAPS: tapsW,
      STEP: step,
      CHANNELS: tile.columns / tapsW,
      PIXELS: strip,
      INPUTS: inputs,
      FIRST: Math.min(inputs, padding),
      LAST: Math.max(0, Math.min(inputs, source[1] - lastStrip + padding)),
      SOLE: pixels <= strip,
      TOGETHER: together,
      HEAD: Math.min(head, inputs),
      CARRIED: carried,
      FOURS: fours,
      TAIL: Math.max(0, inputs - head - 4 * fours),
      LEFT_FOURS: leftVectors ? strip / 4 : 0,
      RAGGED: pixels % strip !== 0,
      FETCH: fetch.right,
      FETCH_LEFT: fetch.left,
      CACHE_LINE: processor.cacheLine,
    },
    regions: { ...laneRegions(tile, device), ...leftRegion(leftVectors), ...rightRegion(inVectors) },
  };
}

/** Whole rows of taps of 1 to 4 channels, and columns that fit a tile of 32 rows. */
function candidateColumns({ taps, rows }: TuningProblem, device: KernelDevice): { all: number[]; tall: number[] } {
  const whole = [...new Set([taps, 2 * taps, 4 * taps, 8])];
  const all = device.plainCompiler === true ? [2, 4] : whole;
  return { all, tall: rows > 16 ? all.filter((count) => count <= Math.max(4, taps)) : [] };
}

/** All taps of a window's row from one strip of inputs. */
export const weightGradientRows = weightStrategy({
  name: 'software/weightGradientRows',
  operands: 'registers',
  unrolls: false,
  writtenOut: true,
  suits: (problem, _bias, device) => suitsWeightRows(problem, device),
  usualTile: (problem, _width, device) => (device.plainCompiler === true ? undefined : weightRowsTile(problem, device)),
  owners: ({ columns, taps }, tile, width) => Math.ceil(columns / (taps[0] * tile.columns)) * taps[0] + width - columns,
  unfit(choice, problem, device) {
    if (choice.columns % problem.taps !== 0)
      return `${choice.columns} columns hold no whole rows of ${problem.taps} taps`;
    return unfitTile(choice, problem, device, { mostRows: 32 });
  },
  candidates(start, problem, device) {
    const { all, tall } = candidateColumns(problem, device);
    return [...registerTiles(start, all, device), ...tall.map((columns) => ({ ...start, rows: 32, columns }))];
  },
  form: (tile, slice, { bias }, device) => weightRowsForm(tile, slice, bias, device),
});
