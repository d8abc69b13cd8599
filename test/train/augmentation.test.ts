import { expect } from 'chai';
import { Model } from '../../src/nn/model.js';
import { cifar10Statistics, normalized } from '../../src/nn/normalize.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { cropFlipOf } from '../../src/random/cropFlip.js';
import { permutation } from '../../src/random/permutation.js';
import { randomStreams } from '../../src/random/philox.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { cropAndFlip, inOrder } from '../../src/train/augmentation.js';
import { sgd } from '../../src/train/optimizers.js';
import type { InputStage } from '../../src/train/step.js';
import { Trainer } from '../../src/train/trainer.js';
import { Graph } from '../../src/graph/graph.js';
import { addModel } from '../../src/nn/definition.js';
import { LinbpError } from '../../src/errors.js';
import { sharedDevice } from '../support/device.js';
import { formulaState, squares, tiny } from './support.js';

// 40 images in batches of 16: the last batch of an epoch has 8.
const data = squares(40);

async function train(where: 'device' | 'reference', inputs: InputStage | undefined, rules = 'bp', seed = 3) {
  const weights = formulaState(tiny);
  const model =
    where === 'device' ? Model.create(tiny, { device: await sharedDevice() }) : { definition: tiny, weights };
  if (model instanceof Model) model.setStateDict(weights);
  const settings = {
    model,
    dataset: data,
    testDataset: data,
    rules,
    batch: 16,
    seed,
    optimizer: sgd({ lr: 0.05, momentum: 0.9, weightDecay: 5e-4 }),
  };
  const device = where === 'device' ? 'gpu' : where;
  const trainer = await Trainer.create({ ...settings, device, ...(inputs && { inputs }) });
  const losses: number[] = [];
  const { epochs } = await trainer.fit({
    epochs: 2,
    onProgress: ({ steps }) => losses.push(...steps.map(({ loss }) => loss)),
  });
  const { description } = trainer;
  trainer.destroy();
  if (model instanceof Model) model.destroy();
  return { losses, epochs, description };
}

describe('crops and mirrors in training', () => {
  it('agree with the reference, the smaller last batch kept', async () => {
    const [here, there] = [
      await train('device', cropAndFlip({ padding: 2 })),
      await train('reference', cropAndFlip({ padding: 2 })),
    ];
    expect(here.losses).to.have.length(6);
    here.losses.forEach((loss, step) => expect(loss, `step ${step}`).to.be.closeTo(there.losses[step]!, 1e-4));
    expect(here.description['inputs']).to.equal('crop padding=2 flip=true');
  });

  it('are the same for every rule and repeat with the seed', async () => {
    const [bp, again, linbp] = [
      await train('device', cropAndFlip()),
      await train('device', cropAndFlip()),
      await train('device', cropAndFlip(), 'linbp'),
    ];
    expect(again.losses).to.deep.equal(bp.losses);
    expect(linbp.losses[0]).to.equal(bp.losses[0]);
    expect(linbp.losses[3]).to.not.equal(bp.losses[3]);
  });

  it('are keyed by image and step: a sample of the second epoch is cropped anew', () => {
    const order = permutation(40, 3, 1);
    const crops = [1, 4].map((step) => cropFlipOf(3, randomStreams.augmentation, order[0]!, step, 4));
    expect(crops[0]).not.to.deep.equal(crops[1]);
  });

  it('without padding and mirrors nothing changes, and stages follow one another', async () => {
    const plain = await train('device', undefined);
    const nothing = cropAndFlip({ padding: 0, flip: false });
    expect((await train('device', nothing)).losses).to.deep.equal(plain.losses);
    const both = inOrder(nothing, cropAndFlip({ padding: 2 }));
    expect(both.name).to.equal('crop padding=0 flip=false, then crop padding=2 flip=true');
    expect((await train('device', both)).losses).to.deep.equal(
      (await train('device', cropAndFlip({ padding: 2 }))).losses,
    );
  });

  it('refuse padding out of range', () => {
    for (const padding of [-1, 0.5, 128]) expect(() => cropAndFlip({ padding })).to.throw(LinbpError, 'padding');
  });
});

describe('normalization in front of a network', () => {
  it("is the theory paper's for CIFAR-10", () => {
    // A linear layer that picks out one pixel shows what the network sees.
    const plain = modelDefinition('convnetjs-cnn');
    const seen = normalized({ ...plain, build: (net, x) => net.linear('fc', net.flatten(x), 10) }, cifar10Statistics);
    const graph = new Graph();
    const images = graph.input('images', [1, 3, 32, 32]);
    const { logits, parameters, tensors } = addModel(graph, seen, images);
    const run = new ReferenceRun(graph);
    run.set(images, new Float64Array(3072).fill(0.25));
    const weights = new Float64Array(parameters.shape[0]!);
    const at = tensors.get('fc.weight')!.view!.offset;
    for (let channel = 0; channel < 3; channel++) weights[at + channel * 3072 + channel * 1024 + 500] = 1;
    run.set(parameters, weights);
    run.run();
    const wanted = [(0.25 - 0.4914) / 0.2023, (0.25 - 0.4822) / 0.1994, (0.25 - 0.4465) / 0.201];
    wanted.forEach((value, channel) => expect(run.get(logits)[channel]).to.be.closeTo(value, 1e-6));
  });

  it('refuses other numbers of channels and deviations of zero', () => {
    const mlp = modelDefinition('mlp');
    expect(() => normalized(mlp, cifar10Statistics)).to.throw(LinbpError, '1 mean');
    expect(() => normalized(mlp, { means: [0], deviations: [0] })).to.throw(LinbpError, 'positive');
  });
});
