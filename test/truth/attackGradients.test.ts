import { expect } from 'chai';
import { Attack, attackNames, attacks, pgdInputs } from '../../src/attacks/index.js';
import type { AttackDefinition, AttackName } from '../../src/attacks/index.js';
import { fromArrays } from '../../src/data/dataset.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { initialState, Model } from '../../src/nn/model.js';
import type { StateDict } from '../../src/nn/model.js';
import { wgslRule } from '../../src/rules/user.js';
import { sgd } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';
import { eightBitImages, predicted } from '../attacks/support.js';
import { sharedDevice } from '../support/device.js';
import { slowly } from '../support/slow.js';
import { refusal } from './support.js';

const network: ModelDefinition = {
  name: 'two layers',
  input: [1, 6, 6],
  classes: 4,
  build: (net, x) => net.linear('fc2', net.relu('relu', net.linear('fc1', net.flatten(x), 8)), 4),
};
const count = 3;
const images = eightBitImages(5, count * 36);

/**
 * A network whose first unit is far below zero on every image, so that it adds nothing to any logit and gets no true
 * gradient. Under LinBP its gradient passes, and 1e25 times 1e20 is more than float32 holds.
 */
function deadUnit(): StateDict {
  const state = initialState(network, 2);
  state.get('fc1.weight')!.data.fill(1e20, 0, 36);
  state.get('fc1.bias')!.data[0] = -1e30;
  for (let k = 0; k < 4; k++) state.get('fc2.weight')!.data[8 * k] = 1e25 * (k + 1);
  return state;
}

/** A rule whose gradients are infinite, in float64 too. */
const infinite = wgslRule({
  name: 'infinite',
  saves: 'nothing',
  wgsl: 'fn rule(g: f32, d: f32, z: f32, p: RuleParams) -> f32 { return g * 3e38 * 3e38; }',
  reference: (g) => g * Infinity,
});

/** Attacks that ask for gradients; the others see logits only, and those are finite here. */
const withGradients = (attackNames as AttackName[]).filter(
  (name) => !['square', 'spsa', 'nes', 'simba'].includes(name),
);

async function deadModel(): Promise<Model> {
  const model = Model.create(network, { device: await sharedDevice() });
  model.setStateDict(deadUnit());
  return model;
}

describe('gradients that are not finite', () => {
  let labels: Int32Array;
  before(async () => {
    using model = await deadModel();
    labels = Int32Array.from(await predicted(model, images));
  });

  const normsOf = (name: AttackName): readonly ('linf' | 'l2' | 'l1')[] => {
    const { norms, sampling }: AttackDefinition = attacks[name];
    return norms ?? sampling?.norms ?? ['linf', 'l2', 'l1'];
  };
  const options = (name: AttackName, norm: 'linf' | 'l2' | 'l1') => ({
    ...{ attack: name, norm, batch: count },
    ...((attacks[name] as AttackDefinition).minimal === true ? {} : { eps: 0.1 }),
    ...((attacks[name] as AttackDefinition).steps === undefined && { steps: 3 }),
  });

  // One norm each, one after the other, so that each norm has its attacks; or every norm of every attack.
  for (const [slow, which] of [
    [false, 'every attack'],
    [true, 'every attack in every norm'],
  ] as const) {
    const cases = withGradients.flatMap((name, index) => {
      const norms = normsOf(name);
      return (slow ? norms : [norms[index % norms.length]!]).map((norm) => [name, norm] as const);
    });

    slowly(slow, `do not pass for robustness under LinBP: ${which} says diverged`, 300_000, async () => {
      using model = await deadModel();
      for (const [name, norm] of cases) {
        using attack = await Attack.compile({ model, rules: 'linbp:from=all', ...options(name, norm) });
        const error = await refusal(() => attack.run({ images, labels }), 'diverged').catch((cause: unknown) => {
          throw new Error(`${name} ${norm}`, { cause });
        });
        expect(error.message, `${name} ${norm}`).to.include('a gradient or an iterate');
      }
    });

    // In the fast suite the device stands for both.
    if (!slow) continue;
    slowly(true, `nor in float64: ${which}`, 300_000, async () => {
      const host = { definition: network, weights: initialState(network, 2) };
      for (const [name, norm] of cases) {
        const rules = { rules: 'infinite', userRules: [infinite] };
        using attack = await Attack.compile({ model: host, device: 'reference', ...rules, ...options(name, norm) });
        await refusal(() => attack.run({ images, labels }), 'diverged').catch((cause: unknown) => {
          throw new Error(`${name} ${norm}`, { cause });
        });
      }
    });
  }

  it('the same network has figures under its true gradient, and under queries alone', async () => {
    using model = await deadModel();
    for (const name of ['pgd', 'apgd', 'ddn', 'fmn', 'fab', 'deepfool', 'square', 'simba'] as const) {
      const [norm] = normsOf(name);
      using attack = await Attack.compile({ model, ...options(name, norm!), steps: 3 });
      expect((await attack.run({ images, labels })).cleanCorrect, name).to.equal(count);
    }
  });

  it('the inner attack of adversarial training says diverged', async () => {
    const dataset = fromArrays({ shape: [count, 1, 6, 6], classes: 4, images, labels });
    using model = await deadModel();
    for (const [rules, ends] of [
      ['bp', false],
      ['linbp:from=all', true],
    ] as const) {
      const inputs = pgdInputs({ rules, eps: 0.1, alpha: 0.05, steps: 2 });
      using trainer = await Trainer.create({ model, dataset, inputs, optimizer: sgd({ lr: 1e-40 }), batch: count });
      if (ends) await refusal(() => trainer.fit({ epochs: 1 }), 'diverged');
      else await trainer.fit({ epochs: 1 });
    }
  });
});

describe('logits that are not finite at an image on the way', () => {
  /** Logits grow past float32 where the first pixel leaves its clean value of 0. */
  const steep: ModelDefinition = {
    name: 'steep',
    input: [1, 6, 6],
    classes: 3,
    build: (net, x) => net.linear('b', net.relu('r', net.linear('a', net.flatten(x), 4)), 3),
  };

  it('do not pass for robustness in attacks that only look', async () => {
    const state = initialState(steep, 1);
    const first = state.get('a.weight')!.data;
    for (let pixel = 0; pixel < 36; pixel++) first[pixel] = 2e38;
    state.get('a.bias')!.data[0] = 0;
    state.get('b.weight')!.data.set([100, -100, 100], 0);
    using model = Model.create(steep, { device: await sharedDevice() });
    model.setStateDict(state);
    const black = new Float32Array(36);
    const labels = await predicted(model, black);
    for (const name of ['square', 'simba', 'spsa', 'nes'] as const) {
      const options = name === 'spsa' || name === 'nes' ? { parameters: { directions: 2 } } : {};
      using attack = await Attack.compile({ model, attack: name, eps: 0.3, steps: 4, batch: 1, ...options });
      await refusal(() => attack.run({ images: black, labels }), 'diverged').catch((cause: unknown) => {
        throw new Error(name, { cause });
      });
    }
  });
});
