import { Graph } from '../../graph/graph.js';
import { elementCount } from '../../graph/types.js';
import type { CustomKernel } from '../../graph/customKernel.js';
import type { ConvAttrs, ElementwiseFunction, OpName, Tensor } from '../../graph/types.js';
import { uniforms } from '../../random/philox.js';
import { bp } from '../../rules/builtin.js';

/** Values of the inputs and states of a graph. */
export type Feeds = Map<Tensor, Float32Array | Uint32Array>;

/** A small graph on which an op is tested, with its data. */
export interface OpGraph {
  readonly graph: Graph;
  readonly feeds: Feeds;
}

/** Numbers that every run draws alike: uniform in [-1, 1). */
export const sampleNumbers = (tensor: Tensor): Float32Array =>
  uniforms(11, tensor.id, 0, 0, elementCount(tensor.shape)).map((value) => 2 * value - 1);

/** Builds a test's graph. */
export class Builder {
  readonly graph = new Graph();
  readonly feeds: Feeds = new Map();

  numbers(name: string, shape: readonly number[], of = (value: number): number => value): Tensor {
    return this.feed(this.graph.input(name, shape), (tensor) => sampleNumbers(tensor).map(of));
  }

  words(name: string, shape: readonly number[], below: number): Tensor {
    return this.feed(this.graph.input(name, shape, 'u32'), ({ id }) =>
      Uint32Array.from(uniforms(11, id, 0, 0, elementCount(shape)), (value) => Math.floor(value * below)),
    );
  }

  counting(name: string, count: number): Tensor {
    return this.feed(this.graph.input(name, [count], 'u32'), () => Uint32Array.from({ length: count }, (_, i) => i));
  }

  state(name: string, shape: readonly number[]): Tensor {
    return this.feed(this.graph.state(name, shape), sampleNumbers);
  }

  private feed(tensor: Tensor, values: (tensor: Tensor) => Float32Array | Uint32Array): Tensor {
    this.feeds.set(tensor, values(tensor));
    return tensor;
  }
}

const images = [3, 20, 9, 7] as const;
const channels = images[1];
const pool = { kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], ceilMode: false } as const;
const window = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 } as const satisfies ConvAttrs;
const [N, classes] = [5, 11];

/** An elementwise function of two results, of which one goes to a state: as optimizers are. */
const update: ElementwiseFunction = {
  name: 'update',
  inputs: ['state', 'g', 'each'],
  scalars: ['rate'],
  results: ['state - rate * g * each', 'max(g, 0.5 * state)'],
  reference: (state, g, each, rate) => [state! - rate! * g! * each!, Math.max(g!, 0.5 * state!)],
};

const tested: CustomKernel = {
  name: 'tested',
  inputs: ['x', 'each'],
  shape: (x) => x,
  wgsl: 'fn element(i: u32) -> f32 { return x_at(x_shape[0] * 0u + i) + each_at(i % each_shape[0]); }',
  reference: ([x, each]) => Float64Array.from(x!, (value, i) => value + each![i % each!.length]!),
};

const positive = (value: number): number => value * value + 0.5;

const withLogits = (build: (b: Builder, logits: Tensor, labels: Tensor) => void) => (b: Builder) =>
  build(
    b,
    b.numbers('logits', [N, classes], (value) => 4 * value),
    b.words('labels', [N], classes),
  );

const depthwise: ConvAttrs = { ...window, groups: channels };

/**
 * How each op is tested. `products` are tested by layers of their own, here only where they are depthwise. `rare` ones
 * are admitted as they are.
 */
const opTests: { readonly [K in OpName]: ((b: Builder) => void) | 'products' | 'rare' } = {
  conv2d: (b) => b.graph.add('conv2d', [b.numbers('x', images), b.numbers('w', [channels, 1, 3, 3])], depthwise),
  conv2dInputGradient: (b) =>
    b.graph.add('conv2dInputGradient', [b.numbers('g', images), b.numbers('w', [channels, 1, 3, 3])], {
      ...depthwise,
      inputShape: images,
    }),
  conv2dWeightGradient: (b) =>
    b.graph.add('conv2dWeightGradient', [b.numbers('g', images), b.numbers('x', images)], {
      ...depthwise,
      weightShape: [channels, 1, 3, 3],
      bias: false,
    }),
  linear: 'products',
  linearInputGradient: 'products',
  linearWeightGradient: 'products',
  matmul: 'products',
  activation: (b) => b.graph.add('activation', [b.numbers('x', images)], { kind: 'relu', mask: true }),
  activationBackward(b) {
    const [, mask] = b.graph.add('activation', [b.numbers('x', images)], { kind: 'relu', mask: true });
    b.graph.add('activationBackward', [b.numbers('g', images), mask!], { kind: 'relu', rule: bp });
  },
  maxPool2d: (b) => b.graph.add('maxPool2d', [b.numbers('x', images)], pool),
  maxPool2dBackward(b) {
    const [y, argmax] = b.graph.add('maxPool2d', [b.numbers('x', images)], pool);
    b.graph.add('maxPool2dBackward', [b.numbers('g', y!.shape), argmax!], { ...pool, inputShape: images });
  },
  maxPool2dSoftmaxBackward(b) {
    const x = b.numbers('x', images);
    const [y] = b.graph.add('maxPool2d', [x], pool);
    const attrs = { ...pool, inputShape: images, tau: 10 };
    b.graph.add('maxPool2dSoftmaxBackward', [b.numbers('g', y!.shape), x], attrs);
  },
  avgPool2d: (b) => b.graph.add('avgPool2d', [b.numbers('x', images)], pool),
  avgPool2dBackward: (b) =>
    b.graph.add('avgPool2dBackward', [b.numbers('g', [3, channels, 5, 4])], { ...pool, inputShape: images }),
  adaptiveAvgPool2d: (b) => b.graph.add('adaptiveAvgPool2d', [b.numbers('x', images)], { size: [1, 1] }),
  adaptiveAvgPool2dBackward: (b) =>
    b.graph.add('adaptiveAvgPool2dBackward', [b.numbers('g', [3, channels, 1, 1])], {
      size: [1, 1],
      inputShape: images,
    }),
  scaleShift: (b) =>
    b.graph.add('scaleShift', [b.numbers('x', images), b.numbers('s', [channels]), b.numbers('t', [channels])], {}),
  batchNormScaleShift(b) {
    // A sum, since what comes from weights alone is not made in the program's own segment.
    const gamma = b.graph.one('add', [b.numbers('gamma', [channels]), b.numbers('more', [channels])], {});
    const rest = ['beta', 'mean'].map((name) => b.numbers(name, [channels]));
    b.graph.add('batchNormScaleShift', [gamma, ...rest, b.numbers('v', [channels], positive)], { epsilon: 1e-5 });
  },
  batchNormStatistics: (b) =>
    b.graph.add('batchNormStatistics', [b.numbers('x', images), b.numbers('gamma', [channels])], { epsilon: 1e-5 }),
  batchNormApply(b) {
    const [x, gamma] = [b.numbers('x', images), b.numbers('gamma', [channels])];
    const [mean, , scale] = b.graph.add('batchNormStatistics', [x, gamma], { epsilon: 1e-5 });
    b.graph.add('batchNormApply', [x, mean!, scale!, b.numbers('beta', [channels]), gamma], {});
  },
  batchNormInputGradient: (b) =>
    b.graph.add(
      'batchNormInputGradient',
      [
        b.numbers('g', images),
        b.numbers('x', images),
        ...['mean', 'scale', 'slope', 'offset'].map((name) => b.numbers(name, [channels])),
      ],
      {},
    ),
  channelSums: (b) =>
    b.graph.add('channelSums', [b.numbers('g', images), b.numbers('x', images), b.numbers('center', [channels])], {}),
  concat: (b) => b.graph.add('concat', [b.numbers('x', images), b.numbers('y', [3, 5, 9, 7])], {}),
  channelPad: (b) => b.graph.add('channelPad', [b.numbers('x', images)], { before: 2, after: 3, stride: [2, 2] }),
  channelSlice: (b) =>
    b.graph.add('channelSlice', [b.numbers('x', [3, channels, 5, 4])], {
      first: 2,
      stride: [2, 2],
      shape: [3, 16, 9, 7],
    }),
  unary: (b) => b.graph.add('unary', [b.numbers('x', images)], { kind: 'tanh' }),
  unaryBackward: (b) =>
    b.graph.add('unaryBackward', [b.numbers('g', images), b.numbers('x', images)], { kind: 'tanh' }),
  binary: (b) => b.graph.add('binary', [b.numbers('a', images), b.numbers('b', [1, channels, 1, 1])], { kind: 'mul' }),
  reduce: (b) => b.graph.add('reduce', [b.numbers('x', images)], { kind: 'mean', axes: [2, 3] }),
  reduceMaxBackward: 'rare',
  expand: (b) => b.graph.add('expand', [b.numbers('x', [3, channels, 1, 1])], { shape: images }),
  transpose: (b) => b.graph.add('transpose', [b.numbers('x', images)], { order: [0, 2, 3, 1] }),
  slice: (b) =>
    b.graph.add('slice', [b.numbers('x', images)], {
      ...{ start: [0, 2, 1, 0], step: [1, 3, 2, 1], size: [3, 5, 4, 7] },
    }),
  pad: 'rare',
  axisMatrix: 'rare',
  logColumn: 'rare',
  dropout: (b) =>
    b.graph.add('dropout', [b.numbers('x', images), b.counting('ids', 3)], {
      ...{ p: 0.3, stream: 5, firstElement: 0, seed: 1, step: 2 },
    }),
  softmax: withLogits((b, logits) => b.graph.add('softmax', [logits], {})),
  softmaxBackward: withLogits((b, logits) =>
    b.graph.add('softmaxBackward', [b.numbers('g', [N, classes]), b.graph.one('softmax', [logits], {})], {}),
  ),
  normalize: (b) => b.graph.add('normalize', [b.numbers('x', images)], { first: 1, epsilon: 1e-5, center: true }),
  normalizeBackward(b) {
    const [x, attrs] = [b.numbers('x', images), { first: 1, epsilon: 1e-5, center: true }];
    const [, mean, scale] = b.graph.add('normalize', [x], attrs) as [Tensor, Tensor, Tensor];
    b.graph.add('normalizeBackward', [b.numbers('g', images), x, mean, scale], attrs);
  },
  logSoftmax: withLogits((b, logits) => b.graph.add('logSoftmax', [logits], {})),
  logSoftmaxBackward: withLogits((b, logits) =>
    b.graph.add('logSoftmaxBackward', [b.numbers('g', [N, classes]), b.graph.one('logSoftmax', [logits], {})], {}),
  ),
  add: (b) => b.graph.add('add', [b.numbers('x', images), b.numbers('y', images)], {}),
  reshape: 'rare',
  loss: withLogits((b, logits, labels) => {
    for (const kind of ['crossEntropy', 'margin'] as const) b.graph.add('loss', [logits, labels], { kind });
  }),
  lossBackward: withLogits((b, logits, labels) => {
    for (const kind of ['crossEntropy', 'margin'] as const)
      b.graph.add('lossBackward', [logits, labels], { kind, scale: 0.25 });
  }),
  correct: withLogits((b, logits, labels) => b.graph.add('correct', [logits, labels], {})),
  classAtRank: 'rare',
  sampleNorm(b) {
    const x = b.numbers('x', images);
    for (const norm of ['l1', 'l2', 'linf'] as const) b.graph.add('sampleNorm', [x], { norm });
  },
  sampleRoot: 'rare',
  axisMap: 'rare',
  gridSample: 'rare',
  sampleField: 'rare',
  overflow: (b) => b.graph.add('overflow', [b.numbers('x', images)], {}),
  custom: (b) => b.graph.add('custom', [b.numbers('x', images), b.numbers('each', [3])], { kernel: tested }),
  map: (b) =>
    b.graph.add('map', [b.state('state', images), b.numbers('g', images), b.numbers('each', [3])], {
      ...{ fn: update, scalars: [0.1], targets: [0, 'new'] },
    }),
  random(b) {
    for (const distribution of ['uniform', 'normal'] as const)
      b.graph.add('random', [b.counting(`${distribution} ids`, 3)], {
        ...{ shape: images, distribution, stream: 4, seed: 7, step: 3 },
      });
  },
  gatherImages(b) {
    const order = b.words('order', [8], 8);
    for (const packed of [true, false]) {
      const data = packed ? b.words('bytes', [8, 3, 4, 1], 2 ** 24) : b.numbers('floats', [8, 3, 4, 4]);
      b.graph.add('gatherImages', [data, order], { count: 5, sampleShape: [3, 4, 4], packed, start: 2 });
    }
  },
  randomCropFlip: (b) =>
    b.graph.add('randomCropFlip', [b.numbers('x', [4, 3, 8, 8]), b.counting('ids', 4)], {
      ...{ padding: 2, flip: true, stream: 6, seed: 1, step: 2 },
    }),
  randomResizePad: 'rare',
  gatherLabels: (b) =>
    b.graph.add('gatherLabels', [b.words('values', [8], 10), b.words('order', [8], 8)], { count: 5, start: 2 }),
  record: withLogits((b, logits, labels) =>
    b.graph.add(
      'record',
      [
        b.graph.one('loss', [logits, labels], { kind: 'crossEntropy' }),
        b.graph.one('correct', [logits, labels], {}),
        b.state('log', [3, 2]),
      ],
      { row: 1 },
    ),
  ),
  assign: (b) => b.graph.add('assign', [b.numbers('value', images), b.state('state', images)], {}),
};

/** Ops that {@link opGraph} has a test for, the most used first. */
export const testedOps: readonly OpName[] = (Object.keys(opTests) as OpName[]).filter(
  (op) => typeof opTests[op] === 'function',
);

/** The test of an op; built for each use. */
export function opGraph(op: OpName): OpGraph {
  const build = opTests[op];
  const builder = new Builder();
  if (typeof build === 'function') build(builder);
  const { graph, feeds } = builder;
  for (const node of graph.nodes)
    for (const tensor of node.outputs) graph.output(`${node.op} ${graph.outputs.size}`, tensor);
  return { graph, feeds };
}
