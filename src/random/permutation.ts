import { check } from '../errors.js';
import { randomBits, randomStreams } from './philox.js';

/**
 * A random order of 0 to `n` - 1 (Fisher-Yates; R. Durstenfeld, Algorithm 235, 1964), the same for the same seed and
 * epoch on every machine.
 *
 * Swap i takes floor(bits * i / 2^32), whose bias is at most n / 2^32.
 *
 * @param n number of elements, 0..2^31
 * @param seed, epoch whole numbers 0..2^32-1
 * @param stream what the order is for; shuffling of training data unless told
 * @throws LinbpError `bad-range`
 */
export function permutation(
  n: number,
  seed: number,
  epoch: number,
  stream: number = randomStreams.shuffle,
): Uint32Array {
  check(
    Number.isInteger(n) && n >= 0 && n <= 2 ** 31,
    'bad-range',
    `n must be a whole number from 0 to 2^31, got ${n}`,
    'n',
  );
  const bits = randomBits(seed, stream, 0, epoch, n);
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const other = Math.floor((bits[i]! * (i + 1)) / 2 ** 32);
    const kept = order[i]!;
    order[i] = order[other]!;
    order[other] = kept;
  }
  return order;
}
