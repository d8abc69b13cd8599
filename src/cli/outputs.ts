import { readlink, realpath } from 'node:fs/promises';
import { devNull } from 'node:os';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { check } from '../errors.js';
import { assignment, kebab, modelsInList } from './options.js';
import type { OptionTable } from './options.js';

/** Paths in the value of an option. */
type Paths = (value: string) => readonly string[];

const one: Paths = (value) => [value];
/** What may be a name; files of networks and of data sets have an ending. */
const unlessNamed: Paths = (value) => (extname(value) === '' ? [] : [value]);
/** Networks and weights of `M=W,..`. */
const networks: Paths = (value) =>
  value.split(modelsInList).flatMap((pair) => {
    const [model, weights] = assignment(pair);
    return model === undefined || weights === undefined ? [] : [...unlessNamed(model), weights];
  });

/**
 * Every option whose value has paths of files: what a verb writes, and what it only reads. Folders of data and stores
 * of jobs are shared by their nature; `train --resume FILE` and `tune --among` go on with the files that they name.
 */
export const pathOptions: Readonly<Record<string, { readonly writes?: Paths; readonly reads?: Paths } | 'shared'>> = {
  ...{ json: { writes: one }, csv: { writes: one }, dot: { writes: one }, html: { writes: one } },
  ...{ trace: { writes: one }, out: { writes: one } },
  ...{ weights: { reads: one }, inputs: { reads: one }, input: { reads: one }, file: { reads: one } },
  ...{ images: { reads: one }, classNames: { reads: one } },
  ...{ model: { reads: unlessNamed }, dataset: { reads: unlessNamed } },
  ...{ victims: { reads: networks }, sources: { reads: networks } },
  ...{ data: 'shared', store: 'shared', peers: 'shared', resume: 'shared', among: 'shared' },
};

/** What a path leads to through links, as far as there is something; links may lead to what is not there yet. */
async function place(path: string, links = 0): Promise<{ readonly path: string; readonly there: boolean }> {
  const whole = resolve(path);
  const there = await realpath(whole).catch(() => undefined);
  if (there !== undefined || whole === dirname(whole)) return { path: there ?? whole, there: there !== undefined };
  const above = await place(dirname(whole), links);
  const led = links < 40 ? await readlink(whole).catch(() => undefined) : undefined;
  if (led !== undefined) return place(resolve(above.path, led), links + 1);
  return { path: join(above.path, basename(whole)), there: false };
}

/**
 * Throws `bad-argument` where two options name one output, or where a file to write is a file to read.
 *
 * @param values as `parseOptions` returned them for this table
 */
export async function expectOwnPaths(values: Readonly<Record<string, unknown>>, table: OptionTable): Promise<void> {
  const seen = new Map<string, string>();
  const named = Object.keys(pathOptions).flatMap((name) => {
    const value = Object.hasOwn(table, name) ? values[name] : undefined;
    const role = pathOptions[name]!;
    return typeof value === 'string' && role !== 'shared' ? [{ name, value, role }] : [];
  });
  const expectNew = (name: string, at: string, shown: string, words: string): void => {
    const [other, field] = [seen.get(at), kebab(name)];
    check(other === undefined, 'bad-argument', `--${kebab(other ?? '')} and --${field} ${words} ${shown}`, field);
  };
  for (const { name, value, role } of named)
    for (const path of role.writes?.(value) ?? []) {
      const at = path === '-' ? path : (await place(path)).path;
      if (at === devNull) continue;
      expectNew(name, at, path === '-' ? 'stdout' : path, 'both write');
      // A folder for results may be that of the weights; only files are overwritten.
      if (name !== 'out' || table[name]?.placeholder === 'FILE') seen.set(at, name);
    }
  for (const { name, value, role } of named)
    for (const path of role.reads?.(value) ?? []) {
      // Names of networks and data sets are no files.
      const { path: at, there } = await place(path);
      if (there) expectNew(name, at, path, 'would write and read');
    }
}
