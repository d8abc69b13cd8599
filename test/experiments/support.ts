import type { ExperimentContext } from '../../src/experiments/types.js';
import { sharedDevice } from '../support/device.js';

/** The smallest run of an experiment, without output. */
export async function smallest(changes: Partial<ExperimentContext> = {}): Promise<ExperimentContext> {
  const progress = { line: (): void => undefined, update: (): void => undefined };
  return {
    ...{ scale: 1e-6, seeds: 1, seed: 5, dataset: undefined, dataFolder: undefined, compat: 'none', progress },
    ...{ device: await sharedDevice(), signal: new AbortController().signal },
    ...changes,
  };
}
