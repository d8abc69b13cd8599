import { expect } from 'chai';
import {
  batchLabels,
  batchPixels,
  fromArrays,
  subset,
  selectSamples,
  type DatasetArrays,
} from '../../src/data/dataset.js';
import { loadDataset } from '../../src/data/load.js';
import { expectLinbpError, randomInteger, temporaryFolder } from '../io/support.js';

function arrays(count = 6): DatasetArrays {
  return {
    shape: [count, 2, 3, 1],
    classes: 4,
    images: Uint8Array.from({ length: count * 6 }, () => randomInteger(256)),
    labels: Int32Array.from({ length: count }, (_, i) => i % 4),
  };
}

describe('data sets in memory', () => {
  const folder = temporaryFolder();

  it('batches are the chosen rows, as float32 in [0, 1]', () => {
    const given = arrays();
    const dataset = fromArrays(given);
    const pixels = batchPixels(dataset, [4, 0]);
    expect([...pixels]).to.deep.equal(
      [...given.images.subarray(24, 30), ...given.images.subarray(0, 6)].map((byte) => Math.fround(byte / 255)),
    );
    expect([...batchLabels(dataset, [4, 0])]).to.deep.equal([0, 0]);
    const floats = fromArrays({ ...given, images: pixels.slice(0, 6), shape: [1, 2, 3, 1], labels: Uint8Array.of(3) });
    expect(batchPixels(floats, [0])).to.deep.equal(pixels.slice(0, 6));
  });

  it('a subset is a prefix, or with a seed a repeatable choice without repetition', () => {
    const dataset = fromArrays({ ...arrays(50), labels: Int32Array.from({ length: 50 }, (_, i) => i), classes: 50 });
    expect([...subset(dataset, 3).labels]).to.deep.equal([0, 1, 2]);
    expect(subset(dataset, 500)).to.equal(dataset);
    const chosen = subset(dataset, 20, 7);
    expect(new Set(chosen.labels).size).to.equal(20);
    expect(subset(dataset, 20, 7)).to.deep.equal(chosen);
    expect([...subset(dataset, 20, 8).labels]).to.not.deep.equal([...chosen.labels]);
    const row = chosen.labels[5]!;
    expect([...chosen.images.subarray(30, 36)]).to.deep.equal([...dataset.images.subarray(6 * row, 6 * row + 6)]);
  });

  it('refuses wrong shapes, dtypes, labels, pixels, names and limits', async () => {
    const good = arrays();
    const bad = (change: Partial<Record<keyof DatasetArrays, unknown>>) => () =>
      fromArrays({ ...good, ...change } as DatasetArrays);
    await expectLinbpError(bad({ shape: [6, 2, 3] }), 'bad-shape', /\[6, 2, 3\]/);
    await expectLinbpError(bad({ shape: [0, 2, 3, 1] }), 'bad-shape');
    await expectLinbpError(bad({ shape: [6, 2, 3, 2] }), 'bad-shape', /72 pixels, got 36/);
    await expectLinbpError(bad({ labels: new Int32Array(5) }), 'bad-shape', /6 labels, got 5/);
    await expectLinbpError(bad({ images: new Float64Array(36) }), 'bad-dtype', /images/);
    await expectLinbpError(bad({ labels: new Float32Array(6) }), 'bad-dtype', /labels/);
    await expectLinbpError(bad({ labels: Int32Array.of(0, 0, 4, 0, 0, 0) }), 'bad-range', /label 2 is 4/);
    await expectLinbpError(bad({ labels: Int32Array.of(0, -1, 0, 0, 0, 0) }), 'bad-range', /label 1 is -1/);
    await expectLinbpError(bad({ images: new Float32Array(36).fill(1.01) }), 'bad-range', /pixel 0/);
    await expectLinbpError(bad({ images: new Float32Array(36).fill(NaN) }), 'bad-range', /NaN/);
    await expectLinbpError(bad({ classes: 0 }), 'bad-range', /classes/);
    await expectLinbpError(bad({ classNames: ['a'] }), 'bad-shape', /names/);
    const dataset = fromArrays(good);
    for (const limit of [0, -1, 1.5, NaN]) await expectLinbpError(() => subset(dataset, limit), 'bad-range', /limit/);
    await expectLinbpError(() => selectSamples(dataset, [6]), 'bad-range', /index 6/);
    await expectLinbpError(() => selectSamples(dataset, []), 'bad-shape');
    await expectLinbpError(() => batchPixels(dataset, [-1]), 'bad-range', /index -1/);
  });

  it('refuses unknown names and splits, and data without a folder', async () => {
    const load = (dataset: string, split: string) => () =>
      loadDataset({ dataset, split: split as 'train', dataFolder: folder() });
    await expectLinbpError(load('emnist', 'train'), 'unknown-option', /emnist/, /fashion-mnist/);
    await expectLinbpError(load('mnist', 'dev'), 'unknown-option', /dev/);
    await expectLinbpError(load('cifar10', 'test'), 'missing-data', /cifar10\/test_batch\.bin/);
    await expectLinbpError(load('cifar10-jpeg', 'test'), 'missing-data', /cifar10\/jpeg-test\.jpgs/);
    const kept = process.env['LINBP_DATA'];
    delete process.env['LINBP_DATA'];
    try {
      await expectLinbpError(
        () => loadDataset({ dataset: 'mnist', split: 'train' }),
        'missing-data',
        /no data folder is set/,
        /LINBP_DATA/,
      );
    } finally {
      if (kept !== undefined) process.env['LINBP_DATA'] = kept;
    }
    await expectLinbpError(() => loadDataset({ dataset: 'digits', split: 'train', limit: 0 }), 'bad-range', /limit/);
  });
});
