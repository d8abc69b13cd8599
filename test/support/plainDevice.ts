import type { KernelDevice } from '../../src/kernels/types.js';

/** A software device of the least that every device offers, for plans that nobody runs. */
export const plainDevice: KernelDevice = {
  subgroupSize: 8,
  software: true,
  maxInvocations: 256,
  maxWorkgroupStorage: 16384,
  maxBindingBytes: 2 ** 27,
  maxStorageBuffers: 8,
};

/** A GPU of usual limits, for plans that nobody runs. */
export const plainGpu: KernelDevice = {
  subgroupSize: 32,
  software: false,
  maxInvocations: 1024,
  maxWorkgroupStorage: 32768,
  maxBindingBytes: 2 ** 27,
  maxStorageBuffers: 8,
};
