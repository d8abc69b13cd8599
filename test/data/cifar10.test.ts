import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { expect } from 'chai';
import sharp from 'sharp';
import { loadCifar10, loadCifar10Jpeg } from '../../src/data/cifar10.js';
import { loadDataset } from '../../src/data/load.js';
import { expectLinbpError, randomInteger, temporaryFolder } from '../io/support.js';
import { put, realData } from './support.js';

function records(count: number, label = (): number => randomInteger(10)): Buffer {
  const bytes = randomBytes(count * 3073);
  for (let i = 0; i < count; i++) bytes[i * 3073] = label();
  return bytes;
}

async function jpeg(side = 32): Promise<Buffer> {
  const data = Buffer.from(Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * 7) % 256));
  return sharp(data, { raw: { width: side, height: side, channels: 3 } })
    .jpeg()
    .toBuffer();
}

describe('CIFAR-10', () => {
  const folder = temporaryFolder();

  it('reads first parts in batch order and says so', async () => {
    const one = records(4);
    const two = records(3);
    put(folder(), 'cifar10/data_batch_2.first3.bin', two);
    put(folder(), 'cifar10/data_batch_1.first4.bin.gz', one);
    const read = await loadCifar10('train', folder());
    expect([read.count, read.channels, read.height, read.width]).to.deep.equal([7, 3, 32, 32]);
    expect([...read.labels]).to.deep.equal(
      [0, 1, 2, 3].map((i) => one[i * 3073]!).concat([0, 1, 2].map((i) => two[i * 3073]!)),
    );
    expect([...read.images.subarray(4 * 3072, 4 * 3072 + 5)]).to.deep.equal([...two.subarray(1, 6)]);
    expect(read.note).to.match(/7 of the 50000 train images/);
    expect((await loadCifar10('train', folder(), 2)).count).to.equal(2);
  });

  it('prefers the whole batch, in either folder, without a note', async () => {
    const whole = records(10000);
    put(folder(), 'cifar10/test_batch.first3.bin', records(3));
    put(folder(), 'cifar10/cifar-10-batches-bin/test_batch.bin', whole);
    const read = await loadCifar10('test', folder());
    expect(read.count).to.equal(10000);
    expect(read.note).to.equal(undefined);
    expect(read.images[3072 * 9999]).to.equal(whole[3073 * 9999 + 1]);
  });

  it('refuses wrong lengths, labels and bombs', async () => {
    const cases: [string, Buffer, RegExp][] = [
      ['test_batch.first3.bin', records(3).subarray(1), /needs? 9219|need 9219/],
      ['test_batch.first3.bin', records(4), /more than the expected 9219/],
      ['test_batch.first3.bin.gz', Buffer.alloc(30_000_000), /more than the expected 9219/],
      ['test_batch.first3.bin', records(3, () => 10), /label 0 is 10/],
      ['test_batch.bin', records(3), /10000 records/],
    ];
    for (const [i, [name, content, pattern]] of cases.entries()) {
      const root = join(folder(), String(i));
      put(root, `cifar10/${name}`, content);
      await expectLinbpError(() => loadCifar10('test', root), 'bad-file', /test_batch/, pattern);
    }
  });

  it('splits and decodes JPEG files that follow one another', async () => {
    const one = await jpeg();
    put(folder(), 'cifar10/jpeg-test.jpgs.gz', Buffer.concat([one, one, one]));
    put(folder(), 'cifar10/labels-test.u8', Uint8Array.of(1, 2, 3));
    const read = await loadCifar10Jpeg('test', folder(), 2);
    expect([...read.labels]).to.deep.equal([1, 2]);
    expect(read.note).to.match(/JPEG/);
    const { data } = await sharp(one).raw().toBuffer({ resolveWithObject: true });
    expect(read.images[3072 + 1024 + 17]).to.equal(data[17 * 3 + 1]);
  });

  it('refuses damaged JPEG files, other sizes and counts, and stops on request', async () => {
    const one = await jpeg();
    const cases: [Buffer, number[], RegExp][] = [
      [Buffer.concat([one, one]), [1], /more images than the 1 labels/],
      [one, [11], /label 0 is 11/],
      [Buffer.concat([Buffer.of(0), one]), [1], /does not begin with a JPEG/],
      [one.subarray(0, one.length - 200), [1], /image 0.*cannot be decoded/],
      [await jpeg(31), [1], /31 x 31/],
    ];
    for (const [i, [content, labels, pattern]] of cases.entries()) {
      const root = join(folder(), String(i));
      put(root, 'cifar10/jpeg-test.jpgs', content);
      put(root, 'cifar10/labels-test.u8', Uint8Array.from(labels));
      await expectLinbpError(() => loadCifar10Jpeg('test', root), 'bad-file', pattern);
    }
    put(folder(), 'cifar10/jpeg-train.jpgs', one);
    put(folder(), 'cifar10/labels-train.u8', Uint8Array.of(0));
    await expectLinbpError(() => loadCifar10Jpeg('train', folder(), 1, { signal: AbortSignal.abort() }), 'aborted');
  });

  it('reads the real images, exact and JPEG', async function () {
    const dataFolder = realData(this);
    const exact = await loadDataset({ dataset: 'cifar10', split: 'test', dataFolder, limit: 1000 });
    const lossy = await loadDataset({ dataset: 'cifar10-jpeg', split: 'test', dataFolder, limit: 300 });
    expect([...lossy.labels]).to.deep.equal([...exact.labels.subarray(0, 300)]);
    let sum = 0;
    lossy.images.forEach((byte, i) => (sum += (byte - exact.images[i]!) ** 2));
    expect(Math.sqrt(sum / lossy.images.length)).to.be.closeTo(8.1, 0.3);
    if (exact.note !== undefined) {
      const train = await loadDataset({ dataset: 'cifar10', split: 'train', dataFolder });
      const mean = [0, 1, 2].map((c) => {
        let total = 0;
        for (let i = 0; i < train.count; i++)
          for (let p = 0; p < 1024; p++) total += train.images[(i * 3 + c) * 1024 + p]!;
        return total / (train.count * 1024 * 255);
      });
      if (train.count === 4000)
        [0.4916, 0.4818, 0.4447].forEach((expected, c) => expect(mean[c]).to.be.closeTo(expected, 1e-4));
    }
  });
});
