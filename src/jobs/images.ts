import type { Dataset, Split } from '../data/dataset.js';
import { fromArrays, imageSize } from '../data/dataset.js';
import { check } from '../errors.js';
import { quotedValue } from '../quote.js';
import { isHash } from './description.js';
import { getBlob, putBlob } from './store.js';
import type { JobStore } from './store.js';

/** Images in the store, in blocks, so that a job reads what it needs only. */
export interface StoredImages {
  readonly split: Split;
  readonly classes: number;
  readonly count: number;
  /** Channels, height, width. */
  readonly shape: readonly [number, number, number];
  readonly dtype: 'u8' | 'f32';
  /** Images of each block but the last. */
  readonly block: number;
  readonly blocks: readonly string[];
  /** Blob of labels, int32. */
  readonly labels: string;
}

const blockBytes = 4 * 1024 * 1024;

const bytesOf = (array: Uint8Array | Float32Array | Int32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Stores the images and labels of a data set; its name does not matter. */
export async function putImages(store: JobStore, dataset: Dataset): Promise<StoredImages> {
  const { split, classes, count, channels, height, width, images, labels } = dataset;
  const size = imageSize(dataset);
  const dtype = images instanceof Uint8Array ? 'u8' : 'f32';
  const block = Math.max(1, Math.floor(blockBytes / (size * images.BYTES_PER_ELEMENT)));
  const blocks: string[] = [];
  for (let from = 0; from < count; from += block)
    blocks.push(await putBlob(store, bytesOf(images.subarray(from * size, Math.min(count, from + block) * size))));
  return {
    ...{ split, classes, count, shape: [channels, height, width], dtype, block, blocks },
    labels: await putBlob(store, bytesOf(Int32Array.from(labels))),
  };
}

const isWhole = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= 2 ** 31;

/** A description of stored images that came from outside. Throws `bad-argument`. */
export function checkStoredImages(value: unknown): StoredImages {
  const { split, classes, count, shape, dtype, block, blocks, labels } = (value ?? {}) as Partial<StoredImages>;
  const sizes = isWhole(classes) && isWhole(count) && isWhole(block) && Array.isArray(shape) && shape.length === 3;
  const valid =
    sizes &&
    shape.every(isWhole) &&
    (split === 'train' || split === 'test') &&
    (dtype === 'u8' || dtype === 'f32') &&
    Array.isArray(blocks) &&
    blocks.length === Math.ceil(count / block) &&
    blocks.every(isHash) &&
    isHash(labels);
  check(valid, 'bad-argument', `these are no stored images: ${quotedValue(value)}`, 'images');
  return value as StoredImages;
}

/** Images `from` up to `to`, read from their blocks and checked. Throws as `getBlob` and `fromArrays` do. */
export async function getImages(store: JobStore, stored: StoredImages, from: number, to: number): Promise<Dataset> {
  const { split, classes, count, shape, dtype, block, blocks } = stored;
  check(0 <= from && from < to && to <= count, 'bad-range', `there are no images ${from} to ${to - 1}`, 'range');
  const size = shape[0] * shape[1] * shape[2];
  const item = dtype === 'u8' ? 1 : 4;
  const bytes = new Uint8Array((to - from) * size * item);
  for (let k = Math.floor(from / block); k * block < to; k++) {
    const first = k * block;
    const held = Math.min(block, count - first);
    const content = await getBlob(store, blocks[k]!, held * size * item);
    check(content.length === held * size * item, 'bad-file', `block ${k} of the images has another size`, 'images');
    const [begin, end] = [Math.max(from, first), Math.min(to, first + held)];
    bytes.set(
      content.subarray((begin - first) * size * item, (end - first) * size * item),
      (begin - from) * size * item,
    );
  }
  const labelBytes = Uint8Array.from(await getBlob(store, stored.labels, 4 * count));
  check(labelBytes.length === 4 * count, 'bad-file', 'the labels have another size', 'images');
  return fromArrays({
    ...{ name: 'images', split, classes, shape: [to - from, ...shape] },
    images: dtype === 'u8' ? bytes : new Float32Array(bytes.buffer),
    labels: new Int32Array(labelBytes.buffer).slice(from, to),
  });
}
