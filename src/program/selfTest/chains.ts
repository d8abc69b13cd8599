import type { ConvAttrs, OpName, Precision, Tensor } from '../../graph/types.js';
import { bp, softplus } from '../../rules/builtin.js';
import { Builder } from './ops.js';
import type { OpGraph } from './ops.js';

/** Several ops of which only the last results are compared, so that they are fused, or stored in 16 bits between. */
export interface Chain {
  readonly name: string;
  readonly precision: Precision;
  /** Ops that run in an epilogue. */
  readonly follow: readonly OpName[];
  readonly build: (b: Builder) => readonly Tensor[];
}

const window = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 } as const satisfies ConvAttrs;
const plain = { ...window, padding: [0, 0, 0, 0] } as const satisfies ConvAttrs;
const [batch, channels, side] = [2, 20, 8];
const images = [batch, channels, side, side] as const;
const weights = [channels, channels, 3, 3] as const;
const single = [channels, channels, 1, 1] as const;
const depthwise = { ...window, groups: channels };

/** A residual block's end: folded batch norm, shortcut, ReLU with its mask. */
function residual(b: Builder): readonly Tensor[] {
  const y = b.graph.one('conv2d', [b.numbers('x', images), b.numbers('w', weights)], window);
  const [scale, shift] = [b.numbers('scale', [channels]), b.numbers('shift', [channels])];
  const z = b.graph.one('add', [b.graph.one('scaleShift', [y, scale, shift], {}), b.numbers('shortcut', images)], {});
  return b.graph.add('activation', [z], { kind: 'relu', mask: true });
}

/** Channels weighted, and an activation that has no mask. */
function smooth(b: Builder): readonly Tensor[] {
  const y = b.graph.one('conv2d', [b.numbers('x', images), b.numbers('w', single)], plain);
  const z = b.graph.one('binary', [y, b.numbers('by', [1, channels, 1, 1])], { kind: 'mul' });
  return [b.graph.one('unary', [b.graph.one('activation', [z], { kind: 'gelu', mask: false })], { kind: 'tanh' })];
}

function clipped(b: Builder): readonly Tensor[] {
  const y = b.graph.one('conv2d', [b.numbers('x', images), b.numbers('w', [channels, 1, 3, 3])], depthwise);
  const z = b.graph.one('scaleShift', [y, b.numbers('scale', [channels]), b.numbers('shift', [channels])], {});
  return b.graph.add('activation', [z], { kind: 'relu6', mask: true });
}

/** The gradient of a ReLU whose mask was stored, and of a shortcut. */
function masked(b: Builder): readonly Tensor[] {
  const [, mask] = b.graph.add('activation', [b.numbers('z', images)], { kind: 'relu', mask: true });
  const attrs = { ...window, inputShape: images };
  const dx = b.graph.one('conv2dInputGradient', [b.numbers('g', images), b.numbers('w', weights)], attrs);
  const sum = b.graph.one('add', [dx, b.numbers('shortcut', images)], {});
  return [b.graph.one('activationBackward', [sum, mask!], { kind: 'relu', rule: bp })];
}

/** A rule that reads what the activation read, behind linear layer and window. */
function ruled(b: Builder): readonly Tensor[] {
  const attrs = { ...plain, inputShape: images };
  const dx = b.graph.one('conv2dInputGradient', [b.numbers('g', images), b.numbers('w', single)], attrs);
  const rule = { kind: 'relu', rule: softplus(2, 'relu') } as const;
  const rows = [batch, channels] as const;
  const linear = b.graph.one('linear', [b.numbers('r', rows), b.numbers('v', [channels, channels])], {});
  return [
    b.graph.one('activationBackward', [dx, b.numbers('z', images)], rule),
    b.graph.one('activation', [linear], { kind: 'leakyRelu', mask: false }),
  ];
}

/** What runs fused, besides a ReLU with its mask behind each product. */
export const epilogueChains: readonly Chain[] = [
  { name: 'residual', precision: 'f32', follow: ['scaleShift', 'add'], build: residual },
  { name: 'masked gradient', precision: 'f32', follow: ['activationBackward', 'add'], build: masked },
  { name: 'smooth', precision: 'f32', follow: ['binary', 'unary', 'activation'], build: smooth },
  { name: 'clipped', precision: 'f32', follow: ['scaleShift', 'activation'], build: clipped },
  { name: 'rule', precision: 'f32', follow: ['activationBackward', 'activation'], build: ruled },
];

/** Behind an addition of zeros is a value that the program may store in 16 bits. */
const stored = (b: Builder, tensor: Tensor): Tensor =>
  b.graph.one('add', [tensor, b.numbers(`${b.graph.tensors.length} zeros`, tensor.shape, () => 0)], {});

const half = (name: string, build: (b: Builder) => readonly Tensor[]): Chain => ({
  name,
  precision: 'f16',
  follow: [],
  build: (b) => build(b).map((tensor) => stored(b, tensor)),
});

/** Products, batch norm, pooling and joins whose operands and results are stored in 16 bits. */
export const halfChains: readonly Chain[] = [
  half('convolution', (b) => {
    const [x, w] = [stored(b, b.numbers('x', images)), b.numbers('w', weights)];
    const y = b.graph.one('conv2d', [x, w], window);
    const z = b.graph.one('scaleShift', [y, b.numbers('scale', [channels]), b.numbers('shift', [channels])], {});
    const g = stored(b, b.numbers('g', images));
    return [
      b.graph.one('activation', [z], { kind: 'relu', mask: false }),
      b.graph.one('conv2dInputGradient', [g, w], { ...window, inputShape: images }),
      b.graph.one('conv2dWeightGradient', [g, x], { ...window, weightShape: weights, bias: false }),
    ];
  }),
  half('depthwise', (b) => {
    const [x, w] = [stored(b, b.numbers('x', images)), b.numbers('w', [channels, 1, 3, 3])];
    const y = b.graph.one('conv2d', [x, w], depthwise);
    return [y, b.graph.one('conv2dInputGradient', [stored(b, y), w], { ...depthwise, inputShape: images })];
  }),
  half('linear', (b) => {
    const [x, w] = [stored(b, b.numbers('x', [8, 24])), b.numbers('w', [16, 24])];
    const g = stored(b, b.numbers('g', [8, 16]));
    return [
      b.graph.one('linear', [x, w], {}),
      b.graph.one('linearInputGradient', [g, w], {}),
      b.graph.one('linearWeightGradient', [g, x], { bias: false }),
    ];
  }),
  half('batch norm', (b) => {
    const [x, gamma] = [stored(b, b.numbers('x', images)), b.numbers('gamma', [channels])];
    const [mean, , scale] = b.graph.add('batchNormStatistics', [x, gamma], { epsilon: 1e-5 });
    const more = ['slope', 'offset'].map((name) => b.numbers(name, [channels]));
    const g = stored(b, b.numbers('g', images));
    return [
      b.graph.one('batchNormApply', [x, mean!, scale!, b.numbers('beta', [channels]), gamma], {}),
      b.graph.one('batchNormInputGradient', [g, x, mean!, scale!, ...more], {}),
    ];
  }),
  half('pooling', (b) => {
    const x = stored(b, b.numbers('x', images));
    const pool = { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], ceilMode: false } as const;
    const joined = b.graph.one(
      'concat',
      [b.graph.one('maxPool2d', [x], pool), b.graph.one('avgPool2d', [x], pool)],
      {},
    );
    return [joined, b.graph.one('adaptiveAvgPool2d', [x], { size: [1, 1] })];
  }),
];

/** The test of a chain; built for each use. */
export function chainGraph({ build }: Chain): OpGraph {
  const builder = new Builder();
  for (const [index, tensor] of build(builder).entries()) builder.graph.output(`result ${index}`, tensor);
  return { graph: builder.graph, feeds: builder.feeds };
}
