import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import type { AttackOptions, AttackResult } from '../../src/attacks/index.js';
import { DeviceExecutor } from '../../src/program/executor.js';
import type { Model, StateDict } from '../../src/nn/model.js';
import { lenet5 } from '../../src/nn/zoo/mnist.js';
import { eightBitImages, formulaWeights, linearModel, modelWith, numbers, randomLabels } from '../attacks/support.js';
import { itInHalf } from './support.js';

const eps = 0.1;

async function attacked(
  model: Model,
  images: Float32Array,
  labels: Int32Array,
  options: Partial<AttackOptions>,
): Promise<AttackResult> {
  using attack = await Attack.compile({ model, eps, batch: 8, ...options });
  return await attack.run({ images, labels });
}

/** The share of pixels that both attacks moved in one direction. */
function agreement(left: AttackResult, right: AttackResult, clean: Float32Array): number {
  const same = left.images.reduce(
    (sum, value, i) => sum + (Math.sign(value - clean[i]!) === Math.sign(right.images[i]! - clean[i]!) ? 1 : 0),
    0,
  );
  return same / clean.length;
}

/**
 * LeNet-5 with faint first features and a second layer that amplifies them: activations stay small, gradients of the
 * first features do not.
 */
function amplifying(): StateDict {
  const factors = new Map([
    ['conv1.0.weight', 1e-3],
    ['conv1.0.bias', 1e-3],
    ['conv2.0.weight', 2e4],
  ]);
  return new Map(
    [...formulaWeights(lenet5)].map(([name, { shape, data }]) => [
      name,
      { shape, data: data.map((value) => (factors.get(name) ?? 1) * value) },
    ]),
  );
}

describe('half precision: attacks', () => {
  const seed = Math.floor(Math.random() * 1e6);
  const count = 12;
  const images = eightBitImages(seed, count * 784);
  const labels = randomLabels(seed, count, 10);

  for (const options of [
    { attack: 'pgd', steps: 5, rules: 'linbp' },
    { attack: 'mifgsm', norm: 'l2', steps: 3 },
    { attack: 'apgd', steps: 4 },
  ] as const) {
    itInHalf(
      `${options.attack}: success as in f32, from a program whose step table, iterates and ball are the same @slow`,
      async () => {
        using model = await modelWith(lenet5);
        const logits = await model.logits(images);
        // What the network says, so that all images are right before the attack.
        const labels = Int32Array.from({ length: count }, (_, n) => {
          const row = logits.subarray(10 * n, 10 * n + 10);
          return row.indexOf(Math.max(...row));
        });
        const [full, half] = [
          await attacked(model, images, labels, options),
          await attacked(model, images, labels, { ...options, precision: 'f16' }),
        ];
        expect(half.overflows).to.equal(0);
        expect(full.overflows).to.equal(0);
        expect(half.readbacks).to.equal(full.readbacks + 2); // the counts of overflows of two batches
        expect(full.cleanCorrect).to.equal(count);
        expect(Math.abs(half.robustCorrect - full.robustCorrect)).to.be.at.most(1);
        const loss = ({ samples }: AttackResult): number =>
          samples.reduce((sum, sample) => sum + sample.loss, 0) / count;
        const clean = full.samples.reduce((sum, { cleanLoss }) => sum + cleanLoss, 0) / count;
        expect(loss(full)).to.be.above(clean);
        expect(Math.abs(loss(half) - loss(full))).to.be.below(0.05 * (loss(full) - clean));
        for (const [i, value] of half.images.entries()) {
          expect(value).to.be.within(0, 1);
          if (!('norm' in options)) expect(Math.abs(value - images[i]!)).to.be.at.most(eps);
        }
      },
    );
  }

  itInHalf('keeps the gradients of images that the network is certain of, which f16 alone would lose', async () => {
    const definition = linearModel([1, 6, 6], 3);
    const weights = numbers(seed, 3 * 36, -1, 1);
    // Logits tens apart make the softmax's gradient e-10 and less, where f16 holds nothing.
    const state: StateDict = new Map([
      ['fc.weight', { shape: [3, 36], data: weights }],
      ['fc.bias', { shape: [3], data: Float32Array.from([40, 0, 0]) }],
    ]);
    using model = await modelWith(definition, state);
    const own = eightBitImages(seed, 4 * 36);
    const sure = Int32Array.from([0, 0, 0, 0]);
    const options = { attack: 'fgsm', keep: 'last' } as const;
    const [full, half] = [
      await attacked(model, own, sure, options),
      await attacked(model, own, sure, { ...options, precision: 'f16' }),
    ];
    expect(full.samples.every(({ cleanLoss }) => cleanLoss < 1e-6)).to.equal(true);
    expect(agreement(full, half, own)).to.be.above(0.97);
  });

  itInHalf('an overflow costs the image one step and reduces its scale; nothing leaves the ball', async () => {
    using model = await modelWith(lenet5, amplifying());
    const options = { attack: 'ifgsm', steps: 6, alpha: eps / 4, keep: 'last', precision: 'f16' } as const;
    const some = images.subarray(0, 8 * 784);
    using attack = await Attack.compile({ model, eps, batch: 8, ...options });
    const result = await attack.run({ images: some, labels: labels.subarray(0, 8) });
    const compiled = await attack.executor();
    const { executor } = compiled;
    expect(executor).to.be.instanceOf(DeviceExecutor);
    const scales = await executor.read(compiled.attack.scales!.scale);
    const lost = await executor.read(compiled.attack.scales!.overflows);
    expect(result.overflows).to.equal(lost.reduce((sum, each) => sum + each, 0));
    expect(result.overflows).to.be.above(0);
    expect(Math.max(...lost)).to.be.at.most(2);
    for (const [n, scale] of scales.entries()) expect(scale).to.equal(2 ** (8 - 6 * lost[n]!));
    for (let n = 0; n < 8; n++) {
      const moves = result.images
        .subarray(n * 784, (n + 1) * 784)
        .map((value, i) => Math.abs(value - some[n * 784 + i]!));
      expect(Math.max(...moves)).to.be.at.most(eps);
      // Six steps less those lost, of a quarter of the radius each, begun at the clean image.
      const reach = Math.min(1, (6 - lost[n]!) / 4) * eps;
      expect(Math.max(...moves)).to.be.closeTo(reach, 1e-5);
    }
  });
});
