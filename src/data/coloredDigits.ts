import { randomBits, randomStreams } from '../random/philox.js';
import { drawDigits } from './digits.js';
import type { Dataset, Split } from './dataset.js';

const SIDE = 32;
const DIGIT = 28;
const MARGIN = (SIDE - DIGIT) / 2;

/**
 * A stand-in for CIFAR-10 of the same form, 3 x 32 x 32 in ten classes, drawn by code: the digits of {@link
 * drawDigits} in one random color on another. Image i depends on (seed, split, i) only.
 *
 * @param count number of images; 12,000 to train and 2,000 to test unless given
 * @throws LinbpError `bad-range`
 */
export function coloredDigits(split: Split, count?: number, seed = 0): Dataset {
  const digits = drawDigits({ split, seed, ...(count !== undefined && { count }) });
  const plane = SIDE * SIDE;
  const images = new Uint8Array(digits.count * 3 * plane);
  for (let n = 0; n < digits.count; n++) {
    const colors = randomBits(seed, randomStreams.digits, n, split === 'train' ? 1 : 2, 6);
    for (let channel = 0; channel < 3; channel++) {
      // The paper takes the lower half of the range and the ink the upper half, so that the digit is there in every
      // channel.
      const [paper, ink] = [colors[channel]! >>> 25, 128 + (colors[3 + channel]! >>> 25)];
      const at = (3 * n + channel) * plane;
      images.fill(paper, at, at + plane);
      for (let row = 0; row < DIGIT; row++) {
        for (let column = 0; column < DIGIT; column++) {
          const level = digits.images[(n * DIGIT + row) * DIGIT + column]! / 255;
          images[at + (row + MARGIN) * SIDE + column + MARGIN] = Math.round(paper + level * (ink - paper));
        }
      }
    }
  }
  const { labels, classes, count: found } = digits;
  return {
    name: 'colored digits',
    split,
    count: found,
    channels: 3,
    height: SIDE,
    width: SIDE,
    classes,
    images,
    labels,
    note: 'drawn by code',
  };
}
