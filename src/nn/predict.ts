import { expectFields, expectList, expectObject, expectOneOf, expectPixels } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { describeModel } from './definition.js';
import type { StateDict } from './definition.js';
import { expectFiniteLogits, ForwardPass } from './forward.js';
import { expectBatch, Model } from './model.js';
import type { HostModel, LogitsOptions } from './model.js';
import { expectPlace, ModelPlace } from './place.js';

/** Options of {@link predict}. */
export interface PredictOptions extends LogitsOptions {
  /** `reference` computes in float64 on the CPU, and takes weights on the host too; default `gpu`. */
  readonly device?: 'gpu' | 'reference';
}

const predictFields: FieldNames<PredictOptions> = {
  ...{ batch: true, precision: true, device: true, signal: 'signal', onProgress: 'function' },
};

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
  expectFields(options, predictFields);
  const { definition } = model;
  describeModel(definition);
  const size = elementCount(definition.input);
  const count = expectPixels(images, size, 'images') / size;
  const { batch = 128, precision = 'f32', device = 'gpu', signal, onProgress } = options;
  expectBatch(batch);
  expectOneOf(precision, ['f32', 'f16'], 'precision');
  expectPlace(model, device, precision);
  if (device === 'gpu' && model instanceof Model) {
    // One call, so that the weights are the same for all images.
    const hooks = { ...(signal && { signal }), ...(onProgress && { onProgress }) };
    return argmax(await model.logits(images, { batch, precision, ...hooks }), definition.classes);
  }
  const own = images.slice();
  const logitsOf = referenceLogits(model);
  const classes = new Int32Array(count);
  for (let from = 0; from < count; from += batch) {
    if (signal?.aborted === true) throw new LinbpError('aborted', 'the prediction was aborted');
    const to = Math.min(count, from + batch);
    classes.set(argmax(await logitsOf(own.subarray(from * size, to * size)), definition.classes), from);
    onProgress?.(to / count);
  }
  return classes;
}

/**
 * The forward pass in eval mode in float64: images [N, C, H, W] to logits [N, classes], with the weights that the model
 * has at the first call. It throws `diverged` where a logit is not finite.
 */
export function referenceLogits(
  model: Model | HostModel,
): (images: Float32Array) => Promise<Float32Array | Float64Array> {
  const { definition } = model;
  const place = new ModelPlace(model, 'reference');
  const forward = new ForwardPass(place);
  let weights: Promise<StateDict> | undefined;
  return async (images) => {
    const state = await (weights ??= place.refresh());
    const batch = images.length / elementCount(definition.input);
    const logits = await forward.logits(images, { batch });
    await expectFiniteLogits(definition, logits, images, () => Promise.resolve(state));
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
  expectList(predicted, 'predicted');
  expectList(labels, 'labels');
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
