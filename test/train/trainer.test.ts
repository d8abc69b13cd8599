import { expect } from 'chai';
import { fromArrays } from '../../src/data/dataset.js';
import type { Dataset } from '../../src/data/dataset.js';
import { LinbpError } from '../../src/errors.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { Model, initialState } from '../../src/nn/model.js';
import { sgd } from '../../src/train/optimizers.js';
import { exponential } from '../../src/train/schedules.js';
import type { TrainerOptions } from '../../src/train/settings.js';
import { Trainer } from '../../src/train/trainer.js';
import type { FitOptions } from '../../src/train/fitOptions.js';
import { relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { squares, tiny } from './support.js';

const seed = Math.floor(Math.random() * 2 ** 31);
const optimizer = sgd({ lr: 0.1, momentum: 0.9 });

async function tinyModel(from = seed): Promise<Model> {
  return Model.create(tiny, { device: await sharedDevice(), seed: from });
}

async function fails(run: Promise<unknown>): Promise<LinbpError> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).to.be.instanceOf(LinbpError);
  return error as LinbpError;
}

/** Weights, losses and results of one run from fresh weights. */
async function train(dataset: Dataset, options: Partial<TrainerOptions> = {}, fit: Partial<FitOptions> = {}) {
  using model = await tinyModel();
  using trainer = await Trainer.create({ model, dataset, optimizer, batch: 16, seed, ...options });
  const losses: number[] = [];
  const result = await trainer.fit({
    epochs: 2,
    ...fit,
    onProgress: (progress) => losses.push(...progress.steps.map((step) => step.loss)),
  });
  return { losses, result, weights: await trainer.stateDict() };
}

const bytes = (weights: ReadonlyMap<string, { readonly data: Float32Array | Float64Array }>): string =>
  Buffer.concat(
    [...weights.values()].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  ).toString('hex');

describe('trainer', () => {
  for (const rules of ['bp', 'linbp']) {
    it(`learns under ${rules}, from bytes as from floats`, async () => {
      const dataset = squares(150, { bytes: rules === 'bp' });
      using model = await tinyModel();
      using trainer = await Trainer.create({
        model,
        dataset,
        testDataset: squares(60),
        rules,
        optimizer,
        schedule: exponential(0.9),
        batch: 16,
        seed,
      });
      const result = await trainer.fit({ epochs: 8 });
      expect(result.epochs.map(({ epoch }) => epoch)).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8]);
      expect(result.steps).to.equal(80);
      expect(result.images).to.equal(8 * 150);
      expect(result.epochs.at(-1)!.testAccuracy).to.be.above(0.9);
      expect(result.epochs.at(-1)!.trainLoss).to.be.below(result.epochs[0]!.trainLoss);
    });
  }

  it('repeats bit for bit with the same seed, whatever the spacing of read-backs, and not with another', async () => {
    const dataset = squares(70);
    const [one, two, other] = [
      await train(dataset),
      await train(dataset, { logEvery: 2 }),
      await train(dataset, { seed: seed + 1 }),
    ];
    expect(two.losses).to.deep.equal(one.losses);
    expect(bytes(two.weights)).to.equal(bytes(one.weights));
    expect(bytes(other.weights)).to.not.equal(bytes(one.weights));
  });

  it('keeps the last partial batch: device and reference agree on its loss and on the weights after it', async () => {
    const dataset = squares(37);
    const { losses, weights, result } = await train(dataset);
    expect(losses).to.have.length(6);
    expect(result.images).to.equal(74);
    using reference = await Trainer.create({
      model: { definition: tiny, weights: initialState(tiny, seed) },
      device: 'reference',
      dataset,
      optimizer,
      batch: 16,
      seed,
    });
    const exact: number[] = [];
    await reference.fit({
      epochs: 2,
      onProgress: (progress) => exact.push(...progress.steps.map((step) => step.loss)),
    });
    expect(relativeError(losses, exact)).to.be.below(1e-4);
    const expected = await reference.stateDict();
    for (const [key, { data }] of weights) expect(relativeError(data, expected.get(key)!.data), key).to.be.below(1e-3);
  });

  it('trains with batch norm and dropout as the reference does, and evaluates without them', async () => {
    const definition: ModelDefinition = {
      name: 'tiny-bn',
      input: [1, 8, 8],
      classes: 3,
      build(net, images) {
        let x = net.relu('act', net.batchNorm('bn', net.conv('conv', images, 4, 3, { padding: 1, bias: false })));
        x = net.dropout('drop', net.flatten(net.maxPool('pool', x, 2)), 0.3);
        return net.linear('fc', x, 3);
      },
    };
    const dataset = squares(40);
    const options = { dataset, optimizer: sgd({ lr: 0.05, momentum: 0.9 }), batch: 16, seed };
    using model = Model.create(definition, { device: await sharedDevice(), seed });
    using trainer = await Trainer.create({ model, ...options });
    using reference = await Trainer.create({
      model: { definition, weights: initialState(definition, seed) },
      device: 'reference',
      ...options,
    });
    for (const each of [trainer, reference]) await each.fit({ epochs: 2 });
    const expected = await reference.stateDict();
    for (const [key, { data }] of await trainer.stateDict())
      expect(relativeError(data, expected.get(key)!.data), key).to.be.below(1e-3);
    expect(expected.get('bn.running_var')!.data.every((value) => value !== 1)).to.equal(true);
    for (const each of [trainer, reference]) {
      const shares: number[] = [];
      await each.evaluate(dataset, { onProgress: (share) => shares.push(share) });
      expect(shares.at(-1)).to.equal(1);
      expect(shares).to.deep.equal([...shares].sort((one, other) => one - other));
    }
    expect((await trainer.evaluate(dataset)).loss).to.be.closeTo((await reference.evaluate(dataset)).loss, 1e-4);
  });

  it('on the reference a model lends its weights and keeps them; weights on the host give the same bits', async () => {
    using model = await tinyModel();
    const before = bytes(await model.stateDict());
    const trained = async (from: TrainerOptions['model']): Promise<string> => {
      using trainer = await Trainer.create({ model: from, device: 'reference', dataset: squares(37), optimizer });
      await trainer.fit({ epochs: 2 });
      const state = await trainer.stateDict();
      expect([...state.values()].every(({ data }) => data instanceof Float64Array)).to.equal(true);
      return bytes(state);
    };
    const lent = await trained(model);
    expect(bytes(await model.stateDict())).to.equal(before);
    expect(lent).to.equal(await trained({ definition: tiny, weights: initialState(tiny, seed) }));
  });

  it('weights on the host need the reference, and all of them', async () => {
    const weights = new Map(initialState(tiny, seed));
    const model = { definition: tiny, weights };
    const options = { model, dataset: squares(20), optimizer };
    const onHost = await fails(Trainer.create(options));
    expect([onHost.code, onHost.field]).to.deep.equal(['bad-argument', 'model']);
    const elsewhere = await fails(Trainer.create({ ...options, device: 'cpu' as 'gpu' }));
    expect([elsewhere.code, elsewhere.field]).to.deep.equal(['unknown-option', 'device']);
    weights.delete('fc.2.bias');
    const missing = await fails(Trainer.create({ ...options, device: 'reference' }));
    expect([missing.code, missing.field]).to.deep.equal(['bad-shape', 'weights']);
    expect(missing.message).to.include('fc.2.bias [3], got nothing');
  });

  it('takes a batch larger than the data set', async () => {
    const { losses } = await train(squares(10), { batch: 64 });
    expect(losses).to.have.length(2);
  });

  it('evaluates without changing anything, as the reference does', async () => {
    const dataset = squares(300);
    using model = await tinyModel();
    using trainer = await Trainer.create({ model, dataset, optimizer });
    const before = bytes(await trainer.stateDict());
    const found = await trainer.evaluate(dataset);
    using reference = await Trainer.create({
      model: { definition: tiny, weights: initialState(tiny, seed) },
      device: 'reference',
      dataset,
      optimizer,
    });
    const expected = await reference.evaluate(dataset);
    expect(found.count).to.equal(300);
    expect(found.loss).to.be.closeTo(expected.loss, 1e-5);
    expect(found.correct).to.be.closeTo(expected.correct, 1);
    expect(bytes(await trainer.stateDict())).to.equal(before);
  });

  it('one submit holds whole steps, and a block of steps reads back once, an epoch its weights', async () => {
    const device = await sharedDevice();
    using model = await tinyModel();
    using trainer = await Trainer.create({ model, dataset: squares(160), optimizer, batch: 16, logEvery: 10 });
    await trainer.fit({ epochs: 1 });
    const before = { ...device.counters };
    await trainer.fit({ epochs: 2 });
    expect(device.counters.readbacks - before.readbacks).to.equal(2);
    expect(device.counters.submits - before.submits).to.be.at.most(10);
    expect(device.counters.dispatches - before.dispatches).to.equal(10 * trainer.kernels.length);
  });

  it('reports progress', async () => {
    const seen: number[] = [];
    await train(
      squares(64),
      { logEvery: 3 },
      {
        epochs: 1,
        onEpoch: ({ epoch, seconds, trainAccuracy }) => {
          expect(seconds).to.be.above(0);
          expect(trainAccuracy).to.be.within(0, 1);
          seen.push(epoch);
        },
      },
    );
    expect(seen).to.deep.equal([1]);
  });

  it('says how far compiling is: of the step before training, of evaluation when first asked for', async () => {
    using model = await tinyModel();
    const calls: [number, number][] = [];
    const onCompile = (done: number, total: number): void => void calls.push([done, total]);
    using trainer = await Trainer.create({
      model,
      dataset: squares(20),
      testDataset: squares(8),
      optimizer,
      batch: 16,
      onCompile,
    });
    // A full batch and the rest of 4 samples.
    const complete = (): number => calls.filter(([done, total]) => done === total).length;
    expect(calls.length).to.be.greaterThan(2);
    expect(complete()).to.equal(2);
    for (const [done, total] of calls) expect(done).to.be.within(1, total);
    await trainer.fit({ epochs: 1 });
    expect(complete()).to.equal(3);
  });

  it('an objective of its own: cross entropy written out gives the same run; a margin as loss another', async () => {
    const dataset = squares(64);
    const plain = await train(dataset);
    const own = await train(dataset, {
      objective: (graph, logits, labels, scale) => ({
        loss: graph.one('loss', [logits, labels], { kind: 'crossEntropy' }),
        gradient: graph.one('lossBackward', [logits, labels], { kind: 'crossEntropy', scale }),
      }),
    });
    expect(own.losses).to.deep.equal(plain.losses);
    const margin = await train(dataset, { loss: 'margin' });
    expect(margin.losses[0]).to.not.equal(plain.losses[0]);
  });

  it('stops between submits when aborted; what was done counts', async () => {
    const controller = new AbortController();
    using model = await tinyModel();
    using trainer = await Trainer.create({ model, dataset: squares(160), optimizer, batch: 16, logEvery: 2 });
    const error = await fails(
      trainer.fit({
        epochs: 5,
        signal: controller.signal,
        onProgress: ({ step }) => (step >= 12 ? controller.abort() : undefined),
      }),
    );
    expect(error.code).to.equal('aborted');
    expect(trainer.steps).to.equal(12);
    expect(trainer.history).to.have.length(1);
    const { steps } = await trainer.fit({ epochs: 2 });
    expect(steps).to.equal(8);
  });

  it('stops at a loss that is not finite and names rule and learning rate', async () => {
    using model = await tinyModel();
    using trainer = await Trainer.create({
      model,
      dataset: squares(160),
      rules: 'linbp',
      optimizer: sgd({ lr: 1e30 }),
      batch: 16,
    });
    const error = await fails(trainer.fit({ epochs: 3 }));
    expect(error.code).to.equal('diverged');
    expect(error.message)
      .to.match(/linbp/)
      .and.match(/1e\+30/);
  });

  it('refuses bad input before any work', async () => {
    using model = await tinyModel();
    const dataset = squares(20);
    const shaped = (shape: [number, number, number, number], classes: number): Dataset =>
      fromArrays({
        shape,
        classes,
        images: new Uint8Array(shape.reduce((a, b) => a * b)),
        labels: new Uint8Array(shape[0]),
      });
    const cases: [Partial<TrainerOptions>, string, string][] = [
      [{ batch: 0 }, 'bad-range', 'batch'],
      [{ batch: 1.5 }, 'bad-range', 'batch'],
      [{ seed: -1 }, 'bad-range', 'seed'],
      [{ logEvery: 0 }, 'bad-range', 'logEvery'],
      [{ rules: 'nothing' }, 'unknown-rule', 'rule'],
      [{ rules: 'linbp:from=nowhere' }, 'unknown-layer', 'from'],
      [{ dataset: shaped([4, 1, 9, 8], 3) }, 'bad-shape', 'dataset'],
      [{ dataset: shaped([4, 1, 8, 8], 4) }, 'bad-shape', 'dataset'],
      [{ dataset: { ...dataset, count: 0 } }, 'bad-shape', 'dataset'],
      [{ dataset: { ...dataset, count: 19 } }, 'bad-shape', 'images'],
      [{ dataset: { ...dataset, labels: new Uint8Array(20).fill(3) } }, 'bad-range', 'squares'],
      [{ testDataset: shaped([4, 3, 8, 8], 3) }, 'bad-shape', 'testDataset'],
      [{ optimizer: { ...optimizer, lr: -1 } }, 'bad-range', 'lr'],
    ];
    for (const [options, code, field] of cases) {
      const error = await fails(Trainer.create({ model, dataset, optimizer, ...options }));
      expect([error.code, error.field], error.message).to.deep.equal([code, field]);
    }
    using trainer = await Trainer.create({ model, dataset, optimizer });
    expect((await fails(trainer.fit({ epochs: 0 }))).code).to.equal('bad-range');
    expect((await fails(trainer.fit({ epochs: 1, steps: -1 }))).code).to.equal('bad-range');
  });
});
