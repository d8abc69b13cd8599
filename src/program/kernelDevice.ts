import type { KernelDevice } from '../kernels/types.js';
import type { Device } from '../runtime/device.js';

/** What {@link KernelDevice} a device amounts to. */
export function kernelDevice(device: Device): KernelDevice {
  const subgroups = device.features.has('subgroups');
  return {
    subgroupSize: subgroups ? device.adapterInfo.subgroupMinSize : 0,
    software: device.adapterInfo.software,
    plainCompiler: /swiftshader/i.test(device.adapterInfo.description),
    maxInvocations: device.limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
    maxBindingBytes: device.limits.maxStorageBufferBindingSize,
    maxStorageBuffers: device.limits.maxStorageBuffersPerShaderStage,
  };
}
