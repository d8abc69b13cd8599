import { expect } from 'chai';
import { attacks, attack } from '../../src/attacks/index.js';
import type { AttackDefinition } from '../../src/attacks/index.js';
import { gradientSamplings, inputTransforms } from '../../src/attacks/transfer.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import type { StateDict } from '../../src/nn/model.js';
import { bentModel, eightBitImages, linearModel, modelWith, smallWeights } from './support.js';

const [count, size] = [5, 36] as const;
const weightsOf = (definition: ModelDefinition): StateDict => smallWeights(definition, 90);
const linear = linearModel([1, 6, 6], 2);
const bent = bentModel(6, 3);
const images = eightBitImages(3, count * size);
const labels = [0, 1, 0, 1, 1];
const common = { images, labels, eps: 0.1, steps: 4, seed: 5 };

/** MI-FGSM with another gradient. */
const withGradient = (name: keyof typeof gradientSamplings): AttackDefinition => ({
  ...attacks.mifgsm,
  name,
  sampling: gradientSamplings[name],
});

async function made(definition: ModelDefinition, made: AttackDefinition, options: object = {}): Promise<Float32Array> {
  const model = { definition, weights: weightsOf(definition) };
  return (await attack({ ...common, model, device: 'reference', attack: made, loss: 'margin', ...options })).images;
}

describe('gradients that transfer', () => {
  it('on a linear model every gradient is that of MI: the same images @slow', async () => {
    const plain = await made(linear, attacks.mifgsm);
    for (const name of Object.keys(gradientSamplings) as (keyof typeof gradientSamplings)[])
      expect([...(await made(linear, withGradient(name)))], name).to.deep.equal([...plain]);
  });

  it('with neighbors at distance 0 EMI, GRA and VMI are MI, and with others they differ', async () => {
    for (const name of ['emi', 'gra', 'vmi'] as const) {
      // GRA's step is its own.
      const step = name === 'gra' ? { step: gradientSamplings.gra.step! } : {};
      const plain = await made(bent, { ...attacks.mifgsm, ...step });
      const near = await made(bent, withGradient(name), { parameters: { reach: 0, samples: 3 } });
      near.forEach((pixel, i) => expect(pixel, `${name}, pixel ${i}`).to.be.closeTo(plain[i]!, 1e-6));
      const far = await made(bent, withGradient(name), { parameters: { reach: 6, samples: 3 } });
      expect([...far], name).to.not.deep.equal([...plain]);
    }
  });

  it('every gradient with SI on the device: as in float64, whatever the batch, and counted @slow', async () => {
    const model = await modelWith(bent, weightsOf(bent));
    try {
      for (const name of Object.keys(gradientSamplings) as (keyof typeof gradientSamplings)[]) {
        const definition = { ...withGradient(name), transforms: [inputTransforms.si] };
        const own = 'samples' in (definition.sampling!.parameters ?? {}) ? { samples: 2 } : {};
        const options = { ...common, model, attack: definition, parameters: { ...own, scales: 2 } };
        const [whole, parts] = [await attack(options), await attack({ ...options, batch: 2 })];
        expect([...whole.images], name).to.deep.equal([...parts.images]);
        const each = { ni: 1, pi: 1, vmi: 3, vni: 3, emi: 2, gra: 3, pgn: 4, mef: 2, mig: 2 };
        const gradients = each[name] * 2 * common.steps;
        expect(whole.gradients, name).to.equal(count * gradients);
        const reference = await made(bent, definition, { loss: 'ce', parameters: { ...own, scales: 2 } });
        const apart = whole.images.filter((pixel, i) => Math.abs(pixel - reference[i]!) > 1e-4).length;
        expect(apart, name).to.be.at.most(0.02 * reference.length);
      }
    } finally {
      model.destroy();
    }
  });
});
