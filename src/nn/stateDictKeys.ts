import { check } from '../errors.js';
import type { ModelDefinition } from './definition.js';

/** A tensor of a file, with its values. */
interface Entry {
  readonly shape: readonly number[];
  readonly values: () => Promise<Float32Array>;
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

const plainKey = (stored: string): string => stored.replace(/^((module|model)\.)+/, '');

/** The entry of what a network has besides its weights that a stored name means. */
function besideOf(besides: NonNullable<ModelDefinition['besides']>, stored: string): string | undefined {
  const key = plainKey(stored);
  return Object.keys(besides).find((each) => key === each || (each.endsWith('.') && key.startsWith(each)));
}

/** Drops what files of a network have besides its weights, without looking at its values. */
export function withoutBesides<T>({ besides }: ModelDefinition, entries: ReadonlyMap<string, T>): Map<string, T> {
  if (besides === undefined) return new Map(entries);
  const rest = [...entries].filter(([stored]) => besideOf(besides, stored) === undefined);
  return new Map(rest.map(([stored, value]) => [plainKey(stored), value]));
}

/**
 * {@link withoutBesides}. Throws `bad-file` where they hold other values than those that the network has built in: it
 * would compute something else.
 */
export async function withoutSameBesides<T extends Entry>(
  definition: ModelDefinition,
  entries: ReadonlyMap<string, T>,
  path: string,
): Promise<Map<string, T>> {
  const { name, besides = {} } = definition;
  for (const [stored, value] of entries) {
    const found = besideOf(besides, stored);
    const expected = found === undefined ? null : besides[found]!;
    const given = expected === null ? undefined : await value.values();
    check(
      given === undefined ||
        (given.length === expected!.length && given.every((x, i) => Math.abs(x - expected![i]!) < 1e-4)),
      'bad-file',
      `${path}: ${plainKey(stored)} is ${given?.slice(0, 3).join(', ')}, ${name} has ${expected?.join(', ')}`,
      'weights',
    );
  }
  return withoutBesides(definition, entries);
}
