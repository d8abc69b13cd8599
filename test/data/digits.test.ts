import { createHash } from 'node:crypto';
import { expect } from 'chai';
import type { Dataset } from '../../src/data/dataset.js';
import { drawDigits } from '../../src/data/digits.js';
import { loadDataset } from '../../src/data/load.js';
import { expectLinbpError, randomInteger } from '../io/support.js';

/** Test accuracy of softmax regression after a few epochs of plain gradient descent, one image at a time. */
function linearAccuracy(train: Dataset, test: Dataset, epochs: number): number {
  const weights = new Float64Array(10 * 785);
  const scores = (image: Float64Array): number[] =>
    Array.from({ length: 10 }, (_, k) => {
      let sum = 0;
      for (let j = 0; j < 785; j++) sum += weights[k * 785 + j]! * image[j]!;
      return sum;
    });
  const imageOf = (set: Dataset, i: number): Float64Array =>
    Float64Array.from({ length: 785 }, (_, j) => (j === 784 ? 1 : set.images[i * 784 + j]! / 255));
  for (let step = 0; step < epochs * train.count; step++) {
    const i = randomInteger(train.count);
    const image = imageOf(train, i);
    const z = scores(image);
    const top = Math.max(...z);
    const exps = z.map((value) => Math.exp(value - top));
    const total = exps.reduce((a, b) => a + b, 0);
    const rate = 0.05 * (1 - step / (epochs * train.count));
    for (let k = 0; k < 10; k++) {
      const slope = rate * (exps[k]! / total - (k === train.labels[i] ? 1 : 0));
      for (let j = 0; j < 785; j++) weights[k * 785 + j]! -= slope * image[j]!;
    }
  }
  let correct = 0;
  for (let i = 0; i < test.count; i++) {
    const z = scores(imageOf(test, i));
    if (z.indexOf(Math.max(...z)) === test.labels[i]) correct++;
  }
  return correct / test.count;
}

describe('digits', () => {
  it('depends on seed, split and index only', () => {
    const seed = randomInteger(2 ** 32);
    const long = drawDigits({ count: 57, seed });
    const short = drawDigits({ count: 23, seed });
    expect(short.images).to.deep.equal(long.images.slice(0, 23 * 784));
    expect(short.labels).to.deep.equal(long.labels.slice(0, 23));
    for (const other of [
      drawDigits({ count: 57, seed: (seed + 1) % 2 ** 32 }),
      drawDigits({ count: 57, seed, split: 'test' }),
    ]) {
      expect(Buffer.from(other.images as Uint8Array).equals(Buffer.from(long.images as Uint8Array))).to.equal(false);
    }
  });

  it('is the same on every machine', () => {
    const hash = createHash('sha256')
      .update(drawDigits({ count: 100 }).images as Uint8Array)
      .digest('hex');
    expect(hash).to.equal('a85c6fd43c568e8cec022b80eb5fc99cfa32bef4a4d120231d03846838b745c1');
  });

  it('has every digit once in ten, no image twice, and values over the whole range', async () => {
    const train = await loadDataset({ dataset: 'digits', split: 'train', limit: 1000 });
    for (let i = 0; i < 1000; i += 10)
      expect([...train.labels.subarray(i, i + 10)].sort()).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(new Set(train.labels.subarray(0, 1000).filter((_, i) => i % 10 === 0)).size).to.be.greaterThan(5);
    const seen = new Set<string>();
    for (let i = 0; i < 1000; i++)
      seen.add(Buffer.from(train.images.subarray(i * 784, (i + 1) * 784) as Uint8Array).toString('base64'));
    expect(seen.size).to.equal(1000);
    expect(Math.max(...train.images.subarray(0, 78400))).to.equal(255);
    expect(Math.min(...train.images.subarray(0, 78400))).to.equal(0);
  });

  it('keeps the ink inside the image', () => {
    const { images } = drawDigits({ count: 400, seed: randomInteger(1000) });
    let border = 0;
    let inside = 0;
    images.forEach((value, i) => {
      const [row, column] = [Math.floor((i % 784) / 28), i % 28];
      if (row === 0 || row === 27 || column === 0 || column === 27) border += value;
      else inside += value;
    });
    expect(border / inside).to.be.below(0.1);
  });

  it('is out of reach for a linear model but far above chance @slow', function () {
    this.timeout(60000);
    const accuracy = linearAccuracy(drawDigits({ count: 4000 }), drawDigits({ split: 'test', count: 1000 }), 3);
    expect(accuracy).to.be.within(0.6, 0.92);
  });

  it('draws its default 12,000 images within seconds', () => {
    const start = performance.now();
    expect([drawDigits().count, drawDigits({ split: 'test' }).count]).to.deep.equal([12000, 2000]);
    expect(performance.now() - start).to.be.below(15000);
  });

  it('refuses bad counts and seeds', async () => {
    await expectLinbpError(() => drawDigits({ count: 0 }), 'bad-range', /limit|count/);
    await expectLinbpError(() => drawDigits({ count: 1e9 }), 'bad-range', /count/);
    await expectLinbpError(() => drawDigits({ seed: -1 }), 'bad-range', /seed/);
  });
});
