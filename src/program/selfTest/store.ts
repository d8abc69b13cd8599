import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '../../io/atomic.js';
import { isThere, makeFolders } from '../../io/folders.js';
import { readJson } from '../../io/read.js';
import { shaderNames, shaderSource } from '../../wgsl/link.js';
import type { Device } from '../../runtime/device.js';
import { Turns } from '../../runtime/turns.js';
import { packageVersion } from '../../version.js';

/** A kernel that gave wrong results. */
export interface WrongKernel {
  /** Shader file, such as `gemm/conv`. */
  readonly kernel: string;
  /** Its tile, see `tileKey`, where there are several. */
  readonly tile?: string;
  /** What it computed wrongly. */
  readonly test: string;
  /** How: the distance from float64, relative, or what the driver said. */
  readonly error: string;
}

/** What is known about a device's kernels. */
export interface Verdicts {
  /** Names of tests that were passed. */
  readonly right: ReadonlySet<string>;
  /** Failed ones by name. */
  readonly wrong: ReadonlyMap<string, WrongKernel>;
  /** Whether the usual kernels have all been tested. */
  readonly complete: boolean;
}

const format = 1;
const MAX_DOCUMENT = 2 ** 24;
const folders = [
  'elementwise',
  'functions',
  'gemm',
  'loss',
  'pool',
  'random',
  'reduce',
  'rules',
  'software',
  'source',
] as const;

const checksum = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

let shaders: string | undefined;

/** What verdicts hold for: adapter, driver, version of the library and its shaders. */
function identityOf(device: Device): Record<string, string> {
  const { vendor, architecture, device: name, description, software, subgroupMinSize } = device.adapterInfo;
  shaders ??= checksum(folders.flatMap(shaderNames).map(shaderSource).join('\n'));
  return {
    ...{ vendor, architecture, device: name, description, version: packageVersion(), shaders },
    kind: `${software ? 'software' : 'gpu'} ${subgroupMinSize} ${[...device.features].sort().join(' ')}`,
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';

function readWrong(value: unknown): WrongKernel | undefined {
  if (!isRecord(value)) return undefined;
  const { kernel, tile, test, error } = value;
  if (!isText(kernel) || !isText(test) || !isText(error) || !(tile === undefined || isText(tile))) return undefined;
  return { kernel, test, error, ...(tile !== undefined && { tile }) };
}

/** Verdicts are read, completed and written, by one device of this process after another. */
const adding = new Turns();

/** The verdicts of one device in a file of the user's cache. */
export class VerdictStore {
  private readonly identity: Record<string, string>;
  private readonly path: string;

  private constructor(identity: Record<string, string>, folder: string) {
    const name = `${identity['vendor']}-${identity['device']}`.replace(/[^a-z0-9]+/gi, '-').slice(0, 60);
    this.identity = identity;
    this.path = join(folder, 'selftest', `${name}-${checksum(JSON.stringify(identity))}.json`);
  }

  static async of(device: Device): Promise<VerdictStore> {
    const url = new URL('../../../../bin/driver/cache.mjs', import.meta.url);
    const { cacheFolder } = (await import(url.href)) as { cacheFolder(): string };
    return new VerdictStore(identityOf(device), cacheFolder());
  }

  /** Whether verdicts can be kept. */
  async writable(): Promise<boolean> {
    try {
      await makeFolders(dirname(this.path));
      await access(dirname(this.path), constants.W_OK);
      return true;
    } catch {
      return false;
    }
  }

  /** The stored verdicts; none where there is no file, or a damaged or strange one. */
  async read(): Promise<Verdicts> {
    const none: Verdicts = { right: new Set(), wrong: new Map(), complete: false };
    if (!(await isThere(this.path))) return none;
    let document: unknown;
    try {
      document = await readJson(this.path, MAX_DOCUMENT);
    } catch {
      return none;
    }
    if (!isRecord(document) || document['format'] !== format) return none;
    if (JSON.stringify(document['identity']) !== JSON.stringify(this.identity)) return none;
    const { right, wrong, complete } = document;
    if (!Array.isArray(right) || !right.every(isText) || !isRecord(wrong)) return none;
    const kernels = new Map<string, WrongKernel>();
    for (const [name, value] of Object.entries(wrong)) {
      const kernel = readWrong(value);
      if (kernel === undefined) return none;
      kernels.set(name, kernel);
    }
    return { right: new Set(right), wrong: kernels, complete: complete === true };
  }

  /**
   * Adds verdicts to those that other processes may have stored meanwhile, or replaces them. Throws `not-writable`.
   */
  add(verdicts: Verdicts, replace = false): Promise<void> {
    return adding.run(() => this.addNow(verdicts, replace));
  }

  private async addNow({ right, wrong, complete }: Verdicts, replace: boolean): Promise<void> {
    const known: Verdicts = replace ? { right: new Set(), wrong: new Map(), complete: false } : await this.read();
    const failed = new Map([...known.wrong, ...wrong]);
    const passed = [...new Set([...known.right, ...right])].filter((name) => !failed.has(name)).sort();
    const document = {
      ...{ format, identity: this.identity, complete: complete || known.complete },
      ...{ wrong: Object.fromEntries(failed), right: passed },
    };
    await writeFileAtomic(this.path, `${JSON.stringify(document, null, 1)}\n`);
  }
}
