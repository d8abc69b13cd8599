import { check } from '../errors.js';

/**
 * Counter-based random numbers: Philox4x32-10 (J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011). `shaders/random/philox.wgsl` computes the same function.
 *
 * Convention: key = (seed, stream), counter = (element / 4, sample id, step, 0); element i takes word i mod 4. So a
 * number depends on what it is for and never on the batch or the order. Bits and uniform numbers are the same on every
 * device; normal ones pass through a logarithm and a cosine, and agree within 1e-5.
 */

/**
 * Streams keep the uses of one seed independent of each other. Values are part of the reproducibility contract: add,
 * never renumber.
 */
export const randomStreams = {
  initialization: 1,
  shuffle: 2,
  dropout: 3,
  randomStart: 4,
  inputTransform: 5,
  subset: 6,
  digits: 7,
  simulation: 8,
  bootstrap: 9,
  augmentation: 10,
  attack: 11,
  queryLength: 12,
  /** Seeds of AutoAttack's stages. */
  stages: 13,
  /** First of eight for each transform of an attack. */
  transforms: 64,
  /** First of the numbers free for a user's own purposes. */
  user: 1024,
} as const;

/**
 * High 32 bits of the 64-bit product of two unsigned 32-bit numbers, as a signed 32-bit word, through 16-bit halves.
 */
function multiplyHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  // Each of these stays below 2^32, as in the shader; `>>> 0` keeps it an unsigned integer for the compiler.
  const middle = (Math.imul(aHigh, bLow) >>> 0) + (Math.imul(aLow, bLow) >>> 16);
  const cross = (Math.imul(aLow, bHigh) >>> 0) + (middle & 0xffff);
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (cross >>> 16)) | 0;
}

/**
 * One Philox4x32-10 block.
 *
 * @param counter four unsigned 32-bit words
 * @param key two unsigned 32-bit words
 * @returns four unsigned 32-bit words
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  const out = new Uint32Array(4);
  philoxInto(out, counter, key);
  return [out[0]!, out[1]!, out[2]!, out[3]!];
}

// Plain variables rather than tuples: a data set draws millions of blocks.
function philoxInto(
  out: Uint32Array,
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): void {
  let c0 = counter[0];
  let c1 = counter[1];
  let c2 = counter[2];
  let c3 = counter[3];
  let k0 = key[0];
  let k1 = key[1];
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low0 = Math.imul(0xd2511f53, c0);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** A uniform number in [0, 1) from 32 random bits: the upper 24 of them times 2^-24, exact in float32. */
export function uniform01(bits: number): number {
  return (bits >>> 8) * 2 ** -24;
}

/**
 * Two independent standard normal numbers from 2 x 32 random bits (G. Box, M. Muller, 1958), in float64. The radius
 * takes a uniform in (0, 1], so the largest magnitude is sqrt(48 ln 2) = 5.77.
 */
export function normalPair(a: number, b: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(((a >>> 8) + 1) * 2 ** -24));
  const angle = 2 * Math.PI * uniform01(b);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/**
 * Random 32-bit words of elements 0 to `count` - 1, by Philox 4x32-10 (J. Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011): key (seed, stream), counter (block of four words, sampleId, step, 0).
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
  const block = new Uint32Array(4);
  const counter: [number, number, number, number] = [0, sampleId, step, 0];
  const key: readonly [number, number] = [seed, stream];
  for (let i = 0; i < count; i += 4) {
    counter[0] = i / 4;
    philoxInto(block, counter, key);
    for (let k = 0; k < 4 && i + k < count; k++) words[i + k] = block[k]!;
  }
  return words;
}

/**
 * `count` uniform numbers in [0, 1): multiples of 2^-24, exact in float32, the same bits as the GPU's. Parameters as
 * {@link randomBits}.
 *
 * @throws LinbpError `bad-range`
 */
export function uniforms(seed: number, stream: number, sampleId: number, step: number, count: number): Float32Array {
  const bits = randomBits(seed, stream, sampleId, step, count);
  const result = new Float32Array(count);
  for (let i = 0; i < count; i++) result[i] = uniform01(bits[i]!);
  return result;
}

/**
 * Standard normal numbers, within 1e-5 of the GPU's. Elements 2j and 2j+1 form a Box-Muller pair. Parameters as
 * {@link randomBits}.
 *
 * @throws LinbpError `bad-range`
 */
export function normals(seed: number, stream: number, sampleId: number, step: number, count: number): Float32Array {
  const bits = randomBits(seed, stream, sampleId, step, count + (count % 2));
  const result = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i += 2) {
    // Two assignments instead of `set`: networks draw millions.
    const pair = normalPair(bits[i]!, bits[i + 1]!);
    result[i] = pair[0];
    result[i + 1] = pair[1];
  }
  return result.subarray(0, count);
}
