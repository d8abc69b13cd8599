import type { Pair } from '../../graph/types.js';
import type { AxisSlice } from '../geometry.js';
import type { ElementType, HostTensor, OnnxNode } from '../types.js';
import type { ResizeGeometry, WindowGeometry } from '../windows.js';

/*
 * Between ONNX and the engine's graph: steps over tensors with known shapes, without opsets, without constants that
 * could have been folded, and with the axis of the batch known, so that they can be built for any batch.
 */

/** A tensor that depends on the pixels. */
export interface DataValue {
  readonly kind: 'data';
  /** Its name in the file, or one derived from it. */
  readonly name: string;
  /** For the batch size that the file was analyzed with. */
  readonly shape: readonly number[];
  readonly type: ElementType;
  /** The axis that holds the batch; undefined where images are not told apart. */
  readonly batch: number | undefined;
  /** Elements of the batch axis that come before the batch: the axis has outer x batch x inner; 1 unless given. */
  readonly outer?: number;
}

/** A tensor that does not depend on the pixels. */
export interface ConstantValue {
  readonly kind: 'constant';
  readonly tensor: HostTensor;
}

export type Value = DataValue | ConstantValue;

export type BinaryKind = 'add' | 'sub' | 'mul' | 'div' | 'max' | 'min';

/** Attributes of every kind of step. */
export interface StepAttributes {
  /** A function of one number, by the engine's name, with its parameters. */
  unary: { readonly fn: string; readonly values: readonly number[] };
  /** x, slope (constant, per channel) */
  prelu: Record<never, never>;
  binary: { readonly kind: BinaryKind };
  /** x [N, C, H, W], weight, optional bias */
  conv: { readonly window: WindowGeometry; readonly groups: number };
  convTranspose: { readonly window: WindowGeometry; readonly groups: number };
  /** x [..., I], weight [O, I], optional bias [O] */
  linear: Record<never, never>;
  /** a [..., M, K], b [..., K, N] */
  matmul: Record<never, never>;
  /** x, scale, shift, mean, variance */
  batchNorm: { readonly epsilon: number };
  /** x, optional scale and shift that broadcast over the axes; without a mean for `rms` */
  layerNorm: { readonly axes: readonly number[]; readonly epsilon: number; readonly rms: boolean };
  maxPool: { readonly window: WindowGeometry };
  averagePool: { readonly window: WindowGeometry; readonly includePad: boolean };
  /** axes stay, with size 1; the gradient of `max` goes to the first largest, that of `amax` to all in equal parts */
  reduce: {
    readonly kind: 'sum' | 'mean' | 'max' | 'amax' | 'amin' | 'prod' | 'l2';
    readonly axes: readonly number[];
  };
  softmax: { readonly axis: number; readonly log: boolean };
  transpose: { readonly perm: readonly number[] };
  reshape: { readonly shape: readonly number[] };
  slice: { readonly cut: readonly AxisSlice[] };
  /** `stride`: zeros around the channels of every stride-th pixel */
  pad: { readonly pads: readonly number[]; readonly mode: string; readonly value: number; readonly stride?: Pair };
  concat: { readonly axis: number };
  /** elements of one axis by constant indices; the axis keeps its place */
  gather: { readonly axis: number; readonly indices: readonly number[] };
  expand: { readonly shape: readonly number[] };
  resize: { readonly how: ResizeGeometry };
  lrn: { readonly size: number; readonly alpha: number; readonly beta: number; readonly bias: number };
  /** per-channel line in front of everything: order, scale and shift of the channels */
  preprocess: {
    readonly order: readonly number[];
    readonly scale: readonly number[];
    readonly shift: readonly number[];
  };
}

export type StepOp = keyof StepAttributes;

/** One step. */
export interface Step<K extends StepOp = StepOp> {
  readonly op: K;
  readonly attributes: StepAttributes[K];
  readonly inputs: readonly Value[];
  readonly output: DataValue;
  /** The node that it came from. */
  readonly node: OnnxNode;
}

export const isStep = <K extends StepOp>(step: Step | undefined, op: K): step is Step & Step<K> =>
  step !== undefined && step.op === op;
