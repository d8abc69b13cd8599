import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { bp } from '../../src/rules/builtin.js';
import { schedule } from '../../src/plan/schedule.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { kernelDevice } from '../../src/program/kernelDevice.js';
import { Program } from '../../src/program/program.js';
import { sharedDevice } from '../support/device.js';
import { randomArray } from '../support/compare.js';
import { elementCount } from '../../src/graph/types.js';

/** Runs a graph as if the device bound at most `limit` bytes. */
async function runWithLimit(
  graph: Graph,
  feeds: ReadonlyMap<Tensor, Float32Array | Uint32Array>,
  limit: number | undefined,
) {
  const device = await sharedDevice();
  using program = await Program.compile(graph, { device, ...(limit === undefined ? {} : { maxBindingBytes: limit }) });
  for (const [tensor, data] of feeds) program.write(tensor, data);
  await program.run([{ segment: 'main' }]);
  const results = new Map<string, Float32Array>();
  for (const name of graph.outputs.keys()) results.set(name, await program.read(name));
  return { results, dispatches: program.dispatches.length };
}

async function expectSame(graph: Graph, limit: number, exact: (name: string) => boolean): Promise<void> {
  const feeds = new Map<Tensor, Float32Array | Uint32Array>();
  for (const tensor of graph.tensors) {
    if (tensor.kind === 'value' || tensor.view !== undefined) continue;
    const count = elementCount(tensor.shape);
    feeds.set(
      tensor,
      tensor.dtype === 'u32' ? Uint32Array.from({ length: count }, (_, index) => index) : randomArray(count),
    );
  }
  const whole = await runWithLimit(graph, feeds, undefined);
  const cut = await runWithLimit(graph, feeds, limit);
  expect(cut.dispatches).to.be.above(whole.dispatches);
  for (const [name, expected] of whole.results) {
    const actual = cut.results.get(name)!;
    if (exact(name)) expect(Buffer.from(actual.buffer).equals(Buffer.from(expected.buffer)), name).to.equal(true);
    else {
      let [difference, norm] = [0, 0];
      for (let i = 0; i < expected.length; i++) {
        difference += (actual[i]! - expected[i]!) ** 2;
        norm += expected[i]! ** 2;
      }
      expect(Math.sqrt(difference / norm), name).to.be.below(1e-5);
    }
  }
}

describe('tensors larger than a binding', () => {
  it('batches of convolution, ReLU with mask, pooling and their gradients are cut, with the same bits', async () => {
    const graph = new Graph();
    const x = graph.input('x', [10, 3, 9, 9]);
    const w = graph.parameter('w', [5, 3, 3, 3]);
    const b = graph.parameter('b', [5]);
    const attrs = { stride: [1, 1] as const, padding: [1, 1, 1, 1] as const, dilation: [1, 1] as const, groups: 1 };
    const z = graph.one('conv2d', [x, w, b], attrs);
    const [y, mask] = graph.add('activation', [z], { kind: 'relu', mask: true }) as [Tensor, Tensor];
    const pool = { kernel: [2, 2] as const, stride: [2, 2] as const, padding: [0, 0, 0, 0] as const, ceilMode: false };
    const [pooled, argmax] = graph.add('maxPool2d', [y], pool) as [Tensor, Tensor];
    const g = graph.input('g', pooled.shape);
    const dy = graph.one('maxPool2dBackward', [g, argmax], { ...pool, inputShape: y.shape });
    const dz = graph.one('activationBackward', [dy, mask], { kind: 'relu', rule: bp });
    graph.output('pooled', pooled);
    graph.output('dx', graph.one('conv2dInputGradient', [dz, w], { ...attrs, inputShape: x.shape }));
    const [dw, db] = graph.add('conv2dWeightGradient', [dz, x], { ...attrs, weightShape: w.shape, bias: true });
    graph.output('dw', dw!);
    graph.output('db', db!);
    // 10 images of 5 x 9 x 9 floats are 16,200 bytes
    await expectSame(graph, 6000, (name) => name !== 'dw' && name !== 'db');
  });

  it('products of stacks of matrices, with one or as many, are cut along the batch, with the same bits', async () => {
    const graph = new Graph();
    const attrs = { transposeA: false, transposeB: true };
    const x = graph.input('x', [9, 7, 20]);
    const wide = graph.one('matmul', [x, graph.parameter('w', [60, 20])], attrs);
    graph.output('wide', graph.one('unary', [wide], { kind: 'tanh' }));
    graph.output('many', graph.one('matmul', [x, graph.input('y', [9, 60, 20])], attrs));
    // 9 x 7 x 60 floats are 15,120 bytes
    await expectSame(graph, 6000, () => true);
  });

  it('a linear weight is cut by output rows, in all three directions, with the same bits @slow', async () => {
    const graph = new Graph();
    const x = graph.input('x', [3, 70]);
    const w = graph.parameter('w', [100, 70]);
    const b = graph.parameter('b', [100]);
    const [y] = graph.add('activation', [graph.one('linear', [x, w, b], {})], { kind: 'relu', mask: true }) as [Tensor];
    const g = graph.input('g', [3, 100]);
    graph.output('y', y);
    graph.output('dx', graph.one('linearInputGradient', [g, w], {}));
    const [dw, db] = graph.add('linearWeightGradient', [g, x], { bias: true });
    graph.output('dw', dw!);
    graph.output('db', db!);
    await expectSame(graph, 10_000, () => true);
  });

  it('a batch of batch norm in training, with ReLU, residual addition and dropout, is cut', async () => {
    const graph = new Graph();
    const x = graph.input('x', [10, 5, 9, 9]);
    const [gamma, beta] = [graph.parameter('gamma', [5]), graph.parameter('beta', [5])];
    const g = graph.input('g', x.shape);
    const [mean, variance, scale] = graph.add('batchNormStatistics', [x, gamma], { epsilon: 1e-5 }) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const normal = graph.one('batchNormApply', [x, mean, scale, beta, gamma], {});
    const y = graph.one('activation', [graph.one('add', [normal, g], {})], { kind: 'relu', mask: false });
    const ids = graph.input('ids', [10], 'u32');
    graph.output('y', graph.one('dropout', [y, ids], { p: 0.5, stream: 1, firstElement: 0, seed: 3, step: 4 }));
    const [products, sums] = graph.add('channelSums', [g, x, mean], {}) as [Tensor, Tensor];
    graph.output('dx', graph.one('batchNormInputGradient', [g, x, mean, scale, products, sums], {}));
    for (const [name, tensor] of Object.entries({ mean, variance, scale, products, sums })) graph.output(name, tensor);
    await expectSame(graph, 6000, () => false);
  });

  it('every binding of the cut program respects the limit', async () => {
    const device = await sharedDevice();
    const graph = new Graph();
    const x = graph.input('x', [8, 4, 16, 16]);
    const w = graph.parameter('w', [4, 4, 3, 3]);
    graph.output(
      'y',
      graph.one('conv2d', [x, w], { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 }),
    );
    const limit = 9000;
    const made = schedule(graph, groupNodes(graph, true), { ...kernelDevice(device), maxBindingBytes: limit }, () => 1);
    expect(made.dispatches.length).to.be.above(3);
    for (const dispatch of made.dispatches) {
      for (const operand of dispatch.operands) expect(4 * elementCount(operand.tensor.shape)).to.be.at.most(limit);
    }
  });
});
