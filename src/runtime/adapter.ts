import { LinbpError } from '../errors.js';
import { applyCachedDriver, quietDrivers, systemHasLoader, userChoseDriver } from './driver.js';
import type { DriverSource } from './driver.js';
import { instance } from './instance.js';

/** What is known about the adapter a device runs on. */
export interface AdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** True for any adapter that computes on the CPU (lavapipe, SwiftShader, WARP). */
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

/**
 * Finds an adapter: the system's first, and only when that gives none the software driver in the user's cache.
 *
 * @param software - insist on an adapter that computes on the CPU
 * @throws LinbpError `no-adapter` with the command that mends it
 */
export async function findAdapter(software: boolean): Promise<FoundAdapter> {
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
    return await gpu.requestAdapter({ powerPreference: 'high-performance' });
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
