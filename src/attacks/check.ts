import { LinbpError } from '../errors.js';
import { divergence, expectFinite, firstNonFinite } from '../finite.js';
import { eightBitLevels, eightBitValue } from '../io/quantize.js';
import type { RawOutcome } from './result.js';
import type { Schedule } from './schedule.js';

/** One batch of finished images, each of `size` pixels, the first of which has the number `first`. */
export interface FinishedImages {
  /** Pixels of the adversarial images, of the clean ones, and levels of the former as saved in 8 bits. */
  readonly adversarial: Float32Array;
  readonly clean: Float32Array;
  readonly saved: Uint8Array;
  readonly size: number;
  readonly first: number;
}

/** The ball that images must not leave. */
export interface Ball {
  readonly norm: 'linf' | 'l2' | 'l1';
  readonly eps: number;
}

/** What a norm may exceed eps by, relative to it, for sums of float32 differences. */
const slack = 1e-6;

/**
 * The last test of every attack: the images lie in [0, 1] and in the ball around the clean ones, as floats and as
 * saved. In float64 no pixel is further away than fround(eps) + 2^-24 (L-infinity), no norm above eps (1 + 1e-6) (L1,
 * L2). As saved, where the clean pixels are k/255 themselves: L-infinity by at most floor(255 eps) levels, L1 and L2 as
 * before. The other saved pixels have no 8-bit value inside a small ball; see `quantize`.
 *
 * @param ownBall the attack follows another convention: only finiteness is tested
 * @throws LinbpError `diverged` for a pixel that is not finite, `bad-range` with the field `images` for one outside
 */
export function checkFinishedImages(images: FinishedImages, ball: Ball, ownBall = false): void {
  const { adversarial, size, first } = images;
  expectFinite(adversarial, (i) => `pixel ${i % size} of adversarial image ${first + Math.floor(i / size)}`);
  if (ownBall) return;
  for (let n = 0; n < adversarial.length / size; n++) checkImage(images, n, ball);
}

function checkImage({ adversarial, clean, saved, size, first }: FinishedImages, n: number, ball: Ball): void {
  const { norm, eps } = ball;
  const outside = (what: string): never => {
    throw new LinbpError('bad-range', `adversarial image ${first + n} ${what}; its attack left the ball`, {
      field: 'images',
    });
  };
  const levels = eightBitLevels(eps);
  const farthest = Math.fround(eps) + 2 ** -24;
  let [length, savedLength, allLevels] = [0, 0, true];
  for (let i = n * size; i < (n + 1) * size; i++) {
    const pixel = adversarial[i]!;
    if (pixel < 0 || pixel > 1) outside(`has a pixel ${pixel} outside [0, 1]`);
    const distance = Math.abs(pixel - clean[i]!);
    const level = eightBitValue(clean[i]!);
    const savedDistance =
      level === undefined ? Math.abs(saved[i]! / 255 - clean[i]!) : Math.abs(saved[i]! - level) / 255;
    allLevels &&= level !== undefined;
    if (norm === 'linf') {
      if (distance > farthest) outside(`differs by ${distance} at a pixel, more than eps ${eps}`);
      const savedFarthest = level === undefined ? Math.max(farthest, 1 / 510 + 2 ** -24) : (levels + 1e-6) / 255;
      if (savedDistance > savedFarthest)
        outside(`differs by ${savedDistance * 255} levels as saved, more than ${levels}`);
    }
    length += norm === 'l2' ? distance * distance : distance;
    savedLength += norm === 'l2' ? savedDistance * savedDistance : savedDistance;
  }
  if (norm === 'linf') return;
  const lengths = [length, ...(allLevels ? [savedLength] : [])];
  for (const [index, sum] of lengths.entries()) {
    const found = norm === 'l2' ? Math.sqrt(sum) : sum;
    if (found > eps * (1 + slack))
      outside(`has an ${norm} norm of ${found}${index === 1 ? ' as saved' : ''}, above eps ${eps}`);
  }
}

/** An entry of a log that is not finite. */
interface BadEntry {
  readonly what: 'loss' | 'margin';
  readonly image: number;
  readonly column: number;
  readonly value: number;
}

/** The first loss or margin of a batch that is not finite; undefined where all are. */
export function badEntry(
  { losses, margins }: RawOutcome,
  { columns }: Schedule,
  { first, size }: { readonly first: number; readonly size: number },
): BadEntry | undefined {
  for (const [what, log] of [
    ['loss', losses],
    ['margin', margins],
  ] as const) {
    const own = log.subarray(first * columns, (first + size) * columns);
    const found = firstNonFinite(own);
    if (found >= 0)
      return { what, image: first + Math.floor(found / columns), column: found % columns, value: own[found]! };
  }
  return undefined;
}

/** Where the trouble is when nothing is wrong about the clean image and the weights. */
const onTheWay = 'the clean image has a finite loss, a gradient or an iterate of the attack is not finite';

/** The error about such an entry. `where` is what is wrong about the weights or the clean image, if anything is. */
export function logDivergence(
  { what, image, column, value }: BadEntry,
  schedule: Schedule,
  where?: string,
): LinbpError {
  const how = `the ${what} of image ${image} is ${value} ${columnName(column, schedule)}`;
  return divergence(how, where ?? (column > 0 ? onTheWay : undefined));
}

/** What a column of the log stands for, in words. */
function columnName(column: number, { columns, logged }: Schedule): string {
  if (column === 0) return 'at the clean image';
  const found = logged.find((each) => each.column === column);
  if (found !== undefined) return `after ${found.step} gradients, in restart ${found.restart}`;
  return column >= columns - 2 ? 'at the result' : '';
}
