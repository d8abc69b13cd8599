import { LinbpError, check } from '../errors.js';
import { checkLabels, type Dataset, type Split } from './dataset.js';
import { firstBytes, requireFile, unpack } from './files.js';
import { readWhole } from '../io/read.js';

/** Contents of an IDX file of bytes. */
export interface IdxArray {
  /** For instance [60000, 28, 28]. */
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Uint8Array;
}

/** More than this is refused before anything is unpacked; all of EMNIST has half as much. */
const MAX_BYTES = 2 ** 30;

/** How many labels there are, and in which file. */
interface LabelCount {
  readonly count: number;
  readonly source: string;
}

/**
 * Parses an IDX file of unsigned bytes (Y. LeCun's format: 00 00, type 08, number of dimensions, big-endian 32-bit
 * sizes, data), plain or gzip.
 *
 * @param dimensions number of dimensions expected: 3 for images (magic 2051), 1 for labels (2049)
 * @param labels number of labels and the file they are from, where they are known: images of another number are not
 * unpacked
 * @throws LinbpError `bad-file` naming the file: wrong magic, zero or overflowing sizes, too few or too many bytes,
 * damaged gzip
 */
export function parseIdx(bytes: Buffer, dimensions: number, source: string, labels?: LabelCount): IdxArray {
  const headerBytes = 4 + 4 * dimensions;
  const header = firstBytes(bytes, headerBytes, source);
  const expectedMagic = 0x0800 + dimensions;
  check(header.length >= 4, 'bad-file', `${source}: ${header.length} bytes are too few for an IDX file`, source);
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const magic = view.getUint32(0);
  check(
    magic === expectedMagic,
    'bad-file',
    `${source}: magic number ${magic}, expected ${expectedMagic} (${describe(dimensions)})`,
    source,
  );
  check(header.length >= headerBytes, 'bad-file', `${source}: ends inside the header`, source);
  const shape = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
  let size = 1;
  for (const extent of shape) {
    check(extent > 0, 'bad-file', `${source}: shape [${shape.join(', ')}] is empty`, source);
    size *= extent;
    check(size <= MAX_BYTES, 'bad-file', `${source}: shape [${shape.join(', ')}] is too large`, source);
  }
  if (labels !== undefined && shape[0] !== labels.count) {
    const message = `${source} holds ${shape[0]} images, ${labels.source} ${labels.count} labels`;
    throw new LinbpError('bad-file', message, { field: labels.source });
  }
  const content = unpack(bytes, headerBytes + size, source);
  check(
    content.length === headerBytes + size,
    'bad-file',
    `${source}: holds ${content.length - headerBytes} bytes of data, shape [${shape.join(', ')}] needs ${size}`,
    source,
  );
  return { shape, data: new Uint8Array(content.buffer, content.byteOffset + headerBytes, size) };
}

/** Reads an IDX file, see {@link parseIdx}. */
export async function readIdx(path: string, dimensions: number, labels?: LabelCount): Promise<IdxArray> {
  return parseIdx(await readWhole(path, MAX_BYTES + 1024), dimensions, path, labels);
}

/** An IDX data set of ten classes in the layout of MNIST. */
export interface IdxDataset {
  readonly name: string;
  /** Folders inside the data folder, in order of preference. */
  readonly folders: readonly string[];
  readonly classNames: readonly string[];
}

/** MNIST, in `mnist/` or where torchvision puts it. */
export const mnist: IdxDataset = {
  name: 'mnist',
  folders: ['mnist', 'MNIST/raw'],
  classNames: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
};

/** Fashion-MNIST, in `fashion-mnist/` or where torchvision puts it. */
export const fashionMnist: IdxDataset = {
  name: 'fashion-mnist',
  folders: ['fashion-mnist', 'FashionMNIST/raw'],
  classNames: [
    'T-shirt/top',
    'Trouser',
    'Pullover',
    'Dress',
    'Coat',
    'Sandal',
    'Shirt',
    'Sneaker',
    'Bag',
    'Ankle boot',
  ],
};

/**
 * Loads images and labels of one split.
 *
 * @throws LinbpError `missing-data` naming the file; `bad-file` for malformed files, or when images and labels differ
 * in number
 */
export async function loadIdxDataset(kind: IdxDataset, split: Split, dataFolder: string | undefined): Promise<Dataset> {
  const prefix = split === 'train' ? 'train' : 't10k';
  const candidates = (what: string) =>
    kind.folders.flatMap((folder) => [
      `${folder}/${prefix}-${what}-ubyte`,
      `${folder}/${prefix}-${what.replace('-', '.')}-ubyte`,
    ]);
  const imagesPath = await requireFile(dataFolder, candidates('images-idx3'), kind.name);
  const labelsPath = await requireFile(dataFolder, candidates('labels-idx1'), kind.name);
  return idxDataset(kind.name, split, imagesPath, labelsPath, kind.classNames);
}

/** A data set from any pair of IDX files; labels are 0 to `classNames.length` - 1. */
export async function idxDataset(
  name: string,
  split: Split,
  imagesPath: string,
  labelsPath: string,
  classNames: readonly string[],
): Promise<Dataset> {
  const labels = await readIdx(labelsPath, 1);
  const images = await readIdx(imagesPath, 3, { count: labels.shape[0]!, source: labelsPath });
  const [count, height, width] = images.shape as [number, number, number];
  checkLabels(labels.data, classNames.length, labelsPath, 'bad-file');
  return {
    name,
    split,
    count,
    channels: 1,
    height,
    width,
    classes: classNames.length,
    classNames,
    images: images.data,
    labels: labels.data,
  };
}

function describe(dimensions: number): string {
  return dimensions === 3 ? 'IDX images' : dimensions === 1 ? 'IDX labels' : `IDX bytes of ${dimensions} dimensions`;
}
