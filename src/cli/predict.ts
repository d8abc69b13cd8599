import { extname, join } from 'node:path';
import { decodeMany } from '../data/images.js';
import type { EncodedImage } from '../data/images.js';
import { fitImage } from '../data/resize.js';
import { check, LinbpError } from '../errors.js';
import { kindOf, listFolder, readText, readWhole } from '../io/read.js';
import type { ModelDefinition } from '../nn/definition.js';
import { quotedPath } from '../quote.js';
import {
  chosenModel,
  chosenWeights,
  folderFit,
  machineOptions,
  passBatch,
  modelOptions,
  openDevice,
  precisionOption,
} from './common.js';
import { classifierOn } from './inference.js';
import { integer, text } from './options.js';
import { defineVerb } from './verb.js';

/** A class and how likely the network finds it. */
interface Guess {
  readonly class: number;
  readonly name: string;
  /** By soft-max, in float64 from the logits. */
  readonly probability: number;
}

const endings = ['.png', '.jpg', '.jpeg'];
/** Bytes of the largest list of names, and of the largest image. */
const [mostNameBytes, mostImageBytes] = [8 * 1024 * 1024, 256 * 1024 * 1024];

/**
 * An image file, or all images directly inside a folder, in the order of their names. Hidden entries and folders are
 * none, as in `--dataset folder:PATH`.
 */
export async function imageFiles(path: string): Promise<string[]> {
  const kind = await kindOf(path);
  check(kind !== undefined, 'missing-file', `no such file: ${path}`, 'images');
  if (kind !== 'folder') return [path];
  const isImage = async (name: string): Promise<boolean> =>
    endings.includes(extname(name).toLowerCase()) &&
    !name.startsWith('.') &&
    (await kindOf(join(path, name))) !== 'folder';
  const names: string[] = [];
  for (const { name } of await listFolder(path)) if (await isImage(name)) names.push(name);
  check(names.length > 0, 'missing-file', `${path} holds no PNG or JPEG images`, 'images');
  return names.sort().map((name) => join(path, name));
}

/** One name per line, in the order of labels. */
export async function readNames(path: string | undefined, classes: number): Promise<string[] | undefined> {
  if (path === undefined) return undefined;
  const lines = (await readText(path, mostNameBytes)).split(/\r?\n/);
  while (lines.at(-1)?.trim() === '') lines.pop();
  check(
    lines.length === classes,
    'bad-file',
    `${path} has ${lines.length} lines, the network ${classes} classes`,
    'classNames',
  );
  return lines.map((line) => line.split('\t').at(-1)!.trim());
}

/** The `top` most likely classes, the first of equal ones first. */
export function guesses(logits: readonly number[], names: readonly string[] | undefined, top: number): Guess[] {
  const highest = Math.max(...logits);
  const exponentials = logits.map((value) => Math.exp(value - highest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return logits
    .map((value, index) => ({ value, index }))
    .sort((a, b) => b.value - a.value || a.index - b.index)
    .slice(0, top)
    .map(({ index }) => ({
      class: index,
      name: names?.[index] ?? String(index),
      probability: exponentials[index]! / sum,
    }));
}

/** Pixels in [0, 1] of image files, as the network takes them. */
export async function readPixels(
  files: readonly string[],
  definition: ModelDefinition,
  fit: ReturnType<typeof folderFit>,
  signal: AbortSignal,
): Promise<Float32Array> {
  const [channels, height, width] = definition.input;
  const size = channels * height * width;
  const pixels = new Float32Array(files.length * size);
  const encoded: EncodedImage[] = [];
  for (const source of files) encoded.push({ bytes: new Uint8Array(await readWhole(source, mostImageBytes)), source });
  await decodeMany(
    encoded,
    (image, index, source) => {
      const { data, height: high, width: wide } = fitImage(image, fit, source);
      const fits = high === height && wide === width && data.length === size;
      const shown = `[${data.length / (high * wide)}, ${high}, ${wide}]`;
      const wanted = `${definition.name} takes images [${channels}, ${height}, ${width}]`;
      check(fits, 'bad-shape', `${wanted}; ${quotedPath(source)} became ${shown}`, 'images');
      for (let i = 0; i < size; i++) pixels[index * size + i] = data[i]! / 255;
    },
    { signal },
  );
  return pixels;
}

/** `linbp predict`: what a network sees in images. */
export const predictVerb = defineVerb({
  name: 'predict',
  summary: 'prints the classes that a network sees in image files',
  examples: [
    'linbp predict --model lenet5 --weights runs/bp/lenet5.safetensors --images runs/attack/clean',
    'linbp predict --model lenet5 --weights runs/bp/lenet5.safetensors --images runs/attack/adversarial --top 1',
  ],
  options: {
    ...modelOptions,
    images: text({ help: 'a PNG or JPEG file, or a folder of them', placeholder: 'PATH' }),
    classNames: text({ help: 'file with one class name per line', placeholder: 'FILE' }),
    top: integer({ help: 'classes to show', byDefault: 3, min: 1 }),
    resize: integer({ help: 'length of the short side before the crop', min: 1 }),
    crop: integer({ help: "side of the square cut from the center [the model's input]", min: 1 }),
    batch: passBatch(32),
    ...precisionOption,
    ...machineOptions,
  },
  async run(options, context) {
    const { images, top, batch } = options;
    check(images !== undefined, 'bad-argument', '--images PATH is needed', 'images');
    const definition = await chosenModel(options);
    const files = await imageFiles(images);
    const names = await readNames(options.classNames, definition.classes);
    const weights = await chosenWeights(definition, options, context.progress);
    const device =
      options.device === 'reference' ? undefined : await openDevice({ ...options, device: options.device });
    const classify = classifierOn(device, definition, weights, options.precision);
    const fit = folderFit(options, definition);
    const predictions: { readonly image: string; readonly top: readonly Guess[] }[] = [];
    try {
      for (let from = 0; from < files.length; from += batch) {
        if (context.signal.aborted) throw new LinbpError('aborted', 'the prediction was interrupted');
        const part = files.slice(from, from + batch);
        const logits = await classify.logits(await readPixels(part, definition, fit, context.signal));
        const width = logits.length / part.length;
        for (const [n, image] of part.entries()) {
          const row = Array.from({ length: width }, (_, k) => logits[n * width + k]!);
          const best = guesses(row, names, top);
          predictions.push({ image, top: best });
          const shown = best.map(({ name, probability }) => `${name} ${(100 * probability).toFixed(1)} %`);
          context.print(`${quotedPath(image)}  ${shown.join('  ')}`);
        }
      }
      return { adapter: classify.adapter, settings: { ...fit }, fields: { count: files.length, predictions } };
    } finally {
      classify.destroy();
      device?.destroy();
    }
  },
});
