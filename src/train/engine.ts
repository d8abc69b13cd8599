import type { EvaluateOptions } from './fitOptions.js';
import type { Dataset } from '../data/dataset.js';
import type { LossScaleState } from './lossScale.js';

/** One step to run: `size` samples from entry `start` of the order on. */
export interface EngineStep {
  readonly start: number;
  readonly size: number;
  /** The optimizer's fields and `step`. */
  readonly fields: Readonly<Record<string, number>>;
}

/** What came of a block of steps. */
export interface EngineLog {
  /** Steps that ran; fewer than asked for only when the signal fired. */
  readonly done: number;
  /** Sum of the losses and number correct of each step, in pairs. */
  readonly log: ArrayLike<number>;
}

/**
 * Learnable weights and running statistics in their flat layouts: float32 from a device, float64 from the reference.
 */
export interface EngineWeights {
  readonly parameters: Float32Array | Float64Array;
  readonly buffers: Float32Array | Float64Array;
}

/** Everything that training changes, as flat arrays. */
export interface EngineSnapshot extends EngineWeights {
  /** One per optimizer state. */
  readonly states: readonly (Float32Array | Float64Array)[];
  /** Where gradients are stored as f16. */
  readonly lossScale?: LossScaleState;
}

/** Sums over a data set. */
export interface EvaluationSums {
  readonly loss: number;
  readonly correct: number;
}

/** Where training runs: a WebGPU device, or the float64 reference. */
export interface Engine {
  /** `kernel variant` of every dispatch of a step, in order; empty for the reference. */
  readonly kernels: readonly string[];
  /** Sets the order in which the samples of the training set are taken. */
  setOrder(order: Uint32Array): void;
  /** Runs steps one after another, at most as many as the log has rows; only the last may have a size of its own. */
  run(steps: readonly EngineStep[], signal?: AbortSignal): Promise<EngineLog>;
  /** Sums over a data set, with the model in eval mode. Throws `aborted`. */
  evaluate(dataset: Dataset, options?: EvaluateOptions): Promise<EvaluationSums>;
  weights(): Promise<EngineWeights>;
  /** Undefined where nothing is scaled. */
  lossScaleState(): Promise<LossScaleState | undefined>;
  snapshot(): Promise<EngineSnapshot>;
  restore(snapshot: EngineSnapshot): void;
  destroy(): void;
}

/** Bounds of the batches of a data set: full ones and, where they do not divide it, a smaller last one. */
export function batches(count: number, batch: number): { readonly start: number; readonly size: number }[] {
  return Array.from({ length: Math.ceil(count / batch) }, (_, index) => ({
    start: index * batch,
    size: Math.min(batch, count - index * batch),
  }));
}
