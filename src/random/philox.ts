import { check } from '../errors.js';

/**
 * Counter-based random numbers: Philox4x32-10 (J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). `shaders/random/philox.wgsl` computes the same function.
 *
 * Convention: key = (seed, stream), counter = (element / 4, sample id, step, 0); element i takes word i mod 4. So a number depends on what
 * it is for and never on the batch, the order or the device.
 */

/** Streams keep the uses of one seed independent of each other. Values are part of the reproducibility contract: add, never renumber. */
export const randomStreams = {
  initialisation: 1,
  shuffle: 2,
  dropout: 3,
  randomStart: 4,
  inputTransform: 5,
  subset: 6,
  digits: 7,
  simulation: 8,
  /** First of the numbers free for a user's own purposes. */
  user: 1024,
} as const;

/** High 32 bits of the 64-bit product of two unsigned 32-bit numbers, through 16-bit halves: no partial sum exceeds 2^53. */
function multiplyHigh(a: number, b: number): number {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 65536);
  return aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(((middle % 65536) + aLow * bHigh) / 65536);
}

/**
 * One Philox4x32-10 block.
 *
 * @param counter four unsigned 32-bit words
 * @param key two unsigned 32-bit words
 * @returns four unsigned 32-bit words
 */
export function philox4x32(counter: readonly [number, number, number, number], key: readonly [number, number]): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1 >>> 0, (high0 ^ c3 ^ k1) >>> 0, low0 >>> 0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** A uniform number in [0, 1) from 32 random bits: the upper 24 of them times 2^-24, exact in float32. */
export function uniform01(bits: number): number {
  return (bits >>> 8) * 2 ** -24;
}

/**
 * Two independent standard normal numbers from 2 x 32 random bits (G. Box, M. Muller, 1958), in float64. The radius takes a uniform in (0, 1], so
 * the largest magnitude is sqrt(48 ln 2) = 5.77.
 */
export function normalPair(a: number, b: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(((a >>> 8) + 1) * 2 ** -24));
  const angle = 2 * Math.PI * uniform01(b);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/**
 * Random 32-bit words of elements 0 to `count` - 1.
 *
 * @param seed, stream, sampleId, step whole numbers 0..2^32-1
 * @throws LinbpError `bad-range`
 */
export function randomBits(seed: number, stream: number, sampleId: number, step: number, count: number): Uint32Array {
  for (const [field, value] of Object.entries({ seed, stream, sampleId, step })) {
    check(
      Number.isInteger(value) && value >= 0 && value < 2 ** 32,
      'bad-range',
      `${field} must be a whole number from 0 to 2^32-1, got ${value}`,
      field,
    );
  }
  const words = new Uint32Array(count);
  for (let i = 0; i < count; i += 4) words.set(philox4x32([i / 4, sampleId, step, 0], [seed, stream]).slice(0, count - i), i);
  return words;
}

/** Uniform numbers in [0, 1), exact in float32; same bits as the GPU's. Parameters as {@link randomBits}. */
export function uniforms(seed: number, stream: number, sampleId: number, step: number, count: number): Float32Array {
  return Float32Array.from(randomBits(seed, stream, sampleId, step, count), uniform01);
}

/** Standard normal numbers, within 1e-5 of the GPU's. Elements 2j and 2j+1 form a Box-Muller pair. Parameters as {@link randomBits}. */
export function normals(seed: number, stream: number, sampleId: number, step: number, count: number): Float32Array {
  const bits = randomBits(seed, stream, sampleId, step, count + (count % 2));
  const result = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i += 2) result.set(normalPair(bits[i]!, bits[i + 1]!), i);
  return result.subarray(0, count);
}
