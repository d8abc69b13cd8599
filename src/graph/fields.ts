import type { FieldKind } from './types.js';

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
