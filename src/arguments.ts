import { check, LinbpError } from './errors.js';
import { firstNonFinite } from './finite.js';
import { didYouMean, unknownName } from './names.js';
import { quotedValue } from './quote.js';

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

/** Throws `bad-argument` unless `value` is an object, as options, data sets and models are. */
export function expectObject(value: unknown, field: string): asserts value is object {
  check(
    typeof value === 'object' && value !== null,
    'bad-argument',
    `${field} must be an object, got ${value === null ? 'null' : typeof value}`,
    field,
  );
}

/** Whether a value is an array or a typed array. */
const isList = (value: unknown): boolean =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

/** Throws `bad-argument` unless `value` is an array or a typed array, of objects with these members, where given. */
export function expectList(value: unknown, field: string, members?: Members): void {
  check(isList(value), 'bad-argument', `${field} must be an array, got ${kind(value)}`, field);
  if (members === undefined) return;
  for (const [at, each] of (value as readonly unknown[]).entries()) expectMembers(each, `${field}[${at}]`, members);
}

/** Throws `bad-argument` unless `value` is a string. */
export function expectText(value: unknown, field: string): asserts value is string {
  check(typeof value === 'string', 'bad-argument', `${field} must be a string, got ${kind(value)}`, field);
}

/** Throws `bad-argument` unless `value` is bytes. */
export function expectBytes(value: unknown): void {
  check(value instanceof Uint8Array, 'bad-argument', `bytes must be a Uint8Array, got ${kind(value)}`, 'bytes');
}

const memberKinds = {
  text: [(value: unknown) => typeof value === 'string', 'a string'],
  number: [(value: unknown) => typeof value === 'number', 'a number'],
  function: [(value: unknown) => typeof value === 'function', 'a function'],
  object: [(value: unknown) => typeof value === 'object' && value !== null, 'an object'],
  list: [isList, 'an array'],
  map: [(value: unknown) => value instanceof Map, 'a Map'],
} as const;

/** Members that an object must have, with what each must be. */
type Members = Readonly<Record<string, keyof typeof memberKinds>>;

/** Throws `bad-argument` unless `value` is iterable, as arrays, maps and sets are. */
export function expectIterable(value: unknown, field: string): void {
  const fits = typeof (value as Partial<Iterable<unknown>> | null | undefined)?.[Symbol.iterator] === 'function';
  check(fits, 'bad-argument', `${field} must be a list, got ${kind(value)}`, field);
}

/** Throws `bad-argument` unless `value` is a function. */
export function expectFunction(value: unknown, field: string): void {
  check(typeof value === 'function', 'bad-argument', `${field} must be a function, got ${kind(value)}`, field);
}

/** Throws `bad-argument` unless `value` is an object with these members, without which nothing can be done with it. */
export function expectMembers(value: unknown, field: string, members: Members): void {
  expectObject(value, field);
  for (const [name, wanted] of Object.entries(members)) {
    const member = (value as Readonly<Record<string, unknown>>)[name];
    const [fits, what] = memberKinds[wanted];
    check(fits(member), 'bad-argument', `${field}.${name} must be ${what}, got ${quotedValue(member)}`, field);
  }
}

/** Throws `bad-argument` unless `value` can be a graph. */
export const expectGraph = (value: unknown): void =>
  expectMembers(value, 'graph', { nodes: 'list', tensors: 'list', outputs: 'map' });

/** Throws `bad-argument` unless `value` can be a compiled program. */
export const expectProgram = (value: unknown): void =>
  expectMembers(value, 'program', { dispatches: 'list', plan: 'object', device: 'object' });

/** Throws `bad-argument` unless `value` can be a data set. */
export const expectDataset = (value: unknown): void =>
  expectMembers(value, 'dataset', { count: 'number', classes: 'number', images: 'list', labels: 'list' });

/** Throws `bad-argument` unless `value` can be an open device; `instead` says what to do with the reference. */
export function expectDevice(value: unknown, instead: string): void {
  const other = `device must be an open device, got ${quotedValue(value)}`;
  const { adapterInfo } = (value ?? {}) as { readonly adapterInfo?: unknown };
  const fits = typeof adapterInfo === 'object' && adapterInfo !== null;
  check(fits, 'bad-argument', value === 'reference' ? instead : other, 'device');
}

/** What a field of options must be at run time; `true` where the entry checks it itself. */
type FieldKind = 'flag' | 'signal' | 'function' | true;

/** The kind that follows from a field's type. */
type KindOf<T> = [T] extends [boolean]
  ? 'flag'
  : [T] extends [AbortSignal]
    ? 'signal'
    : [T] extends [(...values: never[]) => unknown]
      ? 'function'
      : true;

/** All fields of an interface of options with what they must be, kept complete by the compiler. */
export type FieldNames<T> = { readonly [Name in keyof Required<T>]: KindOf<Exclude<T[Name], undefined>> };

const fieldKinds: Readonly<Record<Exclude<FieldKind, true>, readonly [(value: unknown) => boolean, string]>> = {
  flag: [(value) => typeof value === 'boolean', 'true or false'],
  signal: [
    (value) => typeof (value as Partial<AbortSignal> | null)?.aborted === 'boolean',
    "an AbortSignal (an AbortController's signal, not the controller)",
  ],
  function: [(value) => typeof value === 'function', 'a function'],
};

/**
 * Throws `bad-argument` unless options are an object whose flags are booleans, whose signal is one and whose callbacks
 * are functions, and `unknown-option` where they have a field that none of the interfaces knows: a misspelled option
 * would keep its default in silence, the string `false` would be true, and a controller in the place of its signal
 * would never stop anything. Fields that are `undefined` are as good as left out.
 */
export function expectFields(options: unknown, ...known: readonly Readonly<Record<string, FieldKind>>[]): void {
  expectObject(options, 'options');
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const table = known.find((names) => Object.hasOwn(names, name));
    if (table === undefined)
      throw new LinbpError('unknown-option', unknownName('option', name, { names: known.flatMap(Object.keys) }), {
        field: name,
      });
    const kind = table[name]!;
    if (kind === true) continue;
    const [fits, what] = fieldKinds[kind];
    check(fits(value), 'bad-argument', `${name} must be ${what}, got ${quotedValue(value)}`, name);
  }
}

/** The fields of an object that an interface knows. */
export const onlyFields = <T extends object>(options: T, known: FieldNames<T>): T =>
  Object.fromEntries(Object.entries(options).filter(([name]) => Object.hasOwn(known, name))) as T;

/**
 * Throws `bad-range` unless `value` is a finite number in float32, which devices compute with, and `fits` there: 1e39
 * would be infinite, 1e-50 zero.
 */
export function expectFloat32Number(
  value: unknown,
  field: string,
  fits: (rounded: number) => boolean,
  expected: string,
): asserts value is number {
  const rounded = typeof value === 'number' ? Math.fround(value) : NaN;
  const valid = Number.isFinite(rounded) && fits(rounded);
  check(valid, 'bad-range', `${field} must be ${expected} in float32, got ${quotedValue(value)}`, field);
}

/** Seeds from `first` on. Throws `bad-range` where the last would not fit into 32 bits, before the first is used. */
export function seedsFrom(first: number, count: number): number[] {
  const last = first + count - 1;
  check(last < 2 ** 32, 'bad-range', `the last of the ${count} seeds would be ${last}, above ${2 ** 32 - 1}`, 'seeds');
  return Array.from({ length: count }, (_, n) => first + n);
}

/** Throws `unknown-option` unless `value` is one of `known`. */
export function expectOneOf<T extends string>(value: unknown, known: readonly T[], field: string): asserts value is T {
  if ((known as readonly unknown[]).includes(value)) return;
  const hint = typeof value === 'string' ? didYouMean(value, known) : '';
  const message = `${field} must be one of ${known.join(', ')}, got ${quotedValue(value)}${hint}`;
  throw new LinbpError('unknown-option', message, { field });
}

/**
 * What a tensor of a program can be written from: floats for `f32` and `f16`, 32-bit integers for `u32`.
 *
 * @throws LinbpError `bad-dtype`, `bad-shape`
 */
export function expectElements(
  values: unknown,
  dtype: 'f32' | 'f16' | 'u32',
  count: number,
  field: string,
): asserts values is Float32Array | Uint32Array | Int32Array {
  const fits =
    dtype === 'u32' ? values instanceof Uint32Array || values instanceof Int32Array : values instanceof Float32Array;
  const wanted = dtype === 'u32' ? 'Uint32Array or an Int32Array' : 'Float32Array';
  check(fits, 'bad-dtype', `${field} holds ${dtype} and takes a ${wanted}, got ${kind(values)}`, field);
  const { length } = values as Float32Array;
  check(length === count, 'bad-shape', `${field} takes ${count} elements, got ${length}`, field);
}

/**
 * Numbers for a tensor of the float64 reference: an array or a typed array, whole numbers from 0 for `u32`.
 *
 * @throws LinbpError `bad-dtype`, `bad-shape`
 */
export function expectNumbers(
  values: unknown,
  dtype: 'f32' | 'f16' | 'u32',
  count: number,
  field: string,
): asserts values is ArrayLike<number> {
  const typed = ArrayBuffer.isView(values) && !(values instanceof DataView);
  const list =
    Array.isArray(values) || (typed && !(values instanceof BigInt64Array || values instanceof BigUint64Array));
  check(list, 'bad-dtype', `${field} takes an array of numbers, got ${kind(values)}`, field);
  const given = values as ArrayLike<unknown>;
  check(given.length === count, 'bad-shape', `${field} has ${count} elements, got ${given.length}`, field);
  if (typed && (dtype !== 'u32' || values instanceof Uint32Array || values instanceof Uint8Array)) return;
  for (let i = 0; i < count; i++) {
    const value = given[i];
    const fits =
      typeof value === 'number' && (dtype !== 'u32' || (Number.isInteger(value) && value >= 0 && value < 2 ** 32));
    check(
      fits,
      'bad-dtype',
      `${field}[${i}] is ${quotedValue(value)}, expected ${dtype === 'u32' ? 'u32' : 'a number'}`,
      field,
    );
  }
}

/**
 * A state dict: a map from names to a shape and as many floats. Values that are not finite are not looked for.
 *
 * @throws LinbpError `bad-argument`, `bad-dtype`, `bad-shape` naming the weight
 */
export function expectStateDict(
  state: unknown,
): asserts state is ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }> {
  check(state instanceof Map, 'bad-argument', `weights must be a Map by name, got ${kind(state)}`, 'weights');
  for (const [name, entry] of state as Map<unknown, unknown>) {
    check(
      typeof name === 'string',
      'bad-argument',
      `names of weights must be strings, got ${quotedValue(name)}`,
      'weights',
    );
    expectObject(entry, name);
    const { shape, data } = entry as { readonly shape?: unknown; readonly data?: unknown };
    const shaped = Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && size >= 0);
    check(shaped, 'bad-shape', `weight ${name}: its shape must be a list of whole numbers`, name);
    const floats = data instanceof Float32Array || data instanceof Float64Array;
    check(floats, 'bad-dtype', `weight ${name} must be a Float32Array, got ${kind(data)}`, name);
    const count = (shape as number[]).reduce((product, size) => product * size, 1);
    const { length } = data as Float32Array;
    check(
      length === count,
      'bad-shape',
      `weight ${name} [${(shape as number[]).join(', ')}] takes ${count} values, got ${length}`,
      name,
    );
  }
}

/** Throws `bad-argument` unless `value` is a tensor of a graph. */
export function expectTensor(value: unknown): void {
  const { shape, dtype } = (value ?? {}) as { readonly shape?: unknown; readonly dtype?: unknown };
  const fits = Array.isArray(shape) && typeof dtype === 'string';
  check(fits, 'bad-argument', `expected a tensor of the graph, got ${quotedValue(value)}`, 'tensor');
}
