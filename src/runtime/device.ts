/// <reference types="@webgpu/types" preserve="true" />
import './dispose.js';
import { LinbpError } from '../errors.js';
import { describeAdapter, findAdapter } from './adapter.js';
import type { AdapterInfo } from './adapter.js';
import { pin } from './instance.js';
import { BufferLedger, safeBytes } from './memory.js';
import type { BufferKind, MemoryUse } from './memory.js';
import { MapMode } from './flags.js';
import { PipelineCache } from './pipelines.js';
import type { PipelineRequest } from './pipelines.js';
import { resetSpin, setThrottle, throttlingWanted } from './polling.js';

/** Limits that are asked for at the adapter's maximum; a device otherwise gets the minimum of the specification. */
const WANTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxUniformBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const;

/** Features that are asked for where the adapter has them. */
const WANTED_FEATURES: readonly string[] = [
  'timestamp-query',
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  'chromium-experimental-subgroup-matrix',
];

/** How {@link Device.open} chooses and sets up a device. */
export interface DeviceOptions {
  /** `auto` (default) takes the best adapter; `software` insists on one that computes on the CPU. */
  readonly device?: 'auto' | 'software';
  /**
   * Throttle Dawn's polling while waiting; default true unless the environment has `LINBP_NO_THROTTLE=1`. Holds for
   * the whole thread.
   */
  readonly throttlePolling?: boolean;
  /** Optional WebGPU features to ask for, of those the adapter has; default all that linbp can use. */
  readonly features?: readonly string[];
  /**
   * `adapter` (default) asks for the adapter's own limits, `baseline` for the minimum that every WebGPU device grants.
   */
  readonly limits?: 'adapter' | 'baseline';
}

/** A buffer to create. */
export interface BufferRequest {
  /** Bytes, at least 1; rounded up to a multiple of 4. */
  readonly size: number;
  /** Flags of `BufferUsage`, added together. */
  readonly usage: number;
  readonly label?: string;
  readonly kind?: BufferKind;
}

/** Running totals of one device. */
export interface DeviceCounters {
  submits: number;
  readbacks: number;
  dispatches: number;
}

/** What goes with a submit. */
export interface SubmitOptions {
  /** Dispatches recorded in the command buffers, for the counters. */
  readonly dispatches?: number;
  /** Objects to keep alive until the GPU has finished this submit. */
  readonly hold?: readonly object[];
}

/** Held objects are let go at the latest after this many submits, by asking Dawn when it is done with them. */
const SWEEP_EVERY = 64;

/**
 * One GPU (or software adapter) and everything made on it. Open it with {@link Device.open}, close it with {@link
 * Device.destroy} or `using`. Once destroyed every method but {@link Device.memory} throws `LinbpError` with code
 * `disposed`. Errors that the GPU reports outside a call are thrown, as `gpu-error` or `device-lost`, by the next
 * method that is awaited.
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
  readonly #held: object[] = [];
  /** How many held objects were let go already; a wait releases up to a position in the whole sequence. */
  #releasedBefore = 0;
  #unsweptSubmits = 0;
  #destroyed = false;
  #error: LinbpError | undefined;
  #lost: LinbpError | undefined;

  private constructor(gpu: GPUDevice, adapterInfo: AdapterInfo) {
    this.gpu = gpu;
    this.adapterInfo = adapterInfo;
    this.limits = gpu.limits;
    this.features = new Set<string>(gpu.features);
    this.#ledger = new BufferLedger(gpu);
    this.#pipelines = new PipelineCache(gpu);
    gpu.addEventListener('uncapturederror', (event) => {
      event.preventDefault(); // otherwise Dawn prints the message on stdout
      this.#error ??= new LinbpError('gpu-error', `The GPU reported an error: ${event.error.message.trim()}`, {
        cause: event.error,
      });
    });
    void gpu.lost.then((info) => {
      if (!this.#destroyed)
        this.#lost = new LinbpError('device-lost', `The GPU was lost (${info.reason}): ${info.message.trim()}`);
    });
  }

  /**
   * Finds an adapter and opens a device on it with the adapter's own limits and every optional feature that linbp can
   * use.
   *
   * @throws LinbpError `no-adapter` where there is no driver (the message names the command that mends it),
   * `bad-argument` for an unknown option value
   */
  static async open(options: DeviceOptions = {}): Promise<Device> {
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
    setThrottle(throttlePolling);
    resetSpin();
    const found = await findAdapter(wanted === 'software');
    const { adapter } = found;
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
    return new Device(gpu, describeAdapter(found));
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
   * @throws LinbpError `bad-range` where the data does not fit
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
    if (byteLength === 0) return new ArrayBuffer(0);
    const start = Math.floor(offset / 4) * 4;
    const size = Math.ceil((offset + byteLength) / 4) * 4 - start;
    const staging = this.#ledger.takeStaging(size);
    const encoder = this.gpu.createCommandEncoder({ label: 'read' });
    encoder.copyBufferToBuffer(buffer, start, staging, 0, size);
    resetSpin();
    this.gpu.queue.submit([encoder.finish()]);
    this.counters.readbacks++;
    const held = this.#heldSoFar();
    try {
      await staging.mapAsync(MapMode.READ, 0, size);
    } catch (cause) {
      staging.destroy();
      this.check();
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
    this.#release(held);
    this.check();
    return copy;
  }

  /** Submits recorded work. Returns at once; wait with {@link Device.idle} or a read. */
  submit(commandBuffers: readonly GPUCommandBuffer[], options: SubmitOptions = {}): void {
    this.#alive();
    resetSpin();
    this.gpu.queue.submit(commandBuffers as GPUCommandBuffer[]);
    this.counters.submits++;
    this.counters.dispatches += options.dispatches ?? 0;
    if (options.hold) {
      this.#held.push(...options.hold);
      if (++this.#unsweptSubmits >= SWEEP_EVERY) {
        this.#unsweptSubmits = 0;
        const held = this.#heldSoFar();
        void this.gpu.queue.onSubmittedWorkDone().then(
          () => this.#release(held),
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
    this.#alive();
    resetSpin();
    const held = this.#heldSoFar();
    await this.gpu.queue.onSubmittedWorkDone();
    this.#release(held);
    this.check();
  }

  /**
   * Throws, once, the first error that the GPU reported since the last check; throws always once the device is lost
   * or destroyed.
   */
  check(): void {
    this.#alive();
    const error = this.#error;
    this.#error = undefined;
    if (this.#lost) throw this.#lost;
    if (error) throw error;
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
      if (this.#lost) throw this.#lost;
      throw cause;
    });
    this.check();
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
    this.#release(this.#heldSoFar());
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
  }

  #heldSoFar(): number {
    return this.#releasedBefore + this.#held.length;
  }

  /**
   * Lets go of the objects held before position `end` of the sequence; overlapping waits may have let go of some
   * already.
   */
  #release(end: number): void {
    const count = end - this.#releasedBefore;
    if (count <= 0) return;
    this.#held.splice(0, count);
    this.#releasedBefore = end;
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
