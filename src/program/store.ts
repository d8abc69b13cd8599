import type { Tensor } from '../graph/types.js';
import type { ReferenceArray } from '../reference/types.js';
import type { Device } from '../runtime/device.js';
import { BufferUsage } from '../runtime/flags.js';
import type { BufferKind } from '../runtime/memory.js';

/** Numbers on the host as they come from where they were computed: float32 or words of a device, else float64. */
export type StoredValues = Float32Array | Float64Array | Uint32Array;

/** Elements of a tensor that outlive the programs which work on them, and that several programs may share. */
export interface Store {
  readonly elements: number;
  /** Replaces all elements. */
  write(values: StoredValues): void;
  /** A copy of the first `elements`, or of all. */
  read(elements?: number): Promise<StoredValues>;
  destroy(): void;
}

/** A store's size and what it is for. */
interface StoreRequest {
  readonly elements: number;
  /** Default `f32`. */
  readonly dtype?: 'f32' | 'u32';
  readonly kind: BufferKind;
  readonly label: string;
}

/** A buffer of a device. */
export class DeviceStore implements Store {
  readonly buffer: GPUBuffer;
  private readonly device: Device;
  private readonly dtype: 'f32' | 'u32';

  constructor(device: Device, buffer: GPUBuffer, dtype: 'f32' | 'u32' = 'f32') {
    this.device = device;
    this.buffer = buffer;
    this.dtype = dtype;
  }

  get elements(): number {
    return this.buffer.size / 4;
  }

  write(values: StoredValues): void {
    this.device.write(this.buffer, 0, values instanceof Float64Array ? Float32Array.from(values) : values);
  }

  async read(elements = this.elements): Promise<Float32Array | Uint32Array> {
    const bytes = await this.device.read(this.buffer, 0, 4 * elements);
    return this.dtype === 'u32' ? new Uint32Array(bytes) : new Float32Array(bytes);
  }

  destroy(): void {
    this.buffer.destroy();
  }
}

/** An array of the float64 reference. */
export class ReferenceStore implements Store {
  readonly values: ReferenceArray;

  constructor(elements: number, dtype: 'f32' | 'u32' = 'f32') {
    this.values = dtype === 'u32' ? new Uint32Array(elements) : new Float64Array(elements);
  }

  get elements(): number {
    return this.values.length;
  }

  write(values: StoredValues): void {
    this.values.set(values);
  }

  read(elements = this.elements): Promise<ReferenceArray> {
    return Promise.resolve(this.values.slice(0, elements));
  }

  destroy(): void {}
}

/** A store of zeros on a device or for the reference. */
export function openStore(place: Device | 'reference', { elements, dtype, kind, label }: StoreRequest): Store {
  if (place === 'reference') return new ReferenceStore(elements, dtype);
  const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
  return new DeviceStore(place, place.createBuffer({ size: 4 * elements, usage, kind, label }), dtype);
}

/** Buffers of one device as stores of the same tensors. */
export const storesOf = (device: Device, buffers: ReadonlyMap<Tensor, GPUBuffer>): Map<Tensor, Store> =>
  new Map([...buffers].map(([tensor, buffer]) => [tensor, new DeviceStore(device, buffer)]));
