import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { scalarFunctions } from '../../src/graph/functions.js';
import type { ScalarFunctionName } from '../../src/graph/functions.js';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { LossKind, PoolAttrs, Tensor } from '../../src/graph/types.js';
import { checkGradient } from '../../src/reference/gradcheck.js';
import { bp } from '../../src/rules/builtin.js';
import { everywhere } from '../../src/rules/resolve.js';

const random = (low: number, high: number): number => low + Math.floor(Math.random() * (high - low + 1));

/**
 * Numbers from -1 to 1 in random order, none near zero or another one, so that no kink or tie is within a step of them.
 */
function spread(count: number): Float64Array {
  const keys = Array.from({ length: count }, () => Math.random());
  const order = keys.map((_, i) => i).sort((a, b) => keys[a]! - keys[b]!);
  return Float64Array.from(order, (rank) => (2 * rank + 1) / count - 1 + 0.01 / count);
}

/**
 * Differentiates `build`'s output, seen as logits, through a loss, and checks the gradient of each of `shapes`
 * (inputs and parameters alike).
 */
function check(
  shapes: readonly (readonly number[])[],
  build: (graph: Graph, tensors: Tensor[]) => Tensor,
  kind: LossKind = 'crossEntropy',
  fixed: number[] = [],
): void {
  const graph = new Graph();
  const tensors = shapes.map((shape, i) => graph.parameter(`t${i}`, shape));
  const y = build(graph, tensors);
  const batch = y.shape[0]!;
  const logits = graph.one('reshape', [y], { shape: [batch, elementCount(y.shape) / batch] });
  const labels = graph.input('labels', [batch], 'u32');
  const loss = graph.one('loss', [logits, labels], { kind });
  const targets = tensors.filter((_, i) => !fixed.includes(i));
  const scale = 1 / batch;
  const found = gradients(graph, { loss, scale, targets, rules: everywhere(bp) });
  const values = new Map<Tensor, ArrayLike<number>>(
    tensors.map((tensor) => [tensor, spread(elementCount(tensor.shape))]),
  );
  values.set(
    labels,
    Array.from({ length: batch }, () => random(0, logits.shape[1]! - 1)),
  );
  for (const target of targets) {
    const error = checkGradient({ graph, loss, scale, target, gradient: found.get(target)!, values, step: 1e-6 });
    expect(error, `${target.name} [${target.shape.join(', ')}]`).to.be.below(1e-5);
  }
}

const window = (): PoolAttrs => ({
  kernel: [random(2, 3), random(2, 3)],
  stride: [random(1, 2), random(1, 2)],
  padding: [1, random(0, 1), 0, 1],
  ceilMode: Math.random() < 0.5,
});
const image = (): number[] => [random(1, 2), random(1, 5), random(4, 6), random(4, 6)];

const cases: Record<string, () => void> = {
  conv2d() {
    const groups = random(1, 2);
    const [inChannels, outChannels] = [groups * random(1, 2), groups * random(1, 2)];
    const x = [2, inChannels, random(5, 7), random(5, 7)];
    const w = [outChannels, inChannels / groups, random(1, 3), random(1, 3)];
    check([x, w, [outChannels]], (graph, tensors) =>
      graph.one('conv2d', tensors, {
        stride: [random(1, 3), random(1, 2)],
        padding: [random(0, 2), 1, 0, random(0, 2)],
        dilation: [random(1, 2), 1],
        groups,
      }),
    );
  },
  linear() {
    const [n, i, o] = [random(1, 4), random(1, 7), random(2, 6)];
    check([[n, i], [o, i], [o]], (graph, tensors) => graph.one('linear', tensors, {}));
    check(
      [
        [n, i],
        [o, i],
      ],
      (graph, tensors) => graph.one('linear', tensors, {}),
    );
  },
  matmul() {
    const [m, k, n] = [random(1, 4), random(1, 5), random(2, 5)];
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        const shapes = [transposeA ? [k, m] : [m, k], transposeB ? [n, k] : [k, n]];
        check(shapes, (graph, tensors) => graph.one('matmul', tensors, { transposeA, transposeB }));
      }
    }
  },
  relu: () =>
    check([[random(1, 2), random(1, 35), random(1, 3), 2]], (graph, [x]) =>
      graph.one('activation', [x!], { kind: 'relu', mask: false }),
    ),
  relu6: () =>
    check([[2, random(2, 20)]], (graph, [x]) => {
      const wide = graph.one('scaleShift', [x!, constant(graph, x!.shape[1]!)], {});
      return graph.one('activation', [wide], { kind: 'relu6', mask: false });
    }),
  maxPool2d: () => check([image()], (graph, [x]) => graph.add('maxPool2d', [x!], window())[0]!),
  avgPool2d: () => check([image()], (graph, [x]) => graph.one('avgPool2d', [x!], window())),
  adaptiveAvgPool2d: () =>
    check([image()], (graph, [x]) => graph.one('adaptiveAvgPool2d', [x!], { size: [random(1, 7), random(1, 7)] })),
  scaleShift: () => check([[2, 4, 3, 2], [4], [4]], (graph, tensors) => graph.one('scaleShift', tensors, {})),
  'batch norm with running statistics': () =>
    check(
      [[2, 4, 3, 2], [4], [4], [4]],
      (graph, [x, gamma, beta, mean]) => {
        const line = graph.add('batchNormScaleShift', [gamma!, beta!, mean!, constant(graph, 4)], { epsilon: 1e-2 });
        return graph.one('scaleShift', [x!, ...line], {});
      },
      'crossEntropy',
      [3],
    ),
  'batch norm with batch statistics': () =>
    check([[random(2, 4), 3, random(1, 3), 3], [3], [3]], (graph, [x, gamma, beta]) => {
      const [mean, , scale] = graph.add('batchNormStatistics', [x!, gamma!], { epsilon: 1e-2 }) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      return graph.one('batchNormApply', [x!, mean, scale, beta!, gamma!], {});
    }),
  concat: () =>
    check(
      [
        [2, random(1, 4), 2, 3],
        [2, random(1, 4), 2, 3],
      ],
      (graph, [a, b]) => {
        return graph.one('concat', [a!, b!, graph.one('scaleShift', [a!, constant(graph, a!.shape[1]!)], {})], {});
      },
    ),
  'channelPad and channelSlice': () =>
    check([[2, 3, random(3, 5), random(3, 5)]], (graph, [x]) => {
      const padded = graph.one('channelPad', [x!], {
        before: random(0, 2),
        after: 1,
        stride: [random(1, 2), random(1, 2)],
      });
      return graph.one('channelSlice', [padded], { first: 1, stride: [1, 1], shape: [2, 2, ...padded.shape.slice(2)] });
    }),
  dropout: () =>
    check([[2, random(10, 20)]], (graph, [x]) => {
      const attrs = { p: 0.4, stream: 3, firstElement: 4, seed: random(0, 1000), step: 2 };
      return graph.one('dropout', [x!, graph.input('ids', [2], 'u32')], attrs);
    }),
  logSoftmax: () => check([[3, random(3, 9)]], (graph, [x]) => graph.one('logSoftmax', [x!], {}), 'margin'),
  'add, of one tensor with itself and another': () =>
    check(
      [
        [3, 4],
        [3, 4],
      ],
      (graph, [a, b]) => graph.one('add', [graph.one('add', [a!, b!], {}), a!], {}),
    ),
};

/**
 * Ranges in which no kink lies, by function, for those that have kinks elsewhere than at 0 or are not defined below.
 */
const ranges: Readonly<Record<string, readonly [number, number]>> = {
  log: [0.1, 3],
  sqrt: [0.1, 3],
  norm: [0.1, 3],
  reciprocal: [0.1, 3],
  power: [0.1, 3],
  clip: [0.01, 0.99],
  thresholdedRelu: [1.01, 3],
  relu6: [0.01, 5.9],
};

for (const kind of Object.keys(scalarFunctions) as ScalarFunctionName[]) {
  const [low, high] = ranges[kind] ?? [-2.9, 2.9];
  const within = (graph: Graph, x: Tensor): Tensor =>
    graph.one('unary', [x], { kind: 'affine', values: [(high - low) / 2, (high + low) / 2] });
  const values = kind === 'power' ? { values: [2.5] } : {};
  cases[`${kind} as arithmetic and as activation`] = () =>
    check([[2, random(3, 9)]], (graph, [x]) => {
      const y = graph.one('unary', [within(graph, x!)], { kind, ...values });
      return graph.one('add', [y, graph.one('activation', [within(graph, x!)], { kind, mask: false, ...values })], {});
    });
}
cases['prelu, its slopes too'] = () =>
  check([[2, 5, 3, 2], [5]], (graph, tensors) => graph.one('activation', tensors, { kind: 'prelu', mask: false }));
for (const kind of ['add', 'sub', 'mul', 'div', 'max', 'min'] as const) {
  cases[`${kind}, of tensors that broadcast`] = () => {
    for (const shape of [[2, 3, 2, 4], [3, 1, 1], [2, 1], [1], [2, 3, 1, 1]])
      check([[2, 3, 2, 4], shape], (graph, [a, b]) => {
        const divisor = graph.one('unary', [b!], { kind: 'affine', values: [1, kind === 'div' ? 2 : 0] });
        return graph.one('binary', Math.random() < 0.5 || kind === 'div' ? [a!, divisor] : [divisor, a!], { kind });
      });
  };
}
cases['transpose, expand, slice, pad, concat'] = () =>
  check(
    [
      [2, 3, 4],
      [4, 1],
    ],
    (graph, [x, b]) => {
      const turned = graph.one('transpose', [x!], { order: [0, 2, 1] });
      const wide = graph.one('expand', [b!], { shape: [2, 4, 3] });
      const both = graph.one('concat', [turned, wide], { axis: 2 });
      const edges = { before: [0, 1, 2], after: [0, 0, 1], between: [0, 2, 1], value: 3 };
      const padded = graph.one('pad', [both], edges);
      return graph.one('slice', [padded], { start: [0, 9, 13], step: [1, -2, -3], size: [2, 4, 5] });
    },
  );
cases['a sparse matrix along an axis'] = () =>
  check([[2, 3, 4]], (graph, [x]) => {
    const first = graph.integers('first', [0, 2, 2, 3, 4]);
    const matrix = [first, graph.integers('index', [0, 1, 1, 0]), graph.constant('weight', [1, 0.5, 2, -1])];
    return graph.one('axisMatrix', [x!, ...matrix], { axis: 1, size: 4 });
  });
for (const kind of ['sum', 'mean', 'max'] as const)
  cases[`${kind} along axes`] = () => {
    for (const axes of [[1], [2, 3], [1, 3]])
      check([[2, 3, 4, 2]], (graph, [x]) => graph.add('reduce', [x!], { kind, axes })[0]!);
  };

cases['products of stacked matrices'] = () => {
  for (const [left, right] of [
    [
      [2, 3],
      [2, 3],
    ],
    [[2, 1], [3]],
    [[2], []],
  ] as const)
    for (const transposeA of [false, true])
      for (const transposeB of [false, true]) {
        const shapes = [
          [...left, ...(transposeA ? [4, 2] : [2, 4])],
          [...right, ...(transposeB ? [3, 4] : [4, 3])],
        ];
        check(shapes, (graph, tensors) => graph.one('matmul', tensors, { transposeA, transposeB }));
      }
};
for (const op of ['softmax', 'logSoftmax'] as const)
  cases[`${op} along axes`] = () => {
    for (const axis of [1, 2])
      check([[2, 3, 4]], (graph, [x]) => graph.one('unary', [graph.one(op, [x!], { axis })], { kind: 'square' }));
  };
for (const center of [true, false])
  cases[`normalization, ${center ? 'centered' : 'as it is'}`] = () => {
    for (const first of [1, 2])
      check([[2, 3, 4]], (graph, [x]) =>
        graph.one('unary', [graph.add('normalize', [x!], { first, epsilon: 1e-2, center })[0]!], { kind: 'sigmoid' }),
      );
  };

cases['transposed convolution'] = () => {
  for (const groups of [1, 2]) {
    const attrs = { stride: [2, 1], padding: [1, 0, 0, 1], dilation: [1, 2], groups } as const;
    check(
      [
        [2, 4, 3, 2],
        [4, 3, 3, 2],
      ],
      (graph, tensors) => graph.one('conv2dInputGradient', tensors, { ...attrs, inputShape: [2, 3 * groups, 6, 3] }),
    );
  }
};
cases['average pooling that leaves padding out'] = () =>
  check([image()], (graph, [x]) => graph.one('avgPool2d', [x!], { ...window(), excludePadding: true }));

/** The number 9.37, made by the graph itself: relu6's upper kink must be in reach. */
function constant(graph: Graph, count: number): Tensor {
  const zero = graph.state('zero', [count]);
  const fn = { name: 'spread', inputs: ['x'], scalars: [], results: ['x * 0.0 + 9.37'], reference: () => [9.37] };
  return graph.one('map', [zero], { fn, scalars: [], targets: ['new'] });
}

describe('reference: gradients against central differences', () => {
  for (const [name, run] of Object.entries(cases)) it(name, run);
  for (const kind of ['crossEntropy', 'margin', 'dlr', 'logit'] as const) {
    it(`${kind} loss`, () => check([[random(1, 4), random(4, 9)]], (_graph, [z]) => z!, kind));
  }
});
