import { expect } from 'chai';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { Model } from '../../src/nn/model.js';
import { tensorAsFloat32 } from '../../src/io/safetensors.js';
import { adam, adamw, sgd } from '../../src/train/optimizers.js';
import type { Optimizer } from '../../src/train/optimizers.js';
import type { TrainerOptions } from '../../src/train/settings.js';
import { Trainer } from '../../src/train/trainer.js';
import { relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { loadGolden } from '../support/golden.js';
import { formulaState, goldenBatches } from './support.js';

const decay = { momentum: 0.9, weightDecay: 5e-4 };
const optimizers: Record<string, Optimizer> = {
  sgd: sgd({ lr: 0.05 }),
  sgd_momentum: sgd({ lr: 0.02, ...decay }),
  sgd_nesterov: sgd({ lr: 0.02, ...decay, nesterov: true }),
  adam: adam({ lr: 1e-3 }),
  adamw: adamw({ lr: 1e-3, weightDecay: 1e-2 }),
};

const file = loadGolden('training');
const golden = (key: string): Float32Array => tensorAsFloat32(file.tensors.get(key)!);
const dataset = goldenBatches();

/** Losses of `steps` steps and the weights after them. */
async function train(model: TrainerOptions['model'], rules: string, optimizer: Optimizer, steps: number) {
  const device = model instanceof Model ? 'gpu' : 'reference';
  const settings = { dataset, rules, optimizer, batch: 16, shuffle: false, logEvery: 10 };
  using trainer = await Trainer.create({ ...settings, model, device });
  const losses: number[] = [];
  await trainer.fit({
    epochs: 1,
    steps,
    onProgress: (progress) => losses.push(...progress.steps.map((step) => step.loss)),
  });
  return { losses, weights: await trainer.stateDict() };
}

const norm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0));

function checkWeights(
  prefix: string,
  weights: ReadonlyMap<string, { readonly data: ArrayLike<number> }>,
  bound: number,
): void {
  for (const [key, { data }] of weights) {
    const head = golden(`${prefix}.${key}.head`);
    expect(relativeError(Array.from(data).slice(0, head.length), head), `${prefix} ${key} head`).to.be.below(bound);
    expect(relativeError([norm(data)], golden(`${prefix}.${key}.norm`)), `${prefix} ${key} norm`).to.be.below(bound);
  }
}

for (const name of ['mlp', 'lenet5']) {
  describe(`training: golden runs of ${name}`, () => {
    const definition = modelDefinition(name);
    for (const [label, optimizer] of Object.entries(optimizers)) {
      for (const rule of ['bp', 'linbp']) {
        const prefix = `${name}.${label}.${rule}`;

        it(`${label}, ${rule}, device`, async () => {
          using model = Model.create(definition, { device: await sharedDevice() });
          model.setStateDict(formulaState(definition));
          const { losses, weights } = await train(model, rule, optimizer, 10);
          const expected = golden(`${prefix}.losses`);
          expect(losses).to.have.length(10);
          losses.forEach((loss, step) =>
            expect(Math.abs(loss / expected[step]! - 1), `loss ${step}`).to.be.below(1e-4),
          );
          checkWeights(prefix, weights, 1e-3);
        });

        // Every optimizer and every rule in the fast suite, on one of the two networks.
        const tag = (name === 'mlp') === (rule === 'bp') ? '' : ' @slow';
        it(`${label}, ${rule}, reference${tag}`, async () => {
          const { losses } = await train({ definition, weights: formulaState(definition) }, rule, optimizer, 3);
          const expected = golden(`${prefix}.losses`);
          losses.forEach((loss, step) =>
            expect(Math.abs(loss / expected[step]! - 1), `loss ${step}`).to.be.below(1e-6),
          );
        });
      }
    }
  });
}
