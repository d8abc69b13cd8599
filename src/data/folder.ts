import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join, normalize, isAbsolute, basename, resolve } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { checkLimit, type Dataset, type Split } from './dataset.js';
import { ImagePool } from './imagePool.js';
import type { DecodedImage, DecodeProgress } from './images.js';
import { checkFit, type FitOptions } from './resize.js';

/** Image files and their labels, not yet read. */
export interface ImageList {
  readonly paths: readonly string[];
  readonly labels: Int32Array;
  readonly classes: number;
  readonly classNames?: readonly string[];
}

/** Options of {@link loadImageFolder}. */
export interface ImageFolderOptions extends FitOptions, DecodeProgress {
  /**
   * Stated in the data set, and a sub-folder of that name (`val` counts as test) is used if there is one; `test`
   * unless given.
   */
  readonly split?: Split;
  /** Number of images wanted, the first ones in order; all unless given. */
  readonly limit?: number;
}

/** Options of {@link imageFolderBatches}. */
export interface ImageBatchOptions extends ImageFolderOptions {
  /** Images a batch; the last one may be smaller. */
  readonly batch: number;
}

const imageName = /\.(png|jpe?g)$/i;

/**
 * Finds the images of a folder and their labels, without reading the images. Three layouts:
 *
 * 1. `labels.json`: a list of `{file, index}` or an object file -> index;
 * 2. one sub-folder per class, labels in alphabetical order of the folders' names;
 * 3. flat: `..._<label>.jpg`, or `n<8 digits>_...` where `imagenet-classes.txt` lists those ids.
 *
 * `imagenet-classes.txt` (lines of id, tab, name), if present, gives number and names of the classes for 1 and 3.
 *
 * @throws LinbpError `missing-data` for a folder that is missing or holds no images; `bad-file` naming what has no
 * valid label
 */
export function listImageFolder(path: string, split: Split = 'test'): ImageList {
  const names = list(path);
  const half = (split === 'train' ? ['train'] : ['test', 'val']).find(
    (name) => names.includes(name) && isSplit(join(path, name)),
  );
  if (half !== undefined) return listImageFolder(join(path, half), split);

  const classFile = join(path, 'imagenet-classes.txt');
  const lines = names.includes('imagenet-classes.txt')
    ? readFileSync(classFile, 'utf8').split('\n').filter(Boolean)
    : undefined;
  const ids = lines?.map((line) => line.split('\t')[0] ?? '');
  const known = lines && { classNames: lines.map((line) => line.split('\t')[1] ?? line) };
  if (names.includes('labels.json')) return finish(path, readLabelsJson(path), known);

  const flat = names.filter((name) => imageName.test(name));
  if (flat.length > 0)
    return finish(
      path,
      flat.map((name) => [name, labelOfName(join(path, name), ids)]),
      known,
    );

  const classNames = names.filter((name) => isFolder(join(path, name)));
  const rows = classNames.flatMap((name, label) =>
    list(join(path, name))
      .filter((file) => imageName.test(file))
      .map((file): [string, number] => [join(name, file), label]),
  );
  return finish(path, rows, classNames.length > 0 ? { classNames } : undefined);
}

/**
 * Reads a folder of PNG and JPEG images into memory. Reading, decoding, resizing (as Pillow does) and cropping happen
 * in threads.
 *
 * @returns bytes [count, channels, height, width] in the folder's order
 * @throws LinbpError as {@link listImageFolder}; `bad-file` for damaged images; `bad-shape` when sizes differ after
 * resize and crop; `aborted`
 */
export async function loadImageFolder(path: string, options: ImageFolderOptions = {}): Promise<Dataset> {
  const parts: Dataset[] = [];
  let done = 0;
  for await (const part of imageFolderBatches(path, { ...options, batch: 32 })) {
    parts.push(part);
    done += part.count;
    options.onProgress?.(done, done);
  }
  const [first] = parts as [Dataset, ...Dataset[]];
  const size = first.images.length / first.count;
  const images = new Uint8Array(done * size);
  const labels = new Int32Array(done);
  let at = 0;
  for (const part of parts) {
    check(part.height === first.height && part.width === first.width, 'bad-shape', differing(path, first, part), path);
    images.set(part.images, at * size);
    labels.set(part.labels, at);
    at += part.count;
  }
  return { ...first, count: done, images, labels };
}

/**
 * Reads a folder of images batch by batch; the next two batches are decoded in threads while the caller works on the
 * present one.
 *
 * @throws LinbpError as {@link loadImageFolder}
 */
export async function* imageFolderBatches(
  path: string,
  options: ImageBatchOptions,
): AsyncGenerator<Dataset, void, undefined> {
  const { batch, limit, signal, split = 'test' } = options;
  checkFit(options);
  checkLimit(limit);
  check(
    Number.isSafeInteger(batch) && batch > 0,
    'bad-range',
    `batch must be a positive whole number, got ${batch}`,
    'batch',
  );
  const images = listImageFolder(path, split);
  const count = Math.min(limit ?? Infinity, images.paths.length);
  const fit: FitOptions = {
    ...(options.resize !== undefined && { resize: options.resize }),
    ...(options.crop !== undefined && { crop: options.crop }),
    ...(options.channelOrder && { channelOrder: options.channelOrder }),
    ...(options.channels && { channels: options.channels }),
  };
  const pool = new ImagePool();
  const ahead: Promise<DecodedImage[]>[] = [];
  try {
    let requested = 0;
    for (let begin = 0; begin < count; begin += batch) {
      for (; requested < count && requested < begin + 3 * batch; requested += batch) {
        const job = Promise.all(
          images.paths.slice(requested, Math.min(requested + batch, count)).map((file) => pool.decode(file, fit)),
        );
        // A failure counts when its batch is due; until then it is not an unhandled one.
        job.catch(() => undefined);
        ahead.push(job);
      }
      if (signal?.aborted) throw new LinbpError('aborted', 'reading of images was stopped', { cause: signal.reason });
      yield assemble(path, split, images, begin, await ahead.shift()!, options.channels ?? 3);
    }
  } finally {
    await pool.close();
  }
}

function assemble(
  path: string,
  split: Split,
  list: ImageList,
  begin: number,
  decoded: readonly DecodedImage[],
  channels: number,
): Dataset {
  const { height, width } = decoded[0]!;
  const size = channels * height * width;
  const images = new Uint8Array(decoded.length * size);
  decoded.forEach((image, i) => {
    check(
      image.height === height && image.width === width,
      'bad-shape',
      differing(list.paths[begin + i]!, { height, width }, image),
      path,
    );
    images.set(image.data, i * size);
  });
  return {
    name: `folder:${basename(resolve(path))}`,
    split,
    count: decoded.length,
    channels,
    height,
    width,
    classes: list.classes,
    ...(list.classNames && { classNames: list.classNames }),
    images,
    labels: list.labels.slice(begin, begin + decoded.length),
  };
}

function differing(
  source: string,
  expected: { height: number; width: number },
  got: { height: number; width: number },
): string {
  return `${source}: ${got.height} x ${got.width} pixels, others have ${expected.height} x ${expected.width}; give resize and crop`;
}

function finish(
  path: string,
  rows: readonly (readonly [string, number])[],
  known: { classNames: readonly string[] } | undefined,
): ImageList {
  if (rows.length === 0) throw new LinbpError('missing-data', `${path} holds no PNG or JPEG images`, { field: path });
  const classes = known?.classNames.length ?? rows.reduce((largest, [, label]) => Math.max(largest, label), 0) + 1;
  for (const [name, label] of rows) {
    check(
      Number.isSafeInteger(label) && label >= 0 && label < classes,
      'bad-file',
      `${path}: label ${label} of ${name} is not a whole number from 0 to ${classes - 1}`,
      path,
    );
  }
  return {
    paths: rows.map(([name]) => join(path, name)),
    labels: Int32Array.from(rows, ([, label]) => label),
    classes,
    ...known,
  };
}

function readLabelsJson(path: string): [string, number][] {
  const source = join(path, 'labels.json');
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(source, 'utf8'));
  } catch (cause) {
    throw new LinbpError('bad-file', `${source}: not valid JSON`, { field: source, cause });
  }
  check(
    typeof parsed === 'object' && parsed !== null,
    'bad-file',
    `${source}: expected a list of {file, index} or an object file -> index`,
    source,
  );
  const rows: [unknown, unknown][] = Array.isArray(parsed)
    ? parsed.map((row: unknown) =>
        typeof row === 'object' && row !== null
          ? [(row as { file?: unknown }).file, (row as { index?: unknown }).index]
          : [row, undefined],
      )
    : Object.entries(parsed);
  return rows.map(([file, label], i) => {
    check(
      typeof file === 'string' && typeof label === 'number',
      'bad-file',
      `${source}: entry ${i} has no file name and index`,
      source,
    );
    // A label file must not make us read files elsewhere.
    const inside = normalize(file);
    check(
      !isAbsolute(inside) && inside.split(/[\\/]/)[0] !== '..',
      'bad-file',
      `${source}: ${file} is outside the folder`,
      source,
    );
    return [inside, label];
  });
}

function labelOfName(path: string, ids: readonly string[] | undefined): number {
  const name = basename(path);
  const id = /^n\d{8}/.exec(name)?.[0];
  const label = id === undefined ? Number(/_(\d{1,7})\.[^.]+$/.exec(name)?.[1] ?? NaN) : (ids?.indexOf(id) ?? -1);
  check(
    label >= 0,
    'bad-file',
    `${path}: no label: expected labels.json, class folders, a name ending in _<label>, or imagenet-classes.txt with its id`,
    path,
  );
  return label;
}

function list(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch (cause) {
    throw new LinbpError('missing-data', `cannot read the image folder ${path}: ${(cause as Error).message}`, {
      field: path,
      cause,
    });
  }
}

// A class may be called `train`, too; its folder holds nothing but images.
function isSplit(path: string): boolean {
  return isFolder(path) && list(path).some((name) => name === 'labels.json' || isFolder(join(path, name)));
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
