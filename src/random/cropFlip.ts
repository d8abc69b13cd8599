import { randomBits } from './philox.js';

/** How one sample is cropped and mirrored. */
export interface CropFlip {
  /**
   * Row and column of the sample that come to the upper left corner, -padding to padding; outside the sample there
   * are zeros.
   */
  readonly down: number;
  readonly right: number;
  readonly mirrored: boolean;
}

/**
 * The random crop and mirror of a sample: rows and columns uniform over -padding to padding (to 2^-24), mirrored with
 * probability one half. `shaders/source/cropFlip.wgsl` computes the same, so a sample's crop depends on what it is
 * keyed by and on nothing else.
 *
 * @param seed, stream, sampleId, step whole numbers 0..2^32-1, as `randomBits`
 * @param padding 0..127
 */
export function cropFlipOf(seed: number, stream: number, sampleId: number, step: number, padding: number): CropFlip {
  const [first, second, third] = randomBits(seed, stream, sampleId, step, 3) as unknown as [number, number, number];
  const places = 2 * padding + 1;
  const place = (bits: number): number => (((bits >>> 8) * places) >>> 24) - padding;
  return { down: place(first), right: place(second), mirrored: third >>> 31 === 1 };
}
