import { join, basename, resolve } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { explicitClasses, labelsOfFolders, repeated, shownNames } from './classes.js';
import type { ClassList, ClassSource } from './classes.js';
import { hasLabelTable, readLabelsJson, readLabelTable } from './labelTable.js';
import { kindOf, listFolder } from '../io/read.js';
import { checkLimit, type Dataset, type Split } from './dataset.js';
import { ImagePool } from './imagePool.js';
import type { DecodedImage, DecodeProgress } from './images.js';
import { checkFit, type FitOptions } from './resize.js';

/** Image files and their labels, not yet read. */
export interface ImageList {
  readonly paths: readonly string[];
  readonly labels: Int32Array;
  /** The classes that targeted attacks aim at, where a table has them. */
  readonly targets?: Int32Array;
  readonly classes: number;
  readonly classNames?: readonly string[];
  readonly classSource: ClassSource;
  /** What was left out, in words. */
  readonly note?: string;
}

/** Options of {@link loadImageFolder}. */
export interface ImageFolderOptions extends FitOptions, DecodeProgress {
  /** Stated in the data set, and that half is used where the folder has halves; `test` unless given. */
  readonly split?: Split;
  /** Number of images wanted, the first ones in order; all unless given. */
  readonly limit?: number;
}

/** Options of {@link imageFolderBatches}. */
export interface ImageBatchOptions extends ImageFolderOptions {
  /** Images a batch; the last one may be smaller. */
  readonly batch: number;
}

/** Labels are kept in 32 bits; far below that, a network's last layer would not fit anywhere. */
const MAX_LABEL = 2 ** 24;

const imageName = /\.(png|jpe?g)$/i;

/** Names of the folders of each half, the usual one first. */
const halfNames: Readonly<Record<Split, readonly string[]>> = {
  train: ['train', 'training'],
  test: ['test', 'val', 'valid', 'validation', 'testing'],
};

/** Where the halves of a folder lie; neither where it is not divided. */
export async function imageFolderHalves(path: string): Promise<Partial<Record<Split, string>>> {
  const present = await list(path);
  const names = await filtered(present, (name) => isFolder(join(path, name)));
  const found = (split: Split): string | undefined => halfNames[split].find((name) => names.includes(name));
  const listed = (await explicitClasses(path, present))?.names ?? [];
  const [train, test] = [found('train'), found('test')];
  // A class may be called `train`, too: alone it counts as a half only where it holds folders or labels of its own.
  const both = train !== undefined && test !== undefined;
  const isHalf = async (name: string): Promise<boolean> =>
    !listed.includes(name) && (both || (await holdsLabels(join(path, name))));
  return {
    ...(train !== undefined && (await isHalf(train)) && { train: join(path, train) }),
    ...(test !== undefined && (await isHalf(test)) && { test: join(path, test) }),
  };
}

/**
 * Finds the images of a folder and their labels, without reading the images. The folder, or its half where it has
 * folders `train` and `test` (`val`), has one of four layouts:
 *
 * 1. `labels.json`: a list of `{file, index}` or an object file -> index;
 * 2. a table of labels and targets (see {@link readLabelTable});
 * 3. one sub-folder per class;
 * 4. flat: `..._<label>.jpg`, or `n<8 digits>_...` where `imagenet-classes.txt` lists those ids.
 *
 * The classes are those of `classes.txt` (a name a line) or `imagenet-classes.txt` (lines of id, tab, name), in the
 * half or above it; else the sorted class folders of the training half, for both halves; else only the labels are
 * known.
 *
 * @throws LinbpError `missing-data` for a folder that is missing, lacks the half or holds no images; `bad-file` naming
 * what has no valid label, and showing both lists where folders are no classes
 */
export async function listImageFolder(path: string, split: Split = 'test'): Promise<ImageList> {
  const halves = await imageFolderHalves(path);
  const half = halves[split];
  const divided = Object.keys(halves).length > 0;
  const only = Object.values(halves).map((each) => basename(each));
  check(half !== undefined || !divided, 'missing-data', `${path} has no ${split} half, only ${only.join(', ')}`, path);
  const root = half ?? path;
  const names = await list(root);
  const explicit = await listedClasses([...Object.values(halves), path]);
  if (names.includes('labels.json')) return finish(root, await readLabelsJson(root), explicit, []);
  const inside = names.includes('images') ? await list(join(root, 'images')) : [];
  const table = await readLabelTable(root, names, inside);
  if (table !== undefined) {
    const found = table.rows.map(({ file, label }): [string, number] => [file, label]);
    const targets = table.rows.flatMap(({ target }) => target ?? []);
    return finish(root, found, explicit, counted(table.absent, 'listed images that are not there'), targets);
  }
  const flat = await filtered(names, (name) => isImage(root, name));
  const folders = await classFolders(root);
  if (flat.length > 0) {
    const rows = flat.map((name): [string, number] => [name, labelOfName(join(root, name), explicit?.ids)]);
    const deeper = await countAll(folders.map((name) => join(root, name)));
    return finish(root, rows, explicit, [
      ...(await leftOut(names, root)),
      ...counted(deeper, 'images in folders beside images'),
    ]);
  }
  const classes = explicit ?? (await folderClasses(halves.train ?? root));
  const labels = labelsOfFolders(root, folders, classes);
  const notes = await leftOut(names, root);
  let deeper = 0;
  const rows: [string, number][] = [];
  for (const name of folders) {
    const folder = join(root, name);
    const entries = await list(folder);
    const images = await filtered(entries, (file) => isImage(folder, file));
    const below = await filtered(entries, (file) => isFolder(join(folder, file)));
    deeper += await countAll(below.map((file) => join(folder, file)));
    for (const file of images) rows.push([join(name, file), labels.get(name)!]);
  }
  return finish(root, rows, classes, [...notes, ...counted(deeper, 'images in folders inside class folders')]);
}

/**
 * The one list of classes among those that lie in the halves and above them: with a list in one half only, the other
 * half would be numbered by its folders. Throws `bad-file` where two lists differ.
 */
async function listedClasses(places: readonly string[]): Promise<ClassList | undefined> {
  const found = await Promise.all(places.map(async (place) => explicitClasses(place, await list(place))));
  const [first, ...others] = found.flatMap((each) => each ?? []);
  for (const other of others) {
    const same = other.names.join('\n') === first!.names.join('\n') && other.ids.join('\n') === first!.ids.join('\n');
    check(
      same,
      'bad-file',
      `${first!.where} lists ${shownNames(first!.names)}, ` +
        `${other.where} lists ${shownNames(other.names)}; keep one list`,
      other.where,
    );
  }
  return first;
}

/** The class folders of a half as a list of classes. */
async function folderClasses(root: string): Promise<ClassList> {
  const names = await classFolders(root);
  return { names, ids: [], source: 'folders', where: root };
}

const isHidden = (name: string): boolean => name.startsWith('.') || name === '__MACOSX';

const isImage = async (root: string, name: string): Promise<boolean> =>
  imageName.test(name) && !isHidden(name) && !(await isFolder(join(root, name)));

const classFolders = async (root: string): Promise<string[]> =>
  filtered(await list(root), async (name) => !isHidden(name) && (await isFolder(join(root, name))));

/** Those for which a question to the file system has the answer yes, asked for many at a time. */
async function filtered(names: readonly string[], test: (name: string) => Promise<boolean>): Promise<string[]> {
  const kept: string[] = [];
  for (let at = 0; at < names.length; at += 256) {
    const some = names.slice(at, at + 256);
    const answers = await Promise.all(some.map(test));
    kept.push(...some.filter((_, i) => answers[i]));
  }
  return kept;
}

const counted = (count: number, what: string): string[] => (count > 0 ? [`${count} ${what}`] : []);

/** Hidden entries of a folder with images in them. */
async function leftOut(names: readonly string[], root: string): Promise<string[]> {
  const hidden = names.filter(isHidden);
  const folders = await filtered(hidden, (name) => isFolder(join(root, name)));
  const files = hidden.filter((name) => imageName.test(name) && !folders.includes(name));
  const images = files.length + (await countAll(folders.map((name) => join(root, name))));
  return [...counted(hidden.length, 'hidden entries'), ...counted(images, 'images in or under them')];
}

/** Images in a folder and everything below it. */
async function countImages(folder: string): Promise<number> {
  let count = 0;
  for (const entry of await listFolder(folder)) {
    if (entry.isDirectory()) count += await countImages(join(folder, entry.name));
    else if (imageName.test(entry.name)) count += 1;
  }
  return count;
}

/** {@link countImages} of several folders together. */
async function countAll(folders: readonly string[]): Promise<number> {
  let count = 0;
  for (const folder of folders) count += await countImages(folder);
  return count;
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
  const targets = new Int32Array(first.targets === undefined ? 0 : done);
  let at = 0;
  for (const part of parts) {
    check(part.height === first.height && part.width === first.width, 'bad-shape', differing(path, first, part), path);
    images.set(part.images, at * size);
    labels.set(part.labels, at);
    if (part.targets !== undefined) targets.set(part.targets, at);
    at += part.count;
  }
  return { ...first, count: done, images, labels, ...(first.targets && { targets }) };
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
  const images = await listImageFolder(path, split);
  const count = Math.min(limit ?? Infinity, images.paths.length);
  const fit: FitOptions = {
    ...(options.resize !== undefined && { resize: options.resize }),
    ...(options.crop !== undefined && { crop: options.crop }),
    ...(options.asTheyAre && { asTheyAre: options.asTheyAre }),
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
    classSource: list.classSource,
    ...(list.classNames && { classNames: list.classNames }),
    ...(list.note !== undefined && { note: list.note }),
    images,
    labels: list.labels.slice(begin, begin + decoded.length),
    ...(list.targets && { targets: list.targets.slice(begin, begin + decoded.length) }),
  };
}

function differing(
  source: string,
  expected: { height: number; width: number },
  got: { height: number; width: number },
): string {
  return (
    `${source}: ${got.height} x ${got.width} pixels, others have ` +
    `${expected.height} x ${expected.width}; give resize and crop`
  );
}

function finish(
  path: string,
  rows: readonly (readonly [string, number])[],
  known: ClassList | undefined,
  leftOutNotes: readonly string[],
  targets: readonly number[] = [],
): ImageList {
  const without = leftOutNotes.length === 0 ? '' : `; left out: ${leftOutNotes.join(', ')}`;
  if (rows.length === 0)
    throw new LinbpError('missing-data', `${path} holds no PNG or JPEG images${without}`, { field: path });
  const wide = rows.find(([, label]) => label > MAX_LABEL);
  check(wide === undefined, 'bad-file', `${path}: label ${wide?.[1]} of ${wide?.[0]} is above ${MAX_LABEL}`, path);
  const largest = [...rows.map(([, label]) => label), ...targets].reduce((most, label) => Math.max(most, label), 0);
  const classes = known?.names.length ?? largest + 1;
  const beyond = targets.findIndex((target) => target >= classes);
  check(
    beyond < 0,
    'bad-file',
    `${path}: target ${targets[beyond]} of ${rows[beyond]?.[0]} is not below the ${classes} classes`,
    path,
  );
  for (const [name, label] of rows) {
    check(
      Number.isSafeInteger(label) && label >= 0 && label < classes,
      'bad-file',
      `${path}: label ${label} of ${name} is not a whole number from 0 to ${classes - 1}`,
      path,
    );
  }
  const twice = repeated(rows.map(([name]) => name));
  check(twice.length === 0, 'bad-file', `${path}: ${shownNames(twice)} listed twice`, path);
  return {
    paths: rows.map(([name]) => join(path, name)),
    labels: Int32Array.from(rows, ([, label]) => label),
    ...(targets.length > 0 && { targets: Int32Array.from(targets) }),
    classes,
    classSource: known?.source ?? 'labels',
    ...(known && { classNames: known.names }),
    ...(without !== '' && { note: without.slice(2) }),
  };
}

function labelOfName(path: string, ids: readonly string[] | undefined): number {
  const name = basename(path);
  const id = /^n\d{8}/.exec(name)?.[0];
  const label = id === undefined ? Number(/_(\d{1,7})\.[^.]+$/.exec(name)?.[1] ?? NaN) : (ids?.indexOf(id) ?? -1);
  check(
    label >= 0,
    'bad-file',
    `${path}: no label: expected labels.json, class folders, a ` +
      'name ending in _<label>, or imagenet-classes.txt with its id',
    path,
  );
  return label;
}

async function list(path: string): Promise<string[]> {
  return (await listFolder(path)).map(({ name }) => name);
}

// What a half has and a class has not: folders, or labels of its own.
async function holdsLabels(path: string): Promise<boolean> {
  const names = await list(path);
  if (hasLabelTable(names) || names.includes('labels.json')) return true;
  const folders = await filtered(names, async (name) => !isHidden(name) && (await isFolder(join(path, name))));
  return folders.length > 0;
}

const isFolder = async (path: string): Promise<boolean> => (await kindOf(path)) === 'folder';
