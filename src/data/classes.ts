import { readText } from '../io/read.js';
import { join } from 'node:path';
import { LinbpError, check } from '../errors.js';

/** A hundred thousand classes. */
const MAX_CLASS_FILE = 8 * 1024 * 1024;

/**
 * Where the classes of a data set come from: an explicit list, the folders of its training half, or nothing but the
 * labels that occur, which say only how many classes there are at least.
 */
export type ClassSource = 'list' | 'folders' | 'labels';

/** Classes in the order of their labels. */
export interface ClassList {
  readonly names: readonly string[];
  /** Such as `n01440764`, where the list has them. */
  readonly ids: readonly string[];
  readonly source: 'list' | 'folders';
  /** The file or folder that it was read from. */
  readonly where: string;
}

/** Names as messages show them: quoted, and not too many. */
export function shownNames(names: readonly string[]): string {
  const most = 20;
  const shown = names.slice(0, most).map((name) => JSON.stringify(name.slice(0, 60)));
  return names.length > most ? `${shown.join(', ')} and ${names.length - most} more` : shown.join(', ') || 'none';
}

/** Names that occur twice. */
export function repeated(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return names.filter((name) => seen.has(name) || !seen.add(name));
}

async function readLines(path: string): Promise<string[]> {
  const text = (await readText(path, MAX_CLASS_FILE)).replace(/^\uFEFF/, '');
  return text.split('\n').map((line) => line.replace(/\r$/, ''));
}

/**
 * The explicit list of a folder: `classes.txt` with a name a line, else `imagenet-classes.txt` with lines of id, tab,
 * name. Undefined where there is neither.
 *
 * @param present names of the folder's entries
 * @throws LinbpError `bad-file` for empty lists, empty lines inside and names that occur twice
 */
export async function explicitClasses(folder: string, present: readonly string[]): Promise<ClassList | undefined> {
  const file = ['classes.txt', 'imagenet-classes.txt'].find((name) => present.includes(name));
  if (file === undefined) return undefined;
  const where = join(folder, file);
  const lines = await readLines(where);
  while (lines.at(-1)?.trim() === '') lines.pop();
  check(lines.length > 0, 'bad-file', `${where} lists no classes`, where);
  const empty = lines.findIndex((line) => line.trim() === '');
  check(empty < 0, 'bad-file', `${where}: line ${empty + 1} is empty; a class has a line`, where);
  const rows = lines.map((line) =>
    file === 'classes.txt' ? [line.trim(), ''] : [line.split('\t')[1] ?? line, line.split('\t')[0]],
  );
  const names = rows.map(([name]) => name!);
  const ids = file === 'classes.txt' ? names.map((name) => /^n\d{8}/.exec(name)?.[0] ?? '') : rows.map(([, id]) => id!);
  // ImageNet has two classes called crane and two called maillot; their ids tell them apart.
  const twice = repeated(file === 'classes.txt' ? names : ids);
  check(twice.length === 0, 'bad-file', `${where} lists ${shownNames(twice)} twice`, where);
  return { names, ids, source: 'list', where };
}

/**
 * Labels of class folders by name or id.
 *
 * @throws LinbpError `bad-file` showing both lists where a folder is no class of the list, or could be two of them
 */
export function labelsOfFolders(
  folder: string,
  found: readonly string[],
  classes: ClassList,
): ReadonlyMap<string, number> {
  const twice = new Set(repeated(classes.names));
  const byName = new Map(classes.names.map((name, index) => [name, index]));
  const byId = new Map(classes.ids.map((id, index) => [id, index]));
  const several = found.filter((name) => twice.has(name) && !byId.has(name));
  check(
    several.length === 0,
    'bad-file',
    `${folder}: the folders ${shownNames(several)} may be several classes of ${classes.where}; call them by id`,
    folder,
  );
  const labels = new Map(
    found.map((name) => [name, (twice.has(name) ? undefined : byName.get(name)) ?? byId.get(name) ?? -1]),
  );
  const unknown = found.filter((name) => labels.get(name)! < 0);
  check(
    unknown.length === 0,
    'bad-file',
    `${folder}: the folders ${shownNames(unknown)} are no classes of ${classes.where}; it has ` +
      `${shownNames(classes.names)}, the folder has ${shownNames(found)}`,
    folder,
  );
  return labels;
}

/**
 * Throws `bad-shape` unless a data set's classes are those of a network: as many, or, where nothing but labels is
 * known, at most as many.
 */
export function expectSameClasses(
  model: { readonly name: string; readonly classes: number },
  dataset: {
    readonly name: string;
    readonly classes: number;
    readonly classNames?: readonly string[];
    readonly classSource?: ClassSource;
  },
  field: string,
): void {
  const fits = dataset.classSource === 'labels' ? dataset.classes <= model.classes : dataset.classes === model.classes;
  if (fits) return;
  const names = dataset.classNames === undefined ? '' : `: ${shownNames(dataset.classNames)}`;
  const hint =
    dataset.classSource === 'folders'
      ? '; where some classes have no folder, list all of them in classes.txt, one name a line'
      : '';
  throw new LinbpError(
    'bad-shape',
    `${field}: ${model.name} tells ${model.classes} classes ` +
      `apart, ${dataset.name} has ${dataset.classes}${names}${hint}`,
    { field },
  );
}
