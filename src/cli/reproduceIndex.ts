import { join } from 'node:path';
import { isThere } from '../io/folders.js';
import { check } from '../errors.js';
import type { Statement } from '../experiments/types.js';
import { readJson } from '../io/read.js';

/** The file beside `index.html` that later runs read, so that the page keeps the experiments of earlier ones. */
export const indexFile = 'experiments.json';

/** What the index says about an experiment that was run into its folder. */
export interface IndexEntry {
  readonly name: string;
  readonly summary: string;
  readonly seconds: number;
  /** Options in words. */
  readonly options: readonly (readonly [string, string])[];
  readonly statements: readonly Statement[];
}

const isText = (value: unknown): value is string => typeof value === 'string';
const verdicts: readonly unknown[] = ['holds', 'fails', 'open', 'note'] satisfies Statement['verdict'][];

function isEntry(value: unknown): value is IndexEntry {
  if (typeof value !== 'object' || value === null) return false;
  const { name, summary, seconds, options, statements } = value as Record<string, unknown>;
  const isOption = (each: unknown): boolean => Array.isArray(each) && each.length === 2 && each.every(isText);
  const isStatement = (each: unknown): boolean => {
    const { verdict, text } = (each ?? {}) as Record<string, unknown>;
    return verdicts.includes(verdict) && isText(text);
  };
  return (
    isText(name) &&
    /^[\w-]+$/.test(name) &&
    isText(summary) &&
    typeof seconds === 'number' &&
    Array.isArray(options) &&
    options.every(isOption) &&
    Array.isArray(statements) &&
    statements.every(isStatement)
  );
}

/** The experiments that earlier runs left in a folder. Throws `bad-file` where their list is not one. */
export async function earlierEntries(folder: string): Promise<readonly IndexEntry[]> {
  const path = join(folder, indexFile);
  if (!(await isThere(path))) return [];
  const found = await readJson(path, 64 * 1024 * 1024);
  check(Array.isArray(found) && found.every(isEntry), 'bad-file', `${path} is not a list of experiments`, path);
  return found;
}

/** Entries with those of this run in the place of earlier ones of the same name. */
export const mergedEntries = (earlier: readonly IndexEntry[], now: readonly IndexEntry[]): readonly IndexEntry[] => [
  ...now,
  ...earlier.filter(({ name }) => !now.some((each) => each.name === name)),
];
