import { readFileSync } from 'node:fs';
import { check, LinbpError } from '../../errors.js';
import { quotedValue } from '../../quote.js';
import type { KernelDevice } from '../device.js';
import { unrollings } from '../problem.js';
import type { Unrolling } from '../problem.js';

/*
 * What was measured on processors that software adapters compute on: data in tuning/processors/, whose README says
 * what each figure is. They choose between tiles that give the same bits, so they decide about speed only.
 */

/** Rows and columns of a tile of 8 lanes, and what a result costs in one that is full, relative to others of a list. */
export interface PricedTile {
  readonly rows: number;
  readonly columns: number;
  readonly cost: number;
}

/** Tiles of a kernel: each is a pipeline to compile, so rare ones must be worth it. */
export interface PricedTiles {
  readonly usual: readonly PricedTile[];
  readonly rare: readonly PricedTile[];
  /** Fewest rows of a product for which rare tiles are compiled. */
  readonly rareFromRows: number;
  /** A rare tile is taken where it costs less than this share of the best usual one. */
  readonly rareBelow: number;
}

/** Rows of neighboring outputs for which 8 outputs an invocation are better than 4. */
export interface EightOutputs {
  readonly taps: number;
  /** Most inputs from one output to the next; any unless told. */
  readonly mostStep?: number;
  /** Longest row; any unless told. */
  readonly mostWidth?: number;
}

/** Tiles of several channels for weight gradients of rows of so many taps. */
export interface WideTile {
  readonly taps: number;
  readonly rows: number;
  readonly channels: number;
  /** Channels where a line is one strip without stride. */
  readonly channelsOfOneStrip: number;
}

/** The figures of a kind of processor. Counts are of numbers, not bytes. */
export interface Processor {
  /** Driver and processor. */
  readonly measuredOn: string;
  /** Loops of a tile that are unrolled. */
  readonly unroll: Unrolling;
  /** Tiles of 4 columns are taken where they compute less than this share of the columns that tiles of 8 do. */
  readonly narrowBelow: number;
  /** gemm/conv where neither operand has neighbors along the lanes. */
  readonly scalarLoads: PricedTiles;
  /** software/weightGradientLinear. */
  readonly linearWeights: PricedTiles;
  /** From where on software/convPacked, a dispatch more, pays; columns must be a multiple of `pitchMultiple` apart. */
  readonly packing: {
    readonly fewestColumns: number;
    readonly fewestRows: number;
    readonly leastProducts: number;
    readonly pitchMultiple: number;
  };
  /** gemm/convRows. */
  readonly rows: {
    readonly eightOutputs: readonly EightOutputs[];
    /** Longest sum for which straight-line stores, which take long to compile, save a tenth of the time or more. */
    readonly longestStraightSum: number;
  };
  /** software/weightGradientRows. */
  readonly weightRows: {
    /** Most products that the loops over a strip are unrolled to: more do not fit the cache of instructions. */
    readonly mostWrittenOut: number;
    /** Most rows of which short lines get tiles of 8: with more, all inputs would be read again for every eight. */
    readonly mostRowsOfShortTiles: number;
    /** Most lines of an image of which those that the window's first or last row misses are worth passing over. */
    readonly mostLinesTogether: number;
    /** Numbers in a line of the cache, and the lines from which on what lanes read is fetched ahead. */
    readonly cacheLine: number;
    readonly fetchFromLines: number;
    readonly wideTile?: WideTile;
  };
}

type Reader<T> = (value: unknown, field: string) => T;

const fail = (field: string, expected: string, value: unknown): never => {
  throw new LinbpError('internal', `${field} must be ${expected}, got ${quotedValue(value)}`, { field });
};

const text: Reader<string> = (value, field) => (typeof value === 'string' ? value : fail(field, 'a string', value));
const count: Reader<number> = (value, field) =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 ? value : fail(field, 'a whole number', value);
const positive: Reader<number> = (value, field) =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : fail(field, 'a positive number', value);
const unrolling: Reader<Unrolling> = (value, field) =>
  unrollings.find((each) => each === value) ?? fail(field, `one of ${unrollings.join(', ')}`, value);

const list =
  <T>(read: Reader<T>): Reader<readonly T[]> =>
  (value, field) =>
    Array.isArray(value) && value.length > 0
      ? value.map((item, index) => read(item, `${field}[${index}]`))
      : fail(field, 'a list', value);

type Readers<T> = { readonly [K in keyof Required<T>]: Reader<NonNullable<T[K]>> };

/** An object of exactly these fields, some of which may be left out. */
const fields =
  <T extends object>(readers: Readers<T>, optional: readonly (keyof T & string)[] = []): Reader<T> =>
  (value, field) => {
    if (typeof value !== 'object' || value === null) return fail(field, 'an object', value);
    const given = value as Readonly<Record<string, unknown>>;
    const unknown = Object.keys(given).find((name) => !Object.hasOwn(readers, name));
    check(unknown === undefined, 'internal', `${field} has no field ${unknown}`, field);
    const read = Object.entries<Reader<unknown>>(readers)
      .filter(([name]) => given[name] !== undefined || !(optional as readonly string[]).includes(name))
      .map(([name, reader]) => [name, reader(given[name], `${field}.${name}`)]);
    return Object.fromEntries(read) as T;
  };

const pricedTiles = fields<PricedTiles>({
  usual: list(fields<PricedTile>({ rows: count, columns: count, cost: positive })),
  rare: list(fields<PricedTile>({ rows: count, columns: count, cost: positive })),
  rareFromRows: count,
  rareBelow: positive,
});

/** The figures of a document under `name`. Throws `internal` naming the field that is not what it should be. */
export const readProcessor: Reader<Processor> = fields<Processor>({
  measuredOn: text,
  unroll: unrolling,
  narrowBelow: positive,
  scalarLoads: pricedTiles,
  linearWeights: pricedTiles,
  packing: fields({ fewestColumns: count, fewestRows: count, leastProducts: count, pitchMultiple: count }),
  rows: fields<Processor['rows']>({
    eightOutputs: list(
      fields<EightOutputs>({ taps: count, mostStep: count, mostWidth: count }, ['mostStep', 'mostWidth']),
    ),
    longestStraightSum: count,
  }),
  weightRows: fields<Processor['weightRows']>(
    {
      mostWrittenOut: count,
      mostRowsOfShortTiles: count,
      mostLinesTogether: count,
      cacheLine: count,
      fetchFromLines: count,
      wideTile: fields({ taps: count, rows: count, channels: count, channelsOfOneStrip: count }),
    },
    ['wideTile'],
  ),
});

const folder = new URL('../../../../tuning/processors/', import.meta.url);
const known = new Map<string, Processor>();

/** The figures of the processor that a software adapter computes on. Throws `internal` where the package lacks them. */
export function processorOf({ avx512 }: KernelDevice): Processor {
  const name = avx512 === true ? 'avx512' : 'plain';
  let processor = known.get(name);
  if (processor === undefined) {
    const file = `tuning/processors/${name}.json`;
    try {
      processor = readProcessor(JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')), name);
    } catch (cause) {
      throw new LinbpError('internal', `${file} is missing from the package or damaged`, { field: file, cause });
    }
    known.set(name, processor);
  }
  return processor;
}
