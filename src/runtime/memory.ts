import { LinbpError } from '../errors.js';
import { Failures, scoped } from './failures.js';
import { BufferUsage } from './flags.js';

/** What a buffer is for; only used for accounting and labels. */
export type BufferKind =
  'parameters' | 'arena' | 'state' | 'uniform' | 'input' | 'output' | 'staging' | 'query' | 'other';

/** Bytes of device memory by state. */
export interface MemoryUse {
  /** Bytes in buffers that exist and are in use. */
  readonly live: number;
  /** Bytes in idle staging buffers kept for the next read-back. */
  readonly pooled: number;
  /** Bytes that compiled programs planned for their arenas (part of `live` once the arenas exist). */
  readonly planned: number;
  /** `live` by kind of buffer. */
  readonly byKind: Readonly<Partial<Record<BufferKind, number>>>;
}

/** Staging buffers above this size are freed after use instead of being kept. */
const LARGEST_POOLED = 16 * 1024 * 1024;
const SMALLEST_STAGING = 4096;
const IDLE_PER_CLASS = 4;

/**
 * Accounts for every buffer of one device and owns the pool of staging buffers. It holds its buffers strongly until
 * they are destroyed: Dawn's memory is invisible to the garbage collector, and collecting a buffer that pending work
 * still uses is unsafe.
 */
export class BufferLedger {
  readonly #gpu: GPUDevice;
  readonly #live = new Map<GPUBuffer, { size: number; kind: BufferKind }>();
  readonly #idle = new Map<number, GPUBuffer[]>();
  /** Every buffer made here, with the errors of making it; collected with the buffer. */
  readonly #made = new WeakMap<GPUBuffer, Failures>();
  readonly #byKind: Partial<Record<BufferKind, number>> = {};
  #liveBytes = 0;
  #pooledBytes = 0;
  planned = 0;

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /** Creates a buffer that is counted until its `destroy()` is called. */
  create(size: number, usage: number, kind: BufferKind, label: string): GPUBuffer {
    const failures = new Failures();
    const buffer = scoped(this.#gpu, failures, () => this.#gpu.createBuffer({ size, usage, label }));
    this.#made.set(buffer, failures);
    this.#count(buffer, size, kind);
    const destroy = buffer.destroy.bind(buffer);
    // An own property in front of Dawn's method, so that a plain buffer.destroy() anywhere keeps the books right.
    Object.defineProperty(buffer, 'destroy', {
      value: (): undefined => {
        this.#discount(buffer);
        destroy();
      },
    });
    return buffer;
  }

  /** Throws `disposed` for a buffer that was destroyed, and the error of making it where that failed. */
  expectUsable(buffer: GPUBuffer): void {
    const failures = this.#made.get(buffer);
    if (failures === undefined) return;
    if (failures.error !== undefined) throw failures.error;
    if (!this.#live.has(buffer))
      throw new LinbpError('disposed', `the buffer "${buffer.label}" was destroyed`, { field: buffer.label });
  }

  /** A MAP_READ buffer of at least `bytes` bytes. */
  takeStaging(bytes: number): GPUBuffer {
    const size = stagingSize(bytes);
    const idle = this.#idle.get(size)?.pop();
    if (idle) {
      this.#pooledBytes -= size;
      this.#count(idle, size, 'staging');
      return idle;
    }
    return this.create(size, BufferUsage.MAP_READ | BufferUsage.COPY_DST, 'staging', `staging ${size}`);
  }

  /** Returns an unmapped staging buffer to the pool, or frees it where the pool is full. */
  giveStaging(buffer: GPUBuffer): void {
    if (!this.#live.has(buffer)) return;
    const idle = this.#idle.get(buffer.size) ?? [];
    if (buffer.size > LARGEST_POOLED || idle.length >= IDLE_PER_CLASS) {
      buffer.destroy();
      return;
    }
    this.#discount(buffer);
    this.#idle.set(buffer.size, [...idle, buffer]);
    this.#pooledBytes += buffer.size;
  }

  /** Frees everything. */
  destroyAll(): void {
    for (const list of this.#idle.values()) for (const buffer of list) buffer.destroy();
    this.#idle.clear();
    this.#pooledBytes = 0;
    for (const buffer of [...this.#live.keys()]) buffer.destroy();
    this.planned = 0;
  }

  use(): MemoryUse {
    return { live: this.#liveBytes, pooled: this.#pooledBytes, planned: this.planned, byKind: { ...this.#byKind } };
  }

  #count(buffer: GPUBuffer, size: number, kind: BufferKind): void {
    this.#live.set(buffer, { size, kind });
    this.#liveBytes += size;
    this.#byKind[kind] = (this.#byKind[kind] ?? 0) + size;
  }

  #discount(buffer: GPUBuffer): void {
    const entry = this.#live.get(buffer);
    if (!entry) return;
    this.#live.delete(buffer);
    this.#liveBytes -= entry.size;
    this.#byKind[entry.kind] = (this.#byKind[entry.kind] ?? 0) - entry.size;
  }
}

function stagingSize(bytes: number): number {
  if (bytes > LARGEST_POOLED) return Math.ceil(bytes / 4) * 4;
  let size = SMALLEST_STAGING;
  while (size < bytes) size *= 2;
  return size;
}

/**
 * The bytes of a view in a form that Dawn takes safely: it crashes on shared memory (so that is copied) and on
 * half-precision arrays (so every view is handed over as bytes), and it refuses lengths that are not multiples of 4
 * (so the end is padded with zeros).
 */
export function safeBytes(data: ArrayBufferView): Uint8Array<ArrayBuffer> {
  if (!ArrayBuffer.isView(data))
    throw new LinbpError('bad-argument', 'data: expected a typed array or a DataView', { field: 'data' });
  const padded = Math.ceil(data.byteLength / 4) * 4;
  if (padded === data.byteLength && data.buffer instanceof ArrayBuffer)
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const copy = new Uint8Array(padded);
  copy.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return copy;
}
