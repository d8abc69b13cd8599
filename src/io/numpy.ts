import { check, LinbpError } from '../errors.js';
import { decodeHalf } from './half.js';
import { quoted } from './torch/quote.js';
import { openArchive } from './torch/zip.js';

/** A NumPy array: little-endian elements in row-major order. */
export interface NumpyArray {
  readonly shape: readonly number[];
  /** As NumPy writes it without the byte order: `f4`, `u1`, `i8`, `b1` and so on. */
  readonly dtype: string;
  readonly data:
    Float32Array | Float64Array | Uint8Array | Int8Array | Int16Array | Uint16Array | Int32Array | Uint32Array;
}

const itemBytes: Readonly<Record<string, number>> = {
  f2: 2,
  f4: 4,
  f8: 8,
  u1: 1,
  i1: 1,
  b1: 1,
  u2: 2,
  i2: 2,
  u4: 4,
  i4: 4,
  i8: 8,
  u8: 8,
};

/** A `.npz` archive of more than this is refused: it must fit into memory. */
const MAX_ARRAY = 8 * 1024 ** 3;

/**
 * Reads a `.npy` file: magic, version, a header that is a Python dictionary, then the elements (NumPy's
 * `lib/format.py`, versions 1 to 3). Fortran order and big-endian elements are refused, as are objects, which would
 * be pickles.
 *
 * @param source name of the file, for messages
 * @throws LinbpError `bad-file`
 */
export function readNpy(bytes: Uint8Array, source: string): NumpyArray {
  const fail = (what: string): never => {
    throw new LinbpError('bad-file', `${source}: ${what}`, { field: source });
  };
  const magic = bytes.length >= 10 && Buffer.from(bytes.subarray(0, 6)).toString('latin1') === '\x93NUMPY';
  if (!magic) fail('not a NumPy array (.npy)');
  const version = bytes[6]!;
  if (version < 1 || version > 3) fail(`version ${version} of the format, expected 1 to 3`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = version >= 2;
  if (wide && bytes.length < 12) fail('ends within its header');
  const begin = wide ? 12 : 10;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  if (length > Math.min(bytes.length - begin, 65536)) fail(`a header of ${length} bytes`);
  const header = Buffer.from(bytes.subarray(begin, begin + length)).toString('latin1');
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  const sizes = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (descr === undefined || order === undefined || sizes === undefined)
    return fail(`a header that cannot be read: ${quoted(header.trim())}`);
  if (order === 'True') fail('in Fortran order; save it with numpy.ascontiguousarray(...)');
  const shape = sizes
    .split(',')
    .filter((size) => size.trim() !== '')
    .map(Number);
  return { shape, ...elements(bytes.subarray(begin + length), descr, shape, fail) };
}

function elements(
  bytes: Uint8Array,
  descr: string,
  shape: readonly number[],
  fail: (what: string) => never,
): Pick<NumpyArray, 'dtype' | 'data'> {
  const dtype = descr.slice(1);
  const item = itemBytes[dtype];
  const native = /^[<|=]/.test(descr);
  if (item === undefined || !native) return fail(`elements of type ${quoted(descr)} cannot be read`);
  const count = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count * item) || bytes.length !== count * item)
    return fail(`shape [${shape.join(', ')}] of ${dtype} needs ${count * item} bytes, ${bytes.length} are there`);
  const { buffer } = new Uint8Array(bytes);
  return { dtype, data: typed(dtype, buffer, fail) };
}

function typed(dtype: string, buffer: ArrayBuffer, fail: (what: string) => never): NumpyArray['data'] {
  switch (dtype) {
    case 'f2':
      return decodeHalf(new Uint8Array(buffer));
    case 'f4':
      return new Float32Array(buffer);
    case 'f8':
      return new Float64Array(buffer);
    case 'i1':
      return new Int8Array(buffer);
    case 'u2':
      return new Uint16Array(buffer);
    case 'i2':
      return new Int16Array(buffer);
    case 'u4':
      return new Uint32Array(buffer);
    case 'i4':
      return new Int32Array(buffer);
    case 'i8':
    case 'u8': {
      const wide = dtype === 'i8' ? new BigInt64Array(buffer) : new BigUint64Array(buffer);
      const narrow = Int32Array.from(wide, Number);
      const lost = narrow.findIndex((value, i) => BigInt(value) !== wide[i]);
      return lost < 0 ? narrow : fail(`element ${lost} is ${wide[lost]}, which does not fit in 32 bits`);
    }
    default:
      return new Uint8Array(buffer);
  }
}

const arrayName = (record: string): string => record.replace(/\.npy$/, '');

/** Names of the arrays of a `.npz` file. Throws `missing-file` or `bad-file`. */
export async function npzNames(path: string): Promise<ReadonlySet<string>> {
  const archive = await openArchive(path, path);
  archive.close();
  return new Set(archive.names.map(arrayName));
}

/**
 * Reads arrays of a `.npz` file (`numpy.savez`, compressed or not) by their names.
 *
 * @param wanted names to read, those that are there; all unless given
 * @throws LinbpError `missing-file` or `bad-file`
 */
export async function readNpz(path: string, wanted?: readonly string[]): Promise<Map<string, NumpyArray>> {
  const archive = await openArchive(path, path);
  try {
    const arrays = new Map<string, NumpyArray>();
    for (const record of archive.names) {
      const name = arrayName(record);
      if (wanted !== undefined && !wanted.includes(name)) continue;
      check(!arrays.has(name), 'bad-file', `${path}: two records are the array ${quoted(name)}`, path);
      arrays.set(name, readNpy(await archive.read(record, MAX_ARRAY), `${path}, array ${quoted(name)}`));
    }
    check(wanted !== undefined || arrays.size > 0, 'bad-file', `${path}: holds no arrays`, path);
    return arrays;
  } finally {
    archive.close();
  }
}
