/**
 * The value of an IEEE 754 binary16 bit pattern, exactly, subnormals, infinities and NaN included.
 *
 * @param bits 0..65535
 */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Float32 values of little-endian binary16 numbers. `bytes` has an even length. */
export function decodeHalf(bytes: Uint8Array): Float32Array {
  const values = new Float32Array(bytes.length / 2);
  for (let i = 0; i < values.length; i++) values[i] = halfToFloat(bytes[2 * i]! | (bytes[2 * i + 1]! << 8));
  return values;
}

/** Float32 values of little-endian bfloat16 numbers: the upper half of a float32's bits. `bytes` has an even length. */
export function decodeBfloat16(bytes: Uint8Array): Float32Array {
  const bits = new Uint32Array(bytes.length / 2);
  for (let i = 0; i < bits.length; i++) bits[i] = (bytes[2 * i]! << 16) | (bytes[2 * i + 1]! << 24);
  return new Float32Array(bits.buffer);
}

/**
 * The binary16 bit pattern nearest to a value, ties to even, as hardware rounds: 65520 and more are infinite, below
 * 2^-25 zero.
 */
export function floatToHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return sign | 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  // In units of the last place the value is a whole number and a rest; of two equally near the even one is taken.
  const exponent = magnitude < 2 ** -14 ? -24 : Math.floor(Math.log2(magnitude)) - 10;
  const units = magnitude * 2 ** -exponent;
  const floor = Math.floor(units);
  const rest = units - floor;
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  // The leading one of a normal number, and a carry out of the units, count into the exponent's field.
  return sign | (((exponent + 24) << 10) + rounded);
}

/** Binary16 bit patterns of numbers, rounded to nearest even. */
export function encodeHalf(values: ArrayLike<number>): Uint16Array {
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) bits[i] = floatToHalf(values[i]!);
  return bits;
}
