import { expectList } from '../arguments.js';
import { check } from '../errors.js';

/**
 * The 8-bit value of a pixel in [0, 1] if it is one (k/255 rounded to float32 or float64), otherwise `undefined`.
 */
export function eightBitValue(pixel: number): number | undefined {
  const k = Math.round(pixel * 255);
  return Math.fround(k / 255) === Math.fround(pixel) ? k : undefined;
}

/**
 * Levels that a pixel may move by inside an L-infinity ball: floor(255 eps), where an eps given as n/255 counts as n.
 */
export function eightBitLevels(eps: number): number {
  // 255 * (8/255) need not be 8 in floating point.
  return eps <= 1 ? (eightBitValue(eps) ?? Math.floor(255 * eps)) : 255;
}

/** Whether every pixel is k/255, so that {@link quantize} can guarantee the ball. */
export function isEightBit(pixels: ArrayLike<number>): boolean {
  for (let i = 0; i < pixels.length; i++) if (eightBitValue(pixels[i]!) === undefined) return false;
  return true;
}

/**
 * Rounds adversarial images to 8 bits without leaving the ball around the clean images.
 *
 * - `linf`: each pixel is rounded to the nearest k/255 and the integer difference from the clean pixel is clamped to
 * floor(255 eps).
 *   An eps given as n/255 counts as exactly n, whether it was computed in float32 or float64. Below 1/255 the result
 *   is the clean image.
 * - `l2`: each difference is rounded towards the clean pixel, so no pixel moves further away and the norm cannot
 * grow. The adversarial
 *   images must be inside their balls already; eps is not used.
 *
 * Both guarantees, after saving and reloading, hold when the clean pixels are k/255 themselves, as those of all image
 * files are ({@link isEightBit} tells). Otherwise (resized images, arrays of one's own) no 8-bit image need lie
 * inside a small ball: `linf` takes the nearest k/255 inside [clean - eps, clean + eps] and where there is none the
 * k/255 nearest to the clean pixel, at most 1/510 away; `l2` rounds towards the clean pixel as far as a k/255 lies
 * between, and otherwise takes the one nearest to the clean pixel, so that each pixel can be up to 1/510 further out
 * than before.
 *
 * @param adversarial pixels, any shape; values outside [0, 1] are clamped
 * @param clean the clean pixels in [0, 1], same length
 * @param eps radius in pixels of [0, 1], for instance 8/255
 * @returns 0..255, same length
 * @throws LinbpError `bad-shape` for different lengths; `bad-range` for eps below 0, NaN, or clean pixels outside [0,
 * 1]
 */
export function quantize(
  adversarial: ArrayLike<number>,
  clean: ArrayLike<number>,
  eps: number,
  norm: 'linf' | 'l2',
): Uint8Array {
  expectList(adversarial, 'adversarial');
  expectList(clean, 'clean');
  check(
    adversarial.length === clean.length,
    'bad-shape',
    `adversarial has ${adversarial.length} pixels, clean has ${clean.length}`,
    'adversarial',
  );
  check(eps >= 0, 'bad-range', `eps must be at least 0, got ${eps}`, 'eps');
  const limit = eightBitLevels(eps);
  const result = new Uint8Array(clean.length);
  for (let i = 0; i < result.length; i++) {
    const c = clean[i]!;
    const a = adversarial[i]!;
    check(c >= 0 && c <= 1, 'bad-range', `clean pixel ${i} is ${c}, expected 0 to 1`, 'clean');
    check(!Number.isNaN(a), 'bad-range', `adversarial pixel ${i} is NaN`, 'adversarial');
    const inside = Math.min(Math.max(a, 0), 1);
    result[i] = norm === 'linf' ? roundInside(inside, c, eps, limit) : roundTowards(inside, c);
  }
  return result;
}

function roundInside(a: number, c: number, eps: number, limit: number): number {
  const nearest = Math.round(a * 255);
  const k = eightBitValue(c);
  if (k !== undefined) return Math.min(Math.max(nearest, k - limit, 0), k + limit, 255);
  const low = Math.max(Math.ceil(255 * (c - eps)), 0);
  const high = Math.min(Math.floor(255 * (c + eps)), 255);
  return low <= high ? Math.min(Math.max(nearest, low), high) : Math.round(c * 255);
}

function roundTowards(a: number, c: number): number {
  // Truncation alone would turn (k+1)/255, which is rarely exact in binary, into k.
  const exact = eightBitValue(a);
  if (exact !== undefined) return exact;
  const origin = eightBitValue(c);
  const from = origin ?? 255 * c;
  const rounded = a * 255 > from ? Math.floor(a * 255) : Math.ceil(a * 255);
  const overshoots = a * 255 > from ? rounded < from : rounded > from;
  return overshoots ? Math.round(from) : rounded;
}
