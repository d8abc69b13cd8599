import { expectDevice, expectMembers, expectText } from '../arguments.js';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isThere } from '../io/folders.js';
import { writeFileAtomic } from '../io/atomic.js';
import { readJson } from '../io/read.js';
import { sumOrders } from '../kernels/problem.js';
import type { KernelChoice, SumOrder } from '../kernels/problem.js';
import { shaderNames, shaderSource } from '../wgsl/link.js';
import type { AdapterInfo } from '../runtime/adapter.js';
import type { Device } from '../runtime/device.js';
import { usesAvx512 } from '../runtime/processor.js';
import { packageVersion } from '../version.js';
import { TuningTable } from './table.js';
import type { TunedEntry } from './table.js';

/**
 * What measured choices hold for. Another adapter or driver has a file of its own; another version makes the file
 * stale.
 */
export interface TuningIdentity {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  /** Names the driver and its version. */
  readonly description: string;
  /** What a software adapter computes on, where tiles depend on that: `avx512`, or empty. */
  readonly processor: string;
  /** Version of this library. */
  readonly version: string;
  /** Checksum of the shaders that are tuned. */
  readonly kernels: string;
}

const format = 1;
const packageFolder = new URL('../../../', import.meta.url);
/** Where the shaders of products lie, with all that they import. */
const tunedShaders = ['gemm', 'software'];

const shippedFolder = fileURLToPath(new URL('tuning/', packageFolder));
/** What a kind of adapter is known by. */
type AdapterKind = Pick<TuningIdentity, 'vendor' | 'architecture'> & Partial<Pick<TuningIdentity, 'processor'>>;

/** The processor in names of files, which those of no kind leave out. */
const processorIn = ({ processor = '' }: Partial<TuningIdentity>): string[] => (processor === '' ? [] : [processor]);

/** Name of the file that holds the choices for a kind of adapter; no vendor's name can lead out of the folder. */
export const shippedName = (kind: AdapterKind): string =>
  `${[kind.vendor, kind.architecture, ...processorIn(kind)]
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9.-]+/g, '-')}.json`;

const checksum = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

/** What names an adapter. */
const named = { vendor: 'text', architecture: 'text', device: 'text', description: 'text' } as const;

/** Which adapter, processor, version and shaders stored choices are valid for. */
export function tuningIdentity(adapter: AdapterInfo): TuningIdentity {
  expectMembers(adapter, 'adapter', named);
  const { vendor, architecture, device, description } = adapter;
  const processor = usesAvx512(adapter) ? 'avx512' : '';
  return {
    vendor,
    architecture,
    device,
    description,
    processor,
    version: packageVersion(),
    kernels: checksum(tunedShaders.flatMap(shaderNames).map(shaderSource).join('\n')),
  };
}

/**
 * The path of the file in the user's cache folder that holds the choices for an adapter, its driver and the kind of
 * processor. The file need not exist.
 *
 * @throws LinbpError `bad-argument` for what is no identity
 */
export async function tuningPath(identity: TuningIdentity): Promise<string> {
  expectMembers(identity, 'identity', named);
  const { cacheFolder } = (await import(new URL('bin/driver/cache.mjs', packageFolder).href)) as {
    cacheFolder(): string;
  };
  const { vendor, architecture, device, description } = identity;
  const name = `${vendor}-${device}`.replace(/[^a-z0-9]+/gi, '-').slice(0, 60);
  const whole = checksum([vendor, architecture, device, description, ...processorIn(identity)].join('\n'));
  return join(cacheFolder(), 'tuning', `${name}-${whole}.json`);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

function readEntry(value: unknown): TunedEntry | undefined {
  if (!isRecord(value) || !isRecord(value['choice'])) return undefined;
  const { kernel, rows, columns, lanes, share, splits, stage } = value['choice'];
  if (typeof kernel !== 'string' || ![rows, columns, lanes, share].every(isNumber)) return undefined;
  if (
    stage !== undefined &&
    !(isRecord(stage) && isNumber(stage['ranks']) && isNumber(stage['depth']) && typeof stage['vectors'] === 'boolean')
  )
    return undefined;
  if (splits !== undefined && !isNumber(splits)) return undefined;
  const { microseconds, usualMicroseconds } = value;
  if (!isNumber(microseconds) || !isNumber(usualMicroseconds)) return undefined;
  return { choice: value['choice'] as unknown as KernelChoice, microseconds, usualMicroseconds };
}

const isOrder = (value: unknown): value is SumOrder => (sumOrders as readonly unknown[]).includes(value);

/**
 * The table of a document; undefined where anything in it is not what it should be. Whether a choice can run is asked
 * at its use.
 */
function readTable(document: unknown): TuningTable | undefined {
  if (!isRecord(document) || !isRecord(document['entries']) || !isRecord(document['orders'])) return undefined;
  const table = new TuningTable();
  for (const [key, value] of Object.entries(document['entries'])) {
    const entry = readEntry(value);
    if (entry === undefined) return undefined;
    table.entries.set(key, entry);
  }
  for (const [layer, order] of Object.entries(document['orders'])) {
    if (!isOrder(order)) return undefined;
    table.orders.set(layer, order);
  }
  return table;
}

/** A stored table, or why it is not used. Both are missing where there is no file. */
export interface StoredTuning {
  readonly table?: TuningTable;
  readonly warning?: string;
}

const damaged = (path: string): StoredTuning => ({
  warning: `${path} is damaged and ignored; "linbp tune" rewrites it`,
});

/** Thousands of problems have a megabyte. */
const MAX_TABLE = 2 ** 26;

/** The document in a file; undefined where it is none. */
async function readDocument(path: string): Promise<unknown> {
  try {
    return await readJson(path, MAX_TABLE);
  } catch {
    return undefined;
  }
}

/**
 * Reads choices that {@link writeTuning} stored. A file that is damaged or stale gives a warning instead of a table,
 * never an error.
 */
export async function readTuning(path: string, identity: TuningIdentity): Promise<StoredTuning> {
  expectText(path, 'path');
  if (!(await isThere(path))) return {};
  const document = await readDocument(path);
  if (document === undefined) return damaged(path);
  if (!isRecord(document) || document['format'] !== format || !isRecord(document['identity']))
    return { warning: `${path} is no tuning file of this version and ignored; "linbp tune" rewrites it` };
  const stored = document['identity'];
  // files of before processors counted do not name one
  const known = { processor: '', ...stored } as Record<string, unknown>;
  const different = (Object.keys(identity) as (keyof TuningIdentity)[]).filter(
    (field) => known[field] !== identity[field],
  );
  if (different.length > 0)
    return {
      warning: `${path} is ignored: it was measured with another ${different.join(', ')}; run "linbp tune" again`,
    };
  const table = readTable(document);
  return table === undefined ? damaged(path) : { table };
}

/**
 * Stores choices as JSON, atomically.
 *
 * @param identity of {@link tuningIdentity}; {@link readTuning} ignores the file for any other one
 * @throws LinbpError `not-writable`; `bad-argument`
 */
export async function writeTuning(path: string, identity: TuningIdentity, table: TuningTable): Promise<void> {
  expectText(path, 'path');
  expectMembers(identity, 'identity', named);
  expectMembers(table, 'table', { entries: 'map', orders: 'map' });
  const sorted = <T>(map: ReadonlyMap<string, T>): Record<string, T> =>
    Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
  const document = { format, identity, orders: sorted(table.orders), entries: sorted(table.entries) };
  await writeFileAtomic(path, `${JSON.stringify(document, null, 1)}\n`);
}

/**
 * The table that comes with the package for an adapter of this kind: `VENDOR-ARCHITECTURE.json` in its folder
 * `tuning/`, on the CPU of some processors `VENDOR-ARCHITECTURE-PROCESSOR.json`. It holds for all
 * drivers and devices of the kind: a choice that one of them cannot run is not used there.
 */
export async function shippedTuning(kind: AdapterKind, folder = shippedFolder): Promise<StoredTuning> {
  const name = shippedName(kind);
  if (!(await isThere(folder)) || !(await readdir(folder)).includes(name)) return {};
  const path = join(folder, name);
  const table = readTable(await readDocument(path));
  return table === undefined ? { warning: `${path} is damaged and ignored` } : { table };
}

const noReference = 'choices of kernels are of devices; the reference has none';
const tables = new WeakMap<Device, Promise<TuningTable>>();

/**
 * The choices that programs on a device use: those that come with the package, and over them those of the user's
 * cache. The environment's `LINBP_TUNING=shipped` leaves out the cache, `off` both.
 */
export async function deviceTuning(device: Device): Promise<TuningTable> {
  expectDevice(device, noReference);
  let table = tables.get(device);
  if (table === undefined) {
    table = loadTuning(device.adapterInfo);
    tables.set(device, table);
  }
  return table;
}

/**
 * Replaces the choices of a device for all programs compiled on it from now on. Compiled programs keep theirs, and no
 * file changes.
 *
 * @throws LinbpError `bad-argument` for the reference, which has no choices, and for what is no table
 */
export function setDeviceTuning(device: Device, table: TuningTable): void {
  expectDevice(device, noReference);
  expectMembers(table, 'table', { entries: 'map', orders: 'map' });
  tables.set(device, Promise.resolve(table));
}

async function loadTuning(adapter: AdapterInfo): Promise<TuningTable> {
  const mode = process.env['LINBP_TUNING'] ?? '';
  const table = new TuningTable();
  if (mode === 'off') return table;
  const identity = tuningIdentity(adapter);
  const sources = [
    await shippedTuning(identity),
    ...(mode === 'shipped' ? [] : [await readTuning(await tuningPath(identity), identity)]),
  ];
  for (const stored of sources) {
    if (stored.warning !== undefined) process.emitWarning(stored.warning, { code: 'LINBP_TUNING' });
    if (stored.table !== undefined) table.merge(stored.table);
  }
  return table;
}
