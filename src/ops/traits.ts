import type { Node, OpName } from '../graph/types.js';

/** Inputs of an op by their place; `all` for every one. */
export type Slots = readonly number[] | 'all';

/**
 * What passes may do with an op. A new op says here whatever holds for ops in general, and one that is forgotten is a
 * compile error. Ops that passes know by name besides: those of attention, and those whose results are windows.
 */
export interface OpTraits {
  /**
   * `joins`: it can run inside another kernel's epilogue, and its own kernel runs one; `runs`: its kernel runs an
   * epilogue over its result; `none`: neither.
   */
  readonly epilogue: 'joins' | 'runs' | 'none';
  /** Inputs that its kernel may read as f16. */
  readonly halfInputs: Slots;
  /** Whether its first output may be stored as f16. */
  readonly halfOutput: boolean;
  /** It copies words, so that what it reads and what it writes is stored alike. */
  readonly copies: boolean;
  /** Inputs whose images its kernel reads wherever they lie (see `TensorView.pitch`). */
  readonly pitchedInputs: Slots;
  /** Whether its kernel writes images that lie apart. */
  readonly pitchedOutput: boolean;
  /**
   * Inputs that hold one stretch of memory per image, for ops that treat images apart and can be cut along the batch;
   * `undefined` for ops that cannot.
   */
  readonly batchInputs: Slots | ((node: Node) => Slots | undefined) | undefined;
  /** It multiplies by a weight, its second input, of which a copy in f16 may be made. */
  readonly weighted: boolean;
  /** Its output is its input's memory; no kernel runs. */
  readonly view: boolean;
  /** Its output has its input's elements in other places or shapes, some perhaps several times. */
  readonly rearranges: boolean;
  /** It adds up over the batch of its inputs, as gradients of weights do. */
  readonly sumsBatch: boolean;
  /** A chain of pointwise ops may come to it at any of its inputs, not only at the first. */
  readonly eitherSide: boolean;
  /**
   * What it does to the maps of an attention, where it may be cut along them: makes or reads them as a `product`,
   * computes `elements` or `lines` of them, combines them with constants (`operand`), or sees them in another `shape`.
   */
  readonly maps: 'product' | 'elements' | 'lines' | 'operand' | 'shape' | undefined;
}

const plain: OpTraits = {
  epilogue: 'none',
  halfInputs: [],
  halfOutput: false,
  copies: false,
  pitchedInputs: [],
  pitchedOutput: false,
  batchInputs: undefined,
  weighted: false,
  view: false,
  rearranges: false,
  sumsBatch: false,
  eitherSide: false,
  maps: undefined,
};

/** A product whose kernels run an epilogue. */
const product: OpTraits = {
  ...plain,
  epilogue: 'runs',
  halfInputs: [0, 1],
  halfOutput: true,
  batchInputs: [0],
  weighted: true,
};
/** A pooling kernel, which takes its first input, the images, wherever they lie. */
const pooling: OpTraits = {
  ...plain,
  epilogue: 'runs',
  halfInputs: [0],
  halfOutput: true,
  pitchedInputs: [0],
  pitchedOutput: true,
  batchInputs: [0],
};
/** A pointwise op whose first input is the value at hand. */
const pointwise: OpTraits = { ...pooling, epilogue: 'joins' };
/** Kernels that make images from other data. */
const source: OpTraits = { ...plain, halfOutput: true };

/** Inputs of a node that have all axes of its result, the batch among them. */
const wholeInputs = ({ inputs, outputs: [y] }: Node): readonly number[] =>
  inputs.flatMap(({ shape }, slot) => (shape.length === y!.shape.length && shape[0] === y!.shape[0] ? [slot] : []));
/** Operands of products of matrices that have the batch among the axes in front, of which the first must be one. */
function stackedInputs(node: Node): readonly number[] | undefined {
  const slots = node.outputs[0]!.shape.length > 2 ? wholeInputs(node) : [];
  return slots.includes(0) ? slots : undefined;
}
/** All inputs of an op along an axis, unless that is the batch. */
const unlessBatch = ({ attrs }: Node): Slots | undefined =>
  (attrs as { readonly axis?: number }).axis === 0 ? undefined : 'all';
/** An op that moves elements, image by image. */
const layout: OpTraits = { ...plain, halfInputs: [0], halfOutput: true };
/** An op along lines, softmax or its gradient. */
const line: OpTraits = { ...plain, batchInputs: unlessBatch };

/** The traits of every op; a missing one is a compile error. */
export const opTraits: { readonly [K in OpName]: OpTraits } = {
  conv2d: { ...product, pitchedInputs: [0], pitchedOutput: true },
  conv2dInputGradient: { ...product, pitchedInputs: [0], pitchedOutput: true },
  conv2dWeightGradient: { ...plain, halfInputs: [0, 1], pitchedInputs: [0, 1], sumsBatch: true },
  linear: product,
  linearInputGradient: product,
  linearWeightGradient: { ...plain, halfInputs: [0, 1], sumsBatch: true },
  matmul: { ...plain, batchInputs: stackedInputs, maps: 'product' },
  activation: pointwise,
  activationBackward: {
    ...pointwise,
    halfInputs: [0, 1],
    pitchedInputs: [0, 1],
    // the slopes of a PReLU are the third
    batchInputs: ({ inputs }) => (inputs.length > 1 ? [0, 1] : [0]),
  },
  unary: { ...pointwise, maps: 'elements' },
  unaryBackward: { ...pointwise, halfInputs: 'all', pitchedInputs: 'all', batchInputs: 'all', maps: 'elements' },
  binary: {
    ...pointwise,
    halfInputs: 'all',
    pitchedInputs: 'all',
    batchInputs: wholeInputs,
    eitherSide: true,
    maps: 'operand',
  },
  reduce: plain,
  reduceMaxBackward: plain,
  expand: { ...layout, rearranges: true },
  transpose: { ...layout, rearranges: true },
  slice: layout,
  pad: layout,
  axisMatrix: layout,
  maxPool2d: pooling,
  maxPool2dBackward: { ...pooling, batchInputs: 'all' },
  maxPool2dSoftmaxBackward: {
    ...plain,
    epilogue: 'runs',
    halfInputs: [0, 1],
    halfOutput: true,
    batchInputs: 'all',
  },
  avgPool2d: pooling,
  avgPool2dBackward: pooling,
  adaptiveAvgPool2d: pooling,
  adaptiveAvgPool2dBackward: pooling,
  scaleShift: pointwise,
  batchNormScaleShift: plain,
  batchNormStatistics: { ...plain, halfInputs: [0], pitchedInputs: [0] },
  batchNormApply: pointwise,
  batchNormInputGradient: { ...pointwise, halfInputs: [0, 1], pitchedInputs: [0, 1], batchInputs: [0, 1] },
  channelSums: { ...plain, halfInputs: [0, 1], pitchedInputs: [0, 1] },
  concat: {
    ...plain,
    halfInputs: 'all',
    halfOutput: true,
    copies: true,
    pitchedInputs: 'all',
    pitchedOutput: true,
    batchInputs: unlessBatch,
  },
  channelPad: { ...plain, halfInputs: [0], halfOutput: true, batchInputs: [0] },
  channelSlice: {
    ...plain,
    halfInputs: [0],
    halfOutput: true,
    copies: true,
    pitchedInputs: [0],
    pitchedOutput: true,
    batchInputs: [0],
  },
  dropout: { ...plain, halfInputs: [0], halfOutput: true, batchInputs: 'all' },
  softmax: { ...line, maps: 'lines' },
  softmaxBackward: { ...line, maps: 'lines' },
  logSoftmax: line,
  logSoftmaxBackward: line,
  normalize: { ...plain, halfInputs: [0], halfOutput: true, batchInputs: 'all' },
  normalizeBackward: { ...plain, halfInputs: [0, 1], halfOutput: true, batchInputs: 'all' },
  add: {
    ...pointwise,
    halfInputs: 'all',
    pitchedInputs: [0, 1],
    batchInputs: 'all',
    eitherSide: true,
    maps: 'elements',
  },
  reshape: { ...plain, view: true, rearranges: true, maps: 'shape' },
  loss: plain,
  lossBackward: plain,
  correct: plain,
  sampleNorm: { ...plain, halfInputs: [0], batchInputs: [0] },
  overflow: plain,
  sampleRoot: plain,
  classAtRank: plain,
  axisMap: plain,
  gridSample: plain,
  sampleField: plain,
  map: plain,
  custom: plain,
  random: plain,
  gatherImages: source,
  randomCropFlip: source,
  randomResizePad: plain,
  gatherLabels: plain,
  record: plain,
  logColumn: plain,
  assign: plain,
};

/** Whether a list of inputs has the one in place `slot`. */
export const hasSlot = (slots: Slots, slot: number): boolean => slots === 'all' || slots.includes(slot);

/** The inputs of a node with one stretch of memory per image; undefined where it does not treat images apart. */
export function batchInputs(node: Node): Slots | undefined {
  const slots = opTraits[node.op].batchInputs;
  return typeof slots === 'function' ? slots(node) : slots;
}

/** Whether an op's kernel runs an epilogue over its result. */
export const runsEpilogue = (op: OpName): boolean => opTraits[op].epilogue !== 'none';

/** Whether an op can run inside another kernel's epilogue. */
export const joinsEpilogue = (op: OpName): boolean => opTraits[op].epilogue === 'joins';
