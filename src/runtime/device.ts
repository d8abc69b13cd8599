/// <reference types="@webgpu/types" preserve="true" />
import './dispose.js';
import { LinbpError } from '../errors.js';
import { describeAdapter, findAdapter } from './adapter.js';
import type { AdapterInfo } from './adapter.js';
import { Failures, gpuError, scoped } from './failures.js';
import { HeldObjects } from './held.js';
import { pin, unpin } from './instance.js';
import { BufferLedger, safeBytes } from './memory.js';
import type { MemoryUse } from './memory.js';
import { BufferUsage, MapMode } from './flags.js';
import { PipelineCache } from './pipelines.js';
import type { PipelineRequest } from './pipelines.js';
import { resetSpin, setThrottle, throttlingWanted } from './polling.js';
import { stopHiding } from './quiet.js';
import { deviceFields, WANTED_FEATURES, WANTED_LIMITS } from './request.js';
import { expectFields, expectObject } from '../arguments.js';
import type { BufferRequest, DeviceCounters, DeviceOptions, SubmitOptions } from './request.js';

export type { BufferRequest, DeviceCounters, DeviceOptions, SubmitOptions } from './request.js';

/** Held objects are let go at the latest after this many submits, by asking Dawn when it is done with them. */
const SWEEP_EVERY = 64;

/**
 * One GPU (or software adapter) and everything made on it. Open it with {@link Device.open}, close it with {@link
 * Device.destroy} or `using`. Once destroyed every method but {@link Device.memory} throws `LinbpError` with code
 * `disposed`. An error that the GPU reports later is thrown by the next call of the object whose commands caused it;
 * errors of commands that nobody answers for are thrown, once, by {@link Device.idle} and {@link Device.check}.
 */
export class Device {
  /** The underlying WebGPU device. */
  readonly gpu: GPUDevice;
  readonly adapterInfo: AdapterInfo;
  /** Limits that were granted. */
  readonly limits: GPUSupportedLimits;
  /** Optional features that were granted. */
  readonly features: ReadonlySet<string>;
  /** Running totals; programs add their dispatches. */
  readonly counters: DeviceCounters = { submits: 0, readbacks: 0, dispatches: 0 };

  readonly #ledger: BufferLedger;
  readonly #pipelines: PipelineCache;
  readonly #held = new HeldObjects();
  readonly #failures = new Failures();
  /** Removes what the GPU device holds of this object, so that both can be collected. */
  readonly #unlisten: () => void;
  #unsweptSubmits = 0;
  #destroyed = false;
  #lost: LinbpError | undefined;

  private constructor(gpu: GPUDevice, adapter: GPUAdapter, adapterInfo: AdapterInfo) {
    this.gpu = gpu;
    this.adapterInfo = adapterInfo;
    this.limits = gpu.limits;
    this.features = new Set<string>(gpu.features);
    this.#ledger = new BufferLedger(gpu);
    this.#pipelines = new PipelineCache(gpu);
    const listener = (event: GPUUncapturedErrorEvent): void => {
      event.preventDefault(); // otherwise Dawn prints the message on stdout
      this.#failures.add(gpuError(event.error));
    };
    gpu.addEventListener('uncapturederror', listener);
    this.#unlisten = () => gpu.removeEventListener('uncapturederror', listener);
    void gpu.lost.then((info) => {
      if (!this.#destroyed)
        this.#lost = new LinbpError('device-lost', `The GPU was lost (${info.reason}): ${info.message.trim()}`);
      // Dawn's threads and memory end with these objects; from here on nothing in flight uses them.
      unpin(adapter);
      unpin(gpu);
    });
  }

  /**
   * Finds an adapter and opens a device on it with the adapter's own limits and every optional feature that linbp can
   * use.
   *
   * @throws LinbpError `no-adapter` where there is no driver (the message names the command that mends it) or no such
   * adapter (the message lists them), `bad-argument` for an unknown option value
   */
  static async open(options: DeviceOptions = {}): Promise<Device> {
    expectFields(options, deviceFields);
    const {
      device: wanted = 'auto',
      throttlePolling = throttlingWanted(),
      features = WANTED_FEATURES,
      limits = 'adapter',
    } = options;
    if (wanted !== 'auto' && wanted !== 'software') {
      throw new LinbpError('bad-argument', `device: expected "auto" or "software", got ${JSON.stringify(wanted)}`, {
        field: 'device',
      });
    }
    const found = await findAdapter(wanted === 'software', options.adapter);
    const { adapter } = found;
    if (adapter.info.isFallbackAdapter) setThrottle(throttlePolling);
    resetSpin();
    const requiredLimits: Record<string, number> = {};
    if (limits === 'adapter') for (const name of WANTED_LIMITS) requiredLimits[name] = adapter.limits[name];
    let gpu: GPUDevice;
    try {
      gpu = await adapter.requestDevice({
        label: 'linbp',
        requiredFeatures: features.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
        requiredLimits,
      });
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new LinbpError(
        'no-adapter',
        `The adapter "${adapter.info.description}" refused to open a device: ${text}`,
        { cause },
      );
    }
    pin(adapter);
    pin(gpu);
    stopHiding();
    return new Device(gpu, adapter, describeAdapter(found));
  }

  /** True once {@link Device.destroy} was called. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /**
   * Creates a buffer that counts as live until its own `destroy()` is called. New buffers hold zeros.
   *
   * @throws LinbpError `bad-range` for a size that is no positive integer, `limit-exceeded` above the device's
   * `maxBufferSize`
   */
  createBuffer(request: BufferRequest): GPUBuffer {
    this.#alive();
    expectObject(request, 'request');
    const { size, usage, kind = 'other', label = kind } = request;
    if (!Number.isSafeInteger(size) || size <= 0) {
      throw new LinbpError(
        'bad-range',
        `size of buffer "${label}": expected a positive integer of bytes, got ${String(size)}`,
        { field: 'size' },
      );
    }
    const bytes = Math.ceil(size / 4) * 4;
    if (bytes > this.limits.maxBufferSize) {
      throw new LinbpError(
        'limit-exceeded',
        `buffer "${label}" of ${bytes} bytes is larger than the device allows (${this.limits.maxBufferSize})`,
        {
          field: 'size',
        },
      );
    }
    return this.#ledger.create(bytes, usage, kind, label);
  }

  /**
   * Writes host data into a buffer, in order with the submits around it. Any typed array is taken, shared memory and
   * half-precision arrays included; a length that is no multiple of 4 bytes is padded with zeros.
   *
   * @param offset - bytes into the buffer, a multiple of 4
   * @throws LinbpError `bad-range` where the data does not fit, `disposed` where the buffer was destroyed
   */
  write(buffer: GPUBuffer, offset: number, data: ArrayBufferView): void {
    this.#alive();
    const bytes = safeBytes(data);
    this.#checkRange(buffer, offset, bytes.byteLength, 'write');
    if (offset % 4 !== 0) {
      throw new LinbpError(
        'bad-range',
        `write to "${buffer.label}": the offset must be a multiple of 4, got ${offset}`,
        { field: 'offset' },
      );
    }
    this.#usable(buffer, BufferUsage.COPY_DST, 'COPY_DST');
    if (bytes.byteLength > 0) this.gpu.queue.writeBuffer(buffer, offset, bytes);
  }

  /**
   * Reads bytes back, after everything submitted so far. The result is a copy of exactly `byteLength` bytes. The
   * buffer needs the usage `COPY_SRC`.
   *
   * @throws LinbpError `bad-range`, `gpu-error`, `device-lost`, or `disposed` where the device is destroyed meanwhile
   */
  async read(buffer: GPUBuffer, offset = 0, byteLength = buffer.size - offset): Promise<ArrayBuffer> {
    this.#alive();
    this.#checkRange(buffer, offset, byteLength, 'read');
    this.#usable(buffer, BufferUsage.COPY_SRC, 'COPY_SRC');
    if (byteLength === 0) return new ArrayBuffer(0);
    const start = Math.floor(offset / 4) * 4;
    const size = Math.ceil((offset + byteLength) / 4) * 4 - start;
    const staging = this.#ledger.takeStaging(size);
    const failures = new Failures();
    resetSpin();
    const mapped = scoped(this.gpu, failures, () => {
      const encoder = this.gpu.createCommandEncoder({ label: 'read' });
      encoder.copyBufferToBuffer(buffer, start, staging, 0, size);
      this.gpu.queue.submit([encoder.finish()]);
      return staging.mapAsync(MapMode.READ, 0, size);
    });
    this.counters.readbacks++;
    const held = this.#held.end;
    try {
      await mapped;
      failures.check();
    } catch (cause) {
      staging.destroy();
      this.#alive();
      failures.check();
      if (cause instanceof LinbpError) throw cause;
      throw new LinbpError(
        'gpu-error',
        `Reading "${buffer.label}" failed: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    }
    // A mapped range dies with its buffer, so nothing but a copy ever leaves this function.
    const copy = staging.getMappedRange(0, size).slice(offset - start, offset - start + byteLength);
    staging.unmap();
    this.#ledger.giveStaging(staging);
    this.#held.release(held);
    this.#alive();
    return copy;
  }

  /** Submits recorded work. Returns at once; wait with {@link Device.idle} or a read. */
  submit(commandBuffers: readonly GPUCommandBuffer[], options: SubmitOptions = {}): void {
    this.#alive();
    resetSpin();
    scoped(this.gpu, options.failures ?? this.#failures, () =>
      this.gpu.queue.submit(commandBuffers as GPUCommandBuffer[]),
    );
    this.counters.submits++;
    this.counters.dispatches += options.dispatches ?? 0;
    if (options.hold) {
      this.#held.add(options.hold);
      if (++this.#unsweptSubmits >= SWEEP_EVERY) {
        this.#unsweptSubmits = 0;
        const held = this.#held.end;
        void this.gpu.queue.onSubmittedWorkDone().then(
          () => this.#held.release(held),
          () => undefined,
        );
      }
    }
  }

  /**
   * Waits until everything submitted so far has finished.
   *
   * @throws LinbpError `gpu-error`, `device-lost`, `disposed`
   */
  async idle(): Promise<void> {
    await this.finished();
    this.#failures.check();
  }

  /** {@link Device.idle} for those who keep their own errors. @throws LinbpError `device-lost`, `disposed` */
  async finished(): Promise<void> {
    this.#alive();
    resetSpin();
    const held = this.#held.end;
    await this.gpu.queue.onSubmittedWorkDone();
    this.#held.release(held);
    this.#alive();
  }

  /**
   * Throws, once, the first error of commands that nobody else answers for since the last check; throws always once
   * the device is lost or destroyed.
   */
  check(): void {
    this.#alive();
    this.#failures.check();
  }

  /** Throws `device-lost` or `disposed` once the device cannot be used any more. */
  expectAlive(): void {
    this.#alive();
  }

  /**
   * Makes objects on {@link Device.gpu} and keeps the errors of doing so for their owner. The commands must be
   * synchronous.
   */
  scoped<T>(failures: Failures, commands: () => T): T {
    return scoped(this.gpu, failures, commands);
  }

  /** Throws `disposed` where a buffer of this device was destroyed, and its own error where it could not be made. */
  expectUsable(buffer: GPUBuffer): void {
    this.#ledger.expectUsable(buffer);
  }

  /** Bytes of device memory: in use, kept for reuse, and planned by programs. Works on a destroyed device too. */
  memory(): MemoryUse {
    return this.#ledger.use();
  }

  /**
   * Adds to the planned bytes of {@link Device.memory}; a program calls it with its plan's size, and the negative
   * when disposed.
   */
  addPlanned(bytes: number): void {
    if (!this.#destroyed) this.#ledger.planned += bytes;
  }

  /**
   * A compute pipeline, compiled once per source text, layout, entry point and constants. Callers that ask while it
   * compiles share the same promise.
   *
   * @throws LinbpError `gpu-error` with the line of the source that was refused
   */
  async pipeline(request: PipelineRequest): Promise<GPUComputePipeline> {
    this.#alive();
    resetSpin();
    const pipeline = await this.#pipelines.pipeline(request).catch((cause: unknown) => {
      this.#alive();
      throw cause;
    });
    this.#alive();
    return pipeline;
  }

  /** Number of pipelines compiled so far on this device. */
  get pipelinesCompiled(): number {
    return this.#pipelines.compiled;
  }

  /** The bind group layout with these entries, made once per content. */
  bindGroupLayout(entries: readonly GPUBindGroupLayoutEntry[], label = 'group'): GPUBindGroupLayout {
    this.#alive();
    return this.#pipelines.bindGroupLayout(entries, label);
  }

  /** The pipeline layout of these bind group layouts, null where a group is not used; made once per content. */
  pipelineLayout(groups: readonly (GPUBindGroupLayout | null)[], label = 'layout'): GPUPipelineLayout {
    this.#alive();
    return this.#pipelines.pipelineLayout(groups, label);
  }

  /** Frees every buffer and the device itself, waiting for running work. Calling it again does nothing. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#ledger.destroyAll();
    this.#pipelines.clear();
    this.#held.release(this.#held.end);
    this.#unlisten();
    this.gpu.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#destroyed) await this.gpu.queue.onSubmittedWorkDone();
    this.destroy();
  }

  #alive(): void {
    if (this.#destroyed) throw new LinbpError('disposed', 'The device was destroyed.', { field: 'device' });
    if (this.#lost) throw this.#lost;
  }

  #usable(buffer: GPUBuffer, usage: number, name: string): void {
    this.#ledger.expectUsable(buffer);
    if ((buffer.usage & usage) !== 0) return;
    throw new LinbpError('bad-argument', `buffer "${buffer.label}" was made without the usage ${name}`, {
      field: buffer.label,
    });
  }

  #checkRange(buffer: GPUBuffer, offset: number, byteLength: number, verb: string): void {
    const fits = Number.isSafeInteger(offset) && Number.isSafeInteger(byteLength) && offset >= 0 && byteLength >= 0;
    if (fits && offset + byteLength <= buffer.size) return;
    throw new LinbpError(
      'bad-range',
      `${verb} of ${byteLength} bytes at ${offset} leaves buffer "${buffer.label}" of ${buffer.size} bytes`,
      {
        field: 'offset',
      },
    );
  }
}
