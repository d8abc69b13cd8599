import type { CustomKernel } from './customKernel.js';
import type { ElementwiseFunction } from './elementwiseFunction.js';
import type { FieldKind } from './fields.js';
import type { BoundRule } from './rule.js';
import type { BinaryName } from './binary.js';
import type { ActivationKind, ScalarFunctionName } from './functions.js';
import type { AveragePoolAttrs, ConvAttrs, Pair, PoolAttrs } from './geometry.js';

/**
 * Element type of a tensor. Masks, labels and indices are `u32`; everything differentiable is `f32`, or stored as
 * `f16` (see src/passes/half.ts).
 */
export type DType = 'f32' | 'f16' | 'u32';

/**
 * How a program stores activations, their gradients and the weights that products read: `f16` halves their memory.
 * All arithmetic is in f32.
 */
export type Precision = 'f32' | 'f16';

/**
 * Where a tensor's memory comes from: `input` is bound by the caller, `parameter` and `state` persist between runs,
 * `value` lives inside one run and is placed by the memory plan.
 */
export type TensorKind = 'input' | 'parameter' | 'state' | 'value';

/** What a node computes for: it decides how the profiler groups it and what counts as saved for the backward pass. */
export type Direction = 'data' | 'forward' | 'inputGradient' | 'weightGradient' | 'update' | 'attack';

/**
 * A tensor that shares the memory of another, `offset` elements into `base`: contiguous, or, where it has a pitch, a
 * window of channels, each of whose images is contiguous.
 */
export interface TensorView {
  readonly base: Tensor;
  readonly offset: number;
  /** Elements from the beginning of one image to that of the next. */
  readonly pitch?: number;
}

/** A static-shape tensor of a graph. Images are [N, C, H, W], vectors [N, F]. */
export interface Tensor {
  readonly id: number;
  readonly name: string;
  readonly shape: readonly number[];
  /** How it is stored. Graphs are built in `f32` and `u32`; compiling may choose `f16` for values. */
  dtype: DType;
  readonly kind: TensorKind;
  /** The node that defines it; inputs, parameters and states have none. */
  producer: Node | undefined;
  /** Set when the tensor is a window of another one (reshape, parameter inside the flat parameter store). */
  view: TensorView | undefined;
}

/** A marked part of a graph with one input and one output, such as a residual branch. */
export interface Region {
  readonly name: string;
  readonly input: Tensor;
  readonly output: Tensor;
}

export type { AveragePoolAttrs, ConvAttrs, Padding, Pair, PoolAttrs } from './geometry.js';

/**
 * Per-sample losses. `logit` is minus the logit of the label (the official code's `nll_loss` on raw logits);
 * `logitMargin` the cross entropy of logits divided by the lead of the first over the second, which counts as a
 * constant. Those that take targets beside labels: `dlrTargeted`, (z_label - z_target) / (z_(1) - (z_(3) + z_(4)) / 2),
 * and `logitDifference`, z_target - z_label.
 */
export type LossKind =
  | 'crossEntropy'
  | 'crossEntropyRounded'
  | 'margin'
  | 'dlr'
  | 'logit'
  | 'logitMargin'
  | 'dlrTargeted'
  | 'logitDifference';

/** Losses that take targets u32 [N] as a third input. */
export const targetedLosses: ReadonlySet<LossKind> = new Set<LossKind>(['dlrTargeted', 'logitDifference']);

/** How `reduce` combines the values along its axes. */
export type ReduceKind = 'sum' | 'mean' | 'max';

/** A number known at compile time, or the name of a field of the program's step table, read again each step. */
export type StepValue = number | { readonly step: string };

export type { ElementwiseFunction };

/** Attributes of every op, keyed by op name; tables over ops are typed exhaustively by these keys. */
export interface OpAttrs {
  /** x [N, C, H, W], w [O, C/groups, KH, KW], optional b [O] -> y */
  conv2d: ConvAttrs;
  /** g like y, w -> dx */
  conv2dInputGradient: ConvAttrs & { readonly inputShape: readonly number[] };
  /** g like y, x -> dw and, with `bias`, db */
  conv2dWeightGradient: ConvAttrs & { readonly weightShape: readonly number[]; readonly bias: boolean };
  /** x [N, I], w [O, I], optional b [O] -> y [N, O] */
  linear: Record<never, never>;
  /** g [N, O], w -> dx [N, I] */
  linearInputGradient: Record<never, never>;
  /** g [N, O], x [N, I] -> dw [O, I] and, with `bias`, db [O] */
  linearWeightGradient: { readonly bias: boolean };
  /** a [..., M, K] or its transpose, b [..., K, N] or its transpose -> [..., M, N]; axes in front broadcast */
  matmul: { readonly transposeA: boolean; readonly transposeB: boolean };
  /** x, for `prelu` the slopes [C] -> y and, with `mask`, which of its two slopes it has, packed (see `maskShape`) */
  activation: { readonly kind: ActivationKind; readonly values?: readonly number[]; readonly mask: boolean };
  /**
   * g and what the rule needs: nothing, or the mask where it needs the derivative of an activation with two slopes, or
   * the pre-activation; for `prelu` behind it the slopes -> dz
   */
  activationBackward: { readonly kind: ActivationKind; readonly values?: readonly number[]; readonly rule: BoundRule };
  /** any tensors -> what a kernel of the user's own makes of them */
  custom: { readonly kernel: CustomKernel };
  /** x -> f(x), a function of one number with its true derivative under every rule */
  unary: { readonly kind: ScalarFunctionName; readonly values?: readonly number[] };
  /** g, x -> g f'(x) */
  unaryBackward: { readonly kind: ScalarFunctionName; readonly values?: readonly number[] };
  /** a, b -> f(a, b); one has the shape of the result, the other broadcasts to it (axes of size 1, fewer axes) */
  binary: { readonly kind: BinaryName };
  /** x -> y and the packed index of the first maximum of each window (see `argmaxShape`) */
  maxPool2d: PoolAttrs;
  /** g, argmax -> dx */
  maxPool2dBackward: PoolAttrs & { readonly inputShape: readonly number[] };
  /** g, x -> dx by softmax weights exp(tau x) inside each window (BPA) */
  maxPool2dSoftmaxBackward: PoolAttrs & { readonly inputShape: readonly number[]; readonly tau: number };
  /** x -> y; the divisor counts padding (PyTorch's default) unless `excludePadding` */
  avgPool2d: AveragePoolAttrs;
  avgPool2dBackward: AveragePoolAttrs & { readonly inputShape: readonly number[] };
  /** x -> [N, C, size[0], size[1]] */
  adaptiveAvgPool2d: { readonly size: Pair };
  adaptiveAvgPool2dBackward: { readonly size: Pair; readonly inputShape: readonly number[] };
  /** x [N, C, ...], scale [C], optional shift [C] -> x * scale + shift */
  scaleShift: Record<never, never>;
  /**
   * gamma, beta, mean, variance [C] -> scale, shift [C] with gamma (x - mean) / sqrt(variance + epsilon) + beta = x
   * scale + shift
   */
  batchNormScaleShift: { readonly epsilon: number };
  /** x [N, C, ...], gamma [C] -> mean, biased variance, gamma / sqrt(variance + epsilon), each [C] */
  batchNormStatistics: { readonly epsilon: number };
  /** x, mean and scale of its `batchNormStatistics`, beta, gamma (for the gradient only) -> (x - mean) scale + beta */
  batchNormApply: Record<never, never>;
  /** g, x [N, C, ...], mean, scale, slope, offset [C] -> g scale + (x - mean) slope + offset */
  batchNormInputGradient: Record<never, never>;
  /** g, x [N, C, ...], optional center [C] -> sum of g (x - center) and sum of g per channel, each [C] */
  channelSums: Record<never, never>;
  /** parts of one shape but for the axis (by default the channels) -> one behind the other along it */
  concat: { readonly axis?: number };
  /**
   * x [N, C, H, W] -> every stride-th pixel, with `before` and `after` channels of zeros around: [N, before + C +
   * after, ...]
   */
  channelPad: { readonly before: number; readonly after: number; readonly stride: Pair };
  /** The transpose of `channelPad`: channels from `first` on as [N, C, H, W] = `shape`, pixels between strides zero */
  channelSlice: { readonly first: number; readonly stride: Pair; readonly shape: readonly number[] };
  /** x [N, ...], sampleIds u32 [N] -> x / (1 - p) where a Philox uniform is at least p, else 0; likewise the gradient.
   *  Element i of a sample has the counter `firstElement` + i. */
  dropout: {
    readonly p: number;
    readonly stream: number;
    readonly firstElement: number;
    readonly seed: StepValue;
    readonly step: StepValue;
  };
  /** x -> exp x / (sum of exp x) along the axis, by default the channels */
  softmax: { readonly axis?: number };
  /** g, y = softmax -> y (g - sum of g y) */
  softmaxBackward: { readonly axis?: number };
  /** x -> x - log(sum of exp x) along the axis, by default the channels */
  logSoftmax: { readonly axis?: number };
  /** g, y = log-softmax -> g - exp(y) (sum of g) */
  logSoftmaxBackward: { readonly axis?: number };
  /**
   * x -> (x - mean) scale over all axes from `first` on, and mean and scale = 1 / sqrt(biased variance + epsilon),
   * whose axes are those before; without `center` the mean counts as 0
   */
  normalize: { readonly first: number; readonly epsilon: number; readonly center: boolean };
  /** g, x, mean, scale of its `normalize` -> dx */
  normalizeBackward: { readonly first: number; readonly epsilon: number; readonly center: boolean };
  /** a, b of one shape -> a + b */
  add: Record<never, never>;
  /**
   * x -> its sum, mean or largest element along `axes`, which have size 1 in the result; with `max` also u32, the
   * place of the first largest among the elements that it was chosen of, in row-major order
   */
  reduce: { readonly kind: ReduceKind; readonly axes: readonly number[] };
  /** g, places of the largest -> dx: g there, else 0 */
  reduceMaxBackward: { readonly axes: readonly number[]; readonly inputShape: readonly number[] };
  /** x -> x repeated along axes of size 1 to `shape`, which may have further axes in front */
  expand: { readonly shape: readonly number[] };
  /** x -> its axes in another order: axis i of the result is axis `order[i]` of x */
  transpose: { readonly order: readonly number[] };
  /** x -> along each axis `size` elements from `start` on, `step` apart; a negative step goes backwards */
  slice: { readonly start: readonly number[]; readonly step: readonly number[]; readonly size: readonly number[] };
  /**
   * x -> along each axis `before` elements in front, `between` between neighbors and `after` behind, all of them
   * `value`; with a value of 0 the transpose of `slice`
   */
  pad: {
    readonly before: readonly number[];
    readonly after: readonly number[];
    readonly between: readonly number[];
    readonly value: number;
  };
  /**
   * x, first u32 [size + 1], index u32 [M], weight [M] -> along `axis` `size` elements, of which element j is the sum
   * of weight[k] x[index[k]] for k from first[j] up to first[j + 1]: a constant sparse matrix. Gathers, resizing
   */
  axisMatrix: { readonly axis: number; readonly size: number };
  /** x -> the same elements in another shape; no dispatch */
  reshape: { readonly shape: readonly number[] };
  /**
   * logits [N, K], labels u32 [N], for some kinds targets u32 [N] -> loss [N]; NaN where a logit of the sample is
   * infinite or NaN, its gradient too
   */
  loss: { readonly kind: LossKind };
  /**
   * the inputs of its `loss` -> scale * dloss/dlogits. With `raised`, cross entropy's gradient of an image that the
   * network is certain of keeps its direction but is no smaller than where the label's logit leads by `mostLead` of
   * src/ops/loss.ts.
   */
  lossBackward: { readonly kind: LossKind; readonly scale: number; readonly raised?: boolean };
  /** logits [N, K], labels u32 [N] -> u32 [N], 1 where all are finite and the first largest is the label's */
  correct: Record<never, never>;
  /**
   * logits [N, K], labels u32 [N] -> u32 [N], the class of a rank among the classes other than the label, by falling
   * logit, from 1; of equal logits the lower class first
   */
  classAtRank: { readonly rank: StepValue };
  /** per-sample norm, or sum, over all other axes: x [N, ...] -> [N] */
  sampleNorm: { readonly norm: 'l1' | 'l2' | 'linf' | 'sum' };
  /**
   * Per sample a root t in [0, most] of S(t) = sum over pixels of `fn`(pixels of the inputs..., t): inputs [N, ...],
   * then most [N] and goal [N] -> the last t on the near side and the first on the far side of the goal that halving
   * the interval reaches, and S at both, each [N]. S rises with t (near: S < goal) or falls (near: S > goal). Where
   * S(most) is near, too, the far side is `most`.
   */
  sampleRoot: { readonly fn: ElementwiseFunction; readonly rising: boolean };
  /**
   * One axis of images by a matrix: x [N, C, H, W], m [N or 1, A, B] -> the rows (columns) of each channel times m,
   * with B = H (W) and A in its place; `transposed`: times its transpose, with A = H (W) and B in its place.
   */
  axisMap: { readonly axis: 'rows' | 'columns'; readonly transposed: boolean };
  /**
   * x [N, C, H, W], grid [N, 2 or 6, A, B] -> [N, C, A, B]: each pixel is read at a place of its sample, row then
   * column in pixels of x, the nearest or bilinear, with zeros around. Four more channels bound the pixels that may be
   * read: from row, below row, from column, below column. `transposed`: the transpose of this linear map, x [N, C, A,
   * B] -> [N, C, size].
   */
  gridSample: { readonly mode: 'nearest' | 'bilinear'; readonly transposed: boolean; readonly size: Pair };
  /** numbers [N, K] -> [N, planes, size] by a formula, see {@link FieldKind}; of the kind `index` u32 [N] */
  sampleField: {
    readonly kind: FieldKind;
    readonly planes: number;
    readonly size: Pair;
    readonly values: readonly number[];
  };
  /** x -> [1]: 1 where some element is infinite or NaN, else 0 */
  overflow: Record<never, never>;
  /** elementwise over [N, ...]; an input of shape [N] broadcasts over its sample, one of shape [1] over everything.
   *  Result i goes to a new tensor, or overwrites input `targets[i]` when that is a number. */
  map: {
    readonly fn: ElementwiseFunction;
    readonly scalars: readonly StepValue[];
    readonly targets: readonly ('new' | number)[];
  };
  /**
   * sampleIds u32 [N] -> f32 of `shape` ([N, ...]): Philox keyed by (seed, stream), counted by (element, sample id,
   * step)
   */
  random: {
    readonly shape: readonly number[];
    readonly distribution: 'uniform' | 'normal';
    readonly stream: number;
    readonly seed: StepValue;
    readonly step: StepValue;
  };
  /**
   * data (u8 packed in u32 words, or f32) [M, ...], indices u32 [*] -> f32 [N, ...] of rows indices[start + i], u8
   * scaled by 1/255
   */
  gatherImages: {
    readonly count: number;
    readonly sampleShape: readonly number[];
    readonly packed: boolean;
    readonly start: StepValue;
  };
  /** x [N, C, H, W], sampleIds u32 [N] -> each sample inside a frame of `padding` zeros, cut to its size again at a
   *  random place, and flipped left to right in half of the cases where `flip`. Philox words 0 to 2 of a sample choose
   *  row, column and flip. */
  randomCropFlip: {
    readonly padding: number;
    readonly flip: boolean;
    readonly stream: number;
    readonly seed: StepValue;
    readonly step: StepValue;
  };
  /** x [N, C, H, W], sampleIds u32 [N] -> a share `probability` of the samples scaled to a random size up to `largest`
   *  (height, width) at a random place of a frame of zeros of that size, and scaled back (nearest). Philox words 0 to 3
   *  choose whether, how far between the sizes, row and column. `transposed`: the transpose of this linear map. */
  randomResizePad: {
    readonly largest: readonly [number, number];
    readonly probability: number;
    readonly transposed: boolean;
    readonly stream: number;
    readonly seed: StepValue;
    readonly step: StepValue;
  };
  /** values u32 [M], indices u32 [*] -> u32 [N] */
  gatherLabels: { readonly count: number; readonly start: StepValue };
  /** loss [N], correct u32 [N], log state f32 [R, 2]: log[row] = (sum of loss, number correct) */
  record: { readonly row: StepValue };
  /** loss, margin [N], their logs [N, R], both states: column `column` of each log = the values */
  logColumn: { readonly column: StepValue };
  /** value, state: state = value */
  assign: Record<never, never>;
}

/** Names of the ops that a graph's nodes can have. */
export type OpName = keyof OpAttrs;

/** One operation of a graph. */
export interface Node<K extends OpName = OpName> {
  readonly id: number;
  readonly op: K;
  readonly attrs: OpAttrs[K];
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Indices of inputs whose memory the node overwrites. */
  readonly mutates: readonly number[];
  readonly segment: string;
  /** Module path of the layer it belongs to, as in PyTorch's state dict. */
  readonly layer: string;
  readonly direction: Direction;
  /** Name of the backward rule that emitted it, such as `bp` or `sgm`; empty for what no rule emitted. */
  readonly rule: string;
}

/** Channels per word of packed activation masks: bit `c % 16` of word [n, c / 16, p]. */
export const maskRows = 16;
/** Window indices per word of packed max-pool argmaxes: byte `c % 4` of word [n, c / 4, p]. */
export const argmaxRows = 4;

/** Elements of a tensor of a shape; 1 without axes. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Pixels per channel: 1 for [N, F]. */
export function pixelCount(shape: readonly number[]): number {
  return elementCount(shape.slice(2));
}

/** Shape of the packed mask of an activation [N, C, ...]: [N, ceil(C / 16), pixels]. */
export function maskShape(shape: readonly number[]): readonly number[] {
  return [shape[0] ?? 1, Math.ceil((shape[1] ?? 1) / maskRows), pixelCount(shape)];
}

/** Shape of the packed window indices of a pooling output [N, C, H, W]: [N, ceil(C / 4), H * W]. */
export function argmaxShape(shape: readonly number[]): readonly number[] {
  return [shape[0] ?? 1, Math.ceil((shape[1] ?? 1) / argmaxRows), pixelCount(shape)];
}

/** Bytes of an element. */
export const elementBytes = ({ dtype }: Pick<Tensor, 'dtype'>): number => (dtype === 'f16' ? 2 : 4);

/** Bytes of a tensor in whole words, as buffers are bound, copied and written. */
export function byteLength(tensor: Tensor): number {
  return 4 * Math.ceil((elementBytes(tensor) * elementCount(tensor.shape)) / 4);
}

/** Elements from the beginning of one image of a tensor [N, ...] to that of the next. */
export function imagePitch(tensor: Tensor): number {
  return tensor.view?.pitch ?? elementCount(tensor.shape.slice(1));
}

/**
 * Bytes from a tensor's first element to its last, in whole words: more than it has where other channels lie between
 * its images.
 */
export function spanBytes(tensor: Tensor): number {
  const [images = 1, ...rest] = tensor.shape;
  return 4 * Math.ceil((elementBytes(tensor) * ((images - 1) * imagePitch(tensor) + elementCount(rest))) / 4);
}
