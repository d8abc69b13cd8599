import { LinbpError } from '../errors.js';
import { applyCachedDriver, quietDrivers, systemHasLoader, userChoseDriver } from './driver.js';
import type { DriverSource } from './driver.js';
import { instance } from './instance.js';
import { quietly } from './quiet.js';

/** What is known about the adapter a device runs on. */
export interface AdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** True for any software adapter (lavapipe, SwiftShader, WARP). */
  readonly software: boolean;
  /** Where its driver came from. */
  readonly driver: DriverSource;
  /** Smallest and largest subgroup size, in invocations; 0 where the adapter does not say. */
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  /** Products of subgroup matrices that the adapter offers; none on most. */
  readonly subgroupMatrices: readonly SubgroupMatrixConfig[];
}

/** Subgroup matrices M x K times K x N: the type of their components and of the sums, such as `f16` and `f32`. */
export interface SubgroupMatrixConfig {
  readonly component: string;
  readonly result: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** An adapter and where its driver came from. */
export interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly driver: DriverSource;
}

/** Substrings of the raw names of the software adapters: Mesa's lavapipe, SwiftShader, Windows' WARP. */
const SOFTWARE_NAMES = ['llvmpipe', 'SwiftShader', 'Microsoft'];

/** The same in lists, under all names that they have had. */
const SOFTWARE_ADAPTERS = /llvmpipe|lavapipe|swiftshader|basic render/i;

/** An adapter as Dawn lists it. */
export interface ListedAdapter {
  /** Place in the list, which `adapter` takes. */
  readonly index: number;
  /** The graphics API that it is reached through: `vulkan`, `metal`, `d3d12`. */
  readonly backend: string;
  /** The driver's raw name of the device. */
  readonly name: string;
}

/** A name that no adapter has: Dawn refuses it with the list of those there are. */
const noAdapterName = 'linbp lists the adapters';

/** The adapters that an instance's refusal of {@link noAdapterName} names. Exported for tests. */
export function parseAdapterList(refusal: string): ListedAdapter[] {
  return [...refusal.matchAll(/backend: '([^']*)', name: '(.*)'$/gm)].map(([, backend = '', name = ''], index) => ({
    index,
    backend,
    name,
  }));
}

async function adaptersOf(driver: string): Promise<ListedAdapter[]> {
  const gpu = await instance(driver, [`adapter=${noAdapterName}`]);
  try {
    await quietly(() => gpu.requestAdapter());
    return [];
  } catch (cause) {
    return parseAdapterList(cause instanceof Error ? cause.message : String(cause));
  }
}

/** The driver in force, with its adapters: the system's or the user's, else the software driver in the user's cache. */
async function listedDriver(): Promise<{ driver: string; source: DriverSource; adapters: ListedAdapter[] }> {
  await quietDrivers();
  const source: DriverSource = (await userChoseDriver()) ? 'environment' : 'system';
  const bare = !(await systemHasLoader()) && (await applyCachedDriver()) !== undefined;
  const adapters = bare ? [] : await adaptersOf(source);
  if (adapters.length > 0) return { driver: source, source, adapters };
  const cached = await applyCachedDriver();
  if (cached === undefined) return { driver: source, source, adapters };
  return { driver: cached, source: 'cache', adapters: await adaptersOf(cached) };
}

/**
 * All adapters of this machine, in the order of their indices, which `Device.open({ adapter })` takes; an empty list
 * where there is no driver.
 */
export async function listAdapters(): Promise<readonly ListedAdapter[]> {
  return (await listedDriver()).adapters;
}

const shownAdapters = (adapters: readonly ListedAdapter[]): string =>
  adapters.length === 0
    ? 'there are none; run "linbp doctor"'
    : `there are ${adapters.map(({ index, backend, name }) => `${index} "${name}" (${backend})`).join(', ')}`;

/** Dawn takes an adapter by its name, so of equal GPUs one process reaches the first only. */
const oneInSight =
  'let each process see one of them only; docs/devices.md says how (GPUs of one name, each with a worker of its own)';

/** Without the further graphics APIs of a GPU that an earlier one reaches, such as Vulkan after Direct3D. */
const withoutOtherApis = (adapters: readonly ListedAdapter[]): ListedAdapter[] =>
  adapters.filter(
    ({ name, backend }, i) => !adapters.slice(0, i).some((each) => each.name === name && each.backend !== backend),
  );

/** The adapter that an index or a part of a name means. Exported for tests. Throws `no-adapter` with the list. */
export function pickAdapter(wanted: string | number, adapters: readonly ListedAdapter[]): ListedAdapter {
  const fail = (problem: string): never => {
    throw new LinbpError('no-adapter', `adapter: ${problem}; ${shownAdapters(adapters)}`, { field: 'adapter' });
  };
  const text = String(wanted).trim();
  const byIndex = /^\d+$/.test(text) ? adapters[Number(text)] : undefined;
  const lower = text.toLowerCase();
  const matching = text === '' ? [] : adapters.filter(({ name }) => name.toLowerCase().includes(lower));
  const exact = matching.filter(({ name }) => name.toLowerCase() === lower);
  const named = withoutOtherApis(exact.length > 0 ? exact : matching);
  const [found, ...more] = byIndex !== undefined ? [byIndex] : named;
  if (found === undefined) return fail(`no adapter ${/^\d+$/.test(text) ? text : `"${text}"`}`);
  if (more.length > 0) return fail(`"${text}" fits several adapters`);
  // Dawn chooses by backend and name, the first that fits.
  const alike = adapters.find((each) => each.backend === found.backend && each.name.includes(found.name));
  return alike === found ? found : fail(`Dawn cannot tell ${found.index} and ${alike?.index} apart: ${oneInSight}`);
}

/**
 * The adapters but those of software, each GPU once: what processes of their own can use side by side.
 *
 * @throws LinbpError `no-adapter` where two of them cannot be told apart
 */
export const separateGpus = (adapters: readonly ListedAdapter[]): ListedAdapter[] =>
  withoutOtherApis(adapters.filter(({ name }) => !SOFTWARE_ADAPTERS.test(name))).map(({ index }) =>
    pickAdapter(index, adapters),
  );

async function namedAdapter(wanted: string | number, software: boolean): Promise<FoundAdapter> {
  const { driver, source, adapters } = await listedDriver();
  const { backend, name } = pickAdapter(wanted, adapters);
  const reasons: string[] = [];
  const adapter = await request(await instance(driver, [`backend=${backend}`, `adapter=${name}`]), reasons);
  if (adapter !== null && (!software || isSoftware(adapter))) return { adapter, driver: source };
  const why = adapter === null ? `does not open: ${reasons.join('; ')}` : 'does not compute on the CPU';
  throw new LinbpError('no-adapter', `adapter: "${name}" ${why}; ${shownAdapters(adapters)}`, { field: 'adapter' });
}

/**
 * Finds an adapter: the named one, else the system's first, and only when that gives none the software driver in the
 * user's cache.
 *
 * @param software - insist on a software adapter
 * @param wanted - index or part of the name of an adapter
 * @throws LinbpError `no-adapter` with the command that mends it, or with the list of adapters
 */
export async function findAdapter(software: boolean, wanted?: string | number): Promise<FoundAdapter> {
  if (wanted !== undefined) return namedAdapter(wanted, software);
  await quietDrivers();
  const source: DriverSource = (await userChoseDriver()) ? 'environment' : 'system';
  const reasons: string[] = [];
  const bare = !(await systemHasLoader()) && (await applyCachedDriver()) !== undefined;
  const plain = bare ? null : await request(await instance(source), reasons);
  if (plain && (!software || isSoftware(plain))) return { adapter: plain, driver: source };
  if (software && plain) {
    for (const name of SOFTWARE_NAMES) {
      const named = await request(await instance(source, [`adapter=${name}`]), reasons);
      if (named && isSoftware(named)) return { adapter: named, driver: source };
    }
  }
  const cached = await applyCachedDriver();
  if (cached !== undefined) {
    // A new instance: one that has already looked for adapters never sees a driver that was chosen later.
    const adapter = await request(await instance(cached), reasons);
    if (adapter) return { adapter, driver: 'cache' };
  }
  const why = reasons.length > 0 ? ` (${reasons.join('; ')})` : '';
  const what = software ? 'No software adapter was found' : 'No GPU and no software driver was found';
  throw new LinbpError(
    'no-adapter',
    `${what}${why}. Run "linbp doctor" to see what is missing, "linbp doctor --fix" to install it.`,
    {
      field: 'device',
    },
  );
}

/** Dawn answers "no adapter" in two ways, with null and with a rejection; both mean the same here. */
async function request(gpu: GPU, reasons: string[]): Promise<GPUAdapter | null> {
  try {
    return await quietly(() => gpu.requestAdapter({ powerPreference: 'high-performance' }));
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
    if (reason && !reasons.includes(reason)) reasons.push(reason);
    return null;
  }
}

function isSoftware(adapter: GPUAdapter): boolean {
  return adapter.info.isFallbackAdapter;
}

/** An experimental property of Dawn's that the WebGPU types do not know. */
function subgroupMatrices(info: GPUAdapterInfo): SubgroupMatrixConfig[] {
  const { subgroupMatrixConfigs: configs } = info as { readonly subgroupMatrixConfigs?: Iterable<DawnMatrixConfig> };
  return [...(configs ?? [])].map(({ componentType, resultComponentType, M, N, K }) => ({
    component: componentType,
    result: resultComponentType,
    m: M,
    n: N,
    k: K,
  }));
}

interface DawnMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Copies the adapter's description out of Dawn's object. */
export function describeAdapter({ adapter, driver }: FoundAdapter): AdapterInfo {
  const { info } = adapter;
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    software: isSoftware(adapter),
    driver,
    subgroupMinSize: info.subgroupMinSize ?? 0,
    subgroupMaxSize: info.subgroupMaxSize ?? 0,
    subgroupMatrices: subgroupMatrices(info),
  };
}
