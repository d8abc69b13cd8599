import { expectFields } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { LinbpError } from '../errors.js';
import { unknownName } from '../names.js';
import { loadCifar10, loadCifar10Jpeg } from './cifar10.js';
import { arrayFileHalves, isArrayFile, loadArrayFile } from './arrayFile.js';
import { loadCifar100 } from './cifar100.js';
import { checkLimit, subset, type Dataset, type Split } from './dataset.js';
import { drawDigits } from './digits.js';
import { dataFolderOrEnvironment } from './files.js';
import { imageFolderHalves, loadImageFolder } from './folder.js';
import { fashionMnist, loadIdxDataset, mnist } from './idx.js';
import type { DecodeProgress } from './images.js';
import type { FitOptions } from './resize.js';

/** What {@link loadDataset} loads. `resize`, `crop`, `channelOrder` and `channels` are for `folder:PATH` only. */
export interface LoadOptions extends FitOptions, DecodeProgress {
  /**
   * `mnist`, `fashion-mnist`, `cifar10`, `cifar10-jpeg`, `cifar100`, `digits`, `folder:PATH`, or a `.npz` or
   * `.safetensors` file.
   */
  readonly dataset: string;
  readonly split: Split;
  /** The folder that holds `mnist/`, `cifar10/` and so on; the environment's `LINBP_DATA` unless given. */
  readonly dataFolder?: string;
  /** Number of images, the first ones in the files' order; all unless given. */
  readonly limit?: number;
  /** Classes of a file of arrays, whose labels are numbers; its largest label and one unless given. */
  readonly classes?: number;
  /** Seed of `digits`; 0 unless given. Other data sets are what they are. */
  readonly seed?: number;
}

const loadFields: FieldNames<LoadOptions> = {
  ...{ dataset: true, split: true, dataFolder: true, limit: true, classes: true, seed: true },
  ...{ resize: true, crop: true, asTheyAre: true, channelOrder: true, channels: true },
  ...{ onProgress: 'function', signal: 'signal' },
};

/** Names that {@link loadDataset} knows, besides `folder:PATH`. */
export const datasetNames: readonly string[] = [
  'mnist',
  'fashion-mnist',
  'cifar10',
  'cifar10-jpeg',
  'cifar100',
  'digits',
];

const folderPrefix = 'folder:';

/**
 * The halves that a data set has images of their own for. Where it is not divided there are none: then either split is
 * all of its images.
 *
 * @throws LinbpError `missing-data`, `missing-file`, `bad-file`
 */
export async function datasetHalves(dataset: string): Promise<readonly Split[]> {
  if (dataset.startsWith(folderPrefix))
    return Object.keys(imageFolderHalves(dataset.slice(folderPrefix.length))) as Split[];
  return isArrayFile(dataset) ? arrayFileHalves(dataset) : ['train', 'test'];
}

/**
 * Loads a data set by name.
 *
 * @throws LinbpError `unknown-option` for an unknown name or split; `missing-data` naming the file that was looked for;
 *   `bad-file` naming the file for malformed content; `bad-range` for limit and sizes; `aborted`
 */
export async function loadDataset(options: LoadOptions): Promise<Dataset> {
  expectFields(options, loadFields);
  const { dataset, split, limit, seed } = options;
  if (typeof dataset !== 'string')
    throw new LinbpError('bad-argument', `dataset must be a name, got ${typeof dataset}`, { field: 'dataset' });
  if (split !== 'train' && split !== 'test')
    throw new LinbpError('unknown-option', `split must be train or test, got ${String(split)}`, { field: 'split' });
  checkLimit(limit);
  const folder = dataFolderOrEnvironment(options.dataFolder);
  const limited = (whole: Dataset) => (limit === undefined ? whole : subset(whole, limit));
  if (dataset.startsWith(folderPrefix)) return loadImageFolder(dataset.slice(folderPrefix.length), options);
  if (isArrayFile(dataset)) return limited(await loadArrayFile(dataset, split, options.classes));
  switch (dataset) {
    case 'mnist':
      return limited(await loadIdxDataset(mnist, split, folder));
    case 'fashion-mnist':
      return limited(await loadIdxDataset(fashionMnist, split, folder));
    case 'cifar10':
      return loadCifar10(split, folder, limit);
    case 'cifar10-jpeg':
      return loadCifar10Jpeg(split, folder, limit, options);
    case 'cifar100':
      return loadCifar100(split, folder, limit);
    case 'digits': {
      const whole = split === 'train' ? 12000 : 2000;
      return drawDigits({ split, count: Math.min(limit ?? whole, whole), ...(seed !== undefined && { seed }) });
    }
    default:
      throw new LinbpError(
        'unknown-option',
        unknownName('data set', dataset, { names: datasetNames, also: 'folder:PATH, FILE.npz, FILE.safetensors' }),
        { field: 'dataset' },
      );
  }
}
