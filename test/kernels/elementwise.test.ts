import { expect } from 'chai';
import { binaryFunctions } from '../../src/graph/binary.js';
import type { BinaryName } from '../../src/graph/binary.js';
import { scalarFunctions } from '../../src/graph/functions.js';
import type { ActivationKind, ScalarFunctionName } from '../../src/graph/functions.js';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { hasTwoSlopes } from '../../src/ops/activation.js';
import { compareGraph } from '../support/compare.js';
import { random } from '../support/dispatch.js';

/** Functions of numbers above 0 only. */
const ofPositive: ReadonlySet<string> = new Set(['log', 'sqrt', 'norm', 'reciprocal', 'power']);

type Build = (graph: Graph, feeds: Map<Tensor, Float32Array>, keep: (...all: Tensor[]) => void) => void;

/** Compares a graph on the device with the reference, fused and, where chains matter, unfused. */
async function check(build: Build, chained = false): Promise<void> {
  for (const fuse of chained ? [true, false] : [true]) {
    const graph = new Graph();
    const feeds = new Map<Tensor, Float32Array>();
    build(graph, feeds, (...all) => all.forEach((tensor) => graph.output(`output ${graph.outputs.size}`, tensor)));
    for (const { name, error } of await compareGraph(graph, feeds, { fuse })) {
      const { producer } = graph.outputs.get(name)!;
      const what = `${producer?.op} ${JSON.stringify(producer?.attrs)} fuse ${fuse}`;
      expect(error, what).to.be.below(3e-6);
    }
  }
}

function numbers(shape: readonly number[], positive: boolean): Float32Array {
  const next = (): number => (positive ? 0.1 + 3 * random() : 10 * random() - 5);
  return Float32Array.from({ length: elementCount(shape) }, next);
}

describe('elementwise kernels', () => {
  for (const kind of Object.keys(scalarFunctions) as ScalarFunctionName[]) {
    it(`${kind} and its derivative`, () =>
      check((graph, feeds, keep) => {
        const values = kind === 'power' ? { values: [2.5] } : {};
        for (const shape of [[3, 20, 4, 4], [5, 33], [7], [2, 3, 2, 3, 2]]) {
          const x = graph.input(`x${shape.length}`, shape);
          feeds.set(x, numbers(shape, ofPositive.has(kind)));
          keep(graph.one('unary', [x], { kind, ...values }));
          keep(graph.one('unaryBackward', [graph.input(`g${shape.length}`, shape), x], { kind, ...values }));
        }
      }));
  }

  it('the slope of tanh keeps its digits where tanh is next to 1', () =>
    check((graph, feeds, keep) => {
      const x = graph.input('x', [8]);
      feeds.set(x, Float32Array.from([3, 3.5, 4, 5, -3.2, -4.1, -6, 7]));
      keep(graph.one('unaryBackward', [graph.input('g', [8]), x], { kind: 'tanh' }));
    }));

  it('whole powers of negative numbers', () =>
    check((graph, feeds, keep) => {
      const x = graph.input('x', [50]);
      feeds.set(x, numbers([50], false));
      for (const exponent of [-1, 0, 1, 3, 4]) keep(graph.one('unary', [x], { kind: 'power', values: [exponent] }));
    }));

  for (const kind of Object.keys(binaryFunctions) as BinaryName[]) {
    it(`${kind} of tensors that broadcast${['add', 'div', 'above'].includes(kind) ? '' : ' @slow'}`, () =>
      check((graph, feeds, keep) => {
        const shapes = [
          [
            [3, 20, 4, 4],
            [3, 20, 4, 4],
          ],
          [
            [3, 20, 4, 4],
            [20, 1, 1],
          ],
          [
            [3, 20, 4, 4],
            [4, 4],
          ],
          [
            [3, 20, 4, 4],
            [3, 20, 1, 1],
          ],
          [
            [3, 20, 4, 4],
            [3, 1, 4, 4],
          ],
          [
            [3, 20, 4, 4],
            [4, 1],
          ],
          [[3, 20, 4, 4], [1]],
          [
            [2, 3, 4, 3, 5],
            [4, 1, 5],
          ],
          [
            [2, 3, 4, 3, 5],
            [3, 1, 3, 5],
          ],
          [[7, 12], [12]],
          [
            [7, 12],
            [7, 1],
          ],
          [[7], [1]],
        ] as const;
        shapes.forEach(([whole, part], index) => {
          const [a, b] = [graph.input(`a${index}`, whole), graph.input(`b${index}`, part)];
          feeds.set(a, numbers(whole, kind === 'div'));
          feeds.set(b, numbers(part, kind === 'div'));
          keep(graph.one('binary', [a, b], { kind }), graph.one('binary', [b, a], { kind }));
        });
      }));
  }

  it('what neither broadcasts to the other is refused', () => {
    const graph = new Graph();
    const [a, b] = [graph.input('a', [3, 1]), graph.input('b', [1, 4])];
    expect(() => graph.one('binary', [a, b], { kind: 'add' })).to.throw(/neither broadcasts/);
  });

  it('a chain behind a convolution is one dispatch', async () => {
    await check((graph, _feeds, keep) => {
      const x = graph.input('x', [2, 3, 6, 6]);
      const attrs = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 } as const;
      const z = graph.one('conv2d', [x, graph.parameter('w', [20, 3, 3, 3])], attrs);
      const gate = graph.one('unary', [graph.input('gate', [2, 20, 1, 1])], { kind: 'sigmoid' });
      const y = graph.one('binary', [graph.one('activation', [z], { kind: 'gelu', mask: false }), gate], {
        kind: 'mul',
      });
      keep(graph.one('binary', [graph.one('unary', [y], { kind: 'square' }), y], { kind: 'sub' }));
    }, true);
  });

  for (const kind of ['gelu', 'silu', 'clip', 'leakyRelu', 'prelu', 'hardSigmoid', 'hardSwish'] as ActivationKind[]) {
    it(`rules take the derivative of ${kind} as it is`, () =>
      check((graph, feeds, keep) => {
        const shape = [3, 20, 4, 4];
        const x = graph.input('x', shape);
        feeds.set(x, numbers(shape, false));
        const slopes = kind === 'prelu' ? [graph.parameter('slope', [20])] : [];
        const mask = hasTwoSlopes(kind);
        const results = graph.add('activation', [x, ...slopes], { kind, mask });
        keep(...results);
        for (const saves of ['mask', 'input'] as const) {
          const rule = {
            name: 'sample',
            saves,
            identity: false,
            parameters: ['a'],
            wgsl: 'fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 { return g * d + p.x * z; }',
            reference: (g: number, d: number, z: number, [a = 0]: readonly number[]) => g * d + a * z,
          };
          const saved = saves === 'mask' && mask ? results[1]! : x;
          const attrs = { kind, rule: { rule, values: [0.3] } };
          keep(graph.one('activationBackward', [graph.input(`g ${saves}`, shape), saved, ...slopes], attrs));
        }
      }));
  }
});

describe('kernels that move and reduce elements', () => {
  it('transpose, expand, slice, pad, concat', () =>
    check((graph, _feeds, keep) => {
      const x = graph.input('x', [2, 3, 4, 5]);
      keep(graph.one('transpose', [x], { order: [0, 2, 3, 1] }), graph.one('transpose', [x], { order: [3, 2, 1, 0] }));
      keep(graph.one('transpose', [graph.input('six', [2, 3, 2, 3, 2, 2])], { order: [0, 4, 2, 5, 1, 3] }));
      keep(graph.one('expand', [graph.input('e', [3, 1, 5])], { shape: [2, 3, 4, 5] }));
      keep(graph.one('slice', [x], { start: [1, 2, 0, 4], step: [1, -1, 2, -2], size: [1, 3, 2, 3] }));
      const edges = { before: [0, 1, 0, 2], after: [0, 0, 0, 1], between: [0, 0, 2, 1] };
      keep(graph.one('pad', [x], { ...edges, value: 0.5 }));
      for (const axis of [0, 1, 2, 3]) {
        const other = x.shape.map((size, at) => (at === axis ? 7 : size));
        keep(graph.one('concat', [x, graph.input(`other${axis}`, other), x], { axis }));
      }
    }));

  it('sparse matrices along an axis', () =>
    check((graph, _feeds, keep) => {
      const x = graph.input('x', [2, 3, 4, 5]);
      for (const axis of [0, 1, 2, 3]) {
        const first = graph.integers('first', [0, 2, 2, 4]);
        const matrix = [first, graph.integers('index', [0, 1, 1, 0]), graph.constant('weight', [1, 0.5, 2, -1])];
        keep(graph.one('axisMatrix', [x, ...matrix], { axis, size: 3 }));
      }
    }));

  it('sums, means and maxima along axes', () =>
    check((graph, feeds, keep) => {
      const x = graph.input('x', [2, 3, 4, 5]);
      feeds.set(x, numbers(x.shape, true));
      for (const axes of [[0], [1], [2, 3], [0, 2], [1, 3], [0, 1, 2, 3]]) {
        for (const kind of ['sum', 'mean', 'max'] as const) {
          const [y, places] = graph.add('reduce', [x], { kind, axes }) as [Tensor, Tensor | undefined];
          keep(y);
          if (places === undefined) continue;
          const g = graph.input(`g${axes.join('')}`, y.shape);
          keep(places, graph.one('reduceMaxBackward', [g, places], { axes, inputShape: x.shape }));
        }
      }
      const long = graph.input('long', [2, 40000]);
      feeds.set(long, numbers(long.shape, true));
      keep(graph.one('reduce', [long], { kind: 'mean', axes: [1] }));
    }));
});

describe('kernels along lines: softmax and normalization', () => {
  it('softmax and log-softmax along every axis', () =>
    check((graph, _feeds, keep) => {
      const shapes = [
        [3, 200],
        [2, 5, 4, 6],
        [2, 3, 7],
      ];
      for (const shape of shapes) {
        const x = graph.input(`x${shape.length}`, shape);
        for (let axis = 1; axis < shape.length; axis++) {
          const g = graph.input(`g${shape.length} ${axis}`, shape);
          for (const op of ['softmax', 'logSoftmax'] as const) {
            const y = graph.one(op, [x], { axis });
            keep(y, graph.one(`${op}Backward`, [g, y], { axis }));
          }
        }
      }
    }));

  it('normalization of the last axes, centered or not, of rows short and long', () =>
    check((graph, feeds, keep) => {
      const cases = [
        { shape: [3, 5, 20], first: 2 },
        { shape: [6, 4, 3, 3], first: 1 },
        { shape: [2, 9000], first: 1 },
      ];
      cases.forEach(({ shape, first }, index) => {
        for (const center of [true, false]) {
          const attrs = { first, epsilon: 1e-5, center };
          const x = graph.input(`x${index} ${center}`, shape);
          feeds.set(x, numbers(shape, true));
          const [y, mean, scale] = graph.add('normalize', [x], attrs) as [Tensor, Tensor, Tensor];
          keep(y, mean, scale);
          keep(graph.one('normalizeBackward', [graph.input(`g${index} ${center}`, shape), x, mean, scale], attrs));
        }
      });
    }));
});

describe('products of stacked matrices', () => {
  const fronts = [
    [[], []],
    [[6], [6]],
    [
      [2, 3],
      [2, 3],
    ],
    [[2, 3], []],
    [[], [4]],
    [
      [2, 1],
      [1, 3],
    ],
    [
      [2, 1, 3],
      [2, 4, 1],
    ],
  ] as const;
  for (const [left, right] of fronts) {
    it(`[${left.join(', ')}] and [${right.join(', ')}] in front`, () =>
      check((graph, _feeds, keep) => {
        for (const transposeA of [false, true]) {
          for (const transposeB of [false, true]) {
            const [m, k, n] = [17, 20, 33];
            const a = graph.input(`a ${transposeA} ${transposeB}`, [...left, ...(transposeA ? [k, m] : [m, k])]);
            const b = graph.input(`b ${transposeA} ${transposeB}`, [...right, ...(transposeB ? [n, k] : [k, n])]);
            keep(graph.one('matmul', [a, b], { transposeA, transposeB }));
          }
        }
      }));
  }
});

describe('average pooling that leaves padding out', () => {
  it('forward and backward, ceil mode or not', () =>
    check((graph, _feeds, keep) => {
      for (const ceilMode of [false, true]) {
        const attrs = {
          kernel: [3, 2],
          stride: [2, 2],
          padding: [1, 1, 0, 1],
          ceilMode,
          excludePadding: true,
        } as const;
        const x = graph.input(`x ${ceilMode}`, [2, 5, 8, 7]);
        const y = graph.one('avgPool2d', [x], attrs);
        const g = graph.input(`g ${ceilMode}`, y.shape);
        keep(y, graph.one('avgPool2dBackward', [g], { ...attrs, inputShape: x.shape }));
      }
    }));
});
