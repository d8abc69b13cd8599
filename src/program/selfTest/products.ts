import { Graph } from '../../graph/graph.js';
import type { ConvAttrs, Tensor } from '../../graph/types.js';
import { writesMask } from '../../passes/group.js';
import type { KernelChoice } from '../../kernels/problem.js';
import { tileKey } from '../../kernels/choice.js';
import type { Group } from '../../kernels/types.js';

/** Ops whose kernels the tuner chooses between. */
type ProductOp =
  | 'conv2d'
  | 'conv2dInputGradient'
  | 'conv2dWeightGradient'
  | 'linear'
  | 'linearInputGradient'
  | 'linearWeightGradient'
  | 'matmul';

/** What decides how a product is computed, without the values. */
export interface ProductLayer {
  readonly op: ProductOp;
  readonly batch: number;
  /** Input channels, inputs of a linear layer, or the contraction of a matrix product. */
  readonly inner: number;
  /** Output channels, or rows of a matrix product. */
  readonly outer: number;
  /** Height and width of the input's images. */
  readonly size: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly attrs: ConvAttrs;
  /** Whether a bias is added (forward) or its gradient computed. */
  readonly bias: boolean;
  /** Whether a ReLU that stores its mask follows. */
  readonly mask: boolean;
  readonly transposed?: { readonly transposeA: boolean; readonly transposeB: boolean };
}

const noWindow: ConvAttrs = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 };

const pair = (shape: readonly number[]): readonly [number, number] => [shape.at(-2)!, shape.at(-1)!];

/** The product that a group computes. */
export function layerOf({ anchor, followers }: Group): ProductLayer | undefined {
  const [first, second] = anchor.inputs as [Tensor, Tensor];
  const mask = followers.some(writesMask);
  const attrs = anchor.attrs as Partial<ConvAttrs & { inputShape: number[]; weightShape: number[]; bias: boolean }>;
  const windows = (x: readonly number[], w: readonly number[], bias: boolean): ProductLayer => {
    const { stride, padding, dilation, groups } = attrs as ConvAttrs;
    return {
      ...{ op: anchor.op as ProductOp, batch: x[0]!, inner: x[1]!, outer: w[0]!, size: pair(x), kernel: pair(w) },
      ...{ attrs: { stride, padding, dilation, groups }, bias, mask },
    };
  };
  const plain = (batch: number, inner: number, outer: number, bias: boolean): ProductLayer => ({
    ...{ op: anchor.op as ProductOp, batch, inner, outer, size: [1, 1], kernel: [1, 1], attrs: noWindow, bias, mask },
  });
  switch (anchor.op) {
    case 'conv2d':
      return windows(first.shape, second.shape, anchor.inputs.length > 2);
    case 'conv2dInputGradient':
      return windows(attrs.inputShape!, second.shape, false);
    case 'conv2dWeightGradient':
      return windows(second.shape, attrs.weightShape!, attrs.bias!);
    case 'linear':
      return plain(first.shape[0]!, first.shape[1]!, second.shape[0]!, anchor.inputs.length > 2);
    case 'linearInputGradient':
      return plain(first.shape[0]!, second.shape[1]!, second.shape[0]!, false);
    case 'linearWeightGradient':
      return plain(first.shape[0]!, second.shape[1]!, first.shape[1]!, attrs.bias!);
    case 'matmul': {
      const transposed = anchor.attrs as NonNullable<ProductLayer['transposed']>;
      const [outer, columns] = anchor.outputs[0]!.shape as [number, number];
      const inner = first.shape[transposed.transposeA ? 0 : 1]!;
      return { ...plain(columns, inner, outer, false), transposed };
    }
    default:
      return undefined;
  }
}

/** A graph of a product alone; its inputs are to be filled. */
export function productGraph(layer: ProductLayer): Graph {
  const { op, batch, inner, outer, size, kernel, attrs, bias, mask } = layer;
  const graph = new Graph();
  const inputShape = [batch, inner, ...size];
  const weightShape = [outer, inner / attrs.groups, ...kernel];
  const optional = bias ? [graph.input('bias', [outer])] : [];
  const images = (): Tensor => graph.input('x', inputShape);
  // Shapes of results follow from those of inputs.
  const result = (): Tensor => {
    const scratch = new Graph();
    const x = scratch.input('x', inputShape);
    const { shape } = scratch.one('conv2d', [x, scratch.input('w', weightShape)], attrs);
    return graph.input('g', shape);
  };
  const outputs = ((): Tensor[] => {
    switch (op) {
      case 'conv2d':
        return graph.add('conv2d', [images(), graph.input('w', weightShape), ...optional], attrs);
      case 'conv2dInputGradient':
        return graph.add('conv2dInputGradient', [result(), graph.input('w', weightShape)], { ...attrs, inputShape });
      case 'conv2dWeightGradient':
        return graph.add('conv2dWeightGradient', [result(), images()], { ...attrs, weightShape, bias });
      case 'linear':
        return graph.add(
          'linear',
          [graph.input('x', [batch, inner]), graph.input('w', [outer, inner]), ...optional],
          {},
        );
      case 'linearInputGradient':
        return graph.add(
          'linearInputGradient',
          [graph.input('g', [batch, outer]), graph.input('w', [outer, inner])],
          {},
        );
      case 'linearWeightGradient':
        return graph.add('linearWeightGradient', [graph.input('g', [batch, outer]), graph.input('x', [batch, inner])], {
          bias,
        });
      case 'matmul': {
        const { transposeA, transposeB } = layer.transposed!;
        const a = graph.input('a', transposeA ? [inner, outer] : [outer, inner]);
        const b = graph.input('b', transposeB ? [batch, inner] : [inner, batch]);
        return graph.add('matmul', [a, b], { transposeA, transposeB });
      }
    }
  })();
  const all = mask ? graph.add('activation', [outputs[0]!], { kind: 'relu', mask: true }) : outputs;
  all.forEach((tensor, index) => graph.output(`output ${index}`, tensor));
  return graph;
}

/** The choice as it is tested: of a split contraction, two parts stand for many. */
export const testedChoice = (choice: KernelChoice): KernelChoice =>
  choice.splits === undefined ? choice : { ...choice, splits: Math.min(choice.splits, 2) };

/** What a tested product stands for: kernel and tile, direction, and what decides how operands are read. */
export function productKey(layer: ProductLayer, choice: KernelChoice): string {
  const { op, inner, outer, size, kernel, attrs, mask, transposed } = layer;
  const { stride, padding, dilation, groups } = attrs;
  const fours = [inner, outer, size[1], size[0] * size[1]].map((count) => (count % 4 === 0 ? 4 : 1)).join('');
  return [
    op,
    kernel.join('x'),
    ...(stride.some((by) => by !== 1) ? [`stride ${stride.join('x')}`] : []),
    ...(padding.some((by) => by !== 0) ? ['padded'] : []),
    ...(dilation.some((by) => by !== 1) ? [`dilation ${dilation.join('x')}`] : []),
    ...(groups === 1 ? [] : ['groups']),
    ...(mask ? ['mask'] : []),
    ...(transposed === undefined ? [] : [`${transposed.transposeA ? 'T' : ''}x${transposed.transposeB ? 'T' : ''}`]),
    fours,
    tileKey(choice),
    ...(choice.splits === undefined ? [] : [choice.splits === 1 ? 'whole' : 'split']),
  ].join(' ');
}

/** Multiply-adds of the float64 loops that check one product. */
const mostProducts = 5e7;

const productsOf = ({ op, batch, inner, outer, size, kernel, attrs }: ProductLayer): number => {
  const { stride, groups } = attrs;
  const pixels = op.startsWith('conv2d') ? (size[0] / stride[0]) * (size[1] / stride[1]) * kernel[0] * kernel[1] : 1;
  return (batch * inner * outer * pixels) / groups;
};

/**
 * Smaller layers that the same kernel may compute, the smallest first: with at least one whole tile and a part of
 * another in each direction, and dimensions that divide by four where the layer's do.
 */
export function smallerLayers(layer: ProductLayer, { rows, columns, lanes, stage }: KernelChoice): ProductLayer[] {
  const { op, batch, inner, outer, size, kernel, attrs } = layer;
  const tall = 16 * Math.ceil((rows * (stage?.ranks ?? 1)) / 16);
  const wide = columns * lanes;
  const cut = (count: number, least: number): number =>
    attrs.groups === 1 ? Math.min(count, 16 * Math.ceil(least / 16) + (count % 16)) : count;
  const forward = op === 'conv2d' || op === 'linear' || op === 'matmul';
  const weights = op.endsWith('WeightGradient');
  const channels = {
    outer: cut(outer, forward || weights ? tall : 32),
    inner: cut(inner, weights ? wide / (kernel[0] * kernel[1]) : forward ? 32 : tall),
  };
  if (!op.startsWith('conv2d')) return [{ ...layer, ...channels, batch: cut(batch, weights ? 16 : wide) }, layer];
  const least = Math.ceil(Math.sqrt(wide));
  const short = size.map((side, axis) => {
    const needed = Math.max(least, 2 * attrs.dilation[axis]! * kernel[axis]!);
    return Math.min(side, needed + ((((side - needed) % 4) + 4) % 4));
  }) as [number, number];
  return [
    { ...layer, ...channels, size: short, batch: Math.min(batch, 2) },
    { ...layer, ...channels, batch: Math.min(batch, 2) },
    { ...layer, batch: Math.min(batch, 2) },
    { ...layer, batch: Math.min(batch, 8) },
  ].filter((each) => productsOf(each) <= mostProducts);
}

const window = (side: number, stride: number, padding: number): Pick<ProductLayer, 'kernel' | 'attrs'> => ({
  kernel: [side, side],
  attrs: {
    stride: [stride, stride],
    padding: [padding, padding, padding, padding],
    dilation: [1, 1],
    groups: 1,
  },
});

/** Input channels, output channels, side of the image, side of the window, stride, padding. */
const usualWindows = [
  [16, 16, 32, 3, 1, 1],
  [1, 32, 28, 5, 1, 2],
  [3, 16, 32, 3, 1, 1],
  [16, 32, 32, 3, 2, 1],
  [64, 64, 8, 3, 1, 1],
  [64, 256, 56, 1, 1, 0],
  [3, 64, 224, 7, 2, 3],
] as const;

const usualLinear = [
  [784, 500],
  [500, 10],
] as const;

const directions = ['', 'InputGradient', 'WeightGradient'] as const;

/** Layers of usual networks at a batch of 64, in all directions, the most used first. */
export function usualLayers(): ProductLayer[] {
  return [
    ...usualWindows.slice(0, 2).flatMap(windowLayers),
    ...usualLinear.flatMap(([inner, outer]) =>
      directions.map((direction): ProductLayer => ({
        ...{ op: `linear${direction}`, batch: 64, inner, outer, size: [1, 1], kernel: [1, 1], attrs: noWindow },
        ...{ bias: direction !== 'InputGradient', mask: false },
      })),
    ),
    ...usualWindows.slice(2).flatMap(windowLayers),
  ];
}

function windowLayers([inner, outer, side, kernel, stride, padding]: (typeof usualWindows)[number]): ProductLayer[] {
  return directions
    .filter((direction) => inner > 3 || direction !== 'InputGradient')
    .map((direction) => ({
      ...{ op: `conv2d${direction}`, batch: 64, inner, outer, size: [side, side] },
      ...{ ...window(kernel, stride, padding), bias: direction === 'WeightGradient', mask: direction === '' },
    }));
}
