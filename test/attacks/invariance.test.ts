import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import type { AttackOptions, AttackResult } from '../../src/attacks/index.js';
import type { Model } from '../../src/nn/model.js';
import { lenet5 } from '../../src/nn/zoo/mnist.js';
import { permutation } from '../../src/random/permutation.js';
import { eightBitImages, modelWith, randomLabels } from './support.js';

const pixels = 784;
const count = 64;
const bytes = (values: Float32Array | Uint8Array): Buffer =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength);

function expectSame(actual: AttackResult, expected: AttackResult, what: string): void {
  expect(bytes(actual.images).equals(bytes(expected.images)), `${what}: images`).to.equal(true);
  expect(bytes(actual.losses).equals(bytes(expected.losses)), `${what}: losses`).to.equal(true);
  expect(actual.samples, `${what}: samples`).to.deep.equal(expected.samples);
  expect(actual.curve, `${what}: curve`).to.deep.equal(expected.curve);
}

describe('attacks: same bits for any batch, order and chunking', () => {
  let model: Model;
  const seed = Math.floor(Math.random() * 1e6);
  const images = eightBitImages(seed, count * pixels);
  const labels = randomLabels(seed, count, 10);
  before(async () => {
    model = await modelWith(lenet5);
  });
  after(() => model.destroy());

  const variants: Omit<AttackOptions, 'model'>[] = [
    { attack: 'pgd', eps: 0.1, steps: 3, restarts: 2, rules: 'linbp' },
    { attack: 'pgd', eps: 1, steps: 3, norm: 'l2', loss: 'dlr' },
    { attack: 'mifgsm', eps: 0.1, steps: 3, loss: 'margin' },
  ];
  for (const options of variants) {
    const title = `${String(options.attack)} ${options.norm ?? 'linf'}`;
    describe(title, () => {
      let whole: AttackResult;
      before(async () => {
        using attack = await Attack.compile({ model, seed, ...options, batch: 64 });
        whole = await attack.run({ images, labels });
        expectSame(await attack.run({ images, labels }), whole, 'the same attack run twice');
      });

      for (const batch of [1, 7]) {
        it(`batch ${batch}`, async () => {
          using attack = await Attack.compile({ model, seed, ...options, batch });
          const part = batch === 1 ? 8 : count;
          const result = await attack.run({
            images: images.subarray(0, part * pixels),
            labels: labels.subarray(0, part),
          });
          expect(bytes(result.images).equals(bytes(whole.images.subarray(0, part * pixels)))).to.equal(true);
          expect(result.samples).to.deep.equal(whole.samples.slice(0, part));
          if (part === count) expectSame(result, whole, 'partial last batch');
        });
      }

      it('any order', async () => {
        const order = permutation(count, seed, 0);
        const mixed = new Float32Array(images.length);
        order.forEach((from, to) => mixed.set(images.subarray(from * pixels, (from + 1) * pixels), to * pixels));
        using attack = await Attack.compile({ model, seed, ...options, batch: 64 });
        const result = await attack.run({
          images: mixed,
          labels: Int32Array.from(order, (from) => labels[from]!),
          sampleIds: order,
        });
        order.forEach((from, to) => {
          const one = result.images.subarray(to * pixels, (to + 1) * pixels);
          expect(
            bytes(one).equals(bytes(whole.images.subarray(from * pixels, (from + 1) * pixels))),
            `image ${from}`,
          ).to.equal(true);
          expect(result.samples[to]).to.deep.equal(whole.samples[from]);
        });
      });

      it('chunk sizes', async () => {
        using attack = await Attack.compile({ model, seed, ...options, batch: 64 });
        const fine = await attack.run({ images, labels, chunkMilliseconds: 0.01 });
        const coarse = await attack.run({ images, labels, chunkMilliseconds: 1e6 });
        expectSame(fine, whole, 'fine');
        expectSame(coarse, whole, 'coarse');
        expect(fine.submits).to.be.greaterThan(coarse.submits);
        expect(fine.dispatches).to.equal(coarse.dispatches);
      });
    });
  }

  it('another seed, and another sample id, begin elsewhere', async () => {
    using attack = await Attack.compile({
      model,
      seed,
      attack: 'pgd',
      eps: 0.1,
      steps: 1,
      alpha: 0,
      keep: 'last',
      batch: 4,
    });
    const few = { images: images.subarray(0, 4 * pixels), labels: labels.subarray(0, 4) };
    const first = await attack.run(few);
    const otherSeed = await attack.run({ ...few, seed: seed + 1 });
    const otherIds = await attack.run({ ...few, sampleIds: [10, 1, 2, 3] });
    expect(bytes(otherSeed.images).equals(bytes(first.images))).to.equal(false);
    const image = (result: AttackResult, n: number): Buffer =>
      bytes(result.images.subarray(n * pixels, (n + 1) * pixels));
    expect(image(otherIds, 0).equals(image(first, 0))).to.equal(false);
    expect(image(otherIds, 1).equals(image(first, 1))).to.equal(true);
  });
});
