import { expectBytes, expectMembers, expectObject } from '../arguments.js';
import { LinbpError, check } from '../errors.js';
import { writeFileAtomic } from './atomic.js';
import { decodeBfloat16, decodeHalf } from './half.js';
import { quotedName, quotedPath, quotedValue } from '../quote.js';
import { readRange, withRegularFile } from './read.js';
import { parseSafetensorsHeader, safetensorsItemBytes } from './safetensorsHeader.js';
import type { SafetensorsDtype, SafetensorsHeaderEntry } from './safetensorsHeader.js';

export type { SafetensorsDtype } from './safetensorsHeader.js';

/** What the header of a safetensors file says of a tensor. */
export interface SafetensorsEntry {
  /** Key in the file. */
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  /** Row-major shape; `[]` is a scalar. */
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/** One tensor of a safetensors file, in memory. */
export interface SafetensorsTensor extends SafetensorsEntry {
  /** The little-endian bytes: a view, not necessarily aligned. */
  readonly data: Uint8Array;
}

/** One tensor of a safetensors file on disk. */
export interface StoredTensor extends SafetensorsEntry {
  /**
   * The tensor with its bytes. Of a large file they are read at the first call, and kept.
   *
   * @throws LinbpError `missing-file`; `bad-file` where the file changed after it was opened
   */
  read(): Promise<SafetensorsTensor>;
}

/**
 * A safetensors file.
 *
 * @typeParam T its tensors: on disk, where the file was read, in memory where its content was decoded
 */
export interface SafetensorsFile<T extends SafetensorsEntry = StoredTensor> {
  /** The `__metadata__` entry, empty if there is none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Tensors by key, in the header's order. */
  readonly tensors: ReadonlyMap<string, T>;
  /** The path, or `(bytes)`. */
  readonly source: string;
}

/**
 * A tensor to be written: `dtype` follows from the array's type unless the data are raw bytes (`Uint8Array`) of
 * another dtype.
 */
export interface TensorToWrite {
  readonly shape: readonly number[];
  readonly data:
    | Float32Array
    | Float64Array
    | Int8Array
    | Int16Array
    | Int32Array
    | Uint16Array
    | Uint32Array
    | BigInt64Array
    | BigUint64Array
    | Uint8Array;
  readonly dtype?: SafetensorsDtype;
}

/**
 * The reference implementation allows 100 MB; parsed, such a header takes gigabytes. 16 MiB name 100,000 tensors.
 */
const MAX_HEADER = 16 * 1024 * 1024;

/**
 * Files up to this size are read at once; of larger ones only the header, and each tensor when it is first asked for.
 */
const EAGER_BYTES = 64 * 1024 * 1024;

/**
 * Reads a safetensors file (8-byte little-endian header length, JSON header, raw little-endian data).
 *
 * The header is trusted in nothing: lengths, offsets, shapes, dtypes and duplicate keys are all checked, and the
 * tensors must cover the data exactly, without gaps or overlaps.
 *
 * @throws LinbpError `missing-file` when there is no such file; `bad-file` naming the file and the tensor for
 * anything malformed; `bad-argument` for bytes
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const message = 'readSafetensors takes the path of a file; decodeSafetensors takes its bytes';
  check(typeof path === 'string', 'bad-argument', message, 'path');
  return withRegularFile(path, async ({ handle, size, version }) => {
    if (size <= EAGER_BYTES) return stored(decodeSafetensors(await readRange(handle, 0, size, path), path));
    const length = headerLength(await readRange(handle, 0, 8, path), size, path);
    const { metadata, entries } = parseSafetensorsHeader(
      await readRange(handle, 8, length, path),
      size - 8 - length,
      path,
    );
    const read = ({ name, begin, end }: SafetensorsHeaderEntry): Promise<Uint8Array> =>
      withRegularFile(path, (again) => {
        const message = `${quotedPath(path)} changed after it was opened; tensor ${quotedName(name)} cannot be read`;
        check(again.version === version, 'bad-file', message, path);
        return readRange(again.handle, 8 + length + begin, end - begin, path);
      });
    return { metadata, tensors: byName(entries, (entry) => readOnce(entry, read)), source: path };
  });
}

/**
 * Float32 values of a tensor, as a fresh array in row-major order. F16 and BF16 are exact, F64 and wide integers round.
 *
 * @throws LinbpError `bad-dtype` for dtypes without a conversion (F8 and unsigned 64-bit); `bad-range` for finite
 * values that float32 would make infinite
 */
export function tensorAsFloat32(tensor: SafetensorsTensor): Float32Array {
  expectMembers(tensor, 'tensor', { dtype: 'text', data: 'list' });
  if (tensor.dtype === 'F16') return decodeHalf(tensor.data);
  if (tensor.dtype === 'BF16') return decodeBfloat16(tensor.data);
  const exact = numbers(tensor);
  const values = Float32Array.from(exact);
  if (tensor.dtype === 'F64') {
    const lost = values.findIndex((value, i) => !Number.isFinite(value) && Number.isFinite(exact[i]!));
    check(
      lost < 0,
      'bad-range',
      `tensor ${tensor.name}: value ${exact[lost]} at ${lost} does not fit in float32`,
      tensor.name,
    );
  }
  return values;
}

/**
 * The values of an integer tensor (I8 to I64, U8, U16, BOOL), for instance labels, as a fresh array.
 *
 * @throws LinbpError `bad-dtype` for other dtypes; `bad-range` when a value does not fit in 32 bits
 */
export function tensorAsInt32(tensor: SafetensorsTensor): Int32Array {
  expectMembers(tensor, 'tensor', { dtype: 'text', data: 'list' });
  check(
    /^(I(8|16|32|64)|U(8|16|32)|BOOL)$/.test(tensor.dtype),
    'bad-dtype',
    `tensor ${quotedName(tensor.name)}: expected integers, got ${tensor.dtype}`,
    tensor.name,
  );
  const values = numbers(tensor);
  const result = new Int32Array(values.length);
  for (let i = 0; i < result.length; i++) {
    const value = values[i]!;
    check(
      (value | 0) === value,
      'bad-range',
      `tensor ${quotedName(tensor.name)}: value ${value} at ${i} does not fit in 32 bits`,
      tensor.name,
    );
    result[i] = value;
  }
  return result;
}

/**
 * Writes a safetensors file atomically. PyTorch's `safetensors.torch.load_file` reads it as it is.
 *
 * Wider dtypes come first (otherwise in the order given), and the header is padded with spaces to a multiple of 8
 * bytes, so every tensor is aligned. The same tensors give the same bytes. Their arrays must stay as they are until the
 * promise is settled.
 *
 * @throws LinbpError `bad-shape` when a shape and its data disagree; `bad-argument` for the key `__metadata__` and for
 * metadata that are no strings, which no reader takes; `limit-exceeded` for a header of more than 16 MiB;
 * `not-writable`
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorToWrite> | Readonly<Record<string, TensorToWrite>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomic(path, encodeSafetensors(tensors, metadata));
}

/**
 * The bytes that {@link writeSafetensors} writes, as pieces in order: length and header, then the data of each tensor,
 * which are views of the arrays given, not copies.
 *
 * @param tensors by name; a shape [] is a scalar, and the dtype follows from the array's type unless given
 * @param metadata strings by name, stored as `__metadata__`; left out of the header if empty
 * @throws LinbpError as {@link writeSafetensors}, except `not-writable`
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorToWrite> | Readonly<Record<string, TensorToWrite>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  expectObject(tensors, 'tensors');
  expectObject(metadata, 'metadata');
  for (const [key, value] of Object.entries<unknown>(metadata)) {
    const message = `metadata ${quotedName(key)} must be a string, got ${quotedValue(value)}`;
    check(typeof value === 'string', 'bad-argument', message, 'metadata');
  }
  const given: Iterable<[string, TensorToWrite]> =
    tensors instanceof Map
      ? (tensors as ReadonlyMap<string, TensorToWrite>)
      : Object.entries(tensors as Readonly<Record<string, TensorToWrite>>);
  const entries = [...given].map(([name, tensor]) => {
    check(name !== '__metadata__', 'bad-argument', 'a tensor cannot be called __metadata__', name);
    expectMembers(tensor, name, { shape: 'list', data: 'list' });
    const dtype = tensor.dtype ?? dtypeOf(tensor.data);
    const bytes = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    const expected = tensor.shape.reduce((product, size) => product * size, 1) * safetensorsItemBytes[dtype];
    check(
      tensor.shape.every((size) => Number.isSafeInteger(size) && size >= 0) && expected === bytes.length,
      'bad-shape',
      `tensor ${name}: shape [${tensor.shape.join(', ')}] of ` +
        `${dtype} needs ${expected} bytes, the data have ${bytes.length}`,
      name,
    );
    return { name, dtype, shape: tensor.shape, bytes };
  });
  entries.sort((a, b) => safetensorsItemBytes[b.dtype] - safetensorsItemBytes[a.dtype]);
  // Built by hand, since an object literal would reorder keys that look like integers and lose `__proto__`.
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let offset = 0;
  for (const { name, dtype, shape, bytes } of entries) {
    const end = offset + bytes.length;
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const json = Buffer.from(`{${fields.join(',')}}`, 'utf8');
  // What readSafetensors would refuse is not written.
  check(
    json.length <= MAX_HEADER,
    'limit-exceeded',
    `the names and metadata of ${entries.length} tensors take ${json.length} bytes, more than ${MAX_HEADER}`,
    'metadata',
  );
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8), 0);
  json.copy(header, 8);
  return [header, ...entries.map((entry) => entry.bytes)];
}

/**
 * Decodes the content of a safetensors file, see {@link readSafetensors}.
 *
 * @param source name used in messages
 * @throws LinbpError `bad-file` naming the tensor for anything malformed
 */
export function decodeSafetensors(bytes: Uint8Array, source = '(bytes)'): SafetensorsFile<SafetensorsTensor> {
  expectBytes(bytes);
  const length = headerLength(bytes, bytes.length, source);
  const data = bytes.subarray(8 + length);
  const { metadata, entries } = parseSafetensorsHeader(bytes.subarray(8, 8 + length), data.length, source);
  const view = (entry: SafetensorsHeaderEntry): SafetensorsTensor => ({
    ...described(entry),
    data: data.subarray(entry.begin, entry.end),
  });
  return { metadata, tensors: byName(entries, view), source };
}

/** Tensors in memory behind the face of those on disk. */
const stored = ({ metadata, tensors, source }: SafetensorsFile<SafetensorsTensor>): SafetensorsFile => ({
  metadata,
  tensors: new Map(
    [...tensors].map(([key, tensor]) => {
      const { name, dtype, shape, byteLength } = tensor;
      return [key, { name, dtype, shape, byteLength, read: () => Promise.resolve(tensor) }];
    }),
  ),
  source,
});

/** A tensor whose bytes are read when they are first asked for, and again after a failure. */
function readOnce(
  entry: SafetensorsHeaderEntry,
  read: (entry: SafetensorsHeaderEntry) => Promise<Uint8Array>,
): StoredTensor {
  let reading: Promise<SafetensorsTensor> | undefined;
  const begin = async (): Promise<SafetensorsTensor> => {
    try {
      return { ...described(entry), data: await read(entry) };
    } catch (error) {
      reading = undefined;
      throw error;
    }
  };
  return { ...described(entry), read: () => (reading ??= begin()) };
}

const described = ({ name, dtype, shape, begin, end }: SafetensorsHeaderEntry): SafetensorsEntry => ({
  name,
  dtype,
  shape,
  byteLength: end - begin,
});

const byName = <T>(
  entries: readonly SafetensorsHeaderEntry[],
  make: (entry: SafetensorsHeaderEntry) => T,
): Map<string, T> => new Map(entries.map((entry) => [entry.name, make(entry)]));

function headerLength(bytes: Uint8Array, fileSize: number, source: string): number {
  check(
    bytes.length >= 8,
    'bad-file',
    `${quotedPath(source)}: ${fileSize} bytes are too few for a safetensors file`,
    source,
  );
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  check(
    length <= BigInt(fileSize - 8),
    'bad-file',
    `${quotedPath(source)}: header length ${length} exceeds the file (${fileSize} bytes)`,
    source,
  );
  const most = BigInt(MAX_HEADER);
  check(length <= most, 'bad-file', `${quotedPath(source)}: header length ${length} exceeds 16 MiB`, source);
  return Number(length);
}

// Typed-array constructors want aligned offsets, so the bytes are copied first.
function numbers(tensor: SafetensorsTensor): ArrayLike<number> {
  const buffer = new Uint8Array(tensor.data).buffer;
  switch (tensor.dtype) {
    case 'F32':
      return new Float32Array(buffer);
    case 'F64':
      return new Float64Array(buffer);
    case 'I8':
      return new Int8Array(buffer);
    case 'U8':
    case 'BOOL':
      return new Uint8Array(buffer);
    case 'I16':
      return new Int16Array(buffer);
    case 'U16':
      return new Uint16Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
    case 'U32':
      return new Uint32Array(buffer);
    case 'I64':
      return Array.from(new BigInt64Array(buffer), Number);
    default:
      throw new LinbpError('bad-dtype', `tensor ${quotedName(tensor.name)}: no conversion from ${tensor.dtype}`, {
        field: tensor.name,
      });
  }
}

function dtypeOf(data: TensorToWrite['data']): SafetensorsDtype {
  if (data instanceof Float32Array) return 'F32';
  if (data instanceof Float64Array) return 'F64';
  if (data instanceof Int8Array) return 'I8';
  if (data instanceof Int16Array) return 'I16';
  if (data instanceof Int32Array) return 'I32';
  if (data instanceof Uint16Array) return 'U16';
  if (data instanceof Uint32Array) return 'U32';
  if (data instanceof BigInt64Array) return 'I64';
  if (data instanceof BigUint64Array) return 'U64';
  return 'U8';
}
