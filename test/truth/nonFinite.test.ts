import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import { fromArrays } from '../../src/data/dataset.js';
import { Graph } from '../../src/graph/graph.js';
import { targetedLosses } from '../../src/graph/types.js';
import type { LossKind } from '../../src/graph/types.js';
import { leastClasses } from '../../src/ops/loss.js';
import { Model } from '../../src/nn/model.js';
import { adam, sgd } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';
import { eightBitImages, randomLabels } from '../attacks/support.js';
import { sharedDevice } from '../support/device.js';
import { runGraph } from '../support/dispatch.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { simulateTraining } from '../../src/theory/simulate.js';
import { trainingDefaults } from '../../src/theory/simulationSettings.js';
import { STATISTICS, statisticsFromRows } from '../../src/theory/statistics.js';
import { refusal, smallNetwork, spoiled } from './support.js';

const count = 5;
const images = eightBitImages(7, count * 36);
const labels = randomLabels(8, count, 4);
const dataset = fromArrays({ shape: [count, 1, 6, 6], classes: 4, images, labels });

/** Where a number that is not finite may sit. Overflowing weights are finite themselves. */
const faults: readonly (readonly [what: string, name: string, value: number])[] = [
  ['NaN in the first convolution', 'conv.weight', NaN],
  ['Infinity in a bias', 'fc1.bias', Infinity],
  ['NaN in the last bias', 'fc2.bias', NaN],
  ['NaN in a running mean', 'bn.running_mean', NaN],
  ['minus one as a running variance', 'bn.running_var', -1],
  ['a weight that overflows float32', 'fc1.weight', 3e38],
];

describe('figures of networks that are not finite', () => {
  for (const [what, name, value] of faults) {
    const weights = spoiled(smallNetwork, name, value);
    if (name === 'fc1.weight') weights.get(name)!.data.fill(3e38);
    for (const where of ['gpu', 'reference'] as const) {
      // In float64 nothing overflows, so the reference rightly has figures.
      if (name === 'fc1.weight' && where === 'reference') continue;
      it(`${what}: attack, evaluation and training say diverged (${where})`, async () => {
        const host = { definition: smallNetwork, weights };
        let model: Model | undefined;
        if (where === 'gpu') {
          model = Model.create(smallNetwork, { device: await sharedDevice() });
          model.setStateDict(weights);
          const error = await refusal(() => model!.logits(images), 'diverged');
          if (name !== 'fc1.weight') expect(error.message).to.include(name.replace('.running_var', ' '));
        }
        using attack = await Attack.compile({ model: model ?? host, device: where, eps: 0.1, steps: 2, batch: count });
        await refusal(() => attack.run({ images, labels }), 'diverged');
        const settings = { dataset, optimizer: adam(), batch: 3 };
        using trainer = await Trainer.create({ ...settings, model: model ?? host, device: where });
        await refusal(() => trainer.evaluate(dataset), 'diverged');
        // Batch statistics take the place of the running ones, and hide a wrong variance until the evaluation.
        if (name !== 'bn.running_var') await refusal(() => trainer.fit({ epochs: 1 }), 'diverged');
        model?.destroy();
      });
    }
  }

  it('weights that diverge in the last step of a fit are noticed although no loss shows it', async () => {
    const device = await sharedDevice();
    using model = Model.create(smallNetwork, { device });
    using trainer = await Trainer.create({
      model,
      dataset,
      optimizer: sgd({ lr: 3e38, momentum: 0, weightDecay: 1e30 }),
      batch: count,
    });
    await refusal(() => trainer.fit({ epochs: 1 }), 'diverged');
    await refusal(() => trainer.fit({ epochs: 9, steps: 1 }), 'diverged');
  });

  it('a fit ends at the first loss that is not finite, and names its step', async () => {
    using model = Model.create(smallNetwork, { device: await sharedDevice() });
    using trainer = await Trainer.create({ model, dataset, optimizer: sgd({ lr: 1e30 }), batch: count, logEvery: 2 });
    const error = await refusal(() => trainer.fit({ epochs: 1000 }), 'diverged');
    // the first step has a loss, and leaves weights that overflow
    expect(error.message).to.match(/the loss is (NaN|Infinity) at step 2 /);
  });

  it("an objective of one's own that is finite where the logits are not does not hide it", async () => {
    using model = Model.create(smallNetwork, { device: await sharedDevice() });
    const weights = spoiled(smallNetwork, 'fc1.weight', 0);
    weights.get('fc1.weight')!.data.fill(3e38);
    model.setStateDict(weights);
    const objective = (graph: Graph, logits: Parameters<Graph['one']>[1][number]) => {
      const fn = { name: 'one', inputs: ['x'], scalars: [], results: ['select(x, 1.0, true)'], reference: () => [1] };
      const [batch] = logits.shape as [number];
      const ones = graph.one(
        'map',
        [
          graph.constant(
            'ones',
            Array.from({ length: batch }, () => 1),
          ),
        ],
        {
          fn,
          scalars: [],
          targets: ['new'],
        },
      );
      return { loss: ones, gradient: logits };
    };
    using trainer = await Trainer.create({ model, dataset, optimizer: adam(), objective, batch: count });
    await refusal(() => trainer.evaluate(dataset), 'diverged');
  });

  for (const kind of (Object.keys(leastClasses) as LossKind[]).filter((each) => !targetedLosses.has(each))) {
    for (const classes of [4, 100]) {
      const tag = classes < 65 || kind === 'crossEntropy' ? '' : ' @slow';
      it(`${kind} of ${classes} classes: a non-finite logit gives loss NaN and no right answer${tag}`, async () => {
        for (const bad of [NaN, Infinity, -Infinity]) {
          const graph = new Graph();
          const logits = graph.input('logits', [3, classes]);
          const truth = graph.input('labels', [3], 'u32');
          const results = [
            graph.one('loss', [logits, truth], { kind }),
            graph.one('lossBackward', [logits, truth], { kind, scale: 1 }),
            graph.one('correct', [logits, truth], {}),
          ];
          results.forEach((tensor, index) => graph.output(`${index}`, tensor));
          const values = Float32Array.from({ length: 3 * classes }, (_, i) => ((i * 37) % 11) / 7);
          // Sample 1: the label's logit is by far the largest, and another one is not finite.
          values[classes] = 50;
          values[2 * classes - 1] = bad;
          const targets = Uint32Array.of(1, 0, 2);
          const run = new ReferenceRun(graph);
          run.set(logits, values);
          run.set(truth, targets);
          run.run();
          const { results: device } = await runGraph(graph, {
            data: new Map<never, never>([
              [logits, values],
              [truth, targets],
            ] as never),
          });
          for (const get of [(i: number) => run.get(results[i]!), (i: number) => device(results[i]!)]) {
            const [loss, gradient, correct] = [get(0), get(1), get(2)];
            expect(loss[1], `loss with ${bad}`).to.be.NaN;
            expect(correct[1], `correct with ${bad}`).to.equal(0);
            expect([...gradient.subarray(classes, 2 * classes)].every(Number.isNaN)).to.equal(true);
            expect(Number.isFinite(loss[0]!) && Number.isFinite(loss[2]!), 'the other samples').to.equal(true);
          }
        }
      });
    }
  }

  it('max pooling hands NaN on, wherever it stands in the window', async () => {
    for (const place of [0, 1, 2, 3]) {
      const graph = new Graph();
      const x = graph.input('x', [1, 1, 2, 2]);
      const attrs = { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], ceilMode: false } as const;
      const [y] = graph.add('maxPool2d', [x], attrs);
      graph.output('y', y!);
      const values = Float32Array.of(1, 2, 3, 4);
      values[place] = NaN;
      const run = new ReferenceRun(graph);
      run.set(x, values);
      run.run();
      const { results } = await runGraph(graph, { data: new Map([[x, values]]) });
      expect(run.get(y!)[0], 'reference').to.be.NaN;
      expect(results(y!)[0], 'device').to.be.NaN;
    }
  });
});

describe('figures that are not of networks', () => {
  it('curves of simulations that leave what float32 holds, on the device and in float64', async () => {
    const settings = { ...trainingDefaults, d: 4, rows: 4, repeats: 3, steps: 400, rate: 1e3, seed: 1 };
    await refusal(async () => simulateTraining(await sharedDevice(), settings), 'diverged');
    await refusal(() => simulateTraining('reference', { ...settings, steps: 4000, rate: 1e30 }), 'diverged');
    const rows = new Float64Array(STATISTICS * 3);
    rows[7] = NaN;
    const error = await refusal(() => statisticsFromRows(rows, 3, 2), 'diverged');
    expect(error.message).to.equal('the mean of LinBP at step 1 is NaN');
  });
});
