import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { shaderSource } from '../wgsl/link.js';
import { copyBandwidth, measureCeilings as measurePeaks } from '../profile/ceilings.js';
import { profileProgram } from '../profile/profile.js';
import { Program } from '../program/program.js';
import type { Device } from '../runtime/device.js';
import { BufferUsage, ShaderStage } from '../runtime/flags.js';
import { passMicroseconds } from './passTimes.js';
import { median, row } from './rows.js';
import type { BenchRow } from './rows.js';

/** Rates that kernels are held against: those of `linbp profile`. */
export interface Ceilings {
  readonly rows: readonly BenchRow[];
  /** Best product in f32, in 10^9 floating-point operations a second. */
  readonly gflops: number;
  /** Copies between buffers, bytes read plus bytes written, in 10^9 a second. */
  readonly gbps: number;
}

/** GFLOP/s of the plain register-tiled product of shaders/bench/plainMatmul.wgsl. */
async function plainMatmul(device: Device, size: number, times: number): Promise<number[]> {
  const types: GPUBufferBindingType[] = ['uniform', 'read-only-storage', 'read-only-storage', 'storage'];
  const layout = device.bindGroupLayout(
    types.map((type, binding) => ({ binding, visibility: ShaderStage.COMPUTE, buffer: { type } })),
    'peak',
  );
  const pipeline = await device.pipeline({
    code: shaderSource('bench/plainMatmul'),
    layout: device.pipelineLayout([layout]),
    entryPoint: 'main',
  });
  const uniform = device.createBuffer({ size: 16, usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST });
  device.write(uniform, 0, Uint32Array.of(size, 0, 0, 0));
  const usage = BufferUsage.STORAGE | BufferUsage.COPY_DST;
  const buffers = [
    uniform,
    ...['a', 'b', 'c'].map((label) => device.createBuffer({ size: 4 * size * size, usage, label })),
  ];
  for (const buffer of buffers.slice(1, 3)) device.write(buffer, 0, new Float32Array(size * size).fill(0.5));
  const group = device.gpu.createBindGroup({
    layout,
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const record = (pass: GPUComputePassEncoder): void => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(size / 64, size / 64);
  };
  const microseconds = await passMicroseconds(device, record, times);
  for (const buffer of buffers) buffer.destroy();
  return microseconds.map((time) => (2 * size ** 3) / time / 1e3);
}

const copyName = (bytes: number): string => `copy of ${bytes / 2 ** 20} MiB, read and write`;

/** The copy bandwidth measured again, beside what it was; for the end of a run. */
export async function copyAgain(device: Device, before: BenchRow): Promise<BenchRow> {
  const { copyGbps, copyBytes } = await copyBandwidth(device);
  return row(`control: ${copyName(copyBytes)}, again at the end`, 'device', 'GB/s', [copyGbps], {
    ratio: copyGbps / before.median,
  });
}

/**
 * The device's ceilings: copy bandwidth, and the best of linbp's products over sizes and layouts. Beside it stands a
 * plain product that shares no code with them, as a control: where its ratio exceeds 1, ours are not what the device
 * can do.
 */
export async function measureCeilings(device: Device, times: number): Promise<Ceilings> {
  const { copyGbps, copyBytes, matmulGflops, matmul } = await measurePeaks(device);
  // A GPU is not filled by less; on the CPU this is quick enough.
  const size = device.adapterInfo.software ? 512 : 2048;
  const plain = await plainMatmul(device, size, times);
  const rows = [
    row(copyName(copyBytes), 'device', 'GB/s', [copyGbps]),
    row('best product', 'linbp', 'GFLOP/s', [matmulGflops], { ratio: 1, note: matmul }),
    row(`plain matmul ${size}, 8x8 register tile`, 'device', 'GFLOP/s', plain, { ratio: median(plain) / matmulGflops }),
  ];
  return { rows, gflops: matmulGflops, gbps: copyGbps };
}

/**
 * Microseconds of one run of a graph's only segment: the sum of its dispatches, each alone, by GPU timestamps where
 * there are any.
 */
async function microsecondsOf(
  device: Device,
  graph: Graph,
  inputs: readonly Tensor[],
  times: number,
): Promise<number[]> {
  using program = await Program.compile(graph, { device });
  for (const input of inputs) program.write(input, new Float32Array(elementCount(input.shape)).fill(0.5));
  const { dispatches } = await profileProgram(program, { segments: ['main'], repeats: times });
  const sum = (of: 'microseconds' | 'minMicroseconds' | 'maxMicroseconds'): number =>
    dispatches.reduce((total, each) => total + each[of], 0);
  return [sum('minMicroseconds'), sum('microseconds'), sum('maxMicroseconds')];
}

/** Products against the best one, and a stream of one kernel against the copy; `ratio` is the quotient. */
export async function measureKernels(device: Device, ceilings: Ceilings, times: number): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const size of [512, 1024]) {
    const graph = new Graph();
    const inputs = [graph.input('a', [size, size]), graph.input('b', [size, size])];
    graph.output('c', graph.one('matmul', inputs, { transposeA: false, transposeB: false }));
    const rates = (await microsecondsOf(device, graph, inputs, times)).map((time) => (2 * size ** 3) / time / 1e3);
    rows.push(row(`matmul ${size}`, 'linbp', 'GFLOP/s', rates, { ratio: median(rates) / ceilings.gflops }));
  }
  // A GPU's caches hold what a processor takes long enough over.
  const count = device.adapterInfo.software ? 1 << 22 : 1 << 25;
  const graph = new Graph();
  const inputs = [graph.input('x', [1024, count / 1024]), graph.input('y', [1024, count / 1024])];
  graph.output('z', graph.one('add', inputs, {}));
  const rates = (await microsecondsOf(device, graph, inputs, times)).map((time) => (12 * count) / time / 1e3);
  rows.push(row(`add of ${count} elements`, 'linbp', 'GB/s', rates, { ratio: median(rates) / ceilings.gbps }));
  return rows;
}
