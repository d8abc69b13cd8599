import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { batchPixels } from '../../src/data/dataset.js';
import { loadDataset } from '../../src/data/load.js';
import { Model } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { sharedDevice } from '../support/device.js';

/** Logits of the models of data/models on fixed inputs, computed by PyTorch. */
interface ReferenceLogits {
  readonly cifar10: { readonly logits: Readonly<Record<string, number[][]>> };
  readonly mnist: { readonly logits: Readonly<Record<string, number[][]>> };
  readonly imagenet: Readonly<Record<string, { readonly logits_0_7: number[]; readonly argmax: number; readonly max: number }>>;
}

const data = process.env['LINBP_DATA'];
const load = async (name: string, folder: string): Promise<Model> =>
  Model.load(modelDefinition(name), join(data!, 'models', folder, `${name}.safetensors`), { device: await sharedDevice() });

const firstLargest = (values: Float32Array): number => values.indexOf(values.reduce((largest, value) => Math.max(largest, value), -Infinity));

/** Expects values to agree to 1e-3 of the largest. */
function near(actual: Float32Array, expected: readonly number[], largest = Math.max(...expected.map(Math.abs))): void {
  expect(actual.length).to.equal(expected.length);
  const worst = expected.reduce((most, value, index) => Math.max(most, Math.abs(value - actual[index]!)), 0);
  expect(worst / largest).to.be.below(1e-3);
}

describe('weights of data/models', function () {
  this.timeout(300_000);
  before(function () {
    if (data === undefined) this.skip();
  });

  for (const [folder, names] of Object.entries({
    cifar10: ['resnet20', 'resnet32', 'resnet56', 'resnet8-mlperf-tiny', 'convnetjs-cnn'],
    mnist: ['lenet5-clntrained', 'lenet5-advtrained', 'mlp-300-100'],
  } as const)) {
    for (const name of names) {
      it(`${name} gives PyTorch's logits`, async () => {
        const reference = JSON.parse(readFileSync(join(data!, 'models/reference-logits.json'), 'utf8')) as ReferenceLogits;
        const images = await loadDataset({ dataset: folder, split: 'test', limit: 8, dataFolder: data! });
        using model = await load(name, folder);
        near(await model.logits(batchPixels(images, [0, 1, 2, 3, 4, 5, 6, 7])), reference[folder as 'cifar10' | 'mnist'].logits[name]!.flat());
      });
    }
  }

  for (const [name, key] of Object.entries({ squeezenet1_1: 'squeezenet1_1', 'mobilenet_v2_1.0_224': 'mobilenet_v2' })) {
    it(`${name} gives PyTorch's logits`, async () => {
      const reference = JSON.parse(readFileSync(join(data!, 'models/reference-logits.json'), 'utf8')) as ReferenceLogits;
      const expected = reference.imagenet[key]!;
      using model = await load(name, 'imagenet');
      const [channels, height, width] = model.definition.input;
      const logits = await model.logits(Float32Array.from({ length: channels * height * width }, (_, index) => (index % 256) / 255));
      near(logits.subarray(0, 8), expected.logits_0_7, expected.max);
      expect(firstLargest(logits)).to.equal(expected.argmax);
      expect(Math.abs(logits[expected.argmax]! / expected.max - 1)).to.be.below(1e-3);
    });
  }

  it('resnet20 classifies the first 200 exact test images as well as measured', async () => {
    const images = await loadDataset({ dataset: 'cifar10', split: 'test', limit: 200, dataFolder: data! });
    using model = await load('resnet20', 'cifar10');
    const logits = await model.logits(
      batchPixels(
        images,
        Array.from({ length: 200 }, (_, index) => index),
      ),
      { batch: 50 },
    );
    let correct = 0;
    for (let n = 0; n < 200; n++) if (firstLargest(logits.subarray(10 * n, 10 * n + 10)) === images.labels[n]) correct++;
    // 91.5 % of 1,000; the standard error of 200 is 2 points
    expect(correct / 200).to.be.within(0.87, 0.96);
  });
});
