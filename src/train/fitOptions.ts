import type { FieldNames } from '../arguments.js';
import type { EpochResult, TrainingProgress } from './progress.js';

/** Options of `Trainer.evaluate`. */
export interface EvaluateOptions {
  /** Stops between batches, or chunks of work, with an `aborted` error. */
  readonly signal?: AbortSignal;
  /** Called from time to time with the share of the images that are done, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** How long to train and whom to tell. */
export interface FitOptions {
  /** Epochs since the very beginning: a resumed run goes on until it has as many. 1..1,000,000. */
  readonly epochs: number;
  /** Stop after this many steps of this call, even inside an epoch. */
  readonly steps?: number;
  /**
   * Stops training between two submits; what was done stays valid, a checkpoint is written, and `fit` rejects with
   * `aborted`.
   */
  readonly signal?: AbortSignal;
  /**
   * End early where this many epochs in a row, from 1, have not lowered the loss on the test set (without one, the
   * training loss); never unless given.
   */
  readonly patience?: number;
  /**
   * Keep the weights of the epoch with the lowest such loss: `Trainer.best`, and with a checkpoint the file
   * `NAME.best.safetensors`. Default false.
   */
  readonly keepBest?: boolean;
  /** Called whenever losses have been read back. */
  readonly onProgress?: (progress: TrainingProgress) => void;
  /** Called after each epoch and its evaluation; training goes on when a promise that it returns is kept. */
  readonly onEpoch?: (result: EpochResult) => unknown;
  /**
   * Name of the checkpoint; see `Trainer.save`. Written after every epoch, when `steps` are up and when aborted.
   */
  readonly checkpoint?: string;
}

/** The fields of {@link EvaluateOptions}. */
export const evaluateFields: FieldNames<EvaluateOptions> = { signal: 'signal', onProgress: 'function' };

/** The fields of {@link FitOptions}. */
export const fitFields: FieldNames<FitOptions> = {
  epochs: true,
  steps: true,
  signal: 'signal',
  patience: true,
  keepBest: 'flag',
  onProgress: 'function',
  onEpoch: 'function',
  checkpoint: true,
};
