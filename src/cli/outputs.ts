import { devNull } from 'node:os';
import { resolve } from 'node:path';
import { check } from '../errors.js';
import { kebab } from './options.js';
import type { OptionTable } from './options.js';

/** Options that name what a verb writes. */
const outputNames = ['json', 'csv', 'dot', 'html', 'trace', 'out'];
/** Options that name a file that a verb reads. */
const inputNames = ['weights', 'inputs', 'input', 'file', 'images', 'classNames'];

/**
 * Throws `bad-argument` where two options name one output, or where a file to write is a file to read.
 *
 * @param values as `parseOptions` returned them for this table
 */
export function expectOwnPaths(values: Readonly<Record<string, unknown>>, table: OptionTable): void {
  const named = (names: readonly string[]): [name: string, path: string][] =>
    names.flatMap((name) => {
      const value = Object.hasOwn(table, name) ? values[name] : undefined;
      if (typeof value !== 'string' || value === devNull) return [];
      return [[name, value === '-' ? value : resolve(value)]];
    });
  const seen = new Map<string, string>();
  const expectNew = (name: string, path: string, words: string): void => {
    const other = seen.get(path);
    const field = kebab(name);
    const shown = path === '-' ? 'stdout' : String(values[name]);
    check(other === undefined, 'bad-argument', `--${kebab(other ?? '')} and --${field} ${words} ${shown}`, field);
  };
  for (const [name, path] of named(outputNames)) {
    expectNew(name, path, 'both write');
    // A folder for results may be that of the weights; only files are overwritten.
    if (name !== 'out' || table[name]?.placeholder === 'FILE') seen.set(path, name);
  }
  for (const [name, path] of named(inputNames)) expectNew(name, path, 'would write and read');
}
