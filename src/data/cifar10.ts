import { join } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { checkLabels, type Dataset, type Split } from './dataset.js';
import { missingData, requireFile, findFile, unpack } from './files.js';
import { listFolder, readWhole } from '../io/read.js';
import { decodeMany, type DecodeProgress } from './images.js';

/** Class names in label order. */
export const cifar10ClassNames: readonly string[] = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
];

/** One label byte, then 1,024 red, 1,024 green and 1,024 blue bytes, each row by row. */
const PIXELS = 3 * 32 * 32;
const RECORD = 1 + PIXELS;
const BATCH = 10000;
/** What a file may have beyond its content, for a message that says what is expected. */
const SLACK = 2 ** 20;
/** Of all of CIFAR-10. */
const MOST_IMAGES = 60000;
/** A 32 x 32 JPEG has about 900 bytes, and 4,000 where nothing is compressed. */
const LARGEST_JPEG = 8192;
const folders = ['cifar10', 'cifar10/cifar-10-batches-bin', 'cifar-10-batches-bin'];

interface Part {
  readonly path: string;
  readonly records: number;
}

/**
 * CIFAR-10 from the binary version (A. Krizhevsky, 2009): `data_batch_1.bin` to `_5.bin`, `test_batch.bin`, plain or
 * gzip, or first parts of them called `<batch>.first<N>.bin`. Whatever part is there is used, and the data set's
 * `note` says which.
 *
 * @param limit number of images wanted; no more files than needed are read
 * @throws LinbpError `missing-data` naming the file; `bad-file` for wrong lengths and labels above 9
 */
export async function loadCifar10(split: Split, dataFolder: string | undefined, limit = Infinity): Promise<Dataset> {
  const batches = split === 'test' ? ['test_batch'] : [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`);
  const found = await Promise.all(batches.map((batch) => findPart(dataFolder, batch)));
  const parts = found.flatMap((part) => part ?? []);
  if (parts.length === 0) {
    throw missingData(
      dataFolder,
      [
        `cifar10/${batches[0]}.bin`,
        `cifar10/cifar-10-batches-bin/${batches[0]}.bin`,
        `cifar10/${batches[0]}.firstN.bin`,
      ],
      'cifar10',
    );
  }
  const available = parts.reduce((sum, part) => sum + part.records, 0);
  const count = Math.min(limit, available);
  const images = new Uint8Array(count * PIXELS);
  const labels = new Uint8Array(count);
  let done = 0;
  for (const part of parts) {
    if (done === count) break;
    const content = unpack(await readWhole(part.path, part.records * RECORD + SLACK), part.records * RECORD, part.path);
    check(
      content.length === part.records * RECORD,
      'bad-file',
      `${part.path}: holds ${content.length} bytes, ${part.records} records need ${part.records * RECORD}`,
      part.path,
    );
    for (let i = 0; i < part.records && done < count; i++, done++) {
      const label = content[i * RECORD]!;
      if (label > 9)
        throw new LinbpError('bad-file', `${part.path}: label ${i} is ${label}, expected 0 to 9`, { field: part.path });
      labels[done] = label;
      images.set(content.subarray(i * RECORD + 1, (i + 1) * RECORD), done * PIXELS);
    }
  }
  const whole = batches.length * BATCH;
  const note =
    `${available} of the ${whole} ${split} images are in the ` +
    `data folder: ${parts.map((part) => part.path).join(', ')}`;
  return {
    name: 'cifar10',
    split,
    count,
    channels: 3,
    height: 32,
    width: 32,
    classes: 10,
    classNames: cifar10ClassNames,
    images,
    labels,
    ...(available < whole && { note }),
  };
}

/**
 * CIFAR-10 as JPEG files one after another (`cifar10/jpeg-<split>.jpgs`, gzip or plain) with `labels-<split>.u8`.
 * JPEG is lossy, so figures measured on it are not those of CIFAR-10; the `note` says so.
 *
 * @param limit number of images wanted; no more are decoded
 * @throws LinbpError `missing-data`; `bad-file` for damaged images, other sizes than 32 x 32, or a number that
 * differs from the labels'
 */
export async function loadCifar10Jpeg(
  split: Split,
  dataFolder: string | undefined,
  limit = Infinity,
  progress: DecodeProgress = {},
): Promise<Dataset> {
  const imagesPath = await requireFile(dataFolder, [`cifar10/jpeg-${split}.jpgs`], 'cifar10-jpeg');
  const labelsPath = await requireFile(dataFolder, [`cifar10/labels-${split}.u8`], 'cifar10-jpeg');
  const allLabels = unpack(await readWhole(labelsPath, MOST_IMAGES + SLACK), MOST_IMAGES, labelsPath);
  checkLabels(allLabels, 10, labelsPath, 'bad-file');
  const most = allLabels.length * LARGEST_JPEG;
  const content = unpack(await readWhole(imagesPath, most + SLACK), most, imagesPath);
  const files = splitJpegs(content, allLabels.length, imagesPath);
  check(
    files.length === allLabels.length,
    'bad-file',
    `${imagesPath} holds ${files.length} images, ${labelsPath} ${allLabels.length} labels`,
    imagesPath,
  );
  const count = Math.min(limit, files.length);
  check(count > 0, 'bad-file', `${imagesPath}: no images`, imagesPath);
  const images = new Uint8Array(count * PIXELS);
  await decodeMany(
    files.slice(0, count).map((bytes, i) => ({ bytes, source: `${imagesPath}, image ${i}` })),
    (image, i, source) => {
      check(
        image.height === 32 && image.width === 32,
        'bad-file',
        `${source}: ${image.height} x ${image.width} pixels, expected 32 x 32`,
        imagesPath,
      );
      images.set(image.data, i * PIXELS);
    },
    progress,
  );
  return {
    name: 'cifar10-jpeg',
    split,
    count,
    channels: 3,
    height: 32,
    width: 32,
    classes: 10,
    classNames: cifar10ClassNames,
    images,
    labels: new Uint8Array(allLabels.subarray(0, count)),
    note: 'lossy JPEG images, not the exact pixels of CIFAR-10',
  };
}

/**
 * Splits JPEG files that follow one another, at each start-of-image marker FF D8. More than `most` are refused as they
 * are counted: half a gigabyte of markers would be a quarter of a billion images.
 */
function splitJpegs(content: Uint8Array, most: number, source: string): Uint8Array[] {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const marker = Buffer.of(0xff, 0xd8);
  const starts: number[] = [];
  for (let at = bytes.indexOf(marker); at >= 0; at = bytes.indexOf(marker, at + 2)) {
    starts.push(at);
    check(starts.length <= most, 'bad-file', `${source} holds more images than the ${most} labels`, source);
  }
  check(starts[0] === 0, 'bad-file', `${source}: does not begin with a JPEG image`, source);
  return starts.map((start, i) => bytes.subarray(start, starts[i + 1] ?? bytes.length));
}

async function findPart(dataFolder: string | undefined, batch: string): Promise<Part | undefined> {
  if (dataFolder === undefined) return undefined;
  const full = await findFile(
    dataFolder,
    folders.map((folder) => `${folder}/${batch}.bin`),
  );
  if (full !== undefined) return { path: full, records: BATCH };
  const pattern = new RegExp(`^${batch}\\.first(\\d{1,5})\\.bin(\\.gz)?$`);
  const names = await Promise.all(folders.map((folder) => namesIn(join(dataFolder, folder))));
  const found = folders.flatMap((folder, at) =>
    names[at]!.flatMap((name) => {
      const records = Number(pattern.exec(name)?.[1] ?? 0);
      return records > 0 ? [{ path: join(dataFolder, folder, name), records }] : [];
    }),
  );
  return found.sort((a, b) => b.records - a.records)[0];
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await listFolder(folder)).map(({ name }) => name);
  } catch {
    return [];
  }
}
