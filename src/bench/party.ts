import type { Padding, Pair, Precision } from '../graph/types.js';

/** Weights of a network by PyTorch key, as plain arrays. */
export type PlainWeights = Readonly<Record<string, { readonly shape: readonly number[]; readonly data: Float32Array }>>;

/**
 * Training steps: forward, mean cross entropy, backward, plain SGD update. A unit is one step; step k takes batch k
 * modulo `batches`.
 */
export interface TrainingWorkload {
  readonly kind: 'training';
  readonly model: string;
  /** How activations and gradients are stored; f16 scales the loss. */
  readonly precision: Precision;
  readonly batch: number;
  readonly batches: number;
  readonly lr: number;
  readonly weights: PlainWeights;
  /** Shape of one image, [C, H, W]. */
  readonly imageShape: readonly [number, number, number];
  /** Bytes [batches * batch, C, H, W]; the network sees them divided by 255. */
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/**
 * PGD without random start in the L-infinity ball on a network in eval mode. A unit is one attack of `steps` steps on
 * the same batch.
 */
export interface AttackWorkload {
  readonly kind: 'attack';
  readonly model: string;
  readonly precision: Precision;
  readonly batch: number;
  readonly steps: number;
  readonly eps: number;
  readonly alpha: number;
  readonly weights: PlainWeights;
  readonly imageShape: readonly [number, number, number];
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/** The logits of a network in eval mode. A unit is one forward pass of the same batch. */
export interface ForwardWorkload {
  readonly kind: 'forward';
  readonly model: 'lenet5' | 'resnet20';
  readonly batch: number;
  readonly weights: PlainWeights;
  readonly imageShape: readonly [number, number, number];
  readonly classes: number;
  readonly images: Uint8Array;
}

/** C = A B of square float32 matrices. A unit is one product. */
export interface MatmulWorkload {
  readonly kind: 'matmul';
  readonly size: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** z = max(x y + x, 0), elementwise. A unit is one evaluation; libraries without fusion run several kernels. */
export interface ElementwiseWorkload {
  readonly kind: 'elementwise';
  readonly count: number;
  readonly x: Float32Array;
  readonly y: Float32Array;
}

/**
 * Which product: `linear` is X W^T of square matrices as `matmul` is A B, the others are a convolution [N, C, H, W] x
 * [O, C, KH, KW] and its gradients.
 */
export type ProductProblem =
  | { readonly op: 'matmul' | 'linear'; readonly size: number }
  | {
      readonly op: 'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient';
      readonly x: readonly number[];
      readonly w: readonly number[];
      readonly y: readonly number[];
      readonly stride: Pair;
      readonly padding: Padding;
      readonly dilation: Pair;
      readonly groups: number;
    };

/** One product on numbers that the party draws itself, to measure rates. A unit is one product; nothing is compared. */
export interface ProductWorkload {
  readonly kind: 'product';
  readonly precision: Precision;
  readonly problem: ProductProblem;
}

export type Workload =
  TrainingWorkload | AttackWorkload | ForwardWorkload | MatmulWorkload | ElementwiseWorkload | ProductWorkload;

/** A workload that a party has set up. */
export interface PartyTask {
  /**
   * Does `units` units and waits until they are finished. A party that computes in a process of its own returns the
   * milliseconds of processor time that were spent there.
   */
  run(units: number): Promise<number | void>;
  /**
   * What was computed, to compare parties by: the mean loss of every training step so far; the loss of each
   * adversarial image; the first 256 elements of logits, a product or an elementwise result.
   */
  result(): Promise<ArrayLike<number>>;
  close(): void;
}

/** A library that takes part in a comparison; the default export of its module. */
export interface Party {
  /** Sets a workload up, or returns undefined where the library cannot do it. */
  open(workload: Workload): Promise<PartyTask | undefined>;
}

/** A party as the comparison knows it. */
export interface PartyEntry {
  /** Such as `tfjs webgpu`. */
  readonly name: string;
  /** URL of its module; a query tells the module which backend to use. */
  readonly module: string;
  /** Expects `navigator.gpu` and the constants of a browser. */
  readonly browser: boolean;
}
