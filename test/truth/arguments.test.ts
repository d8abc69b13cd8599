import { expect } from 'chai';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Attack, attack } from '../../src/attacks/attack.js';
import { fromArrays } from '../../src/data/dataset.js';
import type { LinbpErrorCode } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import type { DType } from '../../src/graph/types.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { readWeights } from '../../src/io/weights.js';
import { describeModel } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { initialState, Model, readStateDict } from '../../src/nn/model.js';
import { measureCeilings } from '../../src/profile/index.js';
import { createWorkload } from '../../src/profile/workloads.js';
import { selfTest } from '../../src/program/deviceSelfTest.js';
import { Program } from '../../src/program/program.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { Device } from '../../src/runtime/device.js';
import { adam } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';
import { temporaryFolder } from '../io/support.js';
import { sharedDevice } from '../support/device.js';
import { refusal, smallNetwork, spoiled } from './support.js';

// What JavaScript callers can give, and TypeScript would not let through.
const wrong = <T>(value: unknown): T => value as T;

const tiny: ModelDefinition = {
  name: 'tiny',
  input: [1, 2, 2],
  classes: 3,
  build: (net, x) => net.linear('a', net.flatten(x), 3),
};
const weights = (data: unknown, shape: unknown = [3, 4]): never =>
  wrong(new Map([...initialState(tiny, 1), ['a.weight', { shape, data }]] as never));
const arrays = {
  name: 'x',
  split: 'test' as const,
  shape: [2, 1, 2, 2] as [number, number, number, number],
  classes: 3,
  images: new Uint8Array(8),
  labels: Uint8Array.of(0, 1),
};

describe('data sets that somebody wrote down', () => {
  const good = fromArrays(arrays);
  const floats = new Float32Array(8);
  const cases: readonly (readonly [what: string, LinbpErrorCode, object])[] = [
    ['labels that are no whole numbers', 'bad-dtype', { labels: [0, 1.5] }],
    ['labels that are NaN', 'bad-dtype', { labels: Float32Array.of(0, NaN) }],
    ['a label that is no class', 'bad-range', { labels: Int32Array.of(0, 3) }],
    ['a pixel that is NaN', 'bad-range', { images: floats.map((_, i) => (i === 3 ? NaN : 0)) }],
    ['a pixel above 1', 'bad-range', { images: floats.map((_, i) => (i === 3 ? 255 : 0)) }],
    ['pixels in an array', 'bad-dtype', { images: Array.from(floats) }],
    ['pixels in float64', 'bad-dtype', { images: new Float64Array(8) }],
    ['fewer pixels', 'bad-shape', { images: new Uint8Array(7) }],
  ];
  for (const [what, code, changes] of cases)
    it(`with ${what} are refused by training and evaluation`, async () => {
      const bad = wrong<typeof good>({ ...good, ...changes });
      const create = (dataset: typeof good) =>
        Trainer.create({
          model: { definition: tiny, weights: initialState(tiny, 1) },
          device: 'reference',
          dataset,
          optimizer: adam(),
        });
      await refusal(() => create(bad), code);
      using trainer = await create(good);
      await refusal(() => trainer.evaluate(bad), code);
    });
});

describe('public entries check what JavaScript gives them', () => {
  const definitions: readonly [string, LinbpErrorCode, unknown][] = [
    ['nothing', 'bad-argument', null],
    ['no input', 'bad-argument', { ...tiny, input: undefined }],
    ['a size of 0', 'bad-argument', { ...tiny, input: [1, 0, 2] }],
    ['half a class', 'bad-argument', { ...tiny, classes: 2.5 }],
    ['no logits', 'bad-argument', { ...tiny, build: () => undefined }],
    ['fewer logits than classes', 'bad-shape', { ...tiny, classes: 4 }],
    ['more logits than classes', 'bad-shape', { ...tiny, classes: 2 }],
    ['logits that are images', 'bad-shape', { ...tiny, build: (_net: unknown, x: unknown) => x }],
  ];
  for (const [what, code, definition] of definitions)
    it(`a definition with ${what} is refused by describeModel, initialState, models, attacks, trainers`, async () => {
      const definitionOf = wrong<ModelDefinition>(definition);
      const device = await sharedDevice();
      const model = { definition: definitionOf, weights: initialState(tiny) };
      for (const entry of [
        () => describeModel(definitionOf),
        () => initialState(definitionOf),
        () => Model.create(definitionOf, { device }),
        () => Attack.compile({ model, device: 'reference', eps: 0.1 }),
      ])
        await refusal(entry, code);
      if (what.includes('logits'))
        await refusal(
          () =>
            Trainer.create({
              model,
              device: 'reference',
              dataset: fromArrays({ ...arrays, classes: definitionOf.classes }),
              optimizer: adam(),
            }),
          code,
        );
    });

  const states: readonly [string, LinbpErrorCode, unknown][] = [
    ['an object', 'bad-argument', { 'a.weight': 1 }],
    ['nothing', 'bad-argument', undefined],
    ['integers', 'bad-dtype', weights(new Int32Array(12))],
    ['a plain array', 'bad-dtype', weights(Array(12).fill(0))],
    ['no data', 'bad-dtype', weights(undefined)],
    ['too few values', 'bad-shape', weights(new Float32Array(11))],
    ['no shape', 'bad-shape', weights(new Float32Array(12), 'x')],
    ['another shape', 'bad-shape', weights(new Float32Array(12), [4, 3])],
  ];
  for (const [what, code, state] of states)
    it(`${what} for weights: setStateDict, attacks and trainers`, async () => {
      using model = Model.create(tiny, { device: await sharedDevice() });
      await refusal(() => model.setStateDict(wrong(state)), code);
      const host = { definition: tiny, weights: wrong<never>(state) };
      await refusal(() => Attack.compile({ model: host, device: 'reference', eps: 0.1 }), code);
      const settings = { dataset: fromArrays(arrays), optimizer: adam(), device: 'reference' } as const;
      await refusal(() => Trainer.create({ ...settings, model: host }), code);
    });

  it('fromArrays', async () => {
    const faults: readonly [LinbpErrorCode, object | undefined][] = [
      ['bad-argument', undefined],
      ['bad-shape', { shape: undefined }],
      ['bad-shape', { shape: [2, 2, 2] }],
      ['bad-dtype', { images: Array(8).fill(0) }],
      ['bad-dtype', { images: new Int32Array(8) }],
      ['bad-range', { images: new Float32Array(8).fill(NaN) }],
      ['bad-range', { images: new Float32Array(8).fill(255) }],
      ['bad-dtype', { labels: Float32Array.of(0, 0.5) }],
      ['bad-range', { labels: Int32Array.of(0, -1) }],
      ['bad-range', { classes: 2.5 }],
    ];
    for (const [code, fault] of faults) await refusal(() => fromArrays(wrong(fault && { ...arrays, ...fault })), code);
  });

  it('the reference in place of a device where there must be one', async () => {
    const graph = new Graph();
    graph.output('o', graph.one('unary', [graph.input('x', [4])], { kind: 'affine', values: [2, 0] }));
    const workload = { definition: tiny, weights: initialState(tiny), rule: 'bp', batch: 2 };
    for (const device of ['reference', undefined, 'gpu'] as const)
      for (const entry of [
        () => Program.compile(graph, { device: wrong(device) }),
        () => Model.create(tiny, { device: wrong(device) }),
        () => Model.load(tiny, 'nowhere.safetensors', { device: wrong(device) }),
        () => createWorkload('forward', { ...workload, device: wrong(device) }),
        () => measureCeilings(wrong(device)),
        () => selfTest(wrong(device)),
      ]) {
        const error = await refusal(entry, 'bad-argument');
        expect(error.field).to.equal('device');
        if (device !== 'reference') expect(error.message).to.include('an open device, got');
      }
  });

  it('tensors of programs and of the reference take arrays of their own kind', async () => {
    const graph = new Graph();
    const [x, y] = [graph.input('x', [4]), graph.input('y', [4], 'u32')];
    const fn = { name: 'm', inputs: ['a', 'b'], scalars: [], results: ['a + f32(b)'], reference: (a?: number) => [a!] };
    graph.output('o', graph.one('map', [x, y], { fn, scalars: [], targets: ['new'] }));
    const program = await Program.compile(graph, { device: await sharedDevice() });
    const run = new ReferenceRun(graph);
    const faults: readonly [LinbpErrorCode, unknown, unknown][] = [
      ['bad-dtype', x, new Int32Array(4)],
      ['bad-dtype', x, new Float64Array(4)],
      ['bad-dtype', x, undefined],
      ['bad-dtype', y, new Float32Array(4)],
      ['bad-dtype', y, new Uint8Array(4)],
      ['bad-shape', x, new Float32Array(5)],
      ['bad-argument', 'x', new Float32Array(4)],
    ];
    for (const [code, tensor, data] of faults) await refusal(() => program.write(wrong(tensor), wrong(data)), code);
    await refusal(() => program.run(wrong(undefined)), 'bad-argument');
    await refusal(() => program.read(y), 'bad-dtype');
    await refusal(() => program.readU32('o'), 'bad-dtype');
    for (const [code, tensor, data] of [
      ['bad-shape', x, [1]],
      ['bad-dtype', x, [1, 2, 3, 'a']],
      ['bad-dtype', x, undefined],
      ['bad-dtype', y, [0.5, 1, 2, 3]],
      ['bad-dtype', y, [-1, 1, 2, 3]],
      ['bad-argument', {}, [1, 2, 3, 4]],
    ] as const)
      await refusal(() => run.set(wrong(tensor), wrong(data)), code);
    await refusal(() => graph.input('z', [2], wrong<DType>('f64')), 'unknown-option');
    await refusal(() => graph.input('z', wrong('abc')), 'bad-shape');
    program.destroy();
  });

  it('attacks, trainers and logits', async () => {
    using model = Model.create(tiny, { device: await sharedDevice() });
    const dataset = fromArrays(arrays);
    await refusal(() => Attack.compile(wrong(undefined)), 'bad-argument');
    await refusal(() => Attack.compile(wrong({ eps: 0.1 })), 'bad-argument');
    await refusal(() => Attack.compile({ model, eps: wrong('0.1') }), 'bad-range');
    using compiled = await Attack.compile({ model, eps: 0.1, steps: 1 });
    await refusal(() => compiled.run(wrong(undefined)), 'bad-argument');
    await refusal(() => Trainer.create(wrong({ model, optimizer: adam() })), 'bad-argument');
    await refusal(() => Trainer.create(wrong({ model, dataset })), 'bad-argument');
    using trainer = await Trainer.create({ model, dataset, optimizer: adam() });
    await refusal(() => trainer.fit(wrong(undefined)), 'bad-argument');
    await refusal(() => trainer.evaluate(wrong(undefined)), 'bad-argument');
    await refusal(() => model.logits(new Float32Array(4), { precision: wrong('f8') }), 'unknown-option');
    await refusal(() => model.logits(wrong(new Uint8Array(4))), 'bad-dtype');
    await refusal(() => model.logits(new Float32Array(4).fill(255)), 'bad-range');
  });

  it('options that nobody reads: attacks, their runs, trainers, fits and devices', async () => {
    using model = Model.create(tiny, { device: await sharedDevice() });
    const dataset = fromArrays(arrays);
    await refusal(() => Attack.compile(wrong({ model, eps: 0.1, step: 3 })), 'unknown-option');
    using compiled = await Attack.compile({ model, eps: 0.1, steps: 1 });
    await refusal(() => compiled.run(wrong({ images: dataset, epsilon: 0.2 })), 'unknown-option');
    await refusal(() => attack(wrong({ model, eps: 0.1, images: dataset, batchSize: 4 })), 'unknown-option');
    const sizes = [NaN, 0, -1, Infinity, '5'];
    for (const chunkMilliseconds of sizes)
      await refusal(() => compiled.run(wrong({ images: dataset, chunkMilliseconds })), 'bad-range');
    await refusal(() => Trainer.create(wrong({ model, dataset, optimizer: adam(), batchSize: 2 })), 'unknown-option');
    using trainer = await Trainer.create({ model, dataset, optimizer: adam() });
    await refusal(() => trainer.fit(wrong({ epochs: 1, epoch: 3 })), 'unknown-option');
    await refusal(() => Device.open(wrong({ adaptor: 'llvmpipe' })), 'unknown-option');
    const { samples } = await attack({ model, eps: 0.1, steps: 1, images: dataset, chunkMilliseconds: 20 });
    expect(samples.length).to.equal(dataset.count);
  });
});

describe('weights that cannot be used as they are', () => {
  const folder = temporaryFolder();

  it('integers are refused in safetensors and in PyTorch files, by name and type', async () => {
    const path = join(folder(), 'whole.safetensors');
    const whole = { shape: [3, 4], data: new Int32Array(12) };
    await writeSafetensors(path, { 'a.weight': whole, 'a.bias': { shape: [3], data: new Float32Array(3) } });
    const error = await refusal(() => readStateDict(tiny, path), 'bad-dtype');
    expect(error.message).to.include('"a.weight" holds I32');
    const torch = await readWeights(
      fileURLToPath(new URL('../../../test/fixtures/pytorch/dtypes.pth', import.meta.url)),
    );
    for (const name of ['int8', 'int64', 'bool'])
      expect((await refusal(() => torch.get(name)!.values(), 'bad-dtype')).message).to.include(
        `"${name}" holds ${name}`,
      );
    for (const name of ['float64', 'float16', 'bfloat16'])
      expect(await torch.get(name)!.values()).to.be.instanceOf(Float32Array);
  });

  it('what f16 turns into infinity is refused where f16 computes with it, and only there @slow', async () => {
    using model = Model.create(smallNetwork, { device: await sharedDevice() });
    model.setStateDict(spoiled(smallNetwork, 'fc1.weight', 65520));
    using attack = await Attack.compile({ model, eps: 0.1, steps: 1, precision: 'f16' });
    const run = { images: new Float32Array(36).fill(0.5), labels: [0] };
    const error = await refusal(() => attack.run(run), 'diverged');
    expect(error.message).to.include('fc1.weight[0] is 65520');
    await refusal(() => model.logits(new Float32Array(36), { precision: 'f16' }), 'diverged');
    expect(await model.logits(new Float32Array(36))).to.have.length(4);
    // The largest number that f16 has, and a running variance, which stays in f32.
    for (const [name, value] of [
      ['fc1.weight', 65519],
      ['bn.running_var', 1e6],
    ] as const) {
      model.setStateDict(spoiled(smallNetwork, name, value));
      expect((await attack.run(run)).count).to.equal(1);
    }
  });
});
