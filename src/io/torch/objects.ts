import { LinbpError } from '../../errors.js';
import { isTorchDtype, storageDtypes } from './dtypes.js';
import type { TorchDtype } from './dtypes.js';
import { PickleDict, PickleGlobal, PickleOpaque, PickleTuple } from './pickle.js';
import type { PickleCall, PickleHost } from './pickle.js';
import { quoted } from './quote.js';

/** A storage that a file mentions: its elements are read later, under this key. */
export interface StorageReference {
  readonly key: string;
  readonly dtype: TorchDtype;
  /** Elements. */
  readonly count: number;
  /** Legacy files: the first element in the storage of that key, of which this one is a part. */
  readonly offset: number;
}

/** A tensor that a file mentions: a strided view of a storage. */
export class TensorReference {
  constructor(
    readonly storage: StorageReference,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/** Calls that PyTorch's own `torch.save` writes for the state dict of a plain network. */
const known: Readonly<Record<string, (loader: TorchObjects, args: readonly unknown[]) => unknown>> = {
  'torch._utils._rebuild_tensor': (loader, args) => loader.tensor(args),
  'torch._utils._rebuild_tensor_v2': (loader, args) => loader.tensor(args),
  'torch._utils._rebuild_tensor_v3': (loader, args) => loader.tensor(args, args[6]),
  'torch._utils._rebuild_parameter': (_loader, args) => args[0],
  'torch._utils._rebuild_parameter_with_state': (_loader, args) => args[0],
  'collections.OrderedDict': (loader, args) => loader.dictionary(args),
  'torch.Size': (_loader, args) => args[0],
};

/** Harmless companions of weights in checkpoints of training scripts: read past, never built. */
const opaque = new Set([
  'argparse.Namespace',
  'builtins.set',
  '__builtin__.set',
  'builtins.slice',
  'collections.Counter',
  'collections.defaultdict',
  'datetime.datetime',
  'numpy.core.multiarray.scalar',
  'numpy.core.multiarray._reconstruct',
  'numpy._core.multiarray.scalar',
  'numpy._core.multiarray._reconstruct',
  'numpy.dtype',
  'numpy.ndarray',
  'pathlib.PosixPath',
  'pathlib.WindowsPath',
  'torch.device',
  '_codecs.encode',
]);

const advice =
  'save the weights alone with torch.save(model.state_dict(), FILE), or the whole network with torch.onnx.export(...)';

/**
 * What pickles of PyTorch may hold: dictionaries, numbers, strings and tensors. Every other name is refused; none is
 * looked up or called.
 */
export class TorchObjects implements PickleHost {
  /** Storages in the order in which they are mentioned. */
  readonly storages = new Map<string, StorageReference>();

  constructor(private readonly source: string) {}

  fail(what: string): never {
    throw new LinbpError('bad-file', `${this.source}: ${what}`, { field: this.source });
  }

  allow(global: PickleGlobal): void {
    const { module, name, path } = global;
    if (Object.hasOwn(known, path) || opaque.has(path)) return;
    if (module === 'torch' && (Object.hasOwn(storageDtypes, name) || isTorchDtype(name))) return;
    if (path === 'torch.storage.UntypedStorage' || path === 'torch.storage.TypedStorage') return;
    const shown = quoted(path);
    if (/^torch\._utils\._rebuild_|^torch\._tensor\._rebuild|Tensor$/.test(path))
      this.fail(`holds a tensor of a kind that cannot be read (${shown}); only dense, unquantized tensors can`);
    if (module === 'torch' && /Storage$|^(complex|q)/.test(name))
      this.fail(`holds tensors of an element type that cannot be read (${shown})`);
    if (/^(posix|nt|os|sys|subprocess|builtins|__builtin__|runpy|shutil|socket|importlib)(\.|$)/.test(module))
      this.fail(`the pickle asks for ${shown}, which no file of weights needs: it may be malicious; nothing was run`);
    this.fail(`holds an object of the class ${shown}, not only tensors; linbp never runs code from a file: ${advice}`);
  }

  call({ global, args }: PickleCall): unknown {
    const make = known[global.path];
    if (make !== undefined) return make(this, args);
    if (opaque.has(global.path)) return new PickleOpaque(global.path);
    return this.fail(`the pickle calls ${quoted(global.path)}, which cannot be read`);
  }

  persistent(id: unknown): unknown {
    const items = id instanceof PickleTuple ? id.items : [];
    if (items[0] === 'module') return this.fail(`holds a whole network with its source code: ${advice}`);
    const [kind, type, key, , count, view] = items;
    const keyed = typeof key === 'string' || typeof key === 'number';
    if (kind !== 'storage' || !(type instanceof PickleGlobal) || !keyed || !isCount(count))
      return this.fail('a storage is described in a way that cannot be read');
    const name = type.name === 'UntypedStorage' ? 'ByteStorage' : type.name;
    const dtype = storageDtypes[name];
    if (dtype === undefined)
      return this.fail(`holds tensors of an element type that cannot be read (${quoted(type.path)})`);
    return this.mention(String(key), dtype, count, view);
  }

  private mention(key: string, dtype: TorchDtype, count: number, view: unknown): StorageReference {
    const before = this.storages.get(key);
    if (before !== undefined && (before.dtype !== dtype || before.count !== count))
      this.fail(`storage ${quoted(key)} is described in two ways`);
    const storage = before ?? { key, dtype, count, offset: 0 };
    this.storages.set(key, storage);
    if (!(view instanceof PickleTuple)) return storage;
    const [, offset, size] = view.items;
    if (!isCount(offset) || !isCount(size) || offset + size > count)
      return this.fail(`a part of storage ${quoted(key)} lies outside of it`);
    return { key, dtype, count: size, offset };
  }

  dictionary(args: readonly unknown[]): PickleDict {
    const dictionary = new PickleDict();
    const pairs: readonly unknown[] = Array.isArray(args[0]) ? args[0] : [];
    for (const pair of pairs) {
      const items = pair instanceof PickleTuple ? pair.items : Array.isArray(pair) ? (pair as unknown[]) : [];
      if (items.length !== 2) this.fail('an OrderedDict that cannot be read');
      dictionary.entries.set(items[0], items[1]);
    }
    return dictionary;
  }

  tensor(args: readonly unknown[], dtype?: unknown): TensorReference {
    const [storage, offset, size, stride] = args;
    const shape = counts(size);
    const strides = counts(stride);
    if (!isStorage(storage) || !isCount(offset) || shape === undefined || shape.length !== strides?.length)
      return this.fail('a tensor is described in a way that cannot be read');
    const typed = dtype instanceof PickleGlobal ? this.retyped(storage, dtype) : storage;
    const empty = shape.includes(0);
    const last = shape.reduce((sum, length, axis) => sum + (length - 1) * strides[axis]!, offset);
    if (!empty && !(last < typed.count))
      this.fail(
        `a tensor of shape [${shape.join(', ')}] claims element ${last} of a storage of ${typed.count} elements`,
      );
    return new TensorReference(typed, offset, shape, strides);
  }

  /** `_rebuild_tensor_v3` names the element type beside a storage of bytes. */
  private retyped(storage: StorageReference, dtype: PickleGlobal): StorageReference {
    if (!isTorchDtype(dtype.name))
      return this.fail(`holds tensors of an element type that cannot be read (${quoted(dtype.path)})`);
    const bytes = { uint16: 2, uint32: 4, uint64: 8 } as Readonly<Record<string, number>>;
    const item = bytes[dtype.name];
    if (item === undefined || storage.dtype !== 'uint8') return this.fail('a tensor of two element types');
    return { ...storage, dtype: dtype.name, count: Math.floor(storage.count / item) };
  }
}

function isStorage(value: unknown): value is StorageReference {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'count' in value;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function counts(value: unknown): number[] | undefined {
  const items = value instanceof PickleTuple ? value.items : Array.isArray(value) ? (value as unknown[]) : undefined;
  return items?.every(isCount) === true && items.length <= 16 ? (items as number[]) : undefined;
}
