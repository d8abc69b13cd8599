import { expect } from 'chai';
import { pgdInputs } from '../../src/attacks/pgdInputs.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { Model } from '../../src/nn/model.js';
import { sgd } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';
import type { InputStage } from '../../src/train/step.js';
import { fromArrays } from '../../src/data/dataset.js';
import { sharedDevice } from '../support/device.js';
import { formulaState, squares, tiny } from './support.js';

const data = squares(48);

/** Losses of three steps under the given stage, on the device or by the reference. */
async function losses(
  stage: InputStage | undefined,
  where: 'device' | 'reference',
  rules = 'bp',
  definition = tiny,
): Promise<number[]> {
  const weights = formulaState(definition);
  const model =
    where === 'device' ? Model.create(definition, { device: await sharedDevice() }) : { definition, weights };
  if (model instanceof Model) model.setStateDict(weights);
  const settings = { model, dataset: data, rules, batch: 16, seed: 3, optimizer: sgd({ lr: 0.05 }) };
  const device = where === 'device' ? 'gpu' : where;
  const trainer = await Trainer.create({ ...settings, device, ...(stage && { inputs: stage }) });
  const found: number[] = [];
  await trainer.fit({ epochs: 1, onProgress: ({ steps }) => found.push(...steps.map(({ loss }) => loss)) });
  trainer.destroy();
  if (model instanceof Model) model.destroy();
  return found;
}

/** Batch norm makes the mode of the inner attack visible. */
const withBatchNorm: ModelDefinition = {
  name: 'with batch norm',
  input: [1, 8, 8],
  classes: 3,
  build(net, images) {
    const x = net.relu('relu', net.batchNorm('bn', net.conv('conv', images, 4, 3, { padding: 1 })));
    return net.linear('fc', net.flatten(x), 3);
  },
};

describe('adversarial training in one program', () => {
  it('an inner attack of radius zero changes nothing', async () => {
    const plain = await losses(undefined, 'device');
    expect(await losses(pgdInputs({ rules: 'bp', eps: 0, alpha: 0.1, steps: 2 }), 'device')).to.deep.equal(plain);
  });

  it('agrees with the reference for every combination of rules', async () => {
    for (const attackRule of ['bp', 'linbp']) {
      for (const weightRule of ['bp', 'linbp']) {
        const stage = pgdInputs({ rules: attackRule, eps: 0.1, alpha: 0.05, steps: 3 });
        const [here, there] = [await losses(stage, 'device', weightRule), await losses(stage, 'reference', weightRule)];
        here.forEach((loss, step) =>
          expect(loss, `${attackRule} ${weightRule} step ${step}`).to.be.closeTo(there[step]!, 1e-4),
        );
      }
    }
  });

  it('attacks the network in train or in eval mode, and moves no running statistics @slow', async () => {
    const stage = (mode: 'train' | 'eval', eps = 0.1) => pgdInputs({ rules: 'bp', eps, alpha: 0.05, steps: 2, mode });
    for (const mode of ['train', 'eval'] as const) {
      const [here, there] = [
        await losses(stage(mode), 'device', 'bp', withBatchNorm),
        await losses(stage(mode), 'reference', 'bp', withBatchNorm),
      ];
      here.forEach((loss, step) => expect(loss, `${mode} step ${step}`).to.be.closeTo(there[step]!, 1e-4));
    }
    const [train, evaluation] = [
      await losses(stage('train'), 'device', 'bp', withBatchNorm),
      await losses(stage('eval'), 'device', 'bp', withBatchNorm),
    ];
    expect(train[0]).not.to.equal(evaluation[0]);
    const statistics = async (inputs: InputStage | undefined): Promise<number[]> => {
      using model = Model.create(withBatchNorm, { device: await sharedDevice() });
      model.setStateDict(formulaState(withBatchNorm));
      using trainer = await Trainer.create({
        model,
        dataset: data,
        batch: 16,
        seed: 3,
        optimizer: sgd({ lr: 0.05 }),
        ...(inputs && { inputs }),
      });
      await trainer.fit({ epochs: 1, steps: 1 });
      const state = await trainer.stateDict();
      return ['bn.running_mean', 'bn.running_var'].flatMap((name) => [...state.get(name)!.data]);
    };
    expect(await statistics(stage('train', 0))).to.deep.equal(await statistics(undefined));
  });

  it('raises the loss of the first step', async () => {
    const [plain] = await losses(undefined, 'reference');
    const [attacked] = await losses(pgdInputs({ rules: 'bp', eps: 0.2, alpha: 0.1, steps: 4 }), 'reference');
    expect(attacked!).to.be.above(plain! + 0.01);
  });

  it('a stage that returns other shapes is refused', async () => {
    const wrong: InputStage = { name: 'wrong', emit: ({ sampleIds }) => sampleIds };
    const images = new Float32Array(64);
    const dataset = fromArrays({ shape: [1, 1, 8, 8], classes: 3, images, labels: Uint8Array.of(0) });
    using model = Model.create(tiny, { device: await sharedDevice() });
    const failure = await Trainer.create({ model, dataset, optimizer: sgd({ lr: 0.1 }), inputs: wrong }).catch(
      (error: unknown) => error,
    );
    expect(failure).to.have.property('code', 'bad-shape');
  });
});
