import { check } from './errors.js';
import { firstNonFinite } from './finite.js';

/*
 * Checks of arrays as callers give them. Types are known to TypeScript only, so every public entry asks here.
 */

const kind = (values: unknown): string =>
  values === null || typeof values !== 'object' ? typeof values : (values.constructor?.name ?? 'object');

/** Throws `bad-dtype` unless `values` is a Float32Array. */
export function expectFloat32(values: unknown, field: string): asserts values is Float32Array {
  check(values instanceof Float32Array, 'bad-dtype', `${field} must be a Float32Array, got ${kind(values)}`, field);
}

/**
 * Pixels of whole images: float32 in [0, 1], at least one image of `size` values.
 *
 * @returns the number of values
 * @throws LinbpError `bad-dtype`, `bad-shape`, `bad-range` naming the field
 */
export function expectPixels(values: unknown, size: number, field: string): number {
  expectFloat32(values, field);
  check(
    values.length > 0 && values.length % size === 0,
    'bad-shape',
    `${field} must hold a multiple of ${size} values, at least one image, got ${values.length}`,
    field,
  );
  for (let i = 0; i < values.length; i++) {
    const pixel = values[i]!;
    check(pixel >= 0 && pixel <= 1, 'bad-range', `${field}: value ${i} is ${pixel}, expected 0 to 1`, field);
  }
  return values.length;
}

/** Float32 values that are all finite, `count` of them. Throws `bad-dtype`, `bad-shape`, `bad-range`. */
export function expectFiniteFloats(values: unknown, count: number, field: string): asserts values is Float32Array {
  expectFloat32(values, field);
  check(values.length === count, 'bad-shape', `${field} must hold ${count} values, got ${values.length}`, field);
  const bad = firstNonFinite(values);
  check(bad < 0, 'bad-range', `${field}: value ${bad} is ${values[bad]}`, field);
}

/**
 * Whole numbers from 0 to `bound` - 1, one for each of `count` images: an array or a typed array of integers.
 *
 * @throws LinbpError `bad-dtype`, `bad-shape`, `bad-range` naming the field
 */
export function expectWords(values: unknown, count: number, bound: number, field: string): Uint32Array {
  const list = Array.isArray(values) || (ArrayBuffer.isView(values) && !(values instanceof DataView));
  check(list, 'bad-dtype', `${field} must be an array of whole numbers, got ${kind(values)}`, field);
  const given = values as ArrayLike<unknown>;
  check(
    given.length === count,
    'bad-shape',
    `${field}: ${count} images need ${count} values, got ${given.length}`,
    field,
  );
  return Uint32Array.from({ length: count }, (_, i) => {
    const value = given[i];
    check(
      typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < bound,
      'bad-range',
      `${field}[${i}] is ${String(value)}, expected 0 to ${bound - 1}`,
      field,
    );
    return value;
  });
}
