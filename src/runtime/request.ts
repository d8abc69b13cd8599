/// <reference types="@webgpu/types" preserve="true" />
import type { FieldNames } from '../arguments.js';
import type { Failures } from './failures.js';
import type { BufferKind } from './memory.js';

/** Limits that are asked for at the adapter's maximum; a device otherwise gets the minimum of the specification. */
export const WANTED_LIMITS = [
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
export const WANTED_FEATURES: readonly string[] = [
  'timestamp-query',
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  'chromium-experimental-subgroup-matrix',
];

/** How {@link Device.open} chooses and sets up a device. */
export interface DeviceOptions {
  /** `auto` (default) takes the best adapter; `software` insists on a software adapter. */
  readonly device?: 'auto' | 'software';
  /**
   * Which adapter of several: its index in the list of {@link listAdapters}, or a part of its name. The error for one
   * that is not there lists them.
   */
  readonly adapter?: string | number;
  /**
   * Throttle Dawn's polling while waiting, on software adapters; default true unless the environment
   * has `LINBP_NO_THROTTLE=1`. Holds for the whole thread. On other adapters nothing is throttled, and the global
   * `setImmediate` stays as it is.
   */
  readonly throttlePolling?: boolean;
  /** Optional WebGPU features to ask for, of those the adapter has; default all that linbp can use. */
  readonly features?: readonly string[];
  /**
   * `adapter` (default) asks for the adapter's own limits, `baseline` for the minimum that every WebGPU device grants.
   */
  readonly limits?: 'adapter' | 'baseline';
}

/** The fields of {@link DeviceOptions}. */
export const deviceFields: FieldNames<DeviceOptions> = {
  device: true,
  adapter: true,
  throttlePolling: 'flag',
  features: true,
  limits: true,
};

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
  /** Whose errors those of the commands are; the device's own unless given. */
  readonly failures?: Failures;
}
