import { expectObject, expectOneOf, expectPixels } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { expectFinite, firstNonFinite } from '../finite.js';
import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Precision } from '../graph/types.js';
import { ReferenceRun } from '../reference/run.js';
import { addModel, describeModel } from './definition.js';
import type { ModelDefinition, ModelInGraph, StateDict } from './definition.js';
import { Model } from './model.js';
import type { HostModel } from './model.js';
import { whereNonFinite } from './nonFinite.js';

/** Options of {@link predict}. */
export interface PredictOptions {
  /** Images at a time; default 128. Results do not depend on it. */
  readonly batch?: number;
  /** Default `f32`. */
  readonly precision?: Precision;
  /** `reference` computes in float64 on the CPU, and takes weights on the host too; default `gpu`. */
  readonly device?: 'gpu' | 'reference';
  /** Stops between batches with an `aborted` error. */
  readonly signal?: AbortSignal;
  /** Called after each batch with the share of the images that are done, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/**
 * The class that a network sees in each of N images: that of the first largest logit, in eval mode.
 *
 * @param images float32 [N, C, H, W] in [0, 1], of the size that the model takes
 * @returns N classes
 * @throws LinbpError `bad-dtype`, `bad-shape`, `bad-range`, `bad-argument` before any work; `diverged` where a logit is
 *   not finite; `aborted`
 */
export async function predict(
  model: Model | HostModel,
  images: Float32Array,
  options: PredictOptions = {},
): Promise<Int32Array> {
  expectObject(model, 'model');
  const { definition } = model;
  describeModel(definition);
  const size = elementCount(definition.input);
  const count = expectPixels(images, size, 'images') / size;
  const { batch = 128, signal, onProgress } = options;
  check(
    Number.isInteger(batch) && batch >= 1,
    'bad-range',
    `batch must be a whole number of at least 1, got ${batch}`,
    'batch',
  );
  const logitsOf = await logitsBy(model, options);
  const classes = new Int32Array(count);
  for (let from = 0; from < count; from += batch) {
    if (signal?.aborted === true) throw new LinbpError('aborted', 'the prediction was aborted');
    const to = Math.min(count, from + batch);
    classes.set(argmax(await logitsOf(images.subarray(from * size, to * size)), definition.classes), from);
    onProgress?.(to / count);
  }
  return classes;
}

async function logitsBy(
  model: Model | HostModel,
  { batch = 128, precision = 'f32', device = 'gpu' }: PredictOptions,
): Promise<(images: Float32Array) => Promise<ArrayLike<number>>> {
  expectOneOf(device, ['gpu', 'reference'], 'device');
  expectOneOf(precision, ['f32', 'f16'], 'precision');
  if (device === 'gpu') {
    check(model instanceof Model, 'bad-argument', 'weights on the host run on the reference only', 'model');
    return (images) => model.logits(images, { batch, precision });
  }
  check(precision === 'f32', 'bad-argument', 'the reference computes in float64, not in f16', 'precision');
  const weights = model instanceof Model ? await model.stateDict() : model.weights;
  const logits = referenceLogits(model.definition, weights);
  return (images) => Promise.resolve(logits(images));
}

/** Copies the weights of a state dict into a graph that runs on the CPU. */
export function setReferenceWeights(run: ReferenceRun, network: ModelInGraph, weights: StateDict): void {
  for (const [name, tensor] of network.tensors) run.set(tensor, weights.get(name)!.data);
}

/**
 * The forward pass in eval mode in float64: images [N, C, H, W] to logits [N, classes], with a graph for each N. It
 * throws `diverged` where a logit is not finite.
 */
export function referenceLogits(
  definition: ModelDefinition,
  weights: StateDict,
): (images: Float32Array) => ArrayLike<number> {
  const size = elementCount(definition.input);
  const { classes } = definition;
  const runs = new Map<number, (images: Float32Array) => ArrayLike<number>>();
  const compile = (batch: number): ((images: Float32Array) => ArrayLike<number>) => {
    const graph = new Graph();
    const input = graph.input('images', [batch, ...definition.input]);
    const network = addModel(graph, definition, input);
    const run = new ReferenceRun(graph);
    setReferenceWeights(run, network, weights);
    return (images) => {
      run.set(input, images);
      run.run();
      return run.get(network.logits).slice();
    };
  };
  return (images) => {
    const batch = images.length / size;
    const run = runs.get(batch) ?? compile(batch);
    runs.set(batch, run);
    const logits = run(images);
    expectFinite(
      logits,
      (i) => `logit ${i % classes} of image ${Math.floor(i / classes)}`,
      () => {
        const image = Math.floor(firstNonFinite(logits) / classes);
        return whereNonFinite(definition, weights, images.subarray(image * size, (image + 1) * size));
      },
    );
    return logits;
  };
}

/**
 * The first largest of each row of [N, classes]; -1, which is no class, where a value of the row is not finite.
 *
 * @throws LinbpError `bad-range` for a number of classes that is not a whole number from 1; `bad-shape` where the
 * values are no whole rows
 */
export function argmax(values: ArrayLike<number>, classes: number): Int32Array {
  check(
    Number.isInteger(classes) && classes >= 1,
    'bad-range',
    `classes must be a whole number of at least 1, got ${classes}`,
    'classes',
  );
  const rows = values.length / classes;
  check(Number.isInteger(rows), 'bad-shape', `${values.length} values are no rows of ${classes}`, 'values');
  return Int32Array.from({ length: rows }, (_, n) => {
    let best = 0;
    for (let k = 0; k < classes; k++) {
      const value = values[n * classes + k]!;
      if (!Number.isFinite(value)) return -1;
      if (value > values[n * classes + best]!) best = k;
    }
    return best;
  });
}

/**
 * The share of the predicted classes that are the labels, 0 to 1.
 *
 * @throws LinbpError `bad-shape` where the lengths differ or are 0
 */
export function accuracy(predicted: ArrayLike<number>, labels: ArrayLike<number>): number {
  const count = predicted.length;
  check(
    count > 0 && count === labels.length,
    'bad-shape',
    `${count} predictions need as many labels, at least one, got ${labels.length}`,
    'labels',
  );
  let right = 0;
  for (let n = 0; n < count; n++) if (predicted[n] === labels[n]) right += 1;
  return right / count;
}
