import type { Tensor } from '../../graph/types.js';
import type { RowsProblem } from '../convPhases.js';
import type { ConvProblem } from '../convProblem.js';
import type { KernelDevice } from '../device.js';
import type { Tile, TuningProblem } from '../problem.js';
import { inFours } from '../staging.js';
import { bindingBase } from '../types.js';
import { processorOf } from './processor.js';
import type { EightOutputs } from './processor.js';

/* What gemm/convRows does on software adapters only. */

/**
 * Whether 16 rows by 8 outputs are better than by 4 on the processor of a software adapter: where the 8 load about as
 * few inputs, because there are few taps or because they are a whole row, beyond whose ends nothing is loaded.
 */
function suitsEight(width: number, taps: number, step: number, device: KernelDevice): boolean {
  const fits = ({ taps: same, mostStep = Infinity, mostWidth = Infinity }: EightOutputs): boolean =>
    taps === same && step <= mostStep && width <= mostWidth;
  return width % 8 === 0 && processorOf(device).rows.eightOutputs.some(fits);
}

/**
 * The tile in place of that of a GPU, for outputs that are `step` inputs apart. A load costs as much as several
 * products, so 16 rows share the inputs of 4 or 8 outputs, unless that leaves rows or outputs without work.
 */
export function softwareTile(
  usual: Tile,
  { rows, width, taps }: TuningProblem,
  step: number,
  device: KernelDevice,
): Tile {
  const tall = usual.rows === 16 || rows % 16 === 0;
  if (device.plainCompiler === true || !tall) return { ...usual, lanes: 8 };
  const columns = suitsEight(width, taps, step, device) ? 8 : width % 4 === 0 ? 4 : usual.columns;
  return { ...usual, rows: 16, columns, lanes: 8 };
}

/**
 * Whether results can be stored row by row as vec4: on the CPU, where all loads and stores are scalar.
 */
export const storesRows = (
  { rows, columns, place, columnsAreImages, cStrides }: RowsProblem,
  tile: Tile,
  output: Tensor,
  device: KernelDevice,
): boolean =>
  device.software &&
  device.plainCompiler !== true &&
  place === undefined &&
  columnsAreImages !== true &&
  rows % tile.rows === 0 &&
  columns[1] % tile.columns === 0 &&
  inFours(tile.columns, tile.rows, columns[1], bindingBase(output), cStrides.batch, cStrides.row);

/** Whether they can be stored by straight-line code, and sums are so short that it pays. */
export const storesStraight = (
  { taps, columns, inner, batch }: ConvProblem,
  tile: Tile,
  device: KernelDevice,
): boolean =>
  taps[1] === 1 &&
  taps[0] * inner <= processorOf(device).rows.longestStraightSum &&
  ((batch * columns[0] * columns[1]) / tile.columns) % tile.lanes === 0;
