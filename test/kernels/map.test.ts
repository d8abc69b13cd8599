import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import type { ElementwiseFunction } from '../../src/graph/types.js';
import { checkGraph, keep, randomValues, randomWords, runGraph } from '../support/dispatch.js';

const step: ElementwiseFunction = {
  name: 'step',
  inputs: ['x', 'g', 'norm', 'rate'],
  scalars: ['alpha', 'beta'],
  prelude: '  let direction = g / (norm + 1.5);',
  results: ['x + alpha * rate * direction', 'beta * g - x'],
  reference: (x, g, norm, rate, alpha, beta) => [x! + (alpha! * rate! * g!) / (norm! + 1.5), beta! * g! - x!],
};

const half: ElementwiseFunction = {
  name: 'half',
  inputs: ['x'],
  scalars: [],
  results: ['0.5 * x'],
  reference: (x) => [0.5 * x!],
};

describe('elementwise kernels', () => {
  for (const shape of [
    [1, 1],
    [7, 3, 5, 1],
    [64, 10],
    [3, 1, 16, 17],
  ]) {
    it(`map over [${shape.join(', ')}]: inputs per sample and single, scalars per step, in place and new`, async () => {
      for (const targets of [['new', 'new'] as const, [0, 'new'] as const, ['new', 1] as const, [1, 0] as const]) {
        const graph = new Graph();
        const x = graph.state('x', shape);
        const g = graph.state('g', shape);
        const norm = graph.input('norm', [shape[0]!]);
        const rate = graph.input('rate', [1]);
        keep(
          graph,
          ...graph.add('map', [x, g, norm, rate], {
            fn: step,
            scalars: [0.25, { step: 'beta' }],
            targets: [...targets],
          }),
        );
        const count = shape.reduce((a, b) => a * b, 1);
        await checkGraph(graph, {
          data: new Map([
            [x, randomValues(count)],
            [g, randomValues(count)],
            [norm, randomValues(shape[0]!)],
            [rate, randomValues(1)],
          ]),
          steps: { other: { type: 'f32', value: 9 }, beta: { type: 'f32', value: -1.75 } },
        });
      }
    });
  }

  it('reads a tensor twice, and reads and overwrites it, through one binding', async () => {
    const graph = new Graph();
    const x = graph.state('x', [2, 9]);
    const flat = graph.one('reshape', [x], { shape: [2, 9] });
    const fn: ElementwiseFunction = {
      name: 'mix',
      inputs: ['a', 'b', 'c'],
      scalars: [],
      results: ['a * b + c'],
      reference: (a, b, c) => [a! * b! + c!],
    };
    graph.add('map', [x, flat, x], { fn, scalars: [], targets: [2] });
    const { dispatches } = await runGraph(graph, { data: new Map([[x, randomValues(18)]]) });
    expect(dispatches.map(({ operands }) => operands.map(({ access }) => access))).to.deep.equal([['readWrite']]);
    await checkGraph(graph, { data: new Map([[x, randomValues(18)]]) });
  });

  it('addresses windows that do not begin at a multiple of 256 bytes and leaves their neighbors alone', async () => {
    const graph = new Graph();
    const store = graph.state('store', [300]);
    const value = graph.input('value', [33]);
    graph.add('map', [graph.window(store, 70, [3, 11], 'a')], { fn: half, scalars: [], targets: [0] });
    graph.add('assign', [value, graph.window(store, 150, [3, 11], 'b')], {});
    keep(graph, store);
    await checkGraph(graph, {
      data: new Map([
        [store, randomValues(300)],
        [value, randomValues(33)],
      ]),
    });
  });

  it('cuts tensors that are larger than a binding into slices', async () => {
    const graph = new Graph();
    const shape = [5, 1000];
    const x = graph.state('x', shape);
    const g = graph.input('g', shape);
    const copy = graph.state('copy', shape);
    const [norm, rate] = [graph.input('norm', [5]), graph.input('rate', [1])];
    keep(graph, ...graph.add('map', [x, g, norm, rate], { fn: step, scalars: [2, 3], targets: [0, 'new'] }));
    graph.add('assign', [x, copy], {});
    const data = new Map([
      [x, randomValues(5000)],
      [g, randomValues(5000)],
      [norm, randomValues(5)],
      [rate, randomValues(1)],
    ]);
    const device = { maxBindingBytes: 4096 };
    const { dispatches } = await runGraph(graph, { data, device });
    expect(dispatches.length).to.equal(12);
    for (const { operands } of dispatches)
      for (const { range } of operands) expect((range?.offset ?? 0) % 256).to.equal(0);
    await checkGraph(graph, { data, device });
  });

  it('cuts vectors of four into slices too', async () => {
    const graph = new Graph();
    const [x, g, rate] = [graph.state('x', [5000]), graph.input('g', [5000]), graph.input('rate', [1])];
    const fn: ElementwiseFunction = {
      name: 'step',
      inputs: ['x', 'g', 'rate'],
      scalars: ['shift'],
      results: ['x - rate * g + shift', 'x * g'],
      reference: (a, b, c, d) => [a! - c! * b! + d!, a! * b!],
    };
    graph.output('product', graph.add('map', [x, g, rate], { fn, scalars: [0.25], targets: [0, 'new'] })[0]!);
    const data = new Map([
      [x, randomValues(5000)],
      [g, randomValues(5000)],
      [rate, randomValues(1)],
    ]);
    const device = { maxBindingBytes: 4096 };
    const { dispatches } = await runGraph(graph, { data, device });
    expect(dispatches.length).to.be.above(4);
    expect(dispatches[0]!.code).to.match(/array<vec4f>/);
    await checkGraph(graph, { data, device });
  });

  it('reaches every element of a grid that is folded', async function () {
    this.timeout(300000);
    const graph = new Graph();
    // Odd, so that the elements go one by one.
    const count = 65535 * 256 + 1001;
    const x = graph.state('x', [1, count]);
    graph.add('map', [x], { fn: half, scalars: [], targets: [0] });
    const data = new Map([[x, new Float32Array(count).fill(3)]]);
    const { results, dispatches } = await runGraph(graph, { data, device: { partLimits: { operations: Infinity } } });
    expect(dispatches[0]!.workgroups).to.deep.equal([65535, 2, 1]);
    expect(results(x).every((value) => value === 1.5)).to.equal(true);
  });

  it('refuses a function of more tensors than the device binds', async () => {
    const graph = new Graph();
    const inputs = Array.from({ length: 8 }, (_, index) => graph.input(`x${index}`, [4]));
    const names = inputs.map((_, index) => `x${index}`);
    const fn: ElementwiseFunction = {
      name: 'wide',
      inputs: names,
      scalars: [],
      results: [names.join(' + ')],
      reference: (...x) => [x.reduce((a, b) => a + b)],
    };
    graph.add('map', inputs, { fn, scalars: [], targets: ['new'] });
    const error: unknown = await runGraph(graph, { data: new Map(), device: { maxStorageBuffers: 8 } }).catch(
      (caught: unknown) => caught,
    );
    expect(error).to.be.instanceOf(LinbpError);
    expect((error as LinbpError).code).to.equal('limit-exceeded');
  });

  it('assign copies words of any type bit by bit, and does nothing onto itself', async () => {
    const graph = new Graph();
    const words = graph.input('words', [3, 77], 'u32');
    const state = graph.state('state', [231], 'u32');
    graph.add('assign', [words, state], {});
    graph.add('assign', [state, state], {});
    const data = new Map([[words, Uint32Array.from(randomWords(231, 2 ** 32))]]);
    expect((await runGraph(graph, { data })).dispatches.length).to.equal(1);
    await checkGraph(graph, { data });
  });
});
