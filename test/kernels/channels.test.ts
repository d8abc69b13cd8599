import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import type { Pair, Tensor } from '../../src/graph/types.js';
import { randomBits, uniform01 } from '../../src/random/philox.js';
import { checkGraph, keep, randomInt, randomValues, runGraph } from '../support/dispatch.js';
import { elementCount } from '../../src/graph/types.js';

const feeds = (...tensors: readonly Tensor[]): Map<Tensor, Float32Array> =>
  new Map(tensors.map((tensor) => [tensor, randomValues(elementCount(tensor.shape))]));

describe('channels', () => {
  it('are joined and cut', async () => {
    const graph = new Graph();
    const [n, h, w] = [randomInt(1, 4), randomInt(1, 9), randomInt(1, 9)];
    const parts = [randomInt(1, 20), randomInt(1, 7), 1].map((c, index) => graph.input(`part ${index}`, [n, c, h, w]));
    const joined = graph.one('concat', parts, {});
    const last = parts[0]!.shape[1]! + parts[1]!.shape[1]!;
    keep(graph, joined, graph.one('channelSlice', [joined], { first: last, stride: [1, 1], shape: parts[2]!.shape }));
    await checkGraph(graph, { data: feeds(...parts), tolerance: 1e-12 });
  });

  it('are padded with zeros, with strides, and back', async () => {
    for (const stride of [
      [1, 1],
      [2, 2],
      [2, 3],
    ] as Pair[]) {
      const graph = new Graph();
      const x = graph.input('x', [2, randomInt(1, 5), randomInt(3, 9), randomInt(3, 9)]);
      const before = randomInt(0, 4);
      const y = graph.one('channelPad', [x], { before, after: randomInt(0, 4), stride });
      const g = graph.input('g', y.shape);
      keep(graph, y, graph.one('channelSlice', [g], { first: before, stride, shape: x.shape }));
      await checkGraph(graph, { data: feeds(x, g), tolerance: 1e-12 });
    }
  });

  it('are padded and cut with strides in rows of fours, and in others', async () => {
    for (const [width, variant] of [
      [4, 'vec4'],
      [8, 'vec4'],
      [7, ''],
    ] as const) {
      const graph = new Graph();
      const x = graph.input('x', [2, 3, 5, 2 * width]);
      const y = graph.one('channelPad', [x], { before: 1, after: 2, stride: [2, 2] });
      const g = graph.input('g', [2, 6, 3, width]);
      keep(graph, y, graph.one('channelSlice', [g], { first: 1, stride: [2, 2], shape: [2, 3, 5, 2 * width] }));
      const { dispatches } = await runGraph(graph, { data: feeds(x, g) });
      // the slice writes rows of twice the width, an even number that may be a multiple of four while the width is none
      expect(dispatches.map((dispatch) => dispatch.variant)).to.deep.equal([
        variant,
        width === 7 ? 'transposed' : 'transposed vec4',
      ]);
      await checkGraph(graph, { data: feeds(x, g), tolerance: 1e-12 });
    }
  });

  it('are summed with and without a center', async () => {
    for (const shape of [
      [3, 5, 4, 4],
      [1, 2, 40, 40],
      [70, 17],
      [2, 3, 1, 7],
    ]) {
      const graph = new Graph();
      const [g, x, center] = [graph.input('g', shape), graph.input('x', shape), graph.input('center', [shape[1]!])];
      const sums = [...graph.add('channelSums', [g, x], {}), ...graph.add('channelSums', [g, x, center], {})];
      keep(graph, ...sums);
      await checkGraph(graph, { data: feeds(g, x, center) });
    }
  });
});

describe('dropout', () => {
  it('depends on seed, step, sample and element only, and scales what it keeps', async () => {
    const graph = new Graph();
    const [p, size] = [0.3, 37];
    const [x, ids] = [graph.input('x', [3, size]), graph.input('ids', [3], 'u32')];
    const attrs = { p, stream: 3, firstElement: 8, seed: 5, step: { step: 'step' } };
    const y = graph.one('dropout', [x, ids], attrs);
    keep(graph, y);
    const data = new Map<Tensor, Float32Array | Uint32Array>([
      [x, new Float32Array(3 * size).fill(1)],
      [ids, Uint32Array.from([7, 900, 7])],
    ]);
    const results = await checkGraph(graph, { data, steps: { step: { type: 'u32', value: 11 } } });
    const values = [...results(y)];
    expect(values.slice(0, size)).to.deep.equal(values.slice(2 * size));
    const bits = randomBits(5, 3, 900, 11, 8 + size);
    expect(values.slice(size, 2 * size).map((value) => value > 0)).to.deep.equal(
      Array.from(bits.subarray(8), (word) => uniform01(word) >= p),
    );
    const other = await runGraph(graph, { data, steps: { step: { type: 'u32', value: 12 } } });
    expect([...other.results(y)]).to.not.deep.equal(values);
  });

  it('drops the share it was asked to', async () => {
    const graph = new Graph();
    const [x, ids] = [graph.input('x', [50, 2000]), graph.input('ids', [50], 'u32')];
    const y = graph.one('dropout', [x, ids], { p: 0.2, stream: 3, firstElement: 0, seed: randomInt(0, 1e6), step: 0 });
    keep(graph, y);
    const data = new Map<Tensor, Float32Array | Uint32Array>([
      [x, new Float32Array(1e5).fill(1)],
      [ids, Uint32Array.from({ length: 50 }, (_, n) => n)],
    ]);
    const { results } = await runGraph(graph, { data });
    const kept = [...results(y)].filter((value) => value !== 0);
    expect(kept.length / 1e5).to.be.closeTo(0.8, 0.01);
    expect(kept.every((value) => value === Math.fround(1.25))).to.equal(true);
  });
});

describe('log-softmax', () => {
  for (const classes of [1, 10, 1000]) {
    it(`of ${classes} classes, forward and backward`, async () => {
      const graph = new Graph();
      const [x, g] = [graph.input('x', [7, classes]), graph.input('g', [7, classes])];
      const y = graph.one('logSoftmax', [x], {});
      keep(graph, y, graph.one('logSoftmaxBackward', [g, y], {}));
      const data = new Map([
        [x, randomValues(7 * classes, 30)],
        [g, randomValues(7 * classes)],
      ]);
      await checkGraph(graph, { data });
    });
  }
});
