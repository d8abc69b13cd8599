import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { datasetHalves, loadDataset } from '../../src/data/load.js';
import { LinbpError } from '../../src/errors.js';
import { readNpy, readNpz } from '../../src/io/numpy.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import type { TensorToWrite } from '../../src/io/safetensors.js';
import { linbp } from '../cli/support.js';

const fixture = join('test', 'fixtures', 'numpy', 'digits.npz');

function npy(header: string, data: ArrayBufferView, version = 1): Uint8Array {
  const text = Buffer.from(header, 'latin1');
  const length = version === 1 ? Buffer.alloc(2) : Buffer.alloc(4);
  if (version === 1) length.writeUInt16LE(text.length);
  else length.writeUInt32LE(text.length);
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return new Uint8Array(
    Buffer.concat([Buffer.from('\x93NUMPY', 'latin1'), Buffer.of(version, 0), length, text, bytes]),
  );
}
const header = (descr: string, shape: string, order = 'False'): string =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${shape}), }\n`;

async function refusal(trying: Promise<unknown> | (() => unknown)): Promise<LinbpError> {
  const error = await (typeof trying === 'function' ? Promise.resolve().then(trying) : trying).catch((e: unknown) => e);
  expect(error).to.be.instanceOf(LinbpError);
  return error as LinbpError;
}

describe('NumPy arrays', () => {
  it('of every type are read in row-major order', () => {
    const cases: readonly (readonly [string, ArrayBufferView, number[]])[] = [
      ['<f4', Float32Array.of(1.5, -2, 0.25, 4), [1.5, -2, 0.25, 4]],
      ['<f8', Float64Array.of(1.5, -2, 0.1, 4), [1.5, -2, 0.1, 4]],
      ['<f2', Uint16Array.of(0x3c00, 0xc000, 0x3800, 0), [1, -2, 0.5, 0]],
      ['|u1', Uint8Array.of(1, 2, 3, 255), [1, 2, 3, 255]],
      ['|i1', Int8Array.of(1, -2, 3, -128), [1, -2, 3, -128]],
      ['<i8', BigInt64Array.of(1n, -2n, 3n, 4n), [1, -2, 3, 4]],
      ['<u2', Uint16Array.of(1, 2, 3, 65535), [1, 2, 3, 65535]],
    ];
    for (const version of [1, 2])
      for (const [descr, data, expected] of cases) {
        const read = readNpy(npy(header(descr, '2, 2'), data, version), 'a.npy');
        expect(read.shape).to.deep.equal([2, 2]);
        expect(Array.from(read.data), descr).to.deep.equal(expected);
      }
    expect(readNpy(npy(header('<f4', ''), Float32Array.of(7)), 'scalar').shape).to.deep.equal([]);
  });

  it('that are damaged, of objects, big-endian or in Fortran order are refused', async () => {
    const data = Float32Array.of(1, 2, 3, 4);
    const bad: readonly (readonly [Uint8Array, RegExp])[] = [
      [npy(header('<f4', '2, 3'), data), /needs 24 bytes, 16/],
      [npy(header('>f4', '2, 2'), data), /cannot be read/],
      [npy(header('|O', '2, 2'), data), /cannot be read/],
      [npy(header('<f4', '2, 2', 'True'), data), /Fortran/],
      [npy(header('<f4', '99999999999999, 99999999999999'), data), /needs/],
      [npy('{"descr": 1}', data), /header that cannot be read/],
      [npy(header('<i8', '1'), BigInt64Array.of(2n ** 40n)), /does not fit in 32 bits/],
      [Uint8Array.of(1, 2, 3), /not a NumPy array/],
      [npy(header('<f4', '4'), data).subarray(0, 40), /a header of/],
    ];
    for (const [bytes, message] of bad)
      expect((await refusal(() => readNpy(bytes, 'x.npy'))).message).to.match(message);
  });

  it('of an archive are read by name', async () => {
    const all = await readNpz(fixture);
    expect([...all.keys()]).to.have.members(['x_train', 'y_train', 'x_test', 'y_test', 'extra']);
    expect([...(await readNpz(fixture, ['y_test'])).keys()]).to.deep.equal(['y_test']);
    expect(Array.from(all.get('extra')!.data)).to.deep.equal([3]);
  });
});

describe('data sets of arrays', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-arrays-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('take both halves of a Keras archive, channels last, bytes and floats', async () => {
    const train = await loadDataset({ dataset: fixture, split: 'train' });
    expect(train).to.include({ count: 6, channels: 3, height: 4, width: 5, classes: 3 });
    expect([...train.labels]).to.deep.equal([0, 1, 2, 0, 1, 2]);
    const raw = (await readNpz(fixture, ['x_train'])).get('x_train')!.data;
    for (const [n, c, h, w] of [
      [0, 0, 0, 0],
      [1, 2, 3, 4],
      [5, 1, 2, 3],
    ] as const)
      expect(train.images[((n * 3 + c) * 4 + h) * 5 + w]).to.equal(raw[((n * 4 + h) * 5 + w) * 3 + c]);
    const test = await loadDataset({ dataset: fixture, split: 'test', limit: 1, classes: 10 });
    expect(test).to.include({ count: 1, classes: 10 });
    expect(test.images[7]).to.equal(Math.fround(train.images[7]! / 255));
  });

  it('take safetensors with input and labels', async () => {
    const path = join(folder, 'set.safetensors');
    const images = Float32Array.from({ length: 2 * 9 }, (_, i) => i / 20);
    await writeSafetensors(path, {
      input: { shape: [2, 1, 3, 3], data: images },
      labels: { shape: [2], data: Int32Array.of(4, 1) },
    });
    const set = await loadDataset({ dataset: path, split: 'test' });
    expect(set).to.include({ count: 2, channels: 1, height: 3, width: 3, classes: 5 });
    expect(set.images).to.deep.equal(images);
  });

  it('are refused where names, shapes, labels or pixels do not fit', async () => {
    const write = async (tensors: Parameters<typeof writeSafetensors>[1]): Promise<string> => {
      const path = join(folder, 'bad.safetensors');
      await writeSafetensors(path, tensors);
      return path;
    };
    const images = { shape: [2, 1, 3, 3], data: new Float32Array(18) };
    const labels = { shape: [2], data: Int32Array.of(0, 1) };
    const cases: readonly (readonly [Parameters<typeof writeSafetensors>[1], RegExp])[] = [
      [{ images }, /no images and labels/],
      [{ images: { shape: [2, 9], data: images.data }, labels }, /expected \[N, C, H, W\]/],
      [{ images, labels: { shape: [3], data: Int32Array.of(0, 1, 2) } }, /expected 2 labels/],
      [{ images, labels: { shape: [2], data: Float32Array.of(0, 0.5) } }, /label 1 is 0.5/],
      [{ images, labels: { shape: [2], data: Int32Array.of(0, -1) } }, /label 1 is -1/],
      [{ images: { shape: [2, 1, 3, 3], data: new Float32Array(18).fill(2) }, labels }, /pixel 0 is 2/],
    ];
    for (const [tensors, message] of cases)
      expect((await refusal(loadDataset({ dataset: await write(tensors), split: 'test' }))).message).to.match(message);
    expect((await refusal(loadDataset({ dataset: join(folder, 'none.npz'), split: 'test' }))).code).to.equal(
      'missing-file',
    );
    writeFileSync(join(folder, 'text.npz'), 'no archive');
    expect((await refusal(loadDataset({ dataset: join(folder, 'text.npz'), split: 'test' }))).code).to.equal(
      'bad-file',
    );
  });
});

describe('halves of files of arrays', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-halves-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const images = { shape: [2, 1, 2, 2], data: new Uint8Array(8) };
  const labels = { shape: [2], data: Int32Array.of(0, 1) };
  const written = async (name: string, tensors: Readonly<Record<string, TensorToWrite>>): Promise<string> => {
    await writeSafetensors(join(folder, name), tensors);
    return join(folder, name);
  };

  it('are those that have images of their own: none where both would be the same arrays', async () => {
    expect(await datasetHalves(await written('plain.safetensors', { images, labels }))).to.deep.equal([]);
    const both = await written('both.safetensors', {
      x_train: images,
      y_train: labels,
      x_test: images,
      y_test: labels,
    });
    expect(await datasetHalves(both)).to.deep.equal(['train', 'test']);
    const one = await written('one.safetensors', { x_train: images, y_train: labels });
    expect(await datasetHalves(one)).to.deep.equal(['train']);
    const mixed = await written('mixed.safetensors', { x_train: images, y_train: labels, images, labels });
    expect(await datasetHalves(mixed)).to.deep.equal(['train', 'test']);
    expect(await datasetHalves(fixture)).to.deep.equal(['train', 'test']);
    expect(await datasetHalves('digits')).to.deep.equal(['train', 'test']);
  });

  it('training reports no test figures of the images it trains on', async () => {
    const pixels = { shape: [8, 1, 28, 28], data: new Uint8Array(8 * 784) };
    const path = await written('digits.safetensors', {
      images: pixels,
      labels: { shape: [8], data: Int32Array.from({ length: 8 }, (_, i) => i) },
    });
    const json = join(folder, 'train.json');
    const command = ['train', '--model', 'mlp', '--dataset', path, '--epochs', '1', '--device', 'reference'];
    const run = await linbp([...command, '--out', join(folder, 'run'), '--json', json]);
    expect(run.code, run.stderr).to.equal(0);
    expect(run.stdout).not.to.match(/test accuracy/);
    const { epochs } = JSON.parse(readFileSync(json, 'utf8')) as { epochs: Record<string, number>[] };
    expect(epochs[0]).to.have.property('trainLoss');
    expect(epochs[0]).not.to.have.property('testAccuracy');
  });

  it('labels in float64 are whole numbers as they stand, not when rounded to float32', async () => {
    const path = await written('wide.safetensors', {
      images,
      labels: { shape: [2], data: Float64Array.of(0, 0.99999999999) },
    });
    const error = await refusal(loadDataset({ dataset: path, split: 'test' }));
    expect([error.code, error.message]).to.satisfy(
      ([code, text]: string[]) => code === 'bad-range' && text!.includes('0.99999999999'),
    );
  });
});

describe('CIFAR-100', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-cifar100-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('takes the fine labels of the binary version', async () => {
    const record = (coarse: number, fine: number): Buffer =>
      Buffer.concat([Buffer.of(coarse, fine), Buffer.alloc(3072, fine)]);
    writeFileSync(join(folder, 'empty'), '');
    const { mkdirSync } = await import('node:fs');
    mkdirSync(join(folder, 'cifar100'));
    writeFileSync(join(folder, 'cifar100', 'test.bin'), Buffer.concat([record(3, 99), record(0, 7)]));
    const set = await loadDataset({ dataset: 'cifar100', split: 'test', dataFolder: folder });
    expect(set).to.include({ count: 2, classes: 100, channels: 3, height: 32, width: 32 });
    expect([...set.labels]).to.deep.equal([99, 7]);
    expect(set.images[3072]).to.equal(7);
    expect(set.note).to.match(/2 of the 10000/);
    writeFileSync(join(folder, 'cifar100', 'test.bin'), record(0, 100));
    const error = await refusal(loadDataset({ dataset: 'cifar100', split: 'test', dataFolder: folder }));
    expect(error.message).to.match(/label 0 is 100/);
  });
});
