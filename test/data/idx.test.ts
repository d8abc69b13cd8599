import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { idxDataset, parseIdx } from '../../src/data/idx.js';
import { loadDataset } from '../../src/data/load.js';
import { expectLinbpError, randomInteger, temporaryFolder } from '../io/support.js';
import { idx, put, realData } from './support.js';

const randomBytes = (count: number, limit = 256): Uint8Array =>
  Uint8Array.from({ length: count }, () => randomInteger(limit));

describe('IDX data sets', () => {
  const folder = temporaryFolder();

  it('reads plain and gzip files under either name, whatever the name says', async () => {
    const images = randomBytes(5 * 4 * 3);
    const labels = randomBytes(5, 10);
    for (const [i, suffix] of ['', '.gz'].entries()) {
      const root = join(folder(), String(i));
      put(root, `mnist/train-images-idx3-ubyte${suffix}`, idx([5, 4, 3], images));
      put(root, `mnist/train-labels-idx1-ubyte${suffix}`, idx([5], labels));
      const read = await loadDataset({ dataset: 'mnist', split: 'train', dataFolder: root });
      expect([read.count, read.channels, read.height, read.width, read.classes]).to.deep.equal([5, 1, 4, 3, 10]);
      expect([...read.images]).to.deep.equal([...images]);
      expect([...read.labels]).to.deep.equal([...labels]);
      const part = await loadDataset({ dataset: 'mnist', split: 'train', dataFolder: root, limit: 2 });
      expect([part.count, part.images.length, part.labels.length]).to.deep.equal([2, 24, 2]);
    }
    put(folder(), 'MNIST/raw/t10k-images-idx3-ubyte', gzipSync(idx([5, 4, 3], images)));
    put(folder(), 'MNIST/raw/t10k-labels.idx1-ubyte', idx([5], labels));
    expect((await loadDataset({ dataset: 'mnist', split: 'test', dataFolder: folder() })).count).to.equal(5);
  });

  const good = idx([3, 2, 2], randomBytes(12));
  const cases: [string, Uint8Array, RegExp][] = [
    ['an empty file', new Uint8Array(0), /too few/],
    ['labels in place of images', idx([12], randomBytes(12)), /magic number 2049, expected 2051/],
    ['floats', idx([3, 2, 2], randomBytes(48), 0x0d03), /magic number 3331/],
    ['a cut header', good.subarray(0, 10), /inside the header/],
    ['cut data', good.subarray(0, good.length - 1), /11 bytes of data.*needs 12/],
    ['trailing bytes', Buffer.concat([good, Buffer.of(0)]), /more than the expected 28/],
    ['an overflowing shape', idx([0xffffffff, 0xffffffff, 0xffffffff], randomBytes(12)), /too large/],
    ['no images', idx([0, 2, 2], new Uint8Array(0)), /empty/],
    ['trailing bytes in gzip', gzipSync(Buffer.concat([good, Buffer.of(0)])), /more than the expected 28/],
    ['a gzip bomb', gzipSync(Buffer.concat([good, Buffer.alloc(50_000_000)])), /more than the expected 28/],
    ['cut gzip', gzipSync(good).subarray(0, 30), /damaged gzip|bytes of data/],
    ['foreign data called gzip', Buffer.concat([Buffer.of(0x1f, 0x8b), randomBytes(50)]), /damaged gzip/],
  ];
  for (const [what, content, pattern] of cases) {
    it(`refuses ${what}`, async () => {
      const path = join(folder(), 'images-file');
      writeFileSync(path, content);
      const labels = put(folder(), 'labels', idx([3], randomBytes(3, 10)));
      await expectLinbpError(
        () => idxDataset('x', 'train', path, labels, ['a', 'b']),
        'bad-file',
        /images-file|labels/,
      );
      await expectLinbpError(
        () => parseIdx(Buffer.from(content), 3, 'images-file'),
        'bad-file',
        /images-file/,
        pattern,
      );
    });
  }

  it('refuses any truncation of plain and gzip files', async () => {
    for (const whole of [good, gzipSync(good)]) {
      for (let length = 0; length < whole.length; length++)
        await expectLinbpError(() => parseIdx(whole.subarray(0, length), 3, 'cut'), 'bad-file', /cut/);
    }
  });

  it('refuses counts that differ and labels out of range', async () => {
    const images = put(folder(), 'images', good);
    const two = put(folder(), 'two', idx([2], Uint8Array.of(0, 1)));
    await expectLinbpError(
      () => idxDataset('x', 'train', images, two, ['a', 'b']),
      'bad-file',
      /3 images/,
      /2 labels/,
      /two/,
    );
    const large = put(folder(), 'large', idx([3], Uint8Array.of(0, 1, 2)));
    await expectLinbpError(
      () => idxDataset('x', 'train', images, large, ['a', 'b']),
      'bad-file',
      /label 2 is 2/,
      /large/,
    );
  });

  it('names the missing file and the way to point to it', async () => {
    await expectLinbpError(
      () => loadDataset({ dataset: 'mnist', split: 'test', dataFolder: folder() }),
      'missing-data',
      /mnist\/t10k-images-idx3-ubyte/,
      /LINBP_DATA/,
    );
    put(folder(), 'fashion-mnist/train-images-idx3-ubyte', good);
    await expectLinbpError(
      () => loadDataset({ dataset: 'fashion-mnist', split: 'train', dataFolder: folder() }),
      'missing-data',
      /fashion-mnist\/train-labels-idx1-ubyte/,
    );
  });

  it('reads the real MNIST and Fashion-MNIST', async function () {
    const dataFolder = realData(this);
    const train = await loadDataset({ dataset: 'mnist', split: 'train', dataFolder });
    const histogram = (labels: Uint8Array | Int32Array): number[] => {
      const counts = new Array<number>(10).fill(0);
      for (const label of labels) counts[label]!++;
      return counts;
    };
    expect(histogram(train.labels)).to.deep.equal([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    const whole = createHash('md5')
      .update(idx([60000, 28, 28], train.images as Uint8Array))
      .digest('hex');
    expect(whole).to.equal('6bbc9ace898e44ae57da46a324031adb');
    const fashion = await loadDataset({ dataset: 'fashion-mnist', split: 'test', dataFolder });
    expect(histogram(fashion.labels)).to.deep.equal(new Array(10).fill(1000));
  });
});
