import type { ModelDefinition } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';
import type { Device } from '../runtime/device.js';
import type { EpochResult, TrainingProgress } from '../train/progress.js';
import type { TrainerOptions } from '../train/settings.js';
import { Trainer } from '../train/trainer.js';
import { openDevice, percent, referenceAdapter, shownAdapter } from './common.js';
import { modelWith } from './inference.js';
import { duration } from './progress.js';
import type { Progress } from './progress.js';
import type { TrainValues } from './trainOptions.js';
import type { ShownAdapter } from './verb.js';

/** Where the trainers of a command run: a device, or undefined for the float64 reference. */
export interface TrainingPlace {
  readonly device: Device | undefined;
  readonly adapter: ShownAdapter;
  close(): void;
}

/** Opens the device of `--device` and `--adapter`. Throws `no-adapter`. */
export async function openPlace(values: TrainValues): Promise<TrainingPlace> {
  if (values.device === 'reference') return { device: undefined, adapter: referenceAdapter, close: () => undefined };
  const device = await openDevice({ ...values, device: values.device });
  return { device, adapter: shownAdapter(device), close: () => device.destroy() };
}

/** A trainer and what frees it together with its model. */
export interface OpenTrainer {
  readonly trainer: Trainer;
  close(): void;
}

/** Compiles a trainer of a network from these weights. */
export async function createTrainer(
  { device }: TrainingPlace,
  settings: Omit<TrainerOptions, 'model' | 'device'>,
  weights: StateDict,
  definition: ModelDefinition,
): Promise<OpenTrainer> {
  if (device === undefined) {
    const trainer = await Trainer.create({ ...settings, model: { definition, weights }, device: 'reference' });
    return { trainer, close: () => trainer.destroy() };
  }
  const model = modelWith(device, definition, weights);
  try {
    const trainer = await Trainer.create({ ...settings, model });
    return {
      trainer,
      close() {
        trainer.destroy();
        model.destroy();
      },
    };
  } catch (error) {
    model.destroy();
    throw error;
  }
}

/** Draws the progress of training. */
export function showProgress(progress: Progress, state: TrainingProgress, what = ''): void {
  const { epoch, epochs, step, stepsPerEpoch, loss, accuracy, imagesPerSecond, secondsLeft } = state;
  const figures =
    `loss ${loss.toFixed(4)}  accuracy ${percent(accuracy)}  ` +
    `${imagesPerSecond.toFixed(0)} images/s  ${duration(secondsLeft)} left`;
  progress.update(`${what}epoch ${epoch}/${epochs}`, step / (stepsPerEpoch * epochs), figures);
}

/** A loss in six letters, unless it is out of all bounds. */
const lossText = (loss: number): string => (loss < 9.99995 ? loss.toFixed(4) : loss.toPrecision(5));

/** The line that stays after an epoch: within 80 columns, for hundreds of epochs of hours as well. */
export function epochLine(result: EpochResult, evaluated: 'test' | 'val' = 'test'): string {
  const figures = (loss: number, accuracy: number): string => `loss ${lossText(loss)} acc ${percent(accuracy)}`;
  const { epoch, trainLoss, trainAccuracy, testLoss, testAccuracy, seconds } = result;
  const test = testAccuracy === undefined ? '' : `  ${evaluated} ${figures(testLoss!, testAccuracy)}`;
  return `epoch ${epoch}  ${figures(trainLoss, trainAccuracy)}${test}  ${duration(seconds)}`;
}
