import type { Dataset } from '../data/dataset.js';
import { check, LinbpError } from '../errors.js';
import { divergence } from '../finite.js';
import type { Precision } from '../graph/types.js';
import type { ModelDefinition } from '../nn/definition.js';
import { Model } from '../nn/model.js';
import type { StateDict } from '../nn/model.js';
import { referenceLogits } from '../nn/predict.js';
import type { Device } from '../runtime/device.js';
import { pixelRange, referenceAdapter, shownAdapter } from './common.js';
import type { ShownAdapter, VerbContext } from './verb.js';

/** Accuracy and loss of a network on a data set. */
export interface Score {
  readonly count: number;
  readonly correct: number;
  /** A fraction. */
  readonly accuracy: number;
  /** Mean cross entropy per image. */
  readonly loss: number;
}

/** What {@link score} found out about each image. */
export interface ScoredImages extends Score {
  /** Class of the first largest logit, [count]. */
  readonly predictions: Int32Array;
  /** Cross entropy, [count]. */
  readonly losses: Float64Array;
}

/** Something that turns images [N, C, H, W] in [0, 1] into logits [N, classes]. */
export interface Classifier {
  readonly adapter: ShownAdapter;
  logits(images: Float32Array): Promise<ArrayLike<number>>;
  destroy(): void;
}

/** A network's forward pass on a device, or without one on the reference. Destroying it leaves the device. */
export function classifierOn(
  device: Device | undefined,
  definition: ModelDefinition,
  weights: StateDict,
  precision: Precision = 'f32',
): Classifier {
  if (device === undefined) {
    check(precision === 'f32', 'bad-argument', 'the reference computes in float64, not in f16', 'precision');
    const logits = referenceLogits({ definition, weights });
    return { adapter: referenceAdapter, logits, destroy: () => undefined };
  }
  const model = modelWith(device, definition, weights);
  return {
    adapter: shownAdapter(device),
    logits: (images) => model.logits(images, { precision }),
    destroy: () => model.destroy(),
  };
}

/** A model on a device with these weights. */
export function modelWith(device: Device, definition: ModelDefinition, weights: StateDict): Model {
  const model = Model.create(definition, { device });
  model.setStateDict(weights);
  return model;
}

/**
 * Counts right answers (the first largest logit) and sums the cross entropy, in float64 from the logits.
 * Throws `aborted` between batches, `diverged` where a logit is not finite.
 */
export async function score(
  classify: Classifier,
  dataset: Dataset,
  batch: number,
  { signal, progress }: VerbContext,
): Promise<ScoredImages> {
  const predictions = new Int32Array(dataset.count);
  const losses = new Float64Array(dataset.count);
  let correct = 0;
  for (let from = 0; from < dataset.count; from += batch) {
    if (signal.aborted) throw new LinbpError('aborted', 'the evaluation was interrupted');
    const to = Math.min(dataset.count, from + batch);
    const logits = await classify.logits(pixelRange(dataset, from, to));
    const classes = logits.length / (to - from);
    for (let i = from; i < to; i++) {
      const row = Array.from({ length: classes }, (_, k) => logits[(i - from) * classes + k]!);
      const highest = Math.max(...row);
      const label = dataset.labels[i]!;
      predictions[i] = row.indexOf(highest);
      if (predictions[i] === label) correct += 1;
      losses[i] = highest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - highest), 0)) - row[label]!;
    }
    progress.update('eval', to / dataset.count, `accuracy ${((100 * correct) / to).toFixed(2)} %`, {
      total: dataset.count,
      unit: 'images',
    });
  }
  progress.clear();
  return scoreOf(dataset, predictions, losses);
}

/**
 * Accuracy and mean loss from what is known of each image, summed in their order. Throws `diverged` where the loss is
 * not finite.
 */
export function scoreOf(dataset: Dataset, predictions: Int32Array, losses: Float64Array): ScoredImages {
  const { count, labels, name } = dataset;
  const correct = predictions.reduce((sum, guess, i) => sum + (guess === labels[i] ? 1 : 0), 0);
  const loss = losses.reduce((sum, each) => sum + each, 0);
  if (!Number.isFinite(loss)) throw divergence(`the loss over ${name} is ${loss}`);
  return { count, correct, accuracy: correct / count, loss: loss / count, predictions, losses };
}
