/**
 * Formulas of `sampleField`. The numbers are uniform in [0, 1) unless said.
 *
 * - `strips` (values: B, largest angle in radians): places and bounds, six planes, of images cut into B strips of
 * random widths along one axis, put in random order, each rotated, cut along the other axis, and put in random order
 * again. Numbers: axis, B widths, B keys of the order, B angles by new place, B * B widths and B * B keys by new place
 * - `blocks` (values: B): places, two planes, of images cut into B x B blocks, each of which is rolled, flipped or
 * left. Numbers: B - 1 row cuts, B - 1 column cuts, B * B choices of seven, B * B amounts
 * - `blockFactors`: same numbers, one plane per channel: what a block is multiplied by, -1 where it gets noise
 * - `resize` (values: frame, 0 for rows or 1 for columns): the matrix [frame, side] that scales an axis to a random
 *   length, bilinear, and puts it at a random place of the frame. Numbers: length, place of rows, place of columns
 * - `shift` (values: reach): places, two planes, moved by whole pixels up to `reach`. Numbers: rows, columns
 * - `warp` (values: nine weights and three affine terms of a thin-plate spline): places, two planes, moved by the
 * spline. Numbers: how far its middle moves along rows and columns, in half images
 * - `index`: the one number as u32
 */
export type FieldKind = 'strips' | 'blocks' | 'blockFactors' | 'resize' | 'shift' | 'warp' | 'index';

/** How many numbers of each sample a field is made of; see {@link FieldKind}. */
export function numbersOfField(kind: FieldKind, values: readonly number[]): number {
  const blocks = values[0] ?? 0;
  const counts: Record<FieldKind, number> = {
    strips: 1 + 3 * blocks + 2 * blocks * blocks,
    blocks: 2 * (blocks - 1) + 2 * blocks * blocks,
    blockFactors: 2 * (blocks - 1) + 2 * blocks * blocks,
    resize: 3,
    shift: 2,
    warp: 2,
    index: 1,
  };
  return counts[kind];
}
