import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import type { AttackOptions } from '../../src/attacks/index.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { eightBitImages, formulaWeights, modelWith } from './support.js';

const count = 6;
const small: ModelDefinition = {
  name: 'small',
  input: [1, 6, 6],
  classes: 4,
  build: (net, x) => net.linear('out', net.relu('relu', net.linear('in', net.flatten(x), 12)), 4),
};

/** Weights whose logits are those of the golden ones times a power of two, so that nothing is rounded differently. */
function scaledWeights(factor: number): ReturnType<typeof formulaWeights> {
  const weights = new Map(formulaWeights(small));
  for (const name of ['out.weight', 'out.bias']) {
    const { shape, data } = weights.get(name)!;
    weights.set(name, { shape, data: Float32Array.from(data, (value) => value * factor) });
  }
  return weights;
}

describe('attacks: the scale of the logits does not matter', () => {
  // Attacks with a loss in which only the order and the ratios of logits count.
  const cases: readonly Omit<AttackOptions, 'model'>[] = [
    ...(['l2', 'linf'] as const).map((norm) => ({ attack: 'deepfool', norm, eps: norm === 'linf' ? 1 : 9, steps: 3 })),
    ...(['l2', 'linf', 'l1'] as const).map((norm) => ({ attack: 'fmn', norm, eps: norm === 'linf' ? 1 : 9, steps: 4 })),
    ...(['l2', 'linf', 'l1'] as const).map((norm) => ({ attack: 'fab', norm, eps: norm === 'linf' ? 1 : 9, steps: 4 })),
    ...(['l2', 'linf'] as const).map((norm) => ({ attack: 'pgd', norm, eps: 0.2, steps: 4, loss: 'margin' })),
    { attack: 'mifgsm', eps: 0.3, steps: 10, loss: 'margin' },
    { attack: 'apgd-dlr', eps: 0.1, steps: 12 },
    { attack: 'pgd', eps: 0.1, steps: 4, loss: 'logit-margin' },
  ] as never;
  const images = eightBitImages(7, count * 36);
  for (const options of cases) {
    it(`${String(options.attack)} ${options.norm ?? 'linf'}: same images for logits of 1 and of 2^-40`, async () => {
      const found: Buffer[] = [];
      for (const factor of [1, 2 ** -40]) {
        const model = await modelWith(small, scaledWeights(factor));
        try {
          const logits = await model.logits(images);
          const labels = Int32Array.from({ length: count }, (_, n) => {
            const row = logits.subarray(4 * n, 4 * n + 4);
            return row.indexOf(Math.max(...row));
          });
          using attack = await Attack.compile({ model, batch: count, seed: 3, ...options });
          const result = await attack.run({ images, labels });
          expect(result.samples.some(({ linf }) => linf > 0)).to.equal(true);
          found.push(Buffer.from(result.images.buffer, result.images.byteOffset, result.images.byteLength));
        } finally {
          model.destroy();
        }
      }
      expect(found[1]!.equals(found[0]!)).to.equal(true);
    });
  }
});
