import { check } from '../errors.js';
import { halfToFloat } from '../io/half.js';
import type { Int64, RawTensor } from './schema.js';
import { elementTypes } from './types.js';
import type { ElementType, HostData, HostTensor } from './types.js';

/** Where a tensor stands. */
export interface TensorPlace {
  readonly source: string;
  /**
   * What was read of tensors that lie in other files, see `readExternal`, or throws why not; undefined for bytes, which
   * have no external data.
   */
  readonly external: ReadonlyMap<RawTensor, () => HostTensor> | undefined;
}

/** Elements of the largest tensor that is read or computed on the CPU. */
export const mostElements = 2 ** 28;

const bytesOf: Partial<Record<ElementType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
};

const toNumber = (value: Int64): number => (typeof value === 'number' ? value : value.toNumber());

/** Number of elements of a shape. Throws `limit-exceeded` before anything is allocated. */
export function countOf(shape: readonly number[], what: string): number {
  let count = 1;
  for (const size of shape) {
    check(Number.isInteger(size) && size >= 0, 'bad-file', `${what} has the shape [${shape.join(', ')}]`, what);
    count *= size;
  }
  check(count <= mostElements, 'limit-exceeded', `${what} claims ${count} numbers [${shape.join(', ')}]`, what);
  return count;
}

/** An array for `count` values of a type: float32 where the values are and there are many. */
export function allocate(type: ElementType, count: number): HostData {
  return type !== 'float64' && type.startsWith('float') && count > 2 ** 16
    ? new Float32Array(count)
    : new Float64Array(count);
}

const bfloat = new DataView(new ArrayBuffer(4));
function bfloatToFloat(bits: number): number {
  bfloat.setUint32(0, bits * 65536);
  return bfloat.getFloat32(0);
}

/** The elements in little-endian bytes. */
export function fromBytes(bytes: Uint8Array, type: ElementType, count: number): HostData {
  const result = type === 'float64' ? new Float64Array(count) : allocate(type, count);
  if (type === 'float32' && result instanceof Float32Array && endianness === 'little') {
    new Uint8Array(result.buffer).set(bytes.subarray(0, 4 * count));
    return result;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = readers[type]!;
  const size = bytesOf[type]!;
  for (let i = 0; i < count; i++) result[i] = read(view, i * size);
  return result;
}

const endianness = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 'little' : 'big';

const readers: Partial<Record<ElementType, (view: DataView, at: number) => number>> = {
  float32: (view, at) => view.getFloat32(at, true),
  float64: (view, at) => view.getFloat64(at, true),
  float16: (view, at) => halfToFloat(view.getUint16(at, true)),
  bfloat16: (view, at) => bfloatToFloat(view.getUint16(at, true)),
  int8: (view, at) => view.getInt8(at),
  uint8: (view, at) => view.getUint8(at),
  bool: (view, at) => (view.getUint8(at) === 0 ? 0 : 1),
  int16: (view, at) => view.getInt16(at, true),
  uint16: (view, at) => view.getUint16(at, true),
  int32: (view, at) => view.getInt32(at, true),
  uint32: (view, at) => view.getUint32(at, true),
  int64: (view, at) => Number(view.getBigInt64(at, true)),
  uint64: (view, at) => Number(view.getBigUint64(at, true)),
};

/** The values of `*_data` fields; a value of 16 bits or less stands in an int32. */
function typedValues(raw: RawTensor, type: ElementType): ArrayLike<number> {
  switch (type) {
    case 'float32':
      return raw.floatData ?? [];
    case 'float64':
      return raw.doubleData ?? [];
    case 'int64':
      return (raw.int64Data ?? []).map(toNumber);
    case 'uint32':
    case 'uint64':
      return (raw.uint64Data ?? []).map(toNumber);
    case 'float16':
      return (raw.int32Data ?? []).map((bits) => halfToFloat(bits & 0xffff));
    case 'bfloat16':
      return (raw.int32Data ?? []).map((bits) => bfloatToFloat(bits & 0xffff));
    default:
      return raw.int32Data ?? [];
  }
}

/** What a tensor says of itself. */
export interface TensorClaim {
  /** The tensor's name for messages. */
  readonly what: string;
  readonly type: ElementType;
  /** Bytes of an element. */
  readonly size: number;
  readonly shape: readonly number[];
  readonly count: number;
  /** The claim in words. */
  readonly claim: string;
}

/** Throws `unsupported` or `bad-file` naming the tensor where its claim makes no sense. */
export function claimOf(raw: RawTensor, source: string): TensorClaim {
  const what = raw.name === undefined || raw.name === '' ? 'a tensor' : `initializer ${raw.name}`;
  const type = elementTypes[(raw.dataType ?? 0) as keyof typeof elementTypes];
  const size = type === undefined ? undefined : bytesOf[type];
  check(
    type !== undefined && size !== undefined && (raw.segment?.length ?? 0) === 0,
    'unsupported',
    `${source}: ${what} has the element type ${type ?? raw.dataType ?? 'none'}, which is not supported`,
    what,
  );
  const shape = (raw.dims ?? []).map(toNumber);
  let count = 1;
  for (const dim of shape) count *= dim;
  const claim = `${source}: ${what} claims [${shape.join(', ')}]`;
  check(
    shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0),
    'bad-file',
    claim,
    what,
  );
  return { what, type, size, shape, count, claim };
}

/** Whether a tensor lies in another file. */
export const isExternal = (raw: RawTensor): boolean => raw.dataLocation === 1;

/**
 * Reads a tensor. Its size is compared with the bytes that are there before anything is allocated.
 *
 * @throws LinbpError `bad-file`, `missing-file`, `unsupported` or `limit-exceeded` naming the tensor
 */
export function readTensor(raw: RawTensor, { source, external }: TensorPlace): HostTensor {
  const { what, type, size, shape, count, claim } = claimOf(raw, source);
  const origin = raw.name ?? '';
  if (isExternal(raw)) {
    check(count <= mostElements, 'limit-exceeded', `${claim}, more than is read`, what);
    check(
      external !== undefined,
      'bad-file',
      `${source}: ${what} is external data, which needs the model's path`,
      what,
    );
    const read = external.get(raw);
    check(read !== undefined, 'internal', `${source}: ${what} was not read`, what);
    return read();
  }
  if (raw.rawData !== undefined && raw.rawData.length > 0) {
    check(raw.rawData.length === count * size, 'bad-file', `${claim} and holds ${raw.rawData.length} bytes`, what);
    return { type, shape, data: fromBytes(raw.rawData, type, count), origin };
  }
  const values = typedValues(raw, type);
  check(values.length === count, 'bad-file', `${claim} and holds ${values.length} numbers`, what);
  const data = allocate(type, count);
  data.set(values);
  return { type, shape, data, origin };
}
