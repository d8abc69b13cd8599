import { loadDataset } from '../data/load.js';
import { subset } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { LinbpError } from '../errors.js';
import { initialState, Model } from '../nn/model.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { Optimiser } from '../train/optimisers.js';
import type { EpochResult } from '../train/progress.js';
import type { Schedule } from '../train/schedules.js';
import { Trainer } from '../train/trainer.js';
import type { ExperimentContext } from './types.js';

/** Both halves of a data set. */
export interface DataHalves {
  readonly train: Dataset;
  readonly test: Dataset;
}

/**
 * Loads a data set, or `digits` with a note where the default one is not there and none was asked for.
 *
 * @param sizes images to keep; the training images are a random choice of `seed`
 */
export async function loadHalves(
  context: ExperimentContext,
  byDefault: 'mnist' | 'cifar10',
  sizes: { readonly train: number; readonly test: number },
): Promise<DataHalves> {
  const load = async (dataset: string): Promise<DataHalves> => {
    const folder = context.dataFolder === undefined ? {} : { dataFolder: context.dataFolder };
    const train = await loadDataset({ dataset, split: 'train', ...folder });
    const test = await loadDataset({ dataset, split: 'test', ...folder });
    return { train: subset(train, Math.min(sizes.train, train.count), context.seed), test: subset(test, Math.min(sizes.test, test.count)) };
  };
  try {
    return await load(context.dataset ?? byDefault);
  } catch (error) {
    const replaceable = context.dataset === undefined && byDefault === 'mnist';
    if (!replaceable || !(error instanceof LinbpError) || error.code !== 'missing-data') throw error;
    context.progress.line('note: no MNIST there; using the data set digits');
    return load('digits');
  }
}

/** One training run to do. */
export interface RunPlan {
  readonly definition: ModelDefinition;
  readonly data: DataHalves;
  readonly rule: string;
  readonly optimiser: Optimiser;
  readonly schedule: Schedule;
  readonly batch: number;
  readonly epochs: number;
  readonly seed: number;
  /** Evaluate the test set after every epoch; default true. */
  readonly tested?: boolean;
}

/** What became of it. */
export interface TrainingRun {
  readonly rule: string;
  readonly seed: number;
  readonly lr: number;
  readonly epochs: readonly EpochResult[];
  /** Loss of every step, before its update. */
  readonly losses: readonly number[];
  /** The message of the divergence, where the loss stopped being finite. */
  readonly diverged?: string;
}

/**
 * Trains from the initial weights of the seed; under the same seed every rule sees the same images in the same order. A loss that is no
 * longer finite ends the run and is part of the result.
 */
export async function trainOnce(context: ExperimentContext, plan: RunPlan, label: string): Promise<TrainingRun> {
  const { definition, data, rule, optimiser, schedule, batch, epochs, seed } = plan;
  using model = Model.create(definition, { device: context.device });
  model.setStateDict(initialState(definition, seed));
  using trainer = await Trainer.create({
    model,
    dataset: data.train,
    ...(plan.tested !== false && { testDataset: data.test }),
    rules: rule,
    optimiser,
    schedule,
    batch,
    seed,
  });
  const losses: number[] = [];
  let diverged: string | undefined;
  try {
    await trainer.fit({
      epochs,
      signal: context.signal,
      onProgress({ step, stepsPerEpoch, loss, steps }) {
        for (const each of steps) losses.push(each.loss);
        context.progress.update(`${label} ${rule} seed ${seed}`, step / (stepsPerEpoch * epochs), `loss ${loss.toFixed(4)}`);
      },
    });
  } catch (error) {
    if (!(error instanceof LinbpError) || error.code !== 'diverged') throw error;
    diverged = error.message;
  }
  return { rule, seed, lr: optimiser.lr, epochs: [...trainer.history], losses, ...(diverged !== undefined && { diverged }) };
}

/** Whether a run failed: its loss is not finite, or it ended clearly above that of guessing. */
export function failed(run: TrainingRun, classes: number): boolean {
  const last = run.epochs.at(-1)?.trainLoss;
  return run.diverged !== undefined || last === undefined || last > 1.05 * Math.log(classes);
}
