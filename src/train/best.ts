import { writeSafetensors } from '../io/safetensors.js';
import type { TensorToWrite } from '../io/safetensors.js';
import type { ModelDefinition } from '../nn/definition.js';
import { checkpointPaths } from './checkpoint.js';
import type { EpochResult } from './progress.js';

/** The weights of the best epoch so far. */
export interface BestWeights {
  /** From 1. */
  readonly epoch: number;
  readonly weights: ReadonlyMap<
    string,
    { readonly shape: readonly number[]; readonly data: Float32Array | Float64Array }
  >;
}

/** What decides which epoch is best: the test loss, or without a test set the training loss. Lower is better. */
export const monitoredLoss = ({ testLoss, trainLoss }: EpochResult): number => testLoss ?? trainLoss;

/** The epoch, from 1, with the lowest monitored loss, the first of equal ones; 0 before the first epoch. */
export function bestEpoch(history: readonly EpochResult[]): number {
  return history.reduce(
    (best, result, index) =>
      best === 0 || monitoredLoss(result) < monitoredLoss(history[best - 1]!) ? index + 1 : best,
    0,
  );
}

/** Whether the last `patience` epochs have all failed to improve on the best one before them. */
export const outOfPatience = (history: readonly EpochResult[], patience: number): boolean =>
  history.length - bestEpoch(history) >= patience;

/** Where the best weights of a checkpoint are written: `NAME.best.safetensors`. */
export const bestPath = (checkpoint: string): string =>
  checkpointPaths(checkpoint).weights.replace(/\.safetensors$/, '.best.safetensors');

/** Writes the best weights beside a checkpoint. The file appears whole or not at all. Throws `not-writable`. */
export function writeBest(checkpoint: string, definition: ModelDefinition, { epoch, weights }: BestWeights): void {
  const tensors = new Map<string, TensorToWrite>(weights);
  writeSafetensors(bestPath(checkpoint), tensors, { format: 'pt', model: definition.name, epoch: String(epoch) });
}
