import { LinbpError } from '../errors.js';

/**
 * Dawn's JS objects must outlive everything made from them: its poller keeps a raw pointer to the instance, and
 * collecting it while a device is in use crashes the process. So instances are pinned on the global object for ever,
 * adapters and devices until the device is lost or destroyed: their threads and memory end with them.
 */
interface Pins {
  readonly instances: Map<string, GPU>;
  readonly held: Set<object>;
}

const PINS = Symbol.for('linbp.pins');

type WebgpuModule = { create(flags: string[]): GPU };

/**
 * Timestamps in raw nanoseconds, half precision on NVIDIA, and subgroup matrices visible (they stay opt-in as a
 * device feature).
 */
const FLAGS: readonly string[] = [
  'disable-dawn-features=timestamp_quantization',
  'enable-dawn-features=vulkan_enable_f16_on_nvidia,allow_unsafe_apis',
];

function pins(): Pins {
  const holder = globalThis as typeof globalThis & { [PINS]?: Pins };
  let value = holder[PINS];
  if (!value) {
    value = { instances: new Map(), held: new Set() };
    Object.defineProperty(holder, PINS, { value });
  }
  return value;
}

/** Keeps `object` alive until {@link unpin}, whatever its users do. */
export function pin(object: object): void {
  pins().held.add(object);
}

/** Lets go of an object. Of a device only once it is lost or destroyed, since pending work uses it. */
export function unpin(object: object): void {
  pins().held.delete(object);
}

let loading: Promise<WebgpuModule> | undefined;

/**
 * Imports the `webgpu` package on first use. Throws {@link LinbpError} `no-adapter` with one clear sentence where it
 * cannot be loaded.
 */
export async function loadWebgpu(): Promise<WebgpuModule> {
  loading ??= import('webgpu').then(
    (module) => module as unknown as WebgpuModule,
    (cause: unknown) => {
      loading = undefined;
      throw loadFailure(cause);
    },
  );
  return loading;
}

/** Says in one sentence why the native module did not load. Exported for tests. */
export function loadFailure(cause: unknown): LinbpError {
  const code = (cause as { code?: unknown } | null)?.code;
  const message = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
  const platform = `${process.platform}-${process.arch}`;
  if (code === 'ERR_DLOPEN_FAILED') {
    const symbol = /(GLIBCXX|GLIBC)_[\d.]+/.exec(message)?.[0];
    const reason = symbol
      ? `this system's C or C++ library lacks ${symbol}; use Debian 12, Ubuntu 22.04 or newer`
      : `the system could not load it (${message})`;
    return new LinbpError('no-adapter', `The WebGPU module cannot run here: ${reason}.`, { field: 'webgpu', cause });
  }
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') {
    return new LinbpError(
      'no-adapter',
      `The npm package webgpu is not installed or has no build for ${platform}; run npm install.`,
      {
        field: 'webgpu',
        cause,
      },
    );
  }
  return new LinbpError('no-adapter', `The WebGPU module failed to load on ${platform}: ${message}`, {
    field: 'webgpu',
    cause,
  });
}

/**
 * The one Dawn instance of this thread for these extra flags and this driver. A driver chosen after an instance has
 * looked for adapters is not seen by it, so each driver has an instance of its own.
 *
 * @param driver - a name for the driver environment in force, part of the key
 * @param extra - further Dawn flags of the form `key=value`
 */
export async function instance(driver: string, extra: readonly string[] = []): Promise<GPU> {
  const { create } = await loadWebgpu();
  const flags = [...FLAGS, ...extra];
  const key = [driver, ...flags].join('\n');
  const { instances } = pins();
  let gpu = instances.get(key);
  if (!gpu) {
    gpu = create(flags);
    instances.set(key, gpu);
  }
  return gpu;
}
