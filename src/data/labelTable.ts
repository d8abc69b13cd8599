import { isAbsolute, join, normalize } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { readJson, readText } from '../io/read.js';
import { quotedName } from '../quote.js';

/** Labels of images by file, from a table beside them. */
export interface LabelTable {
  /** Paths inside the folder, their classes, and, where the table has them, the classes that attacks aim at. */
  readonly rows: readonly { readonly file: string; readonly label: number; readonly target?: number }[];
  /** Images that the table lists and the folder does not have. */
  readonly absent: number;
}

/** A million images. */
const MAX_TABLE = 256 * 1024 * 1024;

/** Names of tables, the more usual first. */
const tableNames = ['labels.csv', 'images.csv', 'dev_dataset.csv'] as const;

/**
 * What columns are called, in lower case, and the number of the first class: the tables of the NIPS 2017 competition
 * (`ImageId`, `TrueLabel`, `TargetClass`) count classes from 1, since their networks had a class 0 for the background;
 * TransferAttack's (`filename`, `label`, `targeted_label`) from 0. Sources: `dataset/README.md` of the competition in
 * cleverhans (cleverhans-lab/cleverhans, examples/nips17_adversarial_competition), whose labels are those of TF-Slim's
 * Inception networks; `AdvDataset` in transferattack/utils.py of Trustworthy-AI-Group/TransferAttack, whose main.py
 * compares `label` and `targeted_label` with the position of the largest logit of torchvision's networks.
 */
const columns = {
  file: { imageid: 0, filename: 0, file: 0, image: 0 },
  label: { truelabel: 1, label: 0, index: 0 },
  target: { targetclass: 1, targeted_label: 0, target_label: 0, target: 0 },
} as const satisfies Record<string, Readonly<Record<string, number>>>;

/** The fields of a line of comma-separated values; quotes as in RFC 4180. */
function fields(line: string): string[] {
  const found: string[] = [];
  for (const match of line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g))
    found.push(match[1] === undefined ? match[2]!.trim() : match[1].replaceAll('""', '"'));
  return found;
}

/** Where a column stands in the header, and its first class; undefined where the table does not have it. */
function columnOf(header: readonly string[], known: Readonly<Record<string, number>>) {
  const name = Object.keys(known).find((each) => header.includes(each));
  return name === undefined ? undefined : { at: header.indexOf(name), first: known[name]! };
}

/** Whether a folder has a table of labels. */
export const hasLabelTable = (present: readonly string[]): boolean => tableNames.some((name) => present.includes(name));

/**
 * The table of labels of a folder: `labels.csv`, `images.csv` or `dev_dataset.csv`, with a header. The images lie
 * beside it or in the folder `images`; names may lack the ending. Undefined where there is none.
 *
 * @param present names of the folder's entries
 * @param inside names of the entries of its folder `images`
 * @throws LinbpError `bad-file` naming the line
 */
export async function readLabelTable(
  folder: string,
  present: readonly string[],
  inside: readonly string[],
): Promise<LabelTable | undefined> {
  const name = tableNames.find((each) => present.includes(each));
  if (name === undefined) return undefined;
  const path = join(folder, name);
  const fail = (what: string): never => {
    throw new LinbpError('bad-file', `${path}: ${what}`, { field: path });
  };
  const [first = '', ...lines] = (await readText(path, MAX_TABLE)).replace(/^\uFEFF/, '').split(/\r?\n/);
  const header = fields(first).map((each) => each.toLowerCase());
  const [file, label, target] = [columns.file, columns.label, columns.target].map((known) => columnOf(header, known));
  if (file === undefined || label === undefined)
    return fail('its first line must name the columns, ImageId and TrueLabel, or filename and label');
  const files = new Map<string, string>();
  for (const [where, names] of [
    ['', present],
    ['images/', inside],
  ] as const)
    for (const each of names)
      for (const key of [each, each.replace(/\.(png|jpe?g)$/i, '')])
        if (!files.has(key) && /\.(png|jpe?g)$/i.test(each)) files.set(key, `${where}${each}`);
  let absent = 0;
  const rows = lines.flatMap((line, index) => {
    if (line.trim() === '') return [];
    const row = fields(line);
    const number = (column: { at: number; first: number }): number => {
      const text = row[column.at] ?? '';
      const value = /^\d{1,7}$/.test(text) ? Number(text) - column.first : -1;
      check(
        value >= 0,
        'bad-file',
        `${path}: line ${index + 2}: ${quotedName(text)} is no class; classes of the column ` +
          `${header[column.at]} count from ${column.first}`,
        path,
      );
      return value;
    };
    const found = files.get((row[file.at] ?? '').replace(/^(\.\/)?images\//, ''));
    const values = { label: number(label), ...(target && { target: number(target) }) };
    if (found === undefined) {
      absent++;
      return [];
    }
    return [{ file: found, ...values }];
  });
  return { rows, absent };
}

/** Bytes that `labels.json` may have: a million images. */
const MAX_LABEL_FILE = 128 * 1024 * 1024;

/** Files and labels of `labels.json`. Throws `bad-file`. */
export async function readLabelsJson(path: string): Promise<[string, number][]> {
  const source = join(path, 'labels.json');
  const parsed = await readJson(source, MAX_LABEL_FILE);
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
