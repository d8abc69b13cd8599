import { expectDataset, expectObject } from '../arguments.js';
import { LinbpError, check } from '../errors.js';
import { quotedValue } from '../quote.js';
import type { ClassSource } from './classes.js';
import { permutation } from '../random/permutation.js';
import { randomStreams } from '../random/philox.js';

/** Which half of a data set. */
export type Split = 'train' | 'test';

/** Labeled images in memory. */
export interface Dataset {
  /** For instance `mnist`. */
  readonly name: string;
  readonly split: Split;
  /** Number of images, at least 1. */
  readonly count: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Number of classes; labels are 0 to `classes` - 1. */
  readonly classes: number;
  readonly classNames?: readonly string[];
  /** Where the classes come from, if not from the data set's definition; see {@link ClassSource}. */
  readonly classSource?: ClassSource;
  /** Pixels [count, channels, height, width], row-major: bytes 0..255, or float32 in [0, 1]. */
  readonly images: Uint8Array | Float32Array;
  /** Labels [count]. */
  readonly labels: Uint8Array | Int32Array;
  /** The classes that targeted attacks aim at [count], where the data set names them. */
  readonly targets?: Int32Array;
  /** What a reader of results must know, for instance that only a part of the data set was there. */
  readonly note?: string;
}

/** Arrays of one's own, see {@link fromArrays}. */
export interface DatasetArrays {
  /** Default `arrays`. */
  readonly name?: string;
  /** Default `train`. */
  readonly split?: Split;
  /** [count, channels, height, width]. */
  readonly shape: readonly [number, number, number, number];
  readonly classes: number;
  readonly classNames?: readonly string[];
  /** Bytes 0..255 or float32 in [0, 1], row-major in `shape`. Used as they are, not copied. */
  readonly images: Uint8Array | Float32Array;
  readonly labels: Uint8Array | Int32Array;
  readonly note?: string;
}

/**
 * What {@link fromArrays} refuses, and every user of a data set that somebody wrote down: types are known to TypeScript
 * only.
 */
export function checkArrays({ shape, classes, classNames, images, labels }: DatasetArrays, name: string): void {
  check(
    images instanceof Uint8Array || images instanceof Float32Array,
    'bad-dtype',
    `${name}: images must be a Uint8Array or a Float32Array`,
    'images',
  );
  check(
    labels instanceof Uint8Array || labels instanceof Int32Array,
    'bad-dtype',
    `${name}: labels must be a Uint8Array or an Int32Array`,
    'labels',
  );
  check(
    Array.isArray(shape) && shape.length === 4 && shape.every((size) => Number.isSafeInteger(size) && size > 0),
    'bad-shape',
    `${name}: expected a shape [count, channels, height, width] of positive whole numbers, got ${quotedValue(shape)}`,
    'shape',
  );
  const [count] = shape;
  const pixels = shape.reduce((product, size) => product * size, 1);
  check(
    images.length === pixels,
    'bad-shape',
    `${name}: shape [${shape.join(', ')}] needs ${pixels} pixels, got ${images.length}`,
    'images',
  );
  check(
    labels.length === count,
    'bad-shape',
    `${name}: ${count} images need ${count} labels, got ${labels.length}`,
    'labels',
  );
  check(
    Number.isSafeInteger(classes) && classes > 0,
    'bad-range',
    `${name}: classes must be a positive whole number, got ${classes}`,
    'classes',
  );
  check(
    classNames === undefined || classNames.length === classes,
    'bad-shape',
    `${name}: ${classes} classes need as many names, got ${classNames?.length}`,
    'classNames',
  );
  checkLabels(labels, classes, name, 'bad-range');
  if (images instanceof Float32Array) {
    const bad = images.findIndex((pixel) => !(pixel >= 0 && pixel <= 1));
    check(bad < 0, 'bad-range', `${name}: pixel ${bad} is ${images[bad]}, expected 0 to 1`, 'images');
  }
}

/**
 * A data set from arrays in memory, checked.
 *
 * @throws LinbpError `bad-dtype` for other array types; `bad-shape` when lengths and shape disagree or there are no
 *   images; `bad-range` for labels outside 0..classes-1 and pixels outside [0, 1] or NaN
 */
export function fromArrays(arrays: DatasetArrays): Dataset {
  expectObject(arrays, 'arrays');
  const name = arrays.name ?? 'arrays';
  checkArrays(arrays, name);
  const { shape, classes, classNames, images, labels } = arrays;
  const [count, channels, height, width] = shape;
  return {
    name,
    split: arrays.split ?? 'train',
    count,
    channels,
    height,
    width,
    classes,
    images,
    labels,
    ...(classNames && { classNames }),
    ...(arrays.note !== undefined && { note: arrays.note }),
  };
}

/** Checks that every label is 0 to `classes` - 1. */
export function checkLabels(
  labels: Uint8Array | Int32Array,
  classes: number,
  source: string,
  code: 'bad-range' | 'bad-file',
): void {
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (label < 0 || label >= classes)
      throw new LinbpError(code, `${source}: label ${i} is ${label}, expected 0 to ${classes - 1}`, { field: source });
  }
}

/** Checks a limit as given by a user: a positive whole number, or nothing. */
export function checkLimit(limit: number | undefined): void {
  check(
    limit === undefined || (Number.isSafeInteger(limit) && limit > 0),
    'bad-range',
    `limit must be a positive whole number, got ${limit}`,
    'limit',
  );
}

/**
 * The first `limit` images (views, no copy), or, with a seed, a random choice of as many in random order (a copy).
 * All images when there are no more than `limit` and no seed is given.
 *
 * @throws LinbpError `bad-range`
 */
export function subset(dataset: Dataset, limit: number, seed?: number): Dataset {
  expectDataset(dataset);
  checkLimit(limit);
  const count = Math.min(limit, dataset.count);
  if (seed !== undefined)
    return selectSamples(dataset, permutation(dataset.count, seed, 0, randomStreams.subset).subarray(0, count));
  if (count === dataset.count) return dataset;
  const pixels = imageSize(dataset);
  return {
    ...dataset,
    count,
    images: dataset.images.subarray(0, count * pixels),
    labels: dataset.labels.subarray(0, count),
    ...(dataset.targets && { targets: dataset.targets.subarray(0, count) }),
  };
}

/**
 * The images with these indices, in their order, copied.
 *
 * @throws LinbpError `bad-range` for an index outside the data set, `bad-shape` for none
 */
export function selectSamples(dataset: Dataset, indices: ArrayLike<number>): Dataset {
  expectObject(dataset, 'dataset');
  expectObject(indices, 'indices');
  check(indices.length > 0, 'bad-shape', 'no indices given', 'indices');
  const pixels = imageSize(dataset);
  const images =
    dataset.images instanceof Uint8Array
      ? new Uint8Array(indices.length * pixels)
      : new Float32Array(indices.length * pixels);
  const labels = dataset.labels instanceof Uint8Array ? new Uint8Array(indices.length) : new Int32Array(indices.length);
  for (let i = 0; i < indices.length; i++) {
    const index = checkedIndex(dataset, indices[i]!);
    images.set(dataset.images.subarray(index * pixels, (index + 1) * pixels), i * pixels);
    labels[i] = dataset.labels[index]!;
  }
  const targets = dataset.targets && Int32Array.from(indices, (index) => dataset.targets![index]!);
  return { ...dataset, count: indices.length, images, labels, ...(targets && { targets }) };
}

/**
 * A random share of the images held out, at least one, and the rest, each in the data set's order.
 *
 * @throws LinbpError `bad-range` for a share outside 0 to 1, and where nothing would be left
 */
export function holdOut(dataset: Dataset, share: number, seed: number): { kept: Dataset; heldOut: Dataset } {
  const held = Math.max(1, Math.round(share * dataset.count));
  check(
    share > 0 && share < 1 && held < dataset.count,
    'bad-range',
    `${share} of ${dataset.count} images cannot be held out`,
    'validationSplit',
  );
  const order = permutation(dataset.count, seed, 0, randomStreams.subset);
  const part = (from: number, to: number): Dataset => selectSamples(dataset, order.slice(from, to).sort());
  return { kept: part(held, dataset.count), heldOut: part(0, held) };
}

/**
 * Pixels of a batch as float32 in [0, 1], [indices.length, channels, height, width]. A byte k becomes k/255 rounded
 * to float32.
 *
 * @param into array to fill, of at least that length; a new one unless given
 * @throws LinbpError `bad-range` for an index outside the data set
 */
export function batchPixels(dataset: Dataset, indices: ArrayLike<number>, into?: Float32Array): Float32Array {
  expectObject(dataset, 'dataset');
  expectObject(indices, 'indices');
  const pixels = imageSize(dataset);
  const result = into ?? new Float32Array(indices.length * pixels);
  const scale = dataset.images instanceof Uint8Array ? byteToPixel : undefined;
  for (let i = 0; i < indices.length; i++) {
    const index = checkedIndex(dataset, indices[i]!);
    const image = dataset.images.subarray(index * pixels, (index + 1) * pixels);
    if (scale === undefined) result.set(image, i * pixels);
    else for (let j = 0; j < pixels; j++) result[i * pixels + j] = scale[image[j]!]!;
  }
  return result;
}

/**
 * Labels of a batch: int32 [indices.length], classes from 0, in the order of the indices.
 *
 * @throws LinbpError `bad-range` for an index outside the data set
 */
export function batchLabels(dataset: Dataset, indices: ArrayLike<number>): Int32Array {
  expectObject(dataset, 'dataset');
  expectObject(indices, 'indices');
  return Int32Array.from(indices, (index) => dataset.labels[checkedIndex(dataset, index)]!);
}

/** Numbers of one image: channels * height * width. */
export function imageSize(dataset: Dataset): number {
  return dataset.channels * dataset.height * dataset.width;
}

const byteToPixel = Float32Array.from({ length: 256 }, (_, k) => k / 255);

function checkedIndex(dataset: Dataset, index: number): number {
  check(
    Number.isInteger(index) && index >= 0 && index < dataset.count,
    'bad-range',
    `index ${index} is outside 0 to ${dataset.count - 1}`,
    'indices',
  );
  return index;
}
