import { randomBits, uniform01 } from './philox.js';

/** How an image is scaled, padded and scaled back along an axis. */
export interface ResizePad {
  readonly applied: boolean;
  /** Pixels that the axis is scaled to. */
  readonly side: number;
  /** Where the scaled image begins in the frame: the row, where the axis is that of rows, the column otherwise. */
  readonly down: number;
  readonly right: number;
}

/**
 * The random scaling of a sample along an axis, each choice uniform (to 2^-24); the share of the way from `size` to
 * `largest` is the same along both. `shaders/source/resizePad.wgsl` computes the same.
 *
 * @param seed, stream, sampleId, step whole numbers 0..2^32-1, as `randomBits`
 * @param size pixels of the image along the axis
 * @param largest pixels of the frame, size..size+254
 */
export function resizePadOf(
  seed: number,
  stream: number,
  sampleId: number,
  step: number,
  { size, largest, probability }: { readonly size: number; readonly largest: number; readonly probability: number },
): ResizePad {
  const [whether, scale, row, column] = randomBits(seed, stream, sampleId, step, 4) as unknown as [
    number,
    number,
    number,
    number,
  ];
  const choose = (bits: number, places: number): number => Math.floor(((bits >>> 8) * places) / 2 ** 24);
  const side = size + choose(scale, largest - size + 1);
  const free = largest - side + 1;
  return {
    applied: uniform01(whether) < Math.fround(probability),
    side,
    down: choose(row, free),
    right: choose(column, free),
  };
}

/**
 * The row (column) of an image of side `size` that row (column) `place` of the result shows, or -1 where it shows the
 * frame.
 */
export function shownPlace(place: number, offset: number, side: number, size: number, largest: number): number {
  const inFrame = Math.floor((place * largest) / size) - offset;
  return inFrame < 0 || inFrame >= side ? -1 : Math.floor((inFrame * size) / side);
}
