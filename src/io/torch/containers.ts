import { LinbpError } from '../../errors.js';
import { TensorReference } from './objects.js';
import { PickleDict } from './pickle.js';
import { quoted } from './quote.js';

/** Keys under which training scripts keep the state dict, the more usual first. */
const containers = [
  'state_dict',
  'model_state_dict',
  'model_state',
  'model',
  'net',
  'network',
  'ema',
  'model_ema',
  'state_dict_ema',
  'ema_state_dict',
  'params_ema',
  'params',
  'weights',
  'module',
  'classifier',
  'backbone',
  'last',
  'best',
] as const;

/** What wrappers put before every key: DataParallel, `torch.compile`, Lightning. */
const prefixes = ['module.', '_orig_mod.', 'model.'] as const;

/** A state dict by its keys as the file has them, with what was found around it. */
export interface FoundState {
  readonly tensors: ReadonlyMap<string, TensorReference>;
  /** Keys that led to it, such as `['state_dict']`. */
  readonly path: readonly string[];
}

/**
 * Finds the state dict in what a file holds.
 *
 * @param wanted a key of the outermost dictionary, where the caller knows which of several sets of weights it wants
 * @throws LinbpError `bad-file`
 */
export function findState(value: unknown, source: string, wanted: string | undefined): FoundState {
  const fail = (what: string): never => {
    throw new LinbpError('bad-file', `${source}: ${what}`, { field: source });
  };
  if (value instanceof TensorReference) return fail('holds one tensor without a name, not a state dict');
  if (Array.isArray(value)) return fail('holds a list, not a state dict');
  if (!(value instanceof PickleDict)) return fail('does not hold a state dict');
  const seen = new Set<PickleDict>();
  const path: string[] = [];
  let current = value;
  while (!seen.has(current)) {
    seen.add(current);
    const next = step(current, path.length === 0 ? wanted : undefined, fail);
    if (next === undefined) break;
    path.push(next.key);
    current = next.dictionary;
  }
  const tensors = new Map<string, TensorReference>();
  for (const [key, item] of current.entries)
    if (typeof key === 'string' && item instanceof TensorReference) tensors.set(key, item);
  if (tensors.size === 0) return fail(`holds no tensors${path.length > 0 ? ` under ${path.join('.')}` : ''}`);
  return { tensors, path };
}

function step(
  dictionary: PickleDict,
  wanted: string | undefined,
  fail: (what: string) => never,
): { key: string; dictionary: PickleDict } | undefined {
  const inner = new Map<string, PickleDict>();
  for (const [key, item] of dictionary.entries)
    if (typeof key === 'string' && item instanceof PickleDict) inner.set(key, item);
  if (wanted !== undefined) {
    const chosen = inner.get(wanted);
    if (chosen === undefined)
      fail(`has no dictionary under ${quoted(wanted)}; it has ${[...inner.keys()].map(quoted).join(', ') || 'none'}`);
    return { key: wanted, dictionary: chosen! };
  }
  const key = containers.find((name) => {
    const found = inner.get(name);
    return found !== undefined && holdsTensors(found);
  });
  return key === undefined ? undefined : { key, dictionary: inner.get(key)! };
}

/** Whether a dictionary holds tensors, directly or under one of the usual keys. */
function holdsTensors(dictionary: PickleDict, depth = 0): boolean {
  for (const item of dictionary.entries.values()) if (item instanceof TensorReference) return true;
  if (depth >= 4) return false;
  return containers.some((name) => {
    const inner = dictionary.entries.get(name);
    return inner instanceof PickleDict && holdsTensors(inner, depth + 1);
  });
}

/** Removes what wrappers put before every key; `n_averaged` is the counter of `torch.optim.swa_utils`. */
export function withoutPrefixes<T>(entries: ReadonlyMap<string, T>): Map<string, T> {
  let names = [...entries.keys()].filter((name) => name !== 'n_averaged');
  let cut = '';
  for (;;) {
    const prefix = prefixes.find((candidate) => names.every((name) => name.startsWith(candidate)));
    if (prefix === undefined || names.length === 0) break;
    cut += prefix;
    names = names.map((name) => name.slice(prefix.length));
  }
  if (cut === '') return new Map(entries);
  const plain = new Map<string, T>();
  for (const [name, value] of entries) if (name !== 'n_averaged') plain.set(name.slice(cut.length), value);
  return plain;
}
