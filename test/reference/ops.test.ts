import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import type { PoolAttrs } from '../../src/graph/types.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { randomBits } from '../../src/random/philox.js';
import { errorOf, evaluate, noise } from './support.js';

const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((total, value) => total + value, 0);

describe('reference: operations with a closed form', () => {
  it('masks pack 16 channels into a word per pixel', () => {
    const graph = new Graph();
    const [n, c, h, w] = [2, 19, 2, 3];
    const x = graph.input('x', [n, c, h, w]);
    const mask = graph.add('activation', [x], { kind: 'relu', mask: true })[1]!;
    const z = noise(n * c * h * w);
    const words = evaluate(graph, [[x, z]]).get(mask);
    expect(words.length).to.equal(2 * n * h * w);
    for (let i = 0; i < z.length; i++) {
      const [sample, channel, pixel] = [Math.floor(i / (c * h * w)), Math.floor(i / (h * w)) % c, i % (h * w)];
      const word = words[(sample * Math.ceil(c / 16) + Math.floor(channel / 16)) * h * w + pixel]!;
      expect((word >>> (channel % 16)) & 1).to.equal(z[i]! > 0 ? 1 : 0);
    }
  });

  it('max pooling takes the first maximum in row-major order', () => {
    const graph = new Graph();
    const x = graph.input('x', [1, 5, 2, 2]);
    const [, argmax] = graph.add('maxPool2d', [x], {
      kernel: [2, 2],
      stride: [2, 2],
      padding: [0, 0, 0, 0],
      ceilMode: false,
    });
    const data = [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 2, 2, 0, 0, 0, 3, 1, 0, 1, 0];
    const words = evaluate(graph, [[x, data]]).get(argmax!);
    const places = [0, 1, 2, 3].map((c) => (words[0]! >>> (8 * c)) & 255);
    expect([...places, words[1]! & 255]).to.deep.equal([0, 1, 2, 3, 0]);
  });

  it('softmax pooling keeps the mass of the gradient without padding and tends to max pooling', () => {
    const graph = new Graph();
    const attrs: PoolAttrs = { kernel: [3, 3], stride: [2, 2], padding: [0, 0, 0, 0], ceilMode: false };
    const shape = [2, 3, 7, 7];
    const x = graph.input('x', shape);
    const [y, argmax] = graph.add('maxPool2d', [x], attrs);
    const g = graph.input('g', y!.shape);
    const soft = graph.one('maxPool2dSoftmaxBackward', [g, x], { ...attrs, inputShape: shape, tau: 3 });
    const hard = graph.one('maxPool2dSoftmaxBackward', [g, x], { ...attrs, inputShape: shape, tau: 1e13 });
    const exact = graph.one('maxPool2dBackward', [g, argmax!], { ...attrs, inputShape: shape });
    const upstream = noise(2 * 3 * 9);
    const run = evaluate(graph, [
      [x, noise(2 * 3 * 49)],
      [g, upstream],
    ]);
    expect(sum(run.get(soft))).to.be.closeTo(sum(upstream), 1e-12);
    expect(Array.from(run.get(hard))).to.deep.equal(Array.from(run.get(exact)));
  });

  it('the gradient of the cross entropy survives a large margin', () => {
    const graph = new Graph();
    const [z, labels] = [graph.input('z', [1, 3]), graph.input('labels', [1], 'u32')];
    const dz = graph.one('lossBackward', [z, labels], { kind: 'crossEntropy', scale: 1 });
    const run = evaluate(graph, [
      [z, [100, 0, 0]],
      [labels, [0]],
    ]);
    expect(run.get(dz)[0]! / (-2 * Math.exp(-100))).to.be.closeTo(1, 1e-12);
  });

  it('the DLR is 1 and flat where the label ranks third', () => {
    const graph = new Graph();
    const [z, labels] = [graph.input('z', [1, 4]), graph.input('labels', [1], 'u32')];
    const loss = graph.one('loss', [z, labels], { kind: 'dlr' });
    const dz = graph.one('lossBackward', [z, labels], { kind: 'dlr', scale: 1 });
    const run = evaluate(graph, [
      [z, [1, 5, 3, -2]],
      [labels, [0]],
    ]);
    expect(run.get(loss)[0]).to.be.closeTo(1, 1e-11);
    expect(Math.max(...run.get(dz).map(Math.abs))).to.be.below(1e-11);
  });

  it('a prediction counts as the first largest logit', () => {
    const graph = new Graph();
    const [z, labels] = [graph.input('z', [2, 3]), graph.input('labels', [2], 'u32')];
    const hits = graph.one('correct', [z, labels], {});
    const run = evaluate(graph, [
      [z, [1, 2, 2, 2, 0, 2]],
      [labels, [1, 2]],
    ]);
    expect(Array.from(run.get(hits))).to.deep.equal([1, 0]);
  });

  it('norms are per sample', () => {
    const graph = new Graph();
    const x = graph.input('x', [2, 3]);
    const norms = (['l1', 'l2', 'linf'] as const).map((norm) => graph.one('sampleNorm', [x], { norm }));
    const run = evaluate(graph, [[x, [3, -4, 0, 0, 0, -2]]]);
    expect(norms.map((norm) => Array.from(run.get(norm)))).to.deep.equal([
      [7, 2],
      [5, 2],
      [4, 2],
    ]);
  });

  it('maps broadcast, read the step table and overwrite their target', () => {
    const graph = new Graph();
    const [x, s, t] = [graph.state('x', [2, 2]), graph.input('s', [2]), graph.input('t', [1])];
    const fn = {
      name: 'axpy',
      inputs: ['x', 's', 't'],
      scalars: ['a'],
      results: ['x + a * s', 'x * t'],
      reference: (value: number, sample: number, all: number, a: number) => [value + a * sample, value * all],
    };
    const [y] = graph.add('map', [x, s, t], {
      fn: { ...fn, reference: fn.reference as (...v: number[]) => number[] },
      scalars: [{ step: 'alpha' }],
      targets: [0, 'new'],
    });
    const run = new ReferenceRun(graph);
    run.set(x, [1, 2, 3, 4]);
    run.set(s, [10, 20]);
    run.set(t, [2]);
    run.run('main', [{ alpha: 1 }, { alpha: 2 }]);
    expect(Array.from(run.get(x))).to.deep.equal([31, 32, 63, 64]);
    expect(Array.from(run.get(y!))).to.deep.equal([22, 24, 46, 48]);
    expect(errorOf(() => run.run()).field).to.equal('alpha');
  });

  it('batches are gathered from bytes by index, and logged', () => {
    const graph = new Graph();
    const [data, indices, values] = [
      graph.input('data', [3], 'u32'),
      graph.input('indices', [4], 'u32'),
      graph.input('values', [3], 'u32'),
    ];
    const log = graph.state('log', [2, 2]);
    const x = graph.one('gatherImages', [data, indices], {
      count: 2,
      sampleShape: [4],
      packed: true,
      start: { step: 'start' },
    });
    const y = graph.one('gatherLabels', [values, indices], { count: 2, start: { step: 'start' } });
    graph.add('record', [graph.one('sampleNorm', [x], { norm: 'linf' }), y, log], { row: { step: 'row' } });
    const run = new ReferenceRun(graph);
    run.set(data, [0x04030201, 0xff000000, 0x00000033]);
    run.set(indices, [9, 9, 1, 2]);
    run.set(values, [7, 5, 6]);
    run.run('main', [{ start: 2, row: 1 }]);
    expect(Array.from(run.get(x))).to.deep.equal([0, 0, 0, 1, 0.2, 0, 0, 0]);
    expect(Array.from(run.get(y))).to.deep.equal([5, 6]);
    expect(Array.from(run.get(log))).to.deep.equal([0, 0, 1.2, 11]);
  });

  it('random numbers depend on the sample and the step only', () => {
    const graph = new Graph();
    const ids = graph.input('ids', [3], 'u32');
    const attrs = { shape: [3, 5], stream: 4, seed: 11, step: { step: 't' } } as const;
    const uniform = graph.one('random', [ids], { ...attrs, distribution: 'uniform' });
    const normal = graph.one('random', [ids], { ...attrs, distribution: 'normal' });
    const run = new ReferenceRun(graph);
    run.set(ids, [8, 3, 8]);
    run.run('main', [{ t: 6 }]);
    const u = run.get(uniform);
    expect(Array.from(u.subarray(5, 10))).to.deep.equal(
      Array.from(randomBits(11, 4, 3, 6, 5), (bits) => (bits >>> 8) / 2 ** 24),
    );
    expect(Array.from(u.subarray(0, 5))).to.deep.equal(Array.from(u.subarray(10, 15)));
    expect(Array.from(run.get(normal)).every(Number.isFinite)).to.equal(true);
  });

  it('views share memory and sizes are checked', () => {
    const graph = new Graph();
    const store = graph.parameter('store', [10]);
    const w = graph.window(store, 4, [2, 3], 'w');
    const run = new ReferenceRun(graph);
    run.set(w, [1, 2, 3, 4, 5, 6]);
    expect(Array.from(run.get(store))).to.deep.equal([0, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
    expect(errorOf(() => run.set(w, [1])).code).to.equal('bad-shape');
    expect(errorOf(() => run.run('none')).code).to.equal('bad-argument');
  });
});
