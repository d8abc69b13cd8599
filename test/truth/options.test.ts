import { expect } from 'chai';
import { Attack, autoAttack, pgdInputs } from '../../src/attacks/index.js';
import { fromArrays } from '../../src/data/dataset.js';
import { drawDigits } from '../../src/data/digits.js';
import { loadDataset } from '../../src/data/load.js';
import { Graph } from '../../src/graph/graph.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { describeModel } from '../../src/nn/definition.js';
import { initialState, Model } from '../../src/nn/model.js';
import { normalized } from '../../src/nn/normalize.js';
import { predict } from '../../src/nn/predict.js';
import { exportOnnx, importOnnx, runOnnx } from '../../src/onnx/index.js';
import { profileProgram } from '../../src/profile/profile.js';
import { Program } from '../../src/program/program.js';
import { leaky, silu, softplus } from '../../src/rules/builtin.js';
import { parseRules } from '../../src/rules/parse.js';
import { useRule, wgslRule } from '../../src/rules/user.js';
import { registerFunction } from '../../src/rules/userFunction.js';
import { cropAndFlip } from '../../src/train/augmentation.js';
import { adam, adamw, sgd } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';
import { tuneProgram } from '../../src/tune/tuner.js';
import { TuningTable } from '../../src/choices/table.js';
import { sharedDevice } from '../support/device.js';
import { refusal } from './support.js';

/** What TypeScript would not let through, at least where it is written in place. */
const wrong = <T>(value: unknown): T => value as T;

const definition: ModelDefinition = {
  name: 'tiny',
  input: [1, 2, 2],
  classes: 4,
  build: (net, x) => net.linear('a', net.flatten(x), 4),
};
const weights = initialState(definition, 1);
const arrays = {
  shape: [2, 1, 2, 2] as [number, number, number, number],
  classes: 4,
  images: new Uint8Array(8),
  labels: Uint8Array.of(0, 1),
};
const pixels = new Float32Array(4);

describe('options whose types TypeScript alone knows', () => {
  it('flags are booleans, signals are signals, callbacks are functions, parameters are numbers', async () => {
    const host = { definition, weights };
    const dataset = fromArrays(arrays);
    const trainer = (more: object) =>
      Trainer.create(wrong({ model: host, device: 'reference', dataset, optimizer: adam(), ...more }));
    const attack = (more: object) => Attack.compile(wrong({ model: host, device: 'reference', eps: 0.1, ...more }));
    const controller = new AbortController();
    const entries: Record<string, () => unknown> = {
      nesterov: () => sgd(wrong({ lr: 0.1, momentum: 0.9, nesterov: 'false' })),
      flip: () => cropAndFlip(wrong({ flip: 0 })),
      shuffle: () => trainer({ shuffle: 'no' }),
      dropLast: () => trainer({ dropLast: 'false' }),
      objective: () => trainer({ objective: 'mse' }),
      targeted: () => attack({ targeted: 'false' }),
      randomStart: () => attack({ randomStart: 1 }),
      compact: () => autoAttack(wrong({ model: host, images: pixels, labels: [0], eps: 0.1, compact: 'false' })),
      signal: () => predict(host, pixels, wrong({ device: 'reference', signal: controller })),
      onProgress: () => predict(host, pixels, wrong({ device: 'reference', onProgress: {} })),
    };
    for (const [name, entry] of Object.entries(entries)) {
      const error = await refusal(entry, 'bad-argument').catch((cause: unknown) => {
        throw new Error(name, { cause });
      });
      expect(error.field, error.message).to.equal(name);
    }
    using run = await trainer({});
    for (const [field, more] of [
      ['signal', { signal: controller }],
      ['keepBest', { keepBest: 'yes' }],
      ['onEpoch', { onEpoch: true }],
    ] as const)
      expect((await refusal(() => run.fit(wrong({ epochs: 1, ...more })), 'bad-argument')).field).to.equal(field);
    await refusal(() => attack({ attack: 'vmi', parameters: { reach: '1.5' } }), 'bad-range');
  });

  it('numbers that float32 rounds to 0, 1 or infinity, and numbers in texts, are refused', async () => {
    const host = { definition, weights };
    const dataset = fromArrays(arrays);
    const trainer = (more: object) =>
      Trainer.create(wrong({ model: host, device: 'reference', dataset, optimizer: adam(), ...more }));
    for (const labelSmoothing of [1e-50, 1 - 1e-12, '0.1', NaN])
      expect((await refusal(() => trainer({ labelSmoothing }), 'bad-range')).field).to.equal('labelSmoothing');
    const device = await sharedDevice();
    using model = Model.create(definition, { device });
    for (const initial of [1e-50, 1e39, '2'])
      await refusal(
        () => Trainer.create(wrong({ model, dataset, optimizer: adam(), precision: 'f16', lossScale: { initial } })),
        'bad-range',
        'no-adapter',
        'unsupported',
      );
    await refusal(
      () =>
        registerFunction(wrong({ name: 'tooWide', parameters: { a: 1e39 }, value: (x: number, a: number) => a * x })),
      'bad-range',
    );
    const rule = wgslRule({
      name: 'scaled',
      saves: 'nothing',
      parameters: ['a'],
      wgsl: 'fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 { return p.x * g; }',
    });
    await refusal(() => useRule(rule, wrong({ a: '0.5' })), 'bad-range');
  });
});

describe('options that nobody reads', () => {
  it('are refused by optimizers, augmentation, inner attacks, data sets and predictions', async () => {
    const host = { definition, weights };
    const entries: Record<string, () => unknown> = {
      sgd: () => sgd(wrong({ lr: 0.1, weight_decay: 0.1 })),
      adam: () => adam(wrong({ learningRate: 0.1 })),
      adamw: () => adamw(wrong({ beta1: 0.9 })),
      cropAndFlip: () => cropAndFlip(wrong({ pad: 2 })),
      pgdInputs: () => pgdInputs(wrong({ rules: 'bp', eps: 0.1, alpha: 0.1, steps: 1, restarts: 2 })),
      'pgdInputs, mode': () => pgdInputs(wrong({ rules: 'bp', eps: 0.1, alpha: 0.1, steps: 1, mode: 'test' })),
      loadDataset: () => loadDataset(wrong({ dataset: 'digits', split: 'train', count: 4 })),
      drawDigits: () => drawDigits(wrong({ limit: 4 })),
      predict: () => predict(host, pixels, wrong({ device: 'reference', batchSize: 2 })),
      autoAttack: () =>
        autoAttack(wrong({ model: host, device: 'reference', images: pixels, labels: [0], epsilon: 1 })),
      'autoAttack, version': () =>
        autoAttack(wrong({ model: host, images: pixels, labels: [0], eps: 1, version: 'x' })),
      'autoAttack, stage': () =>
        autoAttack(wrong({ model: host, images: pixels, labels: [0], eps: 1, version: 'custom', stages: ['pgd'] })),
      exportOnnx: () => exportOnnx(definition, wrong({ weights, opset: 18 })),
      importOnnx: () => importOnnx(exportOnnx(definition, { weights }) as Uint8Array, wrong({ sizes: [2, 2] })),
      runOnnx: () => runOnnx(exportOnnx(definition, { weights }) as Uint8Array, {}, wrong({ adapter: 'x' })),
    };
    for (const [name, entry] of Object.entries(entries))
      await refusal(entry, 'unknown-option').catch((cause: unknown) => {
        throw new Error(name, { cause });
      });
  });

  it('are refused by models, trainers, programs, the profiler and the tuner', async () => {
    const device = await sharedDevice();
    await refusal(() => Model.create(definition, wrong({ device, seeds: 1 })), 'unknown-option');
    await refusal(() => Model.load(definition, 'nowhere', wrong({ device, newHead: true })), 'unknown-option');
    using model = Model.create(definition, { device });
    await refusal(() => model.logits(pixels, wrong({ batchSize: 1 })), 'unknown-option');
    const dataset = fromArrays(arrays);
    using trainer = await Trainer.create({ model, dataset, optimizer: adam() });
    await refusal(() => trainer.evaluate(dataset, wrong({ batch: 2 })), 'unknown-option');
    const graph = new Graph();
    const [x, w] = [graph.input('x', [2, 3]), graph.input('w', [4, 3])];
    graph.output('y', graph.one('linear', [x, w], {}));
    await refusal(() => Program.compile(graph, wrong({ device, presicion: 'f16' })), 'unknown-option');
    using program = await Program.compile(graph, { device });
    await refusal(() => program.run([{ segment: 'main' }], wrong({ chunk: 4 })), 'unknown-option');
    await refusal(() => profileProgram(program, wrong({ repeat: 1 })), 'unknown-option');
    await refusal(() => tuneProgram(program, wrong({ table: new TuningTable(), runs: 3 })), 'unknown-option');
  });
});

describe('options are checked as float32 holds them', () => {
  const rule = wgslRule({
    name: 'scaled',
    saves: 'nothing',
    parameters: ['k'],
    wgsl: 'fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 { return p.x * g; }',
    reference: (g, _d, _z, p) => p[0]! * g,
  });
  const normed = (epsilon: number): ModelDefinition => ({
    ...definition,
    build: (net, x) => net.linear('a', net.flatten(net.batchNorm('bn', x, { epsilon })), 4),
  });

  it('what becomes infinite, and what becomes zero where zero has no meaning', async () => {
    const entries: Record<string, () => unknown> = {
      'sgd lr': () => sgd({ lr: 1e39 }),
      'sgd lr below': () => sgd({ lr: 1e-50 }),
      momentum: () => sgd({ lr: 0.1, momentum: 1 - 1e-12 }),
      weightDecay: () => sgd({ lr: 0.1, weightDecay: 1e39 }),
      'adam eps': () => adam({ eps: 1e-50 }),
      betas: () => adam({ betas: [0.9, 1 - 1e-12] }),
      'inner eps': () => pgdInputs({ rules: 'bp', eps: NaN, alpha: 0.1, steps: 1 }),
      'inner alpha': () => pgdInputs({ rules: 'bp', eps: 0.1, alpha: 1e39, steps: 1 }),
      leaky: () => leaky(1e39),
      softplus: () => softplus(1e-50),
      silu: () => silu('relu', 1e39),
      'leaky in words': () => parseRules('leaky:a=1e39'),
      'softplus in words': () => parseRules('softplus:beta=1e-50'),
      'bpa in words': () => parseRules('bpa:tau=1e39'),
      'a rule of the user': () => useRule(rule, { k: 1e39 }),
      deviations: () => normalized(definition, { means: [0], deviations: [1e-50] }),
      epsilon: () => describeModel(normed(1e39)),
      'epsilon below': () => describeModel(normed(-1)),
      'epsilon of another type': () => describeModel(normed(wrong('1e-5'))),
    };
    for (const [name, entry] of Object.entries(entries))
      await refusal(entry, 'bad-range').catch((cause: unknown) => {
        throw new Error(name, { cause });
      });
  });

  it('of trainers', async () => {
    const dataset = fromArrays(arrays);
    const common = { model: { definition, weights }, dataset, optimizer: adam(), device: 'reference' } as const;
    for (const options of [{ clipNorm: 1e39 }, { clipNorm: 1e-50 }, { classWeights: [1e39, 1, 1, 1] }])
      await refusal(() => Trainer.create({ ...common, ...options }), 'bad-range');
  });
});
