import { expectList } from '../arguments.js';
import { kindOf } from '../io/read.js';
import { readSafetensors, writeSafetensors } from '../io/safetensors.js';
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

/**
 * Epoch (from 1) with the lowest test loss, or the lowest training loss if none was tested; the first on ties; 0 if
 * there is no epoch. If some epochs were tested, the others do not count: losses of different images are not
 * comparable.
 */
export function bestEpoch(history: readonly EpochResult[]): number {
  expectList(history, 'history', { trainLoss: 'number' });
  const tested = history.some(({ testLoss }) => testLoss !== undefined);
  let [best, least] = [0, Infinity];
  for (const [index, { testLoss, trainLoss }] of history.entries()) {
    const loss = tested ? testLoss : trainLoss;
    if (loss !== undefined && loss < least) [best, least] = [index + 1, loss];
  }
  return best;
}

/** Whether the last `patience` epochs have all failed to improve on the best one before them. */
export const outOfPatience = (history: readonly EpochResult[], patience: number): boolean =>
  history.length - bestEpoch(history) >= patience;

/** Where the best weights of a checkpoint are written: `NAME.best.safetensors`. */
export const bestPath = (checkpoint: string): string =>
  checkpointPaths(checkpoint).weights.replace(/\.safetensors$/, '.best.safetensors');

/** Whether the best weights beside a checkpoint are those of this epoch. */
export async function holdsBest(checkpoint: string, epoch: number): Promise<boolean> {
  const path = bestPath(checkpoint);
  return (await kindOf(path)) === 'file' && (await readSafetensors(path)).metadata['epoch'] === String(epoch);
}

/** Writes the best weights beside a checkpoint. The file appears whole or not at all. Throws `not-writable`. */
export async function writeBest(
  checkpoint: string,
  definition: ModelDefinition,
  { epoch, weights }: BestWeights,
): Promise<void> {
  const tensors = new Map<string, TensorToWrite>(weights);
  await writeSafetensors(bestPath(checkpoint), tensors, { format: 'pt', model: definition.name, epoch: String(epoch) });
}
