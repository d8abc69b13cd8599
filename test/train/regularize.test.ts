import { expect } from 'chai';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromArrays, subset } from '../../src/data/dataset.js';
import type { Dataset } from '../../src/data/dataset.js';
import { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import { tensorAsFloat32 } from '../../src/io/safetensors.js';
import { initialState, Model } from '../../src/nn/model.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { bestEpoch, bestPath, outOfPatience } from '../../src/train/best.js';
import { balancedClassWeights, weightedCrossEntropy } from '../../src/train/classWeights.js';
import { sgd } from '../../src/train/optimizers.js';
import type { EpochResult } from '../../src/train/progress.js';
import { clipGradients, smoothedCrossEntropy } from '../../src/train/regularize.js';
import { cosine, warmup } from '../../src/train/schedules.js';
import type { TrainerOptions } from '../../src/train/settings.js';
import { Trainer } from '../../src/train/trainer.js';
import { compareGraph, randomArray, relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { squares, tiny } from './support.js';
import { loadTensors } from '../support/tensors.js';

const norm = (values: ArrayLike<number>): number => Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0));

describe('label smoothing', () => {
  const [count, classes, smoothing] = [5, 7, 0.2];
  const graph = new Graph();
  const logits = graph.input('logits', [count, classes]);
  const labels = graph.input('labels', [count], 'u32');
  const { loss, gradient } = smoothedCrossEntropy(graph, logits, labels, smoothing, 0.25);
  graph.output('loss', loss);
  graph.output('gradient', gradient!);
  const given = Uint32Array.from({ length: count }, (_, n) => (3 * n) % classes);

  /** sum_k q_k (log sum exp(z) - z_k) with q = s / K, and 1 - s + s / K for the label. */
  const losses = (z: ArrayLike<number>): number[] =>
    Array.from({ length: count }, (_, n) => {
      const row = Array.from({ length: classes }, (__, k) => z[n * classes + k]!);
      const top = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
      return row.reduce((sum, value, k) => {
        const q = smoothing / classes + (k === given[n] ? 1 - smoothing : 0);
        return sum + q * (top - value);
      }, 0);
    });

  it('is the cross entropy against smoothed probabilities, and its gradient is that of the loss', () => {
    const z = Float64Array.from(randomArray(count * classes), (value) => 3 * value);
    const run = new ReferenceRun(graph);
    run.set(logits, z);
    run.set(labels, given);
    run.run();
    expect(relativeError(run.get(loss), losses(z))).to.be.below(1e-12);
    const numeric = z.map((_, i) => {
      const at = (step: number): number =>
        losses(z.map((value, j) => (i === j ? value + step : value)))[Math.floor(i / classes)]!;
      return (0.25 * (at(1e-5) - at(-1e-5))) / 2e-5;
    });
    expect(relativeError(run.get(gradient!), numeric)).to.be.below(1e-8);
  });

  it('is the same on the device', async () => {
    for (const { name, error } of await compareGraph(graph, new Map([[labels, given]])))
      expect(error, name).to.be.below(1e-5);
  });
});

describe('class weights', () => {
  const [count, classes] = [6, 4];
  const weights = [0.5, 2, 0, 1.25];
  const graph = new Graph();
  const logits = graph.input('logits', [count, classes]);
  const labels = graph.input('labels', [count], 'u32');
  const { loss, gradient } = weightedCrossEntropy(graph, logits, labels, weights, 1 / count);
  graph.output('loss', loss);
  graph.output('gradient', gradient!);
  const given = Uint32Array.of(0, 1, 2, 3, 1, 3);

  /** PyTorch's mean: sum w[y] loss / sum w[y]. */
  const mean = (z: ArrayLike<number>): number => {
    let [sum, total] = [0, 0];
    given.forEach((label, n) => {
      const row = Array.from({ length: classes }, (_, k) => z[n * classes + k]!);
      const top = Math.log(row.reduce((each, value) => each + Math.exp(value), 0));
      sum += weights[label]! * (top - row[label]!);
      total += weights[label]!;
    });
    return sum / total;
  };

  it("have PyTorch's mean as the batch mean, and its gradient", () => {
    const z = Float64Array.from(randomArray(count * classes), (value) => 3 * value);
    const run = new ReferenceRun(graph);
    run.set(logits, z);
    run.set(labels, given);
    run.run();
    const found = Array.from(run.get(loss)).reduce((a, b) => a + b) / count;
    expect(Math.abs(found / mean(z) - 1)).to.be.below(1e-12);
    const numeric = z.map((_, i) => {
      const at = (step: number): number => mean(z.map((value, j) => (i === j ? value + step : value)));
      return (at(1e-5) - at(-1e-5)) / 2e-5;
    });
    expect(relativeError(run.get(gradient!), numeric)).to.be.below(1e-8);
  });

  it('are the same on the device', async () => {
    for (const { name, error } of await compareGraph(graph, new Map([[labels, given]])))
      expect(error, name).to.be.below(1e-5);
  });

  it('balance the shares of the classes', () => {
    const dataset = squares(7);
    const balanced = balancedClassWeights(dataset);
    const shares = [0, 0, 0];
    for (const label of dataset.labels) shares[label]! += balanced[label]!;
    for (const share of shares) expect(share).to.be.closeTo(7 / 3, 1e-12);
  });

  it('of another number, negative, or beside another loss are refused', async () => {
    const options = {
      model: { definition: tiny, weights: initialState(tiny) },
      device: 'reference' as const,
      dataset: squares(7),
      optimizer: sgd({ lr: 0.1 }),
    };
    for (const [more, code] of [
      [{ classWeights: [1, 2] }, 'bad-shape'],
      [{ classWeights: [1, -2, 1] }, 'bad-range'],
      [{ classWeights: [0, 0, 0] }, 'bad-range'],
      [{ classWeights: [1, 1, 1], labelSmoothing: 0.1 }, 'bad-argument'],
      [{ dropLast: true, batch: 8 }, 'bad-range'],
    ] as const) {
      const error = await Trainer.create({ ...options, ...more }).catch((thrown: unknown) => thrown as LinbpError);
      expect((error as LinbpError).code).to.equal(code);
    }
  });
});

describe('dropping the last batch', () => {
  it('takes whole batches only, and equals training without the samples that are left', async () => {
    const all = squares(10);
    const model = (): TrainerOptions['model'] => ({ definition: tiny, weights: initialState(tiny, 2) });
    const common = { device: 'reference', optimizer: sgd({ lr: 0.1 }), batch: 4, shuffle: false } as const;
    const trained = async (dataset: Dataset, dropLast: boolean) => {
      using trainer = await Trainer.create({ ...common, model: model(), dataset, dropLast });
      const { steps } = await trainer.fit({ epochs: 2 });
      return { steps, weights: await trainer.stateDict() };
    };
    const dropped = await trained(all, true);
    const whole = await trained(subset(all, 8), false);
    expect([dropped.steps, (await trained(all, false)).steps]).to.deep.equal([4, 6]);
    for (const [key, { data }] of whole.weights) expect(dropped.weights.get(key)!.data, key).to.deep.equal(data);
  });
});

describe('clipping by norm', () => {
  const clipped = async (values: Float32Array, most: number): Promise<ArrayLike<number>> => {
    const graph = new Graph();
    const gradients = graph.state('gradients', [values.length]);
    clipGradients(graph, gradients, most, undefined);
    graph.output('gradients', gradients);
    const [compared] = await compareGraph(graph, new Map([[gradients, values]]));
    expect(compared!.error).to.be.below(1e-6);
    const run = new ReferenceRun(graph);
    run.set(gradients, values);
    run.run();
    return run.get(gradients);
  };

  it('shortens long gradients to the length without turning them, and leaves short ones their bits', async () => {
    const values = randomArray(1000);
    const long = await clipped(values, 0.5);
    expect(norm(long)).to.be.closeTo(0.5, 1e-9);
    const scale = 0.5 / norm(values);
    expect(
      relativeError(
        long,
        values.map((value) => value * scale),
      ),
    ).to.be.below(1e-6);
    expect(Array.from(await clipped(values, 2 * norm(values)))).to.deep.equal(Array.from(values));
    // Without an absolute number beside the norm tiny gradients are clipped as exactly.
    const tinyOnes = values.map((value) => value * 1e-12);
    expect(norm(await clipped(tinyOnes, 1e-13)) / 1e-13).to.be.closeTo(1, 1e-6);
  });
});

describe('the best epoch', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-best-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const results = (...losses: number[]): EpochResult[] =>
    losses.map((testLoss, i) => ({
      epoch: i + 1,
      trainLoss: 9 - i,
      trainAccuracy: 0,
      testLoss,
      testAccuracy: 0,
      seconds: 1,
    }));

  it('has the lowest test loss, the first of equal ones', () => {
    expect(bestEpoch([])).to.equal(0);
    expect(bestEpoch(results(3, 2, 2, 4))).to.equal(2);
    expect(outOfPatience(results(3, 2, 4), 2)).to.equal(false);
    expect(outOfPatience(results(3, 2, 4, 4), 2)).to.equal(true);
    expect(outOfPatience([], 1)).to.equal(false);
  });

  it('is among the epochs that were tested, once there are some: losses of different images are not compared', () => {
    const untested = results(1, 1, 1).map(({ testLoss: _, testAccuracy: __, ...rest }) => ({
      ...rest,
      trainLoss: 0.1,
    }));
    const history = [...untested, ...results(3, 2, 4)];
    expect(bestEpoch(untested)).to.equal(1);
    expect(bestEpoch(history)).to.equal(5);
    expect(outOfPatience(history, 2)).to.equal(false);
    expect(outOfPatience([...history, ...results(3)], 2)).to.equal(true);
  });

  it('ends training, is kept in memory and beside the checkpoint, and does not change the run', async () => {
    const train = squares(48);
    // Labels moved by one: the better the network, the higher the loss, so the first epoch is best.
    const { images } = squares(24);
    const wrong = Int32Array.from({ length: 24 }, (_, n) => (n + 1) % 3);
    const test = fromArrays({
      name: 'wrong',
      shape: [24, 1, 8, 8],
      classes: 3,
      images: images as Float32Array,
      labels: wrong,
    });
    const checkpoint = join(folder, 'run');
    const fit = async (epochs: number, patience: number | undefined, options: Partial<TrainerOptions> = {}) => {
      using model = Model.create(tiny, { device: await sharedDevice(), seed: 3 });
      using trainer = await Trainer.create({
        model,
        dataset: train,
        testDataset: test,
        optimizer: sgd({ lr: 0.3 }),
        batch: 16,
        ...options,
      });
      await trainer.fit({ epochs, checkpoint, keepBest: true, ...(patience !== undefined && { patience }) });
      return { history: [...trainer.history], best: trainer.best!, weights: await trainer.stateDict() };
    };
    const { history, best } = await fit(8, 2);
    expect(history.map(({ testLoss }) => testLoss!)).to.satisfy(([first, ...rest]: number[]) =>
      rest.every((loss) => loss > first!),
    );
    expect(history).to.have.length(3);
    expect(best.epoch).to.equal(1);
    expect(existsSync(bestPath(checkpoint))).to.equal(true);
    const written = loadTensors(bestPath(checkpoint)).tensors;
    const one = await fit(1, undefined);
    for (const [key, { data }] of one.weights) {
      expect(best.weights.get(key)!.data, key).to.deep.equal(data);
      expect(tensorAsFloat32(written.get(key)!), key).to.deep.equal(data);
    }
  });
});

describe('warm-up', () => {
  it('grows in equal steps to the rate of the schedule', () => {
    const schedule = warmup(cosine(10), 4);
    for (let epoch = 0; epoch < 10; epoch++)
      expect(schedule.rate(0.1, epoch)).to.be.closeTo(
        cosine(10).rate(0.1, epoch) * Math.min(1, (epoch + 1) / 5),
        1e-15,
      );
    expect(schedule.settings).to.deep.equal({ maxEpochs: 10, warmup: 4 });
    expect(() => warmup(cosine(10), 0)).to.throw(LinbpError);
  });
});

describe('regularized training', () => {
  it('computes on the device what the reference computes, and reports the plain loss in evaluation', async () => {
    const data = squares(32);
    const options = {
      dataset: data,
      testDataset: data,
      optimizer: sgd({ lr: 0.1 }),
      batch: 16,
      labelSmoothing: 0.1,
      clipNorm: 0.05,
    };
    using model = Model.create(tiny, { device: await sharedDevice(), seed: 1 });
    using onDevice = await Trainer.create({ ...options, model });
    const host = { definition: tiny, weights: initialState(tiny, 1) };
    using onHost = await Trainer.create({ ...options, model: host, device: 'reference' });
    await onDevice.fit({ epochs: 2 });
    await onHost.fit({ epochs: 2 });
    const expected = await onHost.stateDict();
    for (const [key, { data: values }] of await onDevice.stateDict())
      expect(relativeError(values, expected.get(key)!.data), key).to.be.below(1e-5);
    using plain = await Trainer.create({ dataset: data, optimizer: sgd({ lr: 0.1 }), model });
    expect(onDevice.history.at(-1)!.testLoss!).to.be.closeTo((await plain.evaluate(data)).loss, 1e-6);
    expect(onDevice.description).to.include({ labelSmoothing: '0.1', clipNorm: '0.05' });
  });

  it('refuses values that cannot be meant', async () => {
    const model = { definition: tiny, weights: initialState(tiny, 1) };
    for (const bad of [{ labelSmoothing: 0 }, { labelSmoothing: 1 }, { clipNorm: 0 }, { clipNorm: NaN }]) {
      const options = { model, device: 'reference', dataset: squares(8), optimizer: sgd({ lr: 0.1 }) } as const;
      const error = await Trainer.create({ ...options, ...bad }).catch((e: unknown) => e);
      expect(error, JSON.stringify(bad)).to.be.instanceOf(LinbpError);
      expect((error as LinbpError).code).to.equal('bad-range');
    }
  });
});
