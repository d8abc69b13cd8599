import { realpath } from 'node:fs/promises';
import { devNull } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { check } from '../errors.js';
import { kebab } from './options.js';
import type { OptionTable } from './options.js';

/** Paths in the value of an option. */
type Paths = (value: string) => readonly string[];

const one: Paths = (value) => [value];
/** Networks and weights of `M=W,..`. */
const networks: Paths = (value) => value.split(',').flatMap((pair) => pair.split(/=(.*)/s, 2));

/**
 * Every option whose value has paths of files: what a verb writes, and what it only reads. Folders of data and stores
 * of jobs are shared by their nature; `train --resume FILE` and `tune --among` go on with the files that they name.
 */
export const pathOptions: Readonly<Record<string, { readonly writes?: Paths; readonly reads?: Paths } | 'shared'>> = {
  ...{ json: { writes: one }, csv: { writes: one }, dot: { writes: one }, html: { writes: one } },
  ...{ trace: { writes: one }, out: { writes: one } },
  ...{ weights: { reads: one }, inputs: { reads: one }, input: { reads: one }, file: { reads: one } },
  ...{ images: { reads: one }, classNames: { reads: one }, model: { reads: one }, dataset: { reads: one } },
  ...{ victims: { reads: networks }, sources: { reads: networks } },
  ...{ data: 'shared', store: 'shared', peers: 'shared', resume: 'shared', among: 'shared' },
};

/** What a path leads to through links, as far as there is something. */
async function place(path: string): Promise<{ readonly path: string; readonly there: boolean }> {
  const whole = resolve(path);
  try {
    return { path: await realpath(whole), there: true };
  } catch {
    const above = await realpath(dirname(whole)).catch(() => dirname(whole));
    return { path: join(above, basename(whole)), there: false };
  }
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
      if (path === devNull) continue;
      const at = path === '-' ? path : (await place(path)).path;
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
