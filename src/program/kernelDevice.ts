import type { MatrixShape } from '../kernels/matrices.js';
import type { KernelDevice } from '../kernels/types.js';
import type { Device } from '../runtime/device.js';
import { isSwiftShader, usesAvx512 } from '../runtime/processor.js';

/** Lanes that matrices get where subgroups have several sizes; the one that every vendor's matrices work with. */
const matrixLanes = 32;

/** Subgroup matrices with sums of f32 that a device offers, where its subgroups have a known size. */
function matricesOf(device: Device): Pick<KernelDevice, 'matrices'> {
  const { subgroupMinSize: least, subgroupMaxSize: most, subgroupMatrices } = device.adapterInfo;
  const { features } = device;
  if (!features.has('chromium-experimental-subgroup-matrix')) return {};
  const shapes = subgroupMatrices.flatMap(({ component, result, m, n, k }): MatrixShape[] =>
    result === 'f32' && (component === 'f32' || (component === 'f16' && features.has('shader-f16')))
      ? [{ component, m, n, k }]
      : [],
  );
  const pinned = least !== most;
  if (
    shapes.length === 0 ||
    (pinned && (!features.has('subgroup-size-control') || least > matrixLanes || most < matrixLanes))
  )
    return {};
  return { matrices: { shapes, subgroupSize: pinned ? matrixLanes : least, pinned, granularity: most } };
}

/** What {@link KernelDevice} a device amounts to. */
export function kernelDevice(device: Device): KernelDevice {
  const subgroups = device.features.has('subgroups');
  return {
    subgroupSize: subgroups ? device.adapterInfo.subgroupMinSize : 0,
    software: device.adapterInfo.software,
    plainCompiler: isSwiftShader(device.adapterInfo),
    avx512: usesAvx512(device.adapterInfo),
    maxInvocations: device.limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
    maxBindingBytes: device.limits.maxStorageBufferBindingSize,
    ...matricesOf(device),
    maxStorageBuffers: device.limits.maxStorageBuffersPerShaderStage,
  };
}
