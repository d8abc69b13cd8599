import { extname } from 'node:path';
import { check, LinbpError } from '../errors.js';
import { npzNames, readNpz } from '../io/numpy.js';
import { readSafetensors, tensorAsFloat32, tensorAsInt32 } from '../io/safetensors.js';
import type { SafetensorsTensor } from '../io/safetensors.js';
import { quoted } from '../io/torch/quote.js';
import { withRegularFile } from '../io/read.js';
import { fromArrays } from './dataset.js';
import type { Dataset, Split } from './dataset.js';

/** Names of images and labels, by split, the more specific first: those of Keras, MedMNIST and plain ones. */
const pairs: Readonly<Record<Split, readonly (readonly [images: string, labels: string])[]>> = {
  train: [
    ['x_train', 'y_train'],
    ['train_images', 'train_labels'],
  ],
  test: [
    ['x_test', 'y_test'],
    ['test_images', 'test_labels'],
  ],
};
const plain: readonly (readonly [images: string, labels: string])[] = [
  ['images', 'labels'],
  ['input', 'labels'],
  ['x', 'y'],
  ['data', 'labels'],
];

interface Arrays {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
  readonly bytes: boolean;
}

/** Whether a data set's name is a file of arrays. */
export const isArrayFile = (name: string): boolean => ['.npz', '.safetensors'].includes(extname(name).toLowerCase());

/**
 * A data set from a file of arrays: `.npz` or `.safetensors` with images and labels under the names `x_train` and
 * `y_train` (`x_test`, `y_test`), `train_images` and `train_labels`, or `images` (`input`, `x`) and `labels` (`y`).
 *
 * Images are bytes 0..255 or floats in [0, 1], shaped [N, C, H, W], [N, H, W, C] with 1 or 3 channels, or [N, H, W];
 * labels are whole numbers from 0, [N] or [N, 1].
 *
 * @param classes number of classes, where labels do not have to show all of them
 * @throws LinbpError `missing-file`, `bad-file`, `bad-shape`, `bad-range`
 */
export async function loadArrayFile(path: string, split: Split, classes = 0): Promise<Dataset> {
  await withRegularFile(path, () => undefined);
  const choices = choicesOf(split);
  const wanted = [...new Set(choices.flat())];
  const found = isNpz(path) ? await fromNpz(path, wanted) : await fromSafetensors(path, wanted);
  const pair = pairAmong(choices, found);
  if (pair === undefined)
    throw new LinbpError(
      'bad-file',
      `${path} has no images and labels for ${split}; looked for ` +
        `${choices.map((names) => names.join(' and ')).join('; ')}`,
      { field: path },
    );
  const [images, labels] = [found.get(pair[0])!, found.get(pair[1])!];
  const [count, channels, height, width] = imageShape(images.shape, `${path}, ${quoted(pair[0])}`);
  const own = wholeLabels(labels, count, `${path}, ${quoted(pair[1])}`);
  return fromArrays({
    name: path,
    split,
    shape: [count, channels, height, width],
    classes: Math.max(classes, 1 + own.reduce((most, label) => Math.max(most, label), 1)),
    images: channelsFirst(images, [count, channels, height, width]),
    labels: own,
  });
}

const isNpz = (path: string): boolean => path.toLowerCase().endsWith('.npz');
const choicesOf = (split: Split): readonly (readonly [images: string, labels: string])[] => [...pairs[split], ...plain];
const pairAmong = (choices: ReturnType<typeof choicesOf>, names: { has(name: string): boolean }) =>
  choices.find(([images, labels]) => names.has(images) && names.has(labels));

/**
 * The halves that a file of arrays has images of their own for: none where both would be the same arrays.
 *
 * @throws LinbpError `missing-file`, `bad-file`
 */
export async function arrayFileHalves(path: string): Promise<readonly Split[]> {
  await withRegularFile(path, () => undefined);
  const names = isNpz(path) ? await npzNames(path) : (await readSafetensors(path)).tensors;
  const [train, test] = (['train', 'test'] as const).map((split) => pairAmong(choicesOf(split), names));
  if (train !== undefined && train === test) return [];
  return [...(train === undefined ? [] : (['train'] as const)), ...(test === undefined ? [] : (['test'] as const))];
}

async function fromNpz(path: string, wanted: readonly string[]): Promise<Map<string, Arrays>> {
  const arrays = await readNpz(path, wanted);
  return new Map([...arrays].map(([name, { shape, dtype, data }]) => [name, { shape, data, bytes: dtype === 'u1' }]));
}

async function fromSafetensors(path: string, wanted: readonly string[]): Promise<Map<string, Arrays>> {
  const { tensors } = await readSafetensors(path);
  const found = new Map<string, Arrays>();
  for (const name of wanted) {
    const stored = tensors.get(name);
    if (stored === undefined) continue;
    const tensor = await stored.read();
    const { shape, dtype } = tensor;
    const whole = /^(I|U|BOOL)/.test(dtype);
    // Rounded to float32, 0.99999999999 would be the label 1.
    const floats = dtype === 'F64' ? exactFloats : tensorAsFloat32;
    found.set(name, { shape, data: whole ? tensorAsInt32(tensor) : floats(tensor), bytes: dtype === 'U8' });
  }
  return found;
}

const exactFloats = ({ data }: SafetensorsTensor): Float64Array => new Float64Array(new Uint8Array(data).buffer);

const isLast = (shape: readonly number[]): boolean =>
  shape.length === 4 && [1, 3].includes(shape[3]!) && ![1, 3].includes(shape[1]!);

function imageShape(shape: readonly number[], source: string): [number, number, number, number] {
  if (shape.length === 3) return [shape[0]!, 1, shape[1]!, shape[2]!];
  check(
    shape.length === 4,
    'bad-shape',
    `${source}: expected [N, C, H, W], [N, H, W, C] or [N, H, W], got [${shape.join(', ')}]`,
    'dataset',
  );
  const [count, second, third, fourth] = shape as [number, number, number, number];
  return isLast(shape) ? [count, fourth, second, third] : [count, second, third, fourth];
}

function channelsFirst(
  { data, shape, bytes }: Arrays,
  [count, channels, height, width]: readonly [number, number, number, number],
): Uint8Array | Float32Array {
  const flat = bytes ? Uint8Array.from(data) : Float32Array.from(data);
  if (!isLast(shape) || channels === 1) return flat;
  const moved = bytes ? new Uint8Array(flat.length) : new Float32Array(flat.length);
  const pixels = height * width;
  for (let n = 0; n < count; n++)
    for (let c = 0; c < channels; c++)
      for (let p = 0; p < pixels; p++) moved[(n * channels + c) * pixels + p] = flat[(n * pixels + p) * channels + c]!;
  return moved;
}

function wholeLabels({ data, shape }: Arrays, count: number, source: string): Int32Array {
  const fits = data.length === count && shape.slice(1).every((size) => size === 1);
  check(fits, 'bad-shape', `${source}: expected ${count} labels [N], got [${shape.join(', ')}]`, 'dataset');
  const labels = Int32Array.from(data);
  const bad = labels.findIndex((label, i) => label !== data[i] || label < 0);
  check(bad < 0, 'bad-range', `${source}: label ${bad} is ${data[bad]}, expected a whole number from 0`, 'dataset');
  return labels;
}
