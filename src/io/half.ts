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
