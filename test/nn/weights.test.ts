import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { folderFit } from '../../src/cli/common.js';
import { batchPixels } from '../../src/data/dataset.js';
import type { Dataset } from '../../src/data/dataset.js';
import { loadDataset } from '../../src/data/load.js';
import { Model } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { sharedDevice } from '../support/device.js';
import { slowly } from '../support/slow.js';
import { pending } from '../support/pending.js';

/** Logits of the models of data/models on fixed inputs, computed by PyTorch. */
interface ReferenceLogits {
  readonly cifar10: { readonly logits: Readonly<Record<string, number[][]>> };
  readonly mnist: { readonly logits: Readonly<Record<string, number[][]>> };
  readonly imagenet: Readonly<
    Record<string, { readonly logits_0_7: number[]; readonly argmax: number; readonly max: number }>
  >;
}

const data = process.env['LINBP_DATA'];
const load = async (name: string, folder: string): Promise<Model> =>
  Model.load(modelDefinition(name), join(data!, 'models', folder, `${name}.safetensors`), {
    device: await sharedDevice(),
  });

interface Sample {
  readonly file: string;
  readonly index: number;
  readonly squeezenet1_1: { readonly top1: number };
  readonly mobilenet_v2: { readonly top1: number };
}

const firstLargest = (values: Float32Array): number =>
  values.indexOf(values.reduce((largest, value) => Math.max(largest, value), -Infinity));

/** The network's answers, 100 images at a time. */
async function topOne(model: Model, dataset: Dataset): Promise<number[]> {
  const answers: number[] = [];
  const { classes } = model.definition;
  for (let first = 0; first < dataset.count; first += 100) {
    const count = Math.min(100, dataset.count - first);
    const logits = await model.logits(
      batchPixels(
        dataset,
        Array.from({ length: count }, (_, index) => first + index),
      ),
      { batch: Math.min(count, classes > 10 ? 10 : 100) },
    );
    for (let n = 0; n < count; n++) answers.push(firstLargest(logits.subarray(classes * n, classes * (n + 1))));
  }
  return answers;
}

/** Expects values to agree to 1e-3 of the largest. */
function near(actual: Float32Array, expected: readonly number[], largest = Math.max(...expected.map(Math.abs))): void {
  expect(actual.length).to.equal(expected.length);
  const worst = expected.reduce((most, value, index) => Math.max(most, Math.abs(value - actual[index]!)), 0);
  expect(worst / largest).to.be.below(1e-3);
}

describe('weights of data/models', function () {
  this.timeout(300_000);
  before(function () {
    if (data === undefined) pending(this, 'LINBP_DATA');
  });

  for (const [folder, names] of Object.entries({
    cifar10: ['resnet20', 'resnet32', 'resnet56', 'resnet8-mlperf-tiny', 'convnetjs-cnn'],
    mnist: ['lenet5-clntrained', 'lenet5-advtrained', 'mlp-300-100'],
  } as const)) {
    for (const name of names) {
      it(`${name} gives PyTorch's logits${name.startsWith('resnet') ? ' @slow' : ''}`, async () => {
        const reference = JSON.parse(
          readFileSync(join(data!, 'models/reference-logits.json'), 'utf8'),
        ) as ReferenceLogits;
        const images = await loadDataset({ dataset: folder, split: 'test', limit: 8, dataFolder: data! });
        using model = await load(name, folder);
        near(
          await model.logits(batchPixels(images, [0, 1, 2, 3, 4, 5, 6, 7])),
          reference[folder as 'cifar10' | 'mnist'].logits[name]!.flat(),
        );
      });
    }
  }

  for (const [name, key] of Object.entries({
    squeezenet1_1: 'squeezenet1_1',
    'mobilenet_v2_1.0_224': 'mobilenet_v2',
  })) {
    it(`${name} gives PyTorch's logits @slow`, async () => {
      const reference = JSON.parse(
        readFileSync(join(data!, 'models/reference-logits.json'), 'utf8'),
      ) as ReferenceLogits;
      const expected = reference.imagenet[key]!;
      using model = await load(name, 'imagenet');
      const [channels, height, width] = model.definition.input;
      const logits = await model.logits(
        Float32Array.from({ length: channels * height * width }, (_, index) => (index % 256) / 255),
      );
      near(logits.subarray(0, 8), expected.logits_0_7, expected.max);
      expect(firstLargest(logits)).to.equal(expected.argmax);
      expect(Math.abs(logits[expected.argmax]! / expected.max - 1)).to.be.below(1e-3);
    });
  }

  const percentRight = async (model: Model, dataset: Dataset): Promise<number> =>
    (100 * (await topOne(model, dataset)).filter((answer, n) => answer === dataset.labels[n]).length) / dataset.count;

  for (const [name, folder, percent, slow] of [
    ['resnet8-mlperf-tiny', 'cifar10', 88.1, 'golden'],
    ['resnet20', 'cifar10', 91.5, 'golden'],
    ['resnet32', 'cifar10', 92.8, 'golden'],
    ['resnet56', 'cifar10', 92.6, 'golden'],
    ['convnetjs-cnn', 'cifar10', 75.6, false],
    ['mlp-300-100', 'mnist', 98.17, true],
    ['lenet5-clntrained', 'mnist', 98.89, 'golden'],
    ['lenet5-advtrained', 'mnist', 98.64, 'golden'],
  ] as const) {
    slowly(slow, `${name} classifies ${percent} % of the exact test images`, 600_000, async () => {
      const images = await loadDataset({ dataset: folder, split: 'test', dataFolder: data! });
      expect(images.count).to.equal(folder === 'mnist' ? 10_000 : 1000);
      using model = await load(name, folder);
      expect(await percentRight(model, images)).to.be.closeTo(percent, 0.1 + 1e-9);
    });
  }

  slowly(
    'golden',
    'squeezenet1_1 and mobilenet_v2_1.0_224 classify the sample images as recorded',
    600_000,
    async () => {
      const samples = JSON.parse(readFileSync(join(data!, 'imagenet-samples/labels.json'), 'utf8')) as Sample[];
      let agreeing = 0;
      for (const [name, key] of [
        ['squeezenet1_1', 'squeezenet1_1'],
        ['mobilenet_v2_1.0_224', 'mobilenet_v2'],
      ] as const) {
        using model = await load(name, 'imagenet');
        const folder = join(data!, 'imagenet-samples');
        const images = await loadDataset({
          dataset: `folder:${folder}`,
          split: 'test',
          ...folderFit({}, model.definition),
        });
        const answers = await topOne(model, images);
        expect(images.count).to.equal(samples.length);
        for (const [index, { file, index: label, [key]: recorded }] of samples.entries()) {
          expect(images.labels[index], file).to.equal(label);
          if (file.startsWith('n'))
            expect(answers[index], `${name} ${file}`).to.equal(recorded.top1).and.to.equal(label);
          else if (answers[index] === recorded.top1) agreeing++;
        }
      }
      expect(agreeing, 'pairs of a foolbox image and a network').to.be.at.least(36);
    },
  );
});
