import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import type { LinbpError } from '../../src/errors.js';
import type { CustomKernel } from '../../src/graph/customKernel.js';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import type { ScalarFunctionName } from '../../src/graph/functions.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { positionTable } from '../../src/nn/definition.js';
import { initialState } from '../../src/nn/model.js';
import { debugGraph } from '../../src/program/debug.js';
import { Program } from '../../src/program/program.js';
import { checkGradient } from '../../src/reference/gradcheck.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { parseRules } from '../../src/rules/parse.js';
import { everywhere } from '../../src/rules/resolve.js';
import { bp } from '../../src/rules/builtin.js';
import { selectPositions } from '../../src/rules/select.js';
import { registerFunction } from '../../src/rules/userFunction.js';
import { sgd } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';
import { itInHalf } from '../precision/support.js';
import { compareGraph, randomArray } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { gradientGraph } from '../support/networks.js';
import { squares } from '../train/support.js';

const refusal = async (run: () => unknown): Promise<LinbpError> => {
  try {
    await run();
  } catch (error) {
    return error as LinbpError;
  }
  return expect.fail('was accepted');
};

/** Logits of a convolution, the function twice, and a linear layer, with the gradient of the images. */
function network(kind: ScalarFunctionName) {
  const graph = new Graph();
  const x = graph.input('x', [2, 3, 4, 4]);
  const w = graph.parameter('w', [8, 3, 1, 1]);
  const labels = graph.input('labels', [2], 'u32');
  const attrs = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 } as const;
  const z = graph.one('conv2d', [x, w], attrs);
  const y = graph.one('activation', [z], { kind, mask: false });
  const again = graph.one('unary', [y], { kind, values: [0.5] });
  const logits = graph.one('reshape', [again], { shape: [2, 128] });
  const loss = graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
  const found = gradients(graph, { loss, scale: 1, targets: [x, w], rules: everywhere(bp) });
  graph.output('logits', logits);
  graph.output('grad.x', found.get(x)!);
  graph.output('grad.w', found.get(w)!);
  const values = new Map<Tensor, Float32Array | Uint32Array>([
    [x, randomArray(96)],
    [w, randomArray(24)],
    [labels, Uint32Array.of(3, 100)],
  ]);
  return { graph, x, loss, gradient: found.get(x)!, values };
}

describe("functions of the user's own", () => {
  let squareplus: ScalarFunctionName;
  let helped: ScalarFunctionName;
  let flat: ScalarFunctionName;
  before(async () => {
    const parameters = { b: 4 };
    const value = (x: number, b: number): number => 0.5 * (x + Math.sqrt(x * x + b));
    const slope = (x: number, b: number): number => 0.5 * (1 + x / Math.sqrt(x * x + b));
    squareplus = await registerFunction({ name: 'squareplus', parameters, value, slope });
    // A helper under a name that every other text may have, too.
    const wgsl = `
      fn helper(x: f32, b: f32) -> f32 { return sqrt(x * x + b); }
      fn value(x: f32, p: vec4f) -> f32 { return 0.5 * (x + helper(x, p.x)); }
      fn slope(x: f32, p: vec4f) -> f32 { return 0.5 * (1.0 + x / helper(x, p.x)); }`;
    helped = await registerFunction({ name: 'squareplusWgsl', parameters, value, slope, wgsl });
    flat = await registerFunction({ name: 'rounded', value: (x) => Math.floor(x) });
  });

  for (const name of ['squareplus', 'squareplusWgsl'])
    it(`${name} is the same on the device, fused or not, and its gradient is that of the loss`, async () => {
      const { graph, x, loss, gradient, values } = network(name === 'squareplus' ? squareplus : helped);
      for (const fuse of [true, false])
        for (const { name: output, error } of await compareGraph(graph, values, { fuse }))
          expect(error, `${output}, ${fuse ? 'fused' : 'unfused'}`).to.be.below(1e-5);
      expect(checkGradient({ graph, loss, scale: 1, target: x, gradient, values })).to.be.below(1e-7);
    });

  it('join the same kernels as built-in ones', async () => {
    const device = await sharedDevice();
    const dispatches = async (kind: ScalarFunctionName): Promise<number> => {
      using program = await Program.compile(network(kind).graph, { device });
      return program.dispatches.length;
    };
    expect(await dispatches(squareplus)).to.equal(await dispatches('silu'));
  });

  for (const name of ['squareplus', 'squareplusWgsl'])
    itInHalf(`${name}, stored in 16 bits, is within 1e-3 of the reference, as silu is @slow`, async () => {
      const device = await sharedDevice();
      const worst = async (kind: ScalarFunctionName): Promise<number> => {
        const own: ModelDefinition = {
          name: 'own',
          input: [3, 6, 6],
          classes: 10,
          build(net, images) {
            const x = net.activation('act1', net.conv('conv1', images, 8, 3, { padding: 1 }), kind);
            const y = net.graph.one('unary', [net.conv('conv2', x, 8, 1)], { kind });
            return net.linear('fc', net.flatten(y), 10);
          },
        };
        const { graph, feeds } = gradientGraph(own, { batch: 2, rule: 'bp', what: 'train', scale: 64 });
        const entries = await debugGraph(graph, feeds, { device, precision: 'f16' });
        // Results of the function, and what its gradient reads, are among what is stored so.
        const halves = graph.nodes.filter(({ inputs, outputs }) =>
          [...inputs, ...outputs].some(({ dtype }) => dtype === 'f16'),
        );
        for (const op of ['activation', 'activationBackward', 'unary', 'unaryBackward'])
          expect(halves.map((node) => node.op)).to.include(op);
        for (const { nonFinite } of entries) expect(nonFinite).to.equal(0);
        return Math.max(...entries.map(({ error }) => error));
      };
      expect(await worst(name === 'squareplus' ? squareplus : helped)).to.be.below(1e-3);
      expect(await worst('silu')).to.be.below(1e-3);
    });

  const definition = (kind: ScalarFunctionName): ModelDefinition => ({
    name: 'own',
    input: [1, 8, 8],
    classes: 3,
    build: (net, images) => net.linear('fc', net.activation('act', net.linear('in', net.flatten(images), 4), kind), 3),
  });

  it('are positions of rules by their name', () => {
    const table = positionTable(definition(squareplus));
    expect(
      selectPositions(parseRules('linbp:from=all,on=squareplus')[0]!, table).map(({ name }) => name),
    ).to.deep.equal(['act']);
    expect(() => selectPositions(parseRules('linbp:from=all')[0]!, table)).to.throw(/on=squareplus/);
  });

  it('without a slope compute, and are refused in one line where a gradient is needed', async () => {
    const model = { definition: definition(flat), weights: initialState(definition(flat)) };
    const options = { model, device: 'reference', dataset: squares(6), optimizer: sgd({ lr: 0.1 }) } as const;
    const error = await refusal(async () => {
      using trainer = await Trainer.create(options);
      await trainer.fit({ epochs: 1 });
    });
    expect(error.message).to.equal(
      'rounded has no derivative, which training and attacks need; register it with a slope',
    );
    const graph = new Graph();
    graph.output('y', graph.one('unary', [graph.input('x', [40])], { kind: flat }));
    for (const { error: wrong } of await compareGraph(graph, new Map())) expect(wrong).to.be.below(1e-6);
  });

  it('with a name that is taken, or no function of x, are refused', async () => {
    const value = (x: number): number => x;
    for (const options of [
      { name: 'gelu', value },
      { name: 'squareplus', value },
      { name: '2x', value },
      { name: 'nowgsl', value, wgsl: 'fn other() -> f32 { return 0.0; }' },
      {
        name: 'binds',
        value,
        wgsl: '@group(0) @binding(0) var<uniform> v: f32; fn value(x: f32, p: vec4f) -> f32 { return v; }',
      },
      { name: 'outside', value: (x: number): number => x * Number(process.pid) },
    ])
      expect((await refusal(() => registerFunction(options))).code, options.name).to.equal('bad-argument');
  });
});

/** Each channel times a weight, read backwards: y[n, c, i] = x[n, c, L - 1 - i] w[c]. */
const reversed: CustomKernel = {
  name: 'reversed',
  inputs: ['x', 'w'],
  shape: (x) => x,
  wgsl: `
    fn element(index: u32) -> f32 {
      let length = x_shape[2];
      let row = index / length;
      return x_at(row * length + length - 1u - index % length) * w_at(row % x_shape[1]);
    }`,
  reference: ([x, w], [shape]) => {
    const [, channels = 1, length = 1] = shape!;
    return Float64Array.from(x!, (_, i) => {
      const row = Math.floor(i / length);
      return x![row * length + length - 1 - (i % length)]! * w![row % channels]!;
    });
  },
  backward: [
    {
      name: 'reversedInput',
      inputs: ['g', 'x', 'w'],
      shape: (_g, x) => x!,
      wgsl: `
        fn element(index: u32) -> f32 {
          let length = x_shape[2];
          let row = index / length;
          return g_at(row * length + length - 1u - index % length) * w_at(row % x_shape[1]);
        }`,
      reference: ([g, , w], [, shape]) => reversed.reference([g!, w!], [shape!]),
    },
    {
      name: 'reversedWeight',
      inputs: ['g', 'x', 'w'],
      shape: (_g, _x, w) => w!,
      wgsl: `
        fn element(channel: u32) -> f32 {
          let length = x_shape[2];
          var sum = 0.0;
          for (var n = 0u; n < x_shape[0]; n++) {
            let row = (n * x_shape[1] + channel) * length;
            for (var i = 0u; i < length; i++) { sum += g_at(row + i) * x_at(row + length - 1u - i); }
          }
          return sum;
        }`,
      reference: ([g, x], [, shape]) => {
        const [images = 1, channels = 1, length = 1] = shape!;
        const sums = new Float64Array(channels);
        for (let n = 0; n < images; n++)
          for (let c = 0; c < channels; c++)
            for (let i = 0; i < length; i++) {
              const row = (n * channels + c) * length;
              sums[c]! += g![row + i]! * x![row + length - 1 - i]!;
            }
        return sums;
      },
    },
  ],
};

describe("kernels of the user's own", () => {
  const build = (kernel: CustomKernel) => {
    const graph = new Graph();
    const x = graph.input('x', [2, 3, 5]);
    const w = graph.parameter('w', [3]);
    const labels = graph.input('labels', [2], 'u32');
    const y = graph.one('custom', [x, w], { kernel });
    const logits = graph.one('reshape', [y], { shape: [2, 15] });
    const loss = graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
    const found = gradients(graph, { loss, scale: 1, targets: [x, w], rules: everywhere(bp) });
    graph.output('y', y);
    graph.output('grad.x', found.get(x)!);
    graph.output('grad.w', found.get(w)!);
    const values = new Map<Tensor, Float32Array | Uint32Array>([
      [x, randomArray(30)],
      [w, randomArray(3)],
      [labels, Uint32Array.of(3, 10)],
    ]);
    return { graph, x, w, loss, found, values };
  };

  it('are the same on the device, and their gradients are those of the loss', async () => {
    const { graph, x, w, loss, found, values } = build(reversed);
    for (const { name, error } of await compareGraph(graph, values)) expect(error, name).to.be.below(1e-5);
    for (const target of [x, w])
      expect(checkGradient({ graph, loss, scale: 1, target, gradient: found.get(target)!, values })).to.be.below(1e-7);
  });

  it('find no number in front of a tensor and behind its end, on the device as in JavaScript', async () => {
    const kernel: CustomKernel = {
      name: 'neighbors',
      inputs: ['x'],
      shape: (x) => x,
      wgsl: 'fn element(i: u32) -> f32 { return x_at(i - 1u) + x_at(i + 1u); }',
      reference: ([x]) => Float64Array.from(x!, (_, i) => x![i - 1]! + x![i + 1]!),
    };
    const graph = new Graph();
    const x = graph.input('x', [1, 4]);
    const y = graph.one('custom', [x], { kernel });
    graph.output('y', y);
    const values = Float32Array.of(1, 2, 4, 8);
    const reference = new ReferenceRun(graph);
    reference.set(x, values);
    reference.run();
    using program = await Program.compile(graph, { device: await sharedDevice() });
    program.write(x, values);
    await program.run([{ segment: 'main' }]);
    for (const found of [[...reference.get(y)], [...(await program.read('y'))]])
      expect(found).to.deep.equal([NaN, 5, 10, NaN]);
  });

  it('without a backward are refused in one line where a gradient is needed', async () => {
    const { backward: _, ...kernel } = reversed;
    expect((await refusal(() => build(kernel))).message).to.equal(
      'kernel reversed has no backward by x, which training and attacks need',
    );
  });

  it('that do not fit are refused before any work', async () => {
    const x = (graph: Graph) => [graph.input('x', [2, 3, 5]), graph.input('w', [3])];
    for (const [change, code] of [
      [{ name: '1' }, 'bad-argument'],
      [{ inputs: ['x'] }, 'bad-argument'],
      [{ inputs: ['x', 'x'] }, 'bad-argument'],
      [{ wgsl: 'fn other() {}' }, 'bad-argument'],
      [{ wgsl: '@compute @workgroup_size(1) fn main() {} fn element(i: u32) -> f32 { return 0.0; }' }, 'bad-argument'],
      [{ shape: () => [0] }, 'bad-argument'],
    ] as const) {
      const graph = new Graph();
      const error = await refusal(() => graph.one('custom', x(graph), { kernel: { ...reversed, ...change } }));
      expect(error.code, JSON.stringify(change)).to.equal(code);
    }
  });
});
