import type { Tensor } from '../graph/types.js';
import type { Executor } from './types.js';

/** Largest relative distance from the reference that results may have. */
export const usualTolerance = 1e-5;

/** Largest part of the bits of packed words that may differ: a number next to zero may round to either side. */
const bitTolerance = 1e-3;

/**
 * ||actual - expected|| / ||expected||, absolute where what is expected is zero, and infinite where something is not a
 * number.
 */
export function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  const error = Math.sqrt(norm === 0 ? difference : difference / norm);
  return Number.isFinite(error) ? error : Infinity;
}

/** The part of the bits in which words differ, 0 to 1. */
function differingBits(actual: Uint32Array, expected: Uint32Array): number {
  let bits = 0;
  for (let i = 0; i < actual.length; i++)
    for (let rest = (actual[i]! ^ expected[i]!) >>> 0; rest !== 0; rest = (rest & (rest - 1)) >>> 0) bits += 1;
  return bits / (32 * actual.length);
}

/**
 * How far a tensor is from the reference's: the {@link distance} of floats; of packed words the differing bits, in such
 * a measure that as many as may differ are `allowed`.
 */
export async function differenceFrom(
  reference: Executor,
  actual: Pick<Executor, 'read' | 'readU32'>,
  tensor: Tensor,
  allowed = usualTolerance,
): Promise<number> {
  if (tensor.dtype !== 'u32') return distance(await actual.read(tensor), await reference.exact(tensor));
  const bits = differingBits(await actual.readU32(tensor), await reference.readU32(tensor));
  return (bits / bitTolerance) * allowed;
}
