import { expect } from 'chai';
import * as ort from 'onnxruntime-web';
import type { Tensor } from '../../src/graph/types.js';
import type { LinbpError } from '../../src/errors.js';
import { describeModel, positionTable } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { withClasses } from '../../src/nn/head.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { readDescription } from '../../src/onnx/description.js';
import { exportOnnx, importOnnx, runOnnx } from '../../src/onnx/index.js';
import { uniforms } from '../../src/random/philox.js';
import { relativeError } from '../support/compare.js';

// Threads of the runtime would keep the process from ending.
ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';

/** Logits by ONNX Runtime of two random images, and by the float64 reference. */
async function evaluate(bytes: Uint8Array, input: readonly number[]): Promise<[number[], number[]]> {
  const shape = [2, ...input];
  const images = uniforms(
    5,
    0,
    0,
    0,
    shape.reduce((a, b) => a * b),
  );
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  const results = await session.run({ input: new ort.Tensor('float32', images, shape) });
  await session.release();
  const ours = await runOnnx(bytes, { input: { type: 'float32', shape, data: images } }, { device: 'reference' });
  return [Array.from(results['logits']!.data as Float32Array), [...ours.outputs.get('logits')!.data]];
}

/** A function of the user's own. */
const third = { name: 'third', inputs: ['x'], scalars: [], results: ['x / 3.0'], reference: (x = 0) => [x / 3] };

/** One layer of every kind that the networks of the zoo lack. */
const everything: ModelDefinition = {
  name: 'everything',
  input: [3, 9, 7],
  classes: 4,
  build(net, images) {
    const { graph } = net;
    let x = net.preprocess(images, [2, 3, 4], [-1, 0, 1], [2, 1, 0]);
    x = net.conv('conv', x, 8, 3, { padding: [1, 0, 2, 1], stride: 1, groups: 1 });
    const kinds = [
      'gelu',
      'geluTanh',
      'silu',
      'hardSwish',
      'elu',
      'celu',
      'selu',
      'softplus',
      'softsign',
      'mish',
    ] as const;
    for (const kind of kinds) x = net.activation(`act.${kind}`, x, kind);
    x = net.activation('act.leaky', x, 'leakyRelu', { values: [0.2] });
    x = net.activation('act.prelu', x, 'prelu');
    x = net.activation('act.relu6', x, 'relu6');
    x = graph.one('pad', [x], { before: [0, 0, 1, 0], after: [0, 0, 0, 2], between: [0, 0, 1, 0], value: 0 });
    x = graph.one('slice', [x], {
      start: [0, 7, 0, 1],
      step: [1, -1, 2, 1],
      size: [2, 8, 9, 7].map((s, i) => (i === 0 ? x.shape[0]! : s)),
    });
    x = net.avgPool('pool', x, 3, { stride: 2, padding: 1 });
    x = net.adaptiveAvgPool('adaptive', x, [3, 3]);
    const tokens = graph.one('reshape', [graph.one('transpose', [x], { order: [0, 2, 3, 1] })], {
      shape: [x.shape[0]!, 9, 8],
    });
    const first = graph.one('expand', [net.parameter('token', [1, 1, 8], 'bias', 8)], { shape: [x.shape[0]!, 1, 8] });
    const all = graph.one('concat', [first, tokens], { axis: 1 });
    const normal = graph.add('normalize', [all], { first: 2, epsilon: 1e-6, center: true })[0]!;
    const scores = graph.one('matmul', [normal, normal], { transposeA: false, transposeB: true });
    const mixed = graph.one('matmul', [graph.one('softmax', [scores], { axis: 2 }), all], {
      transposeA: false,
      transposeB: false,
    });
    const mean = graph.one('reduce', [mixed], { kind: 'mean', axes: [1] });
    const most = graph.add('reduce', [mixed], { kind: 'max', axes: [1] })[0]!;
    const both = graph.one('binary', [mean, most], { kind: 'sub' });
    return net.linear('fc', graph.one('reshape', [both], { shape: [x.shape[0]!, 8] }), 4);
  },
};

describe('exportOnnx', function () {
  this.timeout(60_000);

  for (const definition of [modelDefinition('lenet5'), everything])
    it(`${definition.name}: ONNX Runtime and the reference agree, and importing gives the same positions`, async () => {
      const weights = initialState(definition, 3);
      const bytes = exportOnnx(definition, { weights });
      const [theirs, ours] = await evaluate(bytes, definition.input);
      expect(relativeError(theirs, ours)).to.be.below(1e-5);
      const imported = await importOnnx(bytes, { name: definition.name });
      expect(positionTable(imported)).to.deep.equal(positionTable(definition));
      expect([...imported.weights.keys()].sort()).to.deep.equal([...weights.keys()].sort());
      for (const [key, { data }] of imported.weights) expect(data, key).to.deep.equal(weights.get(key)!.data);
      // What was imported can be exported again.
      const [again] = await evaluate(exportOnnx(imported), definition.input);
      expect(relativeError(again, ours)).to.be.below(1e-5);
    });

  it('refuses without weights, with others, and ops of training by the name of the layer', () => {
    const lenet = modelDefinition('lenet5');
    const refused = (make: () => unknown): LinbpError => {
      try {
        make();
      } catch (error) {
        return error as LinbpError;
      }
      throw new Error('exported');
    };
    expect(refused(() => exportOnnx(lenet))).to.include({ code: 'bad-argument', field: 'weights' });
    const others = initialState(modelDefinition('mlp'), 0);
    expect(refused(() => exportOnnx(lenet, { weights: others }))).to.include({ code: 'bad-shape', field: 'weights' });
    const odd: ModelDefinition = {
      ...lenet,
      build: (net, x) =>
        net.linear(
          'fc',
          net.flatten(net.layer('odd', () => net.graph.one('map', [x], { fn: third, scalars: [], targets: ['new'] }))),
          10,
        ),
    };
    expect(refused(() => exportOnnx(odd, { weights: initialState(odd, 0) }))).to.include({
      code: 'unsupported',
      field: 'odd',
    });
  });

  it('a description that something is wrong about is none', () => {
    const position = { name: 'a', index: 0, kind: 'conv', activation: 'relu' };
    const read = (value: unknown): unknown => readDescription(JSON.stringify(value));
    expect(read({ positions: [position], presets: { default: ['a'] } })).to.deep.equal({
      branches: [],
      positions: [position],
      presets: { default: ['a'] },
    });
    for (const bad of [
      null,
      { positions: [position] },
      { positions: [position, position], presets: {} },
      { positions: [{ ...position, activation: 'exec' }], presets: {} },
      { positions: [{ ...position, stage: 3 }], presets: {} },
      { positions: [position], presets: { default: ['b'] } },
      { positions: [position], presets: {}, branches: [{ name: 'c', activations: ['b'] }] },
    ])
      expect(read(bad), JSON.stringify(bad)).to.equal(undefined);
    expect(readDescription('{')).to.equal(undefined);
  });

  it('an imported network takes another head; residual and dense branches keep their names', async () => {
    const small: ModelDefinition = {
      name: 'small',
      input: [2, 6, 6],
      classes: 5,
      build(net, images) {
        const body = (name: string, x: Tensor): Tensor =>
          net.branch(name, x, (inner) =>
            net.conv(`${name}.conv`, net.relu(`${name}.relu`, inner), 2, 3, { padding: 1 }),
          );
        const added = net.add('join', images, body('residual', images));
        const dense = net.concat('dense.concat', [added, body('dense', added)]);
        return net.linear('fc', net.globalAvgPool('pool', dense), 5);
      },
    };
    const imported = await importOnnx(exportOnnx(small, { weights: initialState(small, 2) }), { name: 'small' });
    expect(positionTable(imported)).to.deep.equal(positionTable(small));
    const wider = withClasses(imported, 7);
    const state = initialState(wider, 4);
    expect(state.get('fc.weight')!.shape).to.deep.equal([7, 4]);
    expect(state.get('residual.conv.weight')!.data).to.deep.equal(imported.weights.get('residual.conv.weight')!.data);
    expect(exportOnnx(wider, { weights: state }).length).to.be.greaterThan(0);
  });

  it('layers are named in the order of the state dict', async () => {
    const imported = await importOnnx(
      exportOnnx(modelDefinition('lenet5'), { weights: initialState(modelDefinition('lenet5'), 0) }),
    );
    const names = (definition: ModelDefinition): string[] =>
      describeModel(definition).layout.specs.map(({ name }) => name);
    expect(names(imported)).to.deep.equal(names(modelDefinition('lenet5')));
  });
});
