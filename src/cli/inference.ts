import type { Dataset } from '../data/dataset.js';
import { check, LinbpError } from '../errors.js';
import { divergence, expectFinite, firstNonFinite } from '../finite.js';
import { Graph } from '../graph/graph.js';
import type { Precision } from '../graph/types.js';
import { addModel } from '../nn/definition.js';
import type { ModelDefinition, ModelInGraph } from '../nn/definition.js';
import { Model } from '../nn/model.js';
import type { StateDict } from '../nn/model.js';
import { whereNonFinite } from '../nn/nonFinite.js';
import { ReferenceRun } from '../reference/run.js';
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

/** Copies the weights of a state dict into a graph that runs on the CPU. */
export function setReferenceWeights(run: ReferenceRun, network: ModelInGraph, weights: StateDict): void {
  for (const [name, tensor] of network.tensors) run.set(tensor, weights.get(name)!.data);
}

function referenceClassifier(definition: ModelDefinition, weights: StateDict): Classifier {
  const size = definition.input.reduce((product, extent) => product * extent, 1);
  const runs = new Map<number, { run: ReferenceRun; logits: (images: Float32Array) => ArrayLike<number> }>();
  return {
    adapter: referenceAdapter,
    async logits(images) {
      const batch = images.length / size;
      let entry = runs.get(batch);
      if (entry === undefined) {
        const graph = new Graph();
        const input = graph.input('images', [batch, ...definition.input]);
        const network = addModel(graph, definition, input);
        const run = new ReferenceRun(graph);
        setReferenceWeights(run, network, weights);
        entry = {
          run,
          logits(pixels) {
            run.set(input, pixels);
            run.run();
            return run.get(network.logits).slice();
          },
        };
        runs.set(batch, entry);
      }
      const logits = entry.logits(images);
      const { classes } = definition;
      expectFinite(
        logits,
        (i) => `logit ${i % classes} of image ${Math.floor(i / classes)}`,
        () => {
          const image = Math.floor(firstNonFinite(logits) / classes);
          return whereNonFinite(definition, weights, images.subarray(image * size, (image + 1) * size));
        },
      );
      return Promise.resolve(logits);
    },
    destroy: () => runs.clear(),
  };
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
    return referenceClassifier(definition, weights);
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
