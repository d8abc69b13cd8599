import { findAdapter } from '../runtime/adapter.js';
import { loadWebgpu } from '../runtime/instance.js';
import { resetSpin, setThrottle, throttlingWanted } from '../runtime/polling.js';

/**
 * Gives libraries written for browsers what they look for: the constants and classes of WebGPU and `navigator.gpu`,
 * on the same Dawn, with the same flags and the same adapter as linbp, and with polling throttled where linbp's is.
 */
export async function exposeWebGPU(): Promise<void> {
  setThrottle(throttlingWanted());
  const { globals } = (await loadWebgpu()) as unknown as { globals: Record<string, unknown> };
  Object.assign(globalThis, globals);
  const gpu = {
    requestAdapter: async (): Promise<GPUAdapter> => (await findAdapter(false)).adapter,
    getPreferredCanvasFormat: (): string => 'rgba8unorm',
    wgslLanguageFeatures: new Set<string>(),
  };
  const navigator = {
    gpu,
    userAgent: `Node.js/${process.versions.node}`,
    hardwareConcurrency: 2,
    platform: process.platform,
  };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  // A submit gives the wait after it a fresh burst of immediate polls, as linbp's own submits do.
  const queue = (globals['GPUQueue'] as { prototype: GPUQueue }).prototype;
  const submit = Reflect.get(queue, 'submit') as (this: GPUQueue, buffers: Iterable<GPUCommandBuffer>) => undefined;
  queue.submit = function (this: GPUQueue, buffers: Iterable<GPUCommandBuffer>): undefined {
    resetSpin();
    return submit.call(this, buffers);
  };
  // Browsers take data in shared memory, where WebAssembly with threads keeps everything; Dawn for Node does not.
  const write = Reflect.get(queue, 'writeBuffer') as (this: GPUQueue, ...args: unknown[]) => undefined;
  queue.writeBuffer = function (
    this: GPUQueue,
    buffer: GPUBuffer,
    offset: number,
    data: GPUAllowSharedBufferSource,
    ...range: number[]
  ): undefined {
    const view = ArrayBuffer.isView(data) ? (data as Uint8Array) : new Uint8Array(data);
    return write.call(this, buffer, offset, view.buffer instanceof SharedArrayBuffer ? view.slice() : data, ...range);
  };
}
