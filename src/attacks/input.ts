import { batchPixels, batchLabels } from '../data/dataset.js';
import { expectSameClasses } from '../data/classes.js';
import type { Dataset } from '../data/dataset.js';
import { expectFiniteFloats, expectPixels, expectWords } from '../arguments.js';
import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { AttackDefinition } from './definition.js';

/** The images to attack, see {@link AttackRun}. */
export interface AttackInput {
  /** [N, C, H, W] in [0, 1], or a data set, whose labels are then used unless others are given. */
  readonly images: Float32Array | Dataset;
  /** The true classes, [N]. */
  readonly labels?: ArrayLike<number>;
  /**
   * The classes to reach, [N], each another than the label; for targeted attacks only, and necessary there unless the
   * data set names them.
   */
  readonly targets?: ArrayLike<number>;
  /** What the random numbers of an image are keyed by, [N], 0 to 2^32 - 1; default the index of the image. */
  readonly sampleIds?: ArrayLike<number>;
  /**
   * Images [N, C, H, W] to begin at instead of the clean ones, for attacks without a random start; projected into the
   * ball first.
   */
  readonly start?: Float32Array;
  /**
   * Where attacks that mix in images of other classes (Admix) take them from: the first 64 of these, by default of
   * `images`. For runs on parts of a larger set, whose results are then those of one run.
   */
  readonly partners?: { readonly images: Float32Array; readonly labels: ArrayLike<number> };
}

/** Checked arrays of all images. */
export interface AttackArrays {
  readonly count: number;
  readonly images: Float32Array;
  readonly labels: Uint32Array;
  readonly targets: Uint32Array | undefined;
  readonly sampleIds: Uint32Array;
  readonly start: Float32Array | undefined;
  readonly partners: Partners;
}

/** Images that others may be mixed with. */
export interface Partners {
  readonly images: Float32Array;
  readonly labels: ArrayLike<number>;
  readonly count: number;
}

/**
 * Everything about the images, labels and targets, checked and copied before any work.
 *
 * @throws LinbpError `bad-shape`, `bad-range`, `bad-argument`, `bad-dtype` naming the field
 */
export function checkInput(
  input: AttackInput,
  model: ModelDefinition,
  options: { readonly targeted: boolean; readonly randomStart: boolean; readonly definition?: AttackDefinition },
): AttackArrays {
  const { images, labels } = pixelsOf(input, model);
  const size = elementCount(model.input);
  const count = expectPixels(images, size, 'images') / size;
  const truth = expectWords(labels, count, model.classes, 'labels');
  check(
    options.targeted || input.targets === undefined,
    'bad-argument',
    'targets are for targeted attacks; set targeted',
    'targets',
  );
  const named = input.images instanceof Float32Array || !options.targeted ? undefined : input.images.targets;
  const aims = input.targets ?? named;
  check(!options.targeted || aims !== undefined, 'bad-argument', 'a targeted attack needs targets', 'targets');
  const targets = aims === undefined ? undefined : expectWords(aims, count, model.classes, 'targets');
  const equal = targets?.findIndex((target, i) => target === truth[i]) ?? -1;
  check(equal < 0, 'bad-argument', `targets[${equal}] is the label of the image, ${truth[equal]}`, 'targets');
  const sampleIds =
    input.sampleIds === undefined
      ? Uint32Array.from({ length: count }, (_, i) => i)
      : expectWords(input.sampleIds, count, 2 ** 32, 'sampleIds');
  const { start } = input;
  if (start !== undefined) {
    check(
      !options.randomStart,
      'bad-argument',
      'start says where the attack begins; it needs randomStart: false',
      'start',
    );
    const { name, plan } = options.definition ?? {};
    check(plan === undefined || plan.start === true, 'bad-argument', `${name} begins at the clean images`, 'start');
    expectFiniteFloats(start, images.length, 'start');
  }
  const partners = input.partners === undefined ? { images, labels: truth, count } : checkPartners(input, model);
  return { count, images, labels: truth, targets, sampleIds, start: start?.slice(), partners };
}

function checkPartners({ partners }: AttackInput, model: ModelDefinition): Partners {
  const { images, labels } = partners!;
  const count = expectPixels(images, elementCount(model.input), 'partners') / elementCount(model.input);
  return { images: images.slice(), labels: expectWords(labels, count, model.classes, 'partners'), count };
}

function expectImages(images: unknown): void {
  const fits = images instanceof Float32Array || (typeof images === 'object' && images !== null && 'count' in images);
  check(fits, 'bad-dtype', 'images must be a Float32Array or a data set', 'images');
}

/** How many images there are, where their number of values fits. Throws `bad-dtype`. */
export function imageCount(images: AttackInput['images'], model: ModelDefinition): number {
  expectImages(images);
  return images instanceof Float32Array ? Math.ceil(images.length / elementCount(model.input)) : images.count;
}

function pixelsOf(input: AttackInput, model: ModelDefinition): { images: Float32Array; labels: ArrayLike<number> } {
  const { images, labels } = input;
  expectImages(images);
  if (images instanceof Float32Array) {
    check(labels !== undefined, 'bad-argument', 'labels are missing', 'labels');
    // The caller's array may hold other images before the run is over.
    return { images: images.slice(), labels };
  }
  const shape = [images.channels, images.height, images.width];
  check(
    shape.join() === model.input.join(),
    'bad-shape',
    `${model.name} takes images [${model.input.join(', ')}], ${images.name} has [${shape.join(', ')}]`,
    'images',
  );
  // Labels of the caller's own need no classes of the data set.
  if (labels === undefined) expectSameClasses(model, images, 'images');
  const all = Uint32Array.from({ length: images.count }, (_, i) => i);
  return { images: batchPixels(images, all), labels: labels ?? batchLabels(images, all) };
}
