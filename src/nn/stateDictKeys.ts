import { check } from '../errors.js';
import type { ModelDefinition } from './definition.js';

/** A tensor of a file, with its values where they can be read. */
interface Entry {
  readonly shape: readonly number[];
  readonly values?: () => Float32Array;
}

/** Drops what PyTorch adds around a state dict: a `module.` prefix on every key, and `num_batches_tracked`. */
export function plainKeys<T>(entries: ReadonlyMap<string, T>): Map<string, T> {
  const names = [...entries.keys()];
  const prefixed = names.length > 0 && names.every((name) => name.startsWith('module.'));
  const plain = new Map<string, T>();
  for (const [name, value] of entries) {
    const key = prefixed ? name.slice('module.'.length) : name;
    if (!key.endsWith('num_batches_tracked')) plain.set(key, value);
  }
  return plain;
}

/**
 * Drops what files of a network have besides its weights. Throws `bad-file` where they hold other values than those
 * that the network has built in: it would compute something else.
 */
export function withoutBesides<T extends Entry>(
  { name, besides }: ModelDefinition,
  entries: ReadonlyMap<string, T>,
  path: string,
): Map<string, T> {
  if (besides === undefined) return new Map(entries);
  const rest = new Map<string, T>();
  for (const [stored, value] of entries) {
    const key = stored.replace(/^((module|model)\.)+/, '');
    const found = Object.keys(besides).find((each) => key === each || (each.endsWith('.') && key.startsWith(each)));
    if (found === undefined) rest.set(key, value);
    const expected = found === undefined ? null : besides[found]!;
    const given = expected === null ? undefined : value.values?.();
    check(
      given === undefined ||
        (given.length === expected!.length && given.every((x, i) => Math.abs(x - expected![i]!) < 1e-4)),
      'bad-file',
      `${path}: ${key} is ${given?.slice(0, 3).join(', ')}, ${name} has ${expected?.join(', ')}`,
      'weights',
    );
  }
  return rest;
}
