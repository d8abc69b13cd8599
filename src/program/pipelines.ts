import type { DispatchSchedule } from '../plan/schedule.js';
import type { Device } from '../runtime/device.js';
import { ShaderStage } from '../runtime/flags.js';

/** The uniform words of all dispatches, each at its own 256-byte slot. */
export function parameterTable(scheduled: DispatchSchedule, offsets: readonly number[], bytes: number): Uint8Array {
  const table = new DataView(new ArrayBuffer(Math.max(256, bytes)));
  for (const [index, dispatch] of scheduled.dispatches.entries()) {
    for (const [word, parameter] of dispatch.parameters.entries()) {
      const at = offsets[index]! + 4 * word;
      if (parameter.type === 'f32') table.setFloat32(at, parameter.value, true);
      else if (parameter.type === 'i32') table.setInt32(at, parameter.value, true);
      else table.setUint32(at, parameter.value, true);
    }
  }
  return new Uint8Array(table.buffer);
}

/** The pipelines of all dispatches with their bind group layouts, compiled once per shader text. */
export async function compilePipelines(
  scheduled: DispatchSchedule,
  device: Device,
  stepLayout: GPUBindGroupLayout,
  onProgress?: (done: number, total: number) => void,
): Promise<{ pipeline: GPUComputePipeline; layout: GPUBindGroupLayout }[]> {
  const total = new Set(scheduled.dispatches.map((dispatch) => dispatch.code)).size;
  const finished = new Set<string>();
  return Promise.all(
    scheduled.dispatches.map(async (dispatch) => {
      const entries: GPUBindGroupLayoutEntry[] = [
        { binding: 0, visibility: ShaderStage.COMPUTE, buffer: { type: 'uniform' } },
      ];
      for (const [slot, operand] of dispatch.operands.entries()) {
        entries.push({
          binding: slot + 1,
          visibility: ShaderStage.COMPUTE,
          buffer: { type: operand.access === 'read' ? 'read-only-storage' : 'storage' },
        });
      }
      const layout = device.bindGroupLayout(entries);
      const pipeline = await device.pipeline({
        code: dispatch.code,
        // Dawn visits every group of the layout at each dispatch: without the step row, recording costs a twelfth less.
        layout: device.pipelineLayout([dispatch.code.includes('stepRow') ? stepLayout : null, layout]),
        entryPoint: 'main',
        label: `${dispatch.kernel} ${dispatch.variant}`,
      });
      if (!finished.has(dispatch.code)) onProgress?.(finished.add(dispatch.code).size, total);
      return { pipeline, layout };
    }),
  );
}
