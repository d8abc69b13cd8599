import { expect } from 'chai';
import { scalarFunctions } from '../../src/graph/functions.js';
import type { BuiltinFunctionName } from '../../src/graph/functions.js';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { runGraph } from '../support/dispatch.js';

/** `other` is a second input, 0 and 2 by turns. */
type Build = (graph: Graph, x: Tensor, other: Tensor) => Tensor;

/**
 * Places of the results that are NaN on the device, fused and not, and in the reference, where one element of `x` is
 * NaN and all others are 1.
 */
async function spoiledBy(build: Build, shape: readonly number[], place: number): Promise<number[][]> {
  const found: number[][] = [];
  const nan = (values: ArrayLike<number>): number[] =>
    Array.from(values).flatMap((value, i) => (Number.isNaN(value) ? [i] : []));
  for (const fuse of [true, false]) {
    const graph = new Graph();
    const x = graph.input('x', shape);
    const other = graph.input('other', shape);
    const y = build(graph, x, other);
    graph.output('y', y);
    const values = new Float32Array(elementCount(shape)).fill(1);
    values[place] = NaN;
    const others = values.map((_, i) => 2 * (i % 2));
    const run = new ReferenceRun(graph);
    run.set(x, values);
    run.set(other, others);
    run.run();
    const { results } = await runGraph(graph, {
      data: new Map([
        [x, values],
        [other, others],
      ]),
      fuse,
    });
    found.push(nan(run.get(y)), nan(results(y)));
  }
  return found;
}

const expectSame = (found: readonly number[][], places: readonly number[], what: string): void =>
  found.forEach((each, i) => expect(each, `${what}, ${i % 2 === 0 ? 'reference' : 'device'}`).to.deep.equal(places));

describe('NaN is handed on by whatever a network is made of', () => {
  it('functions of one number, scalar and in fours, alone and behind a sum @slow', async () => {
    for (const kind of Object.keys(scalarFunctions) as BuiltinFunctionName[])
      for (const count of [3, 8]) {
        expectSame(await spoiledBy((graph, x) => graph.one('unary', [x], { kind }), [count], 1), [1], kind);
        const behind = (graph: Graph, x: Tensor): Tensor =>
          graph.one('unary', [graph.one('add', [x, x], {})], { kind });
        expectSame(await spoiledBy(behind, [count], 2), [2], `${kind} behind a sum`);
      }
  }).timeout(120_000);

  it('arithmetic of two tensors, on either side, the larger and the smaller of two among it', async () => {
    for (const kind of ['add', 'sub', 'mul', 'div', 'max', 'min'] as const)
      for (const left of [true, false]) {
        const build: Build = (graph, x, other) => graph.one('binary', left ? [x, other] : [other, x], { kind });
        for (const place of [2, 3]) expectSame(await spoiledBy(build, [8], place), [place], `${kind} ${left}`);
      }
  });

  it('sums, means and maxima along axes, wherever it stands', async () => {
    for (const kind of ['sum', 'mean', 'max'] as const)
      for (const axes of [[1], [2], [1, 2]])
        for (const place of [0, 4, 11]) {
          const build = (graph: Graph, x: Tensor): Tensor => graph.one('reduce', [x], { kind, axes });
          const inside = axes.length === 2 ? 0 : axes[0] === 1 ? place % 4 : Math.floor(place / 4);
          expectSame(await spoiledBy(build, [1, 3, 4], place), [inside], `${kind} ${axes.join()} at ${place}`);
        }
  });

  it('norms of samples, soft-max, normalization and average pooling', async () => {
    for (const norm of ['l1', 'l2', 'linf', 'sum'] as const) {
      const build = (graph: Graph, x: Tensor): Tensor => graph.one('sampleNorm', [x], { norm });
      for (const place of [0, 300, 599])
        expectSame(await spoiledBy(build, [2, 300], place), [Math.floor(place / 300)], norm);
    }
    const row = [3, 4, 5];
    for (const op of ['softmax', 'logSoftmax'] as const)
      expectSame(await spoiledBy((graph, x) => graph.one(op, [x], {}), [2, 3], 4), row, op);
    const attrs = { first: 1, epsilon: 1e-5, center: true };
    expectSame(await spoiledBy((graph, x) => graph.add('normalize', [x], attrs)[0]!, [2, 3], 4), row, 'normalize');
    const window = { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], ceilMode: false } as const;
    for (const mode of ['nearest', 'bilinear'] as const) {
      const read: Build = (graph, x, other) =>
        graph.one('gridSample', [other, x], { mode, transposed: false, size: [2, 2] });
      expectSame(await spoiledBy(read, [1, 2, 2, 2], 5), [1, 5], `places of pixels, ${mode}`);
    }
    const pooled = (graph: Graph, x: Tensor): Tensor => graph.one('avgPool2d', [x], window);
    expectSame(await spoiledBy(pooled, [1, 1, 2, 4], 3), [1], 'average pooling');
  });
});
