import { expect } from 'chai';
import { splineValues } from '../../src/attacks/decowa.js';
import { numbersOfField } from '../../src/graph/fields.js';
import { Graph } from '../../src/graph/graph.js';
import type { ElementwiseFunction, OpAttrs, Tensor } from '../../src/graph/types.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { compareGraph } from '../support/compare.js';
import { random, randomValues, randomWords, runGraph, testSeed } from '../support/dispatch.js';

const [batch, channels, height, width] = [3, 2, 7, 5] as const;
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** A linear map of images and its transpose, as one graph. */
interface ImageMap {
  readonly name: string;
  readonly graph: Graph;
  readonly x: Tensor;
  readonly y: Tensor;
  readonly fixed: ReadonlyMap<Tensor, Float32Array>;
  readonly forward: Tensor;
  readonly transposed: Tensor;
}

function axis(which: 'rows' | 'columns', shared: boolean): ImageMap {
  const graph = new Graph();
  const from = which === 'rows' ? height : width;
  const x = graph.input('x', [batch, channels, height, width]);
  const y = graph.input('y', [batch, channels, which === 'rows' ? 4 : height, which === 'columns' ? 4 : width]);
  const matrix = graph.input('matrix', [shared ? 1 : batch, 4, from]);
  const forward = graph.one('axisMap', [x, matrix], { axis: which, transposed: false });
  const transposed = graph.one('axisMap', [y, matrix], { axis: which, transposed: true });
  graph.output('forward', forward);
  graph.output('transposed', transposed);
  const fixed = new Map([[matrix, randomValues((shared ? 1 : batch) * 4 * from)]]);
  return { name: `${which}${shared ? ', one matrix for all' : ''}`, graph, x, y, fixed, forward, transposed };
}

function sampled(mode: OpAttrs['gridSample']['mode'], bounded: boolean): ImageMap {
  const graph = new Graph();
  const [rows, columns] = [6, 4] as const;
  const x = graph.input('x', [batch, channels, height, width]);
  const y = graph.input('y', [batch, channels, rows, columns]);
  const grid = graph.input('grid', [batch, bounded ? 6 : 2, rows, columns]);
  const size = [height, width] as const;
  const forward = graph.one('gridSample', [x, grid], { mode, transposed: false, size });
  const transposed = graph.one('gridSample', [y, grid], { mode, transposed: true, size });
  graph.output('forward', forward);
  graph.output('transposed', transposed);
  // places inside, outside, and on pixels; bounds that cut some off
  const ranges = [height + 2, width + 2, 3, 2 * height, 2, 2 * width];
  const places = Array.from({ length: batch }, () =>
    ranges
      .slice(0, bounded ? 6 : 2)
      .map((range, k) =>
        Array.from({ length: rows * columns }, () => (k < 2 ? random() * range - 1 : Math.round(random() * range))),
      ),
  ).flat(2);
  const name = `${mode}${bounded ? ', bounded' : ''}`;
  return { name, graph, x, y, fixed: new Map([[grid, Float32Array.from(places)]]), forward, transposed };
}

const maps = [axis('rows', false), axis('columns', false), axis('rows', true), sampled('nearest', false)].concat([
  sampled('bilinear', false),
  sampled('nearest', true),
  sampled('bilinear', true),
]);

describe(`linear image maps, seed ${testSeed}`, () => {
  for (const { name, graph, x, y, fixed, forward, transposed } of maps) {
    it(`${name}: <Ax, y> = <x, A'y>, and A' is the transpose of A column by column`, () => {
      const run = new ReferenceRun(graph);
      for (const [tensor, values] of fixed) run.set(tensor, values);
      const columns: Float64Array[] = [];
      const size = run.get(x).length;
      for (let i = 0; i < size; i++) {
        run.set(
          x,
          Float64Array.from({ length: size }, (_, k) => Number(k === i)),
        );
        run.run();
        columns.push(Float64Array.from(run.get(forward)));
      }
      const values = randomValues(run.get(y).length);
      run.set(y, values);
      run.set(x, randomValues(size));
      run.run();
      expect(dot(run.get(forward), values)).to.be.closeTo(dot(run.get(x), run.get(transposed)), 1e-12);
      for (const [i, column] of columns.entries())
        expect(run.get(transposed)[i]).to.be.closeTo(dot(column, values), 1e-12);
      expect(columns.some((column) => column.some((value) => value !== 0))).to.equal(true);
    });

    it(`${name}: the kernels compute what the reference does`, async () => {
      for (const { name: output, error } of await compareGraph(graph, fixed)) expect(error, output).to.be.below(1e-6);
    });
  }

  it('nearest places on pixels read exactly these pixels, bilinear ones halfway their mean', () => {
    for (const [mode, at, expected] of [
      ['nearest', 1, 20],
      ['bilinear', 1, 20],
      ['bilinear', 1.5, 25],
      ['bilinear', -0.5, 5],
      ['nearest', 4, 0],
    ] as const) {
      const graph = new Graph();
      const x = graph.input('x', [1, 1, 1, 4]);
      const grid = graph.input('grid', [1, 2, 1, 1]);
      const y = graph.one('gridSample', [x, grid], { mode, transposed: false, size: [1, 4] });
      const run = new ReferenceRun(graph);
      run.set(x, [10, 20, 30, 40]);
      run.set(grid, [0, at]);
      run.run();
      expect(run.get(y)[0], `${mode} at ${at}`).to.equal(expected);
    }
  });
});

describe(`fields of random numbers, seed ${testSeed}`, () => {
  const kinds = [
    ['strips', 2, 6, [2, 0.4]],
    ['strips', 3, 6, [3, 1.2]],
    ['blocks', 3, 2, [3]],
    ['blockFactors', 3, 2, [3]],
    ['resize', 0, 1, [9, 0]],
    ['resize', 0, 1, [9, 1]],
    ['shift', 0, 2, [2]],
    ['warp', 0, 2, splineValues()],
  ] as const;
  for (const [kind, blocks, planes, values] of kinds) {
    it(`${kind} ${blocks > 0 ? `of ${blocks}` : values.slice(0, 2).join(', ')}: equals the reference`, async () => {
      const graph = new Graph();
      const numbers = graph.input('numbers', [batch, numbersOfField(kind, values)]);
      const size = kind === 'resize' ? ([9, height] as const) : ([height, width] as const);
      graph.output('field', graph.one('sampleField', [numbers], { kind, planes, size, values }));
      const drawn = Float32Array.from(
        randomValues(numbers.shape[0]! * numbers.shape[1]!),
        (value) => value - Math.floor(value),
      );
      for (const { name, error } of await compareGraph(graph, new Map([[numbers, drawn]])))
        expect(error, name).to.be.below(1e-5);
    });
  }
});

const clipped: ElementwiseFunction = {
  name: 'clipped',
  inputs: ['cap', 'w', 't'],
  scalars: [],
  results: ['w * min(cap, t)'],
  reference: (cap, w, t) => [w! * Math.min(cap!, t!)],
};
const above: ElementwiseFunction = {
  name: 'above',
  inputs: ['x', 't'],
  scalars: [],
  results: ['select(0.0, 1.0, x > t)'],
  reference: (x, t) => [Number(x! > t!)],
};

describe(`roots per sample, seed ${testSeed}`, () => {
  const graph = new Graph();
  const [samples, size] = [5, 300] as const;
  const [cap, w] = [graph.input('cap', [samples, size]), graph.input('w', [samples, size])];
  const [most, goal, few] = ['most', 'goal', 'few'].map((name) => graph.input(name, [samples])) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const rising = graph.add('sampleRoot', [cap, w, most, goal], { fn: clipped, rising: true });
  const falling = graph.add('sampleRoot', [cap, most, few], { fn: above, rising: false });
  for (const [index, tensor] of [...rising, ...falling].entries()) graph.output(`output ${index}`, tensor);
  const positive = (count: number): Float32Array => randomValues(count).map((value) => 0.5 + 0.5 * value);
  const data = new Map([
    [cap, positive(samples * size)],
    [w, positive(samples * size)],
    [most, Float32Array.of(1, 1, 1, 1, 1)],
    // the last asks for more than there is
    [goal, Float32Array.of(1, 10, 40, 60, 1e6)],
    [few, Float32Array.of(1, 10, 40, 60, 299)],
  ]);

  it('the sum reaches the goal at the root, and counts find the k-th largest value, ties included', () => {
    const run = new ReferenceRun(graph);
    for (const [tensor, values] of data) run.set(tensor, values);
    run.run();
    const [near, far, nearSum, farSum] = rising.map((tensor) => run.get(tensor));
    for (let n = 0; n < 4; n++) {
      expect(far![n]! - near![n]!).to.be.within(0, 1e-15);
      expect(nearSum![n]).to.be.at.most(data.get(goal)![n]!);
      expect(farSum![n]).to.be.at.least(data.get(goal)![n]!);
    }
    expect(near![4]).to.be.closeTo(1, 1e-15);
    expect(far![4]).to.equal(1);
    const values = data.get(cap)!;
    for (let n = 0; n < samples; n++) {
      const sorted = [...values.subarray(n * size, (n + 1) * size)].sort((a, b) => b - a);
      const k = data.get(few)![n]!;
      expect(run.get(falling[1]!)[n], `sample ${n}`).to.be.closeTo(sorted[k]!, 1e-15);
    }
  });

  it('the kernel finds the same, whatever the batch', async () => {
    const { results } = await runGraph(graph, { data });
    const run = new ReferenceRun(graph);
    for (const [tensor, values] of data) run.set(tensor, values);
    run.run();
    for (const tensor of [...rising.slice(0, 2), ...falling.slice(0, 2)])
      results(tensor).forEach((value, n) => expect(value, `sample ${n}`).to.be.closeTo(run.get(tensor)[n]!, 1e-6));
  });
});

describe('classes by rank', () => {
  it('rank 1 is the largest logit of another class than the label, equal ones in order', async () => {
    const [samples, classes] = [9, 70] as const;
    for (let rank = 1; rank < classes; rank += 17) {
      const graph = new Graph();
      const logits = graph.input('logits', [samples, classes]);
      const labels = graph.input('labels', [samples], 'u32');
      const found = graph.one('classAtRank', [logits, labels], { rank });
      graph.output('found', found);
      const z = randomValues(samples * classes, 1, 20);
      const y = randomWords(samples, classes);
      const data = new Map<Tensor, Float32Array | Uint32Array>([
        [logits, z],
        [labels, y],
      ]);
      const { results } = await runGraph(graph, { data });
      const expected = Array.from(
        y,
        (label, n) =>
          Array.from({ length: classes }, (_, k) => k)
            .filter((k) => k !== label)
            .sort((a, b) => z[n * classes + b]! - z[n * classes + a]! || a - b)[rank - 1]!,
      );
      expect([...results(found)]).to.deep.equal(expected);
    }
  });
});
