import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import { argmaxShape, elementCount, maskShape } from '../../src/graph/types.js';
import type { PoolAttrs, Tensor } from '../../src/graph/types.js';
import { poolOutputShape } from '../../src/ops/pooling.js';
import { bp } from '../../src/rules/builtin.js';
import { checkGraph, keep, randomInt, randomValues, randomWords, runGraph } from '../support/dispatch.js';

type Data = Map<Tensor, Float32Array | Uint32Array>;

const pool = (kernel: number, stride: number, padding = 0, ceilMode = false): PoolAttrs => ({
  kernel: [kernel, kernel],
  stride: [stride, stride],
  padding: [padding, padding, padding, padding],
  ceilMode,
});

/** Named cases: an input shape and how it is pooled. */
const cases: readonly (readonly [string, readonly number[], PoolAttrs])[] = [
  ['2x2', [7, 3, 8, 8], pool(2, 2)],
  ['2x2 with a remainder', [1, 17, 9, 7], pool(2, 2)],
  ['2x2 in ceil mode', [2, 18, 7, 9], pool(2, 2, 0, true)],
  ['3x2 side by side', [3, 4, 8, 9], { kernel: [3, 2], stride: [3, 2], padding: [0, 0, 0, 0], ceilMode: false }],
  ['3x3/2 padded', [2, 33, 15, 13], pool(3, 2, 1)],
  ['3x3/2 in ceil mode', [3, 5, 8, 10], pool(3, 2, 0, true)],
  ['3x3/2 padded in ceil mode', [2, 16, 7, 8], pool(3, 2, 1, true)],
  ['5x5/1 padded', [2, 4, 6, 6], pool(5, 1, 2)],
  ['gaps between windows', [2, 6, 11, 11], pool(2, 3)],
  ['one window', [64, 10, 4, 4], pool(4, 4)],
  ['uneven', [1, 2, 9, 12], { kernel: [3, 2], stride: [1, 3], padding: [1, 0, 0, 1], ceilMode: true }],
];

describe('pooling kernels', () => {
  for (const [name, shape, attrs] of cases) {
    it(`max pooling ${name}: maxima, their places and the gradient, with ties`, async () => {
      const graph = new Graph();
      const x = graph.input('x', shape);
      const [y, argmax] = graph.add('maxPool2d', [x], attrs) as [Tensor, Tensor];
      const g = graph.input('g', y.shape);
      keep(graph, y, argmax, graph.one('maxPool2dBackward', [g, argmax], { ...attrs, inputShape: shape }));
      const gradient = randomValues(elementCount(y.shape));
      for (const values of [
        randomValues(elementCount(shape)),
        randomValues(elementCount(shape), 1, 3),
        randomValues(elementCount(shape)).map((v) => v - 5),
      ]) {
        await checkGraph(graph, {
          data: new Map([
            [x, values],
            [g, gradient],
          ]),
        });
      }
    });

    it(`average and softmax pooling ${name}`, async () => {
      const graph = new Graph();
      const x = graph.input('x', shape);
      const y = graph.one('avgPool2d', [x], attrs);
      const g = graph.input('g', y.shape);
      keep(graph, y, graph.one('avgPool2dBackward', [g], { ...attrs, inputShape: shape }));
      for (const tau of [1, 10])
        keep(graph, graph.one('maxPool2dSoftmaxBackward', [g, x], { ...attrs, inputShape: shape, tau }));
      for (const scale of [1, 50]) {
        await checkGraph(graph, {
          data: new Map([
            [x, randomValues(elementCount(shape), scale)],
            [g, randomValues(elementCount(y.shape))],
          ]),
          // a float32 weight exp(tau x) has the relative error of tau x
          tolerance: scale === 1 ? 1e-5 : 1e-4,
        });
      }
    });
  }

  it('max pooling of random shapes', async () => {
    for (let trial = 0; trial < 6; trial++) {
      const kernel = [randomInt(1, 4), randomInt(1, 4)] as const;
      const pad = (size: number): number => randomInt(0, Math.floor(size / 2));
      const attrs: PoolAttrs = {
        kernel,
        stride: [randomInt(1, 4), randomInt(1, 4)],
        padding: [pad(kernel[0]), pad(kernel[1]), pad(kernel[0]), pad(kernel[1])],
        ceilMode: trial % 2 === 0,
      };
      const shape = [randomInt(1, 4), randomInt(1, 35), randomInt(4, 13), randomInt(4, 13)];
      const graph = new Graph();
      const x = graph.input('x', shape);
      const [y, argmax] = graph.add('maxPool2d', [x], attrs) as [Tensor, Tensor];
      const g = graph.input('g', y.shape);
      keep(graph, y, argmax, graph.one('maxPool2dBackward', [g, argmax], { ...attrs, inputShape: shape }));
      keep(
        graph,
        graph.one('avgPool2d', [x], attrs),
        graph.one('avgPool2dBackward', [g], { ...attrs, inputShape: shape }),
      );
      const data: Data = new Map([
        [x, randomValues(elementCount(shape), 1, 5)],
        [g, randomValues(elementCount(y.shape))],
      ]);
      await checkGraph(graph, { data });
    }
  });

  for (const [height, width, size] of [
    [8, 8, [1, 1]],
    [7, 11, [3, 4]],
    [5, 4, [5, 4]],
    [3, 2, [7, 7]],
    [13, 6, [6, 1]],
  ] as const) {
    it(`adaptive average pooling of ${height}x${width} to ${size.join('x')}`, async () => {
      for (const [batch, channels] of [
        [1, 17],
        [7, 3],
      ] as const) {
        const graph = new Graph();
        const shape = [batch, channels, height, width];
        const x = graph.input('x', shape);
        const y = graph.one('adaptiveAvgPool2d', [x], { size });
        const g = graph.input('g', y.shape);
        keep(graph, y, graph.one('adaptiveAvgPool2dBackward', [g], { size, inputShape: shape }));
        await checkGraph(graph, {
          data: new Map([
            [x, randomValues(elementCount(shape))],
            [g, randomValues(elementCount(y.shape))],
          ]),
        });
      }
    });
  }

  for (const fuse of [true, false]) {
    it(`pooling with pointwise followers, ${fuse ? 'fused' : 'one by one'}`, async () => {
      for (const [channels, attrs] of [
        [5, pool(3, 2, 1)],
        [33, pool(3, 2, 1)],
        [33, pool(2, 2)],
      ] as const) {
        const shape = [3, channels, 9, 10];
        const pooled = poolOutputShape(shape, attrs);
        const graph = new Graph();
        const x = graph.input('x', shape);
        const scale = graph.input('scale', [channels]);
        const [y, argmax] = graph.add('maxPool2d', [x], attrs) as [Tensor, Tensor];
        keep(
          graph,
          argmax,
          ...graph.add('activation', [graph.one('scaleShift', [y, scale], {})], { kind: 'relu', mask: true }),
        );
        const g = graph.input('g', pooled);
        const saved = graph.input('argmax', argmaxShape(pooled), 'u32');
        const mask = graph.input('mask', maskShape(shape), 'u32');
        const dx = graph.one('maxPool2dBackward', [g, saved], { ...attrs, inputShape: shape });
        keep(graph, graph.one('activationBackward', [dx, mask], { kind: 'relu', rule: bp }));
        const data: Data = new Map<Tensor, Float32Array | Uint32Array>([
          [x, randomValues(elementCount(shape))],
          [scale, randomValues(channels)],
          [g, randomValues(elementCount(pooled))],
          [mask, randomWords(elementCount(mask.shape), 2 ** 32)],
        ]);
        const forward = new Graph();
        const image = forward.input('x', shape);
        const places = forward.add('maxPool2d', [image], attrs)[1]!;
        keep(forward, places);
        const { results } = await runGraph(forward, { data: new Map([[image, data.get(x)!]]) });
        data.set(saved, results(places));
        const { dispatches } = await runGraph(graph, { data, fuse });
        expect(dispatches.length).to.equal(fuse ? 2 : 5);
        await checkGraph(graph, { data, fuse });
      }
    });
  }

  it('refuses windows whose places do not fit a byte', () => {
    const graph = new Graph();
    const x = graph.input('x', [1, 1, 20, 20]);
    expect(() => graph.add('maxPool2d', [x], pool(17, 17))).to.throw(LinbpError, /at most 256 pixels, got 17x17/);
  });
});
