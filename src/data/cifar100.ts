import { check, LinbpError } from '../errors.js';
import type { Dataset, Split } from './dataset.js';
import { readWhole } from '../io/read.js';
import { findFile, requireFile, unpack } from './files.js';

/** Coarse label, fine label, then 1,024 red, 1,024 green and 1,024 blue bytes, each row by row. */
const PIXELS = 3 * 32 * 32;
const RECORD = 2 + PIXELS;
const folders = ['cifar100', 'cifar100/cifar-100-binary', 'cifar-100-binary'];

/**
 * CIFAR-100 from the binary version (A. Krizhevsky, 2009): `train.bin` and `test.bin`, plain or gzip, with the 100
 * fine labels, named by `fine_label_names.txt` where it is there.
 *
 * @throws LinbpError `missing-data` naming the file; `bad-file` for wrong lengths and labels above 99
 */
export async function loadCifar100(split: Split, dataFolder: string | undefined, limit = Infinity): Promise<Dataset> {
  const inFolders = (file: string): string[] => folders.map((folder) => `${folder}/${file}`);
  const path = await requireFile(dataFolder, inFolders(`${split}.bin`), 'cifar100');
  const whole = split === 'train' ? 50_000 : 10_000;
  const content = unpack(await readWhole(path, whole * RECORD + 2 ** 20), whole * RECORD, path);
  check(
    content.length > 0 && content.length % RECORD === 0,
    'bad-file',
    `${path}: holds ${content.length} bytes, expected a multiple of ${RECORD}`,
    path,
  );
  const available = content.length / RECORD;
  const count = Math.min(limit, available);
  const images = new Uint8Array(count * PIXELS);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const label = content[i * RECORD + 1]!;
    if (label > 99)
      throw new LinbpError('bad-file', `${path}: label ${i} is ${label}, expected 0 to 99`, { field: path });
    labels[i] = label;
    images.set(content.subarray(i * RECORD + 2, (i + 1) * RECORD), i * PIXELS);
  }
  const names = await findFile(dataFolder, inFolders('fine_label_names.txt'));
  return {
    name: 'cifar100',
    split,
    count,
    channels: 3,
    height: 32,
    width: 32,
    classes: 100,
    images,
    labels,
    ...(names !== undefined && { classNames: await classNames(names) }),
    ...(available < whole && { note: `${available} of the ${whole} ${split} images are in ${path}` }),
  };
}

async function classNames(path: string): Promise<string[]> {
  const names = unpack(await readWhole(path, 2 ** 20), 65536, path)
    .toString('utf8')
    .split('\n')
    .map((name) => name.trim());
  const found = names.filter((name) => name !== '');
  check(found.length === 100, 'bad-file', `${path}: ${found.length} names, expected 100`, path);
  return found;
}
