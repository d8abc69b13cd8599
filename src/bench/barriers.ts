import { shaderSource } from '../wgsl/link.js';
import type { Device } from '../runtime/device.js';
import { BufferUsage, ShaderStage } from '../runtime/flags.js';
import { passMicroseconds } from './passTimes.js';
import type { RecordPass } from './passTimes.js';
import { median, missing, row } from './rows.js';
import type { BenchRow } from './rows.js';

/** Dispatches of a pass. */
const count = 256;

/** Records one small dispatch after the other, each with a bind group of its own: one for each of the buffers. */
async function steps(
  device: Device,
  shader: string,
  type: GPUBufferBindingType,
  buffers: readonly GPUBuffer[],
): Promise<RecordPass> {
  const layout = device.bindGroupLayout([{ binding: 0, visibility: ShaderStage.COMPUTE, buffer: { type } }], 'barrier');
  const pipeline = await device.pipeline({
    code: shaderSource(shader),
    layout: device.pipelineLayout([layout]),
    entryPoint: 'main',
  });
  const groups = buffers.map((buffer) =>
    device.gpu.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] }),
  );
  return (pass) => {
    pass.setPipeline(pipeline);
    for (const group of groups) {
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(1);
    }
  };
}

/**
 * How much longer the first takes, turn by turn. A cost below zero is none: where the turns say so, they differ by more
 * than what they are to measure, and the row says that instead.
 */
export function overhead(name: string, dependent: readonly number[], others: readonly number[]): BenchRow {
  const differences = dependent.map((microseconds, turn) => microseconds - others[turn]!);
  if (median(differences) >= 0) return row(name, 'device', 'us', differences);
  const note = 'smaller than the differences between measurements; more --rounds may tell';
  return missing(name, 'device', 'us', note);
}

/**
 * What it costs that a dispatch needs the result of the one before it: dispatches of one pass that write the same
 * buffer, beside as many that each write a buffer of their own, and as many that only read. The last never wait.
 * WebGPU orders every write of a buffer after what was done with the buffer before, in earlier submits too, so an
 * implementation may let the second kind wait as well; the cost is therefore that of the first over the last. It
 * includes that 64 numbers go to memory and come back.
 */
export async function measureBarriers(device: Device, times: number): Promise<BenchRow[]> {
  const usage = BufferUsage.STORAGE | BufferUsage.COPY_DST | BufferUsage.COPY_SRC;
  const buffers = Array.from({ length: count }, () => device.createBuffer({ size: 256, usage, label: 'barrier' }));
  try {
    const same = buffers.map(() => buffers[0]!);
    const kinds = [
      await steps(device, 'bench/step', 'storage', same),
      await steps(device, 'bench/step', 'storage', buffers),
      await steps(device, 'bench/look', 'read-only-storage', same),
    ];
    const [dependent, independent, reading] = kinds.map((): number[] => []) as [number[], number[], number[]];
    // In turns, so that a machine whose speed drifts slows all alike.
    for (let turn = 0; turn < times; turn++)
      for (const [kind, record] of kinds.entries())
        [dependent, independent, reading][kind]!.push((await passMicroseconds(device, record, 1))[0]! / count);
    const over = (name: string, others: readonly number[]): BenchRow => overhead(name, dependent, others);
    return [
      row(`dispatch of 64 elements, each needs the one before, ${count} in a pass`, 'device', 'us', dependent),
      row('the same, each on a buffer of its own', 'device', 'us', independent),
      row('the same, reading only', 'device', 'us', reading),
      over('barrier: needing the one before over reading only', reading),
      over('barrier: needing the one before over a buffer of its own', independent),
    ];
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}
