import { check } from '../../errors.js';
import { quotedPath } from '../../quote.js';
import { firstBytes, readRange, withRegularFile } from '../read.js';
import { findState, withoutPrefixes } from './containers.js';
import { toFloat32, torchItemBytes } from './dtypes.js';
import type { TorchDtype } from './dtypes.js';
import { readLegacy } from './legacy.js';
import type { TensorReference } from './objects.js';
import { quoted } from './quote.js';
import { readZip } from './records.js';
import type { TorchFile } from './records.js';
import { refuseOtherFormats } from './sniff.js';

export type { TorchDtype } from './dtypes.js';

/** A tensor of a PyTorch file. */
export interface TorchTensor {
  /** Row-major shape; `[]` is a scalar. */
  readonly shape: readonly number[];
  /** The element type in the file. */
  readonly dtype: TorchDtype;
  /** The elements in row-major order as float32, rounded to nearest even; true is 1. */
  readonly data: Float32Array;
  /** The elements in row-major order as the file has them: little-endian, exact. */
  readonly bytes: Uint8Array;
}

/** Options of {@link readTorch}. */
export interface ReadTorchOptions {
  /** Key of the outermost dictionary that holds the weights, where the file has several sets, such as `ema`. */
  readonly key?: string;
}

/** Views may repeat elements (`expand`); all tensors together may have this many more bytes than their storages. */
const MAX_REPEATED = 256 * 1024 * 1024;

/** Bytes of the largest file of the old format, which is read whole. */
const MAX_LEGACY = 2 * 1024 ** 3;

/**
 * Reads the state dict of a PyTorch file (`torch.save`; `.pth`, `.pt`, `.ckpt`, `.pth.tar`; the zip and the legacy
 * format). Containers such as `state_dict` and prefixes such as `module.` are removed.
 *
 * The pickle inside is read by an unpickler that knows tensors, dictionaries, numbers and text; no class is looked up
 * and nothing is called, so a malicious file can do no more than be refused.
 *
 * @param pathOrBytes path of a regular file, or its content
 * @returns tensors by name, in the order of the file
 * @throws LinbpError `missing-file` when there is no such file; `bad-file` for anything else that is not a state dict:
 * whole pickled modules, TorchScript, sparse, quantized and complex tensors, damaged and malicious files
 */
export async function readTorch(
  pathOrBytes: string | Uint8Array,
  options: ReadTorchOptions = {},
): Promise<Map<string, TorchTensor>> {
  const file = await openTorch(pathOrBytes);
  try {
    const { tensors } = findState(file.value, file.source, options.key);
    checkSizes(tensors, file.source);
    const read = new Map<string, TorchTensor>();
    for (const [name, tensor] of withoutPrefixes(tensors)) {
      const { dtype } = tensor.storage;
      const bytes = contiguous(await file.storage(tensor.storage), tensor);
      read.set(name, { shape: tensor.shape, dtype, data: toFloat32(bytes, dtype), bytes });
    }
    return read;
  } finally {
    file.close();
  }
}

async function openTorch(pathOrBytes: string | Uint8Array): Promise<TorchFile> {
  if (pathOrBytes instanceof Uint8Array) {
    const format = refuseOtherFormats(pathOrBytes.subarray(0, 1024), pathOrBytes.length, '(bytes)');
    return format === 'zip' ? readZip(pathOrBytes, '(bytes)') : readLegacy(pathOrBytes, '(bytes)');
  }
  const legacy = await withRegularFile(pathOrBytes, async ({ handle, size }) => {
    const format = refuseOtherFormats(await firstBytes(handle, 1024), size, pathOrBytes);
    if (format !== 'legacy') return undefined;
    // Legacy files are older than large networks; their storages lie behind each other, so all is read.
    const message = `${quotedPath(pathOrBytes)} has ${size} bytes, expected at most ${MAX_LEGACY}`;
    check(size <= MAX_LEGACY, 'bad-file', message, pathOrBytes);
    return readRange(handle, 0, size, pathOrBytes);
  });
  return legacy === undefined ? readZip(pathOrBytes, pathOrBytes) : readLegacy(new Uint8Array(legacy), pathOrBytes);
}

/** Refuses, before any storage is read, tensors that would take far more memory than the file's storages. */
function checkSizes(tensors: ReadonlyMap<string, TensorReference>, source: string): void {
  const storages = new Map<string, number>();
  let total = 0;
  for (const [name, tensor] of tensors) {
    const { key, dtype, count } = tensor.storage;
    storages.set(key, Math.max(storages.get(key) ?? 0, count * torchItemBytes[dtype]));
    const bytes = tensor.shape.reduce((product, length) => product * length, torchItemBytes[dtype]);
    total += bytes;
    check(Number.isSafeInteger(bytes), 'bad-file', `${source}: tensor ${quoted(name)} is too large`, source);
  }
  const stored = [...storages.values()].reduce((sum, bytes) => sum + bytes, 0);
  check(
    total <= stored + MAX_REPEATED,
    'bad-file',
    `${source}: its tensors claim ${total} bytes of storages of ${stored}`,
    source,
  );
}

/** The elements of a view in row-major order. */
function contiguous(storage: Uint8Array, tensor: TensorReference): Uint8Array {
  const item = torchItemBytes[tensor.storage.dtype];
  const { shape, strides } = tensor;
  const base = tensor.storage.offset + tensor.offset;
  const count = shape.reduce((product, length) => product * length, 1);
  if (isRowMajor(shape, strides)) return storage.slice(base * item, (base + count) * item);
  const bytes = new Uint8Array(count * item);
  const index = shape.map(() => 0);
  let from = base;
  for (let to = 0; to < count; to++) {
    for (let k = 0; k < item; k++) bytes[to * item + k] = storage[from * item + k]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return bytes;
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}
