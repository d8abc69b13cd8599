import { LinbpError } from '../../errors.js';
import { torchItemBytes } from './dtypes.js';
import { TorchObjects } from './objects.js';
import { PickleDict } from './pickle.js';
import { readPickle } from './pickle.js';
import { quoted } from './quote.js';
import type { TorchFile } from './records.js';

/** What a legacy file begins with: `torch.serialization.MAGIC_NUMBER`, as an integer. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/**
 * Reads the format of PyTorch before 1.6 (`_use_new_zipfile_serialization=False`): pickles of a magic number, the
 * protocol, facts about the machine, the saved object and the storages' keys, then each storage's count and bytes.
 */
export function readLegacy(bytes: Uint8Array, source: string): TorchFile {
  const objects = new TorchObjects(source);
  const fail = (what: string): never => {
    throw new LinbpError('bad-file', `${source}: ${what}`, { field: source });
  };
  let position = 0;
  const next = (): unknown => {
    const { value, end } = readPickle(bytes, objects, source, position);
    position = end;
    return value;
  };
  if (next() !== MAGIC) fail('a bare pickle, not a PyTorch file');
  const protocol = next();
  if (protocol !== PROTOCOL) fail(`legacy protocol ${quoted(String(protocol))}, expected ${PROTOCOL}`);
  const system = next();
  const little = system instanceof PickleDict ? system.entries.get('little_endian') : undefined;
  if (little !== true) fail('written on a big-endian machine, or damaged');
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) return fail('the list of storages is missing');
  const storages = locate(bytes, position, keys as unknown[], objects, fail);
  return {
    source,
    value,
    storage: ({ key }) => Promise.resolve(storages.get(key) ?? fail(`storage ${quoted(key)} is missing`)),
    close: () => {},
  };
}

function locate(
  bytes: Uint8Array,
  start: number,
  keys: readonly unknown[],
  objects: TorchObjects,
  fail: (what: string) => never,
): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const storages = new Map<string, Uint8Array>();
  let position = start;
  for (const key of keys) {
    const storage = typeof key === 'string' ? objects.storages.get(key) : undefined;
    if (storage === undefined) return fail('a storage that no tensor uses');
    if (position + 8 > bytes.length) return fail(`ends before storage ${quoted(storage.key)}`);
    const count = view.getBigInt64(position, true);
    const length = storage.count * torchItemBytes[storage.dtype];
    if (count !== BigInt(storage.count))
      return fail(`storage ${quoted(storage.key)} holds ${count} elements, its tensors say ${storage.count}`);
    position += 8;
    if (length > bytes.length - position)
      return fail(
        `ends within storage ${quoted(storage.key)}: ${length} bytes are needed, ${bytes.length - position} left`,
      );
    storages.set(storage.key, bytes.subarray(position, position + length));
    position += length;
  }
  return storages;
}
