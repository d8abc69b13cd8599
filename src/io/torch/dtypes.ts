import { check } from '../../errors.js';
import { decodeBfloat16, decodeHalf } from '../half.js';

/** Bytes of one element by dtype of PyTorch, such as `float32`: 4; all dtypes that can be read. */
export const torchItemBytes = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint64: 8,
  uint32: 4,
  uint16: 2,
  uint8: 1,
  bool: 1,
} as const;

/** An element type of PyTorch. */
export type TorchDtype = keyof typeof torchItemBytes;

/** `torch.FloatStorage` and so on: what a tensor's storage is called in a file. */
export const storageDtypes: Readonly<Record<string, TorchDtype>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
};

/** Whether linbp can read this element type. */
export function isTorchDtype(name: string): name is TorchDtype {
  return Object.hasOwn(torchItemBytes, name);
}

/** Float32 values of little-endian elements, rounded to nearest even; true is 1. `bytes` need not be aligned. */
export function toFloat32(bytes: Uint8Array, dtype: TorchDtype): Float32Array {
  const { buffer } = new Uint8Array(bytes);
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer);
    case 'float64':
      return narrowed(new Float64Array(buffer));
    case 'float16':
      return decodeHalf(bytes);
    case 'bfloat16':
      return decodeBfloat16(bytes);
    case 'int64':
      return Float32Array.from(new BigInt64Array(buffer), nearestFloat32);
    case 'uint64':
      return Float32Array.from(new BigUint64Array(buffer), nearestFloat32);
    case 'int32':
      return Float32Array.from(new Int32Array(buffer));
    case 'uint32':
      return Float32Array.from(new Uint32Array(buffer));
    case 'int16':
      return Float32Array.from(new Int16Array(buffer));
    case 'uint16':
      return Float32Array.from(new Uint16Array(buffer));
    case 'int8':
      return Float32Array.from(new Int8Array(buffer));
    case 'uint8':
      return Float32Array.from(bytes);
    case 'bool':
      return Float32Array.from(bytes, (value) => (value === 0 ? 0 : 1));
  }
}

/** Throws `bad-range` where a finite value would become infinite. */
export function narrowed(exact: Float64Array): Float32Array {
  const values = Float32Array.from(exact);
  const lost = values.findIndex((value, i) => !Number.isFinite(value) && Number.isFinite(exact[i]));
  check(lost < 0, 'bad-range', `value ${exact[lost]} at ${lost} does not fit in float32`, 'weights');
  return values;
}

/**
 * The float32 nearest to a 64-bit integer. Going through a float64 rounds twice; here its last bits are made sticky
 * first, so the second rounding sees whether anything was cut.
 */
function nearestFloat32(value: bigint): number {
  const magnitude = value < 0n ? -value : value;
  if (magnitude <= 1n << 53n) return Number(value);
  const shift = 24n;
  const sticky = (magnitude & ((1n << shift) - 1n)) === 0n ? 0n : 1n;
  const kept = ((magnitude >> shift) | sticky) << shift;
  return value < 0n ? -Number(kept) : Number(kept);
}
