import { Attack } from '../attacks/attack.js';
import { DeviceExecutor } from '../attacks/executor.js';
import { check } from '../errors.js';
import { Graph } from '../graph/graph.js';
import type { ElementwiseFunction } from '../graph/types.js';
import { shaderSource } from '../kernels/link.js';
import { Model } from '../nn/model.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { Program } from '../program/program.js';
import type { CompiledDispatch } from '../program/types.js';
import type { Device } from '../runtime/device.js';
import { BufferUsage, ShaderStage } from '../runtime/flags.js';
import { median, row } from './rows.js';
import type { BenchRow } from './rows.js';

const storage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;

/** Milliseconds of `body` and the wait after it, `times` times, after one run that is not counted. */
async function timed(device: Device, times: number, body: () => void | Promise<void>): Promise<number[]> {
  const measured: number[] = [];
  for (let run = 0; run <= times; run++) {
    const begin = performance.now();
    await body();
    await device.idle();
    if (run > 0) measured.push(performance.now() - begin);
  }
  return measured;
}

/** Rates that linbp's kernels are held against. */
export interface Ceilings {
  readonly rows: readonly BenchRow[];
  readonly gflops: number;
  readonly gbps: number;
}

/** GFLOP/s of the plain register-tiled product of shaders/bench/plainMatmul.wgsl. */
async function plainMatmul(device: Device, size: number, times: number): Promise<number[]> {
  const types: GPUBufferBindingType[] = ['uniform', 'read-only-storage', 'read-only-storage', 'storage'];
  const layout = device.bindGroupLayout(
    types.map((type, binding) => ({ binding, visibility: ShaderStage.COMPUTE, buffer: { type } })),
    'peak',
  );
  const pipeline = await device.pipeline({ code: shaderSource('bench/plainMatmul'), layout: device.pipelineLayout([layout]), entryPoint: 'main' });
  const size4 = 4 * size * size;
  const uniform = device.createBuffer({ size: 16, usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST });
  device.write(uniform, 0, Uint32Array.of(size, 0, 0, 0));
  const buffers = [uniform, ...['a', 'b', 'c'].map((label) => device.createBuffer({ size: size4, usage: storage, label }))];
  for (const buffer of buffers.slice(1, 3)) device.write(buffer, 0, new Float32Array(size * size).fill(0.5));
  const group = device.gpu.createBindGroup({ layout, entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })) });
  const milliseconds = await timed(device, times, () => {
    const encoder = device.gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(size / 64, size / 64);
    pass.end();
    device.submit([encoder.finish()], { dispatches: 1 });
  });
  for (const buffer of buffers) buffer.destroy();
  return milliseconds.map((ms) => (2 * size ** 3) / ms / 1e6);
}

/** Copy bandwidth, and the rate of a plain product, which does without subgroups and so is no upper bound where they help. */
export async function measureCeilings(device: Device, times: number): Promise<Ceilings> {
  const bytes = 64 << 20;
  const [from, to] = ['from', 'to'].map((label) => device.createBuffer({ size: bytes, usage: storage, label }));
  const copies = await timed(device, times, () => {
    const encoder = device.gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(from!, 0, to!, 0, bytes);
    device.submit([encoder.finish()]);
  });
  from!.destroy();
  to!.destroy();
  const bandwidth = copies.map((ms) => (2 * bytes) / ms / 1e6);
  // A GPU is not filled by less; on the CPU this is quick enough.
  const size = device.adapterInfo.software ? 512 : 2048;
  const flops = await plainMatmul(device, size, times);
  const rows = [
    row('copy of 64 MiB, read and write', 'device', 'GB/s', bandwidth),
    row(`plain matmul ${size}, 8x8 register tile`, 'device', 'GFLOP/s', flops),
  ];
  return { rows, gflops: Math.max(...flops), gbps: Math.max(...bandwidth) };
}

/** Products against the plain one, and a stream of one kernel against the copy; `ratio` is the quotient. */
export async function measureKernels(device: Device, ceilings: Ceilings, times: number): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const size of [512, 1024]) {
    const graph = new Graph();
    const [a, b] = [graph.input('a', [size, size]), graph.input('b', [size, size])];
    graph.output('c', graph.one('matmul', [a, b], { transposeA: false, transposeB: false }));
    using program = await Program.compile(graph, { device });
    const milliseconds = await timed(device, times, () => program.run([{ segment: 'main' }]));
    const rates = milliseconds.map((ms) => (2 * size ** 3) / ms / 1e6);
    rows.push(row(`matmul ${size}`, 'linbp', 'GFLOP/s', rates, { ratio: median(rates) / ceilings.gflops }));
  }
  const count = 1 << 22;
  const graph = new Graph();
  const [x, y] = [graph.input('x', [1024, count / 1024]), graph.input('y', [1024, count / 1024])];
  graph.output('z', graph.one('add', [x, y], {}));
  using program = await Program.compile(graph, { device });
  const rates = (await timed(device, times, () => program.run([{ segment: 'main' }]))).map((ms) => (12 * count) / ms / 1e6);
  rows.push(row(`add of ${count} elements`, 'linbp', 'GB/s', rates, { ratio: median(rates) / ceilings.gbps }));
  return rows;
}

/** Tiny functions; two of them in turn, so that every dispatch changes its pipeline. */
const tiny = (name: string, expression: string): ElementwiseFunction => ({
  name,
  inputs: ['x'],
  scalars: [],
  results: [expression],
  reference: (x) => [x!],
});

/** A program of `count` dependent dispatches of 64 elements. */
async function longProgram(device: Device, count: number): Promise<Program> {
  const graph = new Graph();
  let x = graph.input('x', [1, 64]);
  const functions = [tiny('plus', 'x + 1.0'), tiny('half', 'x * 0.5')];
  for (let i = 0; i < count; i++) x = graph.one('map', [x], { fn: functions[i % 2]!, scalars: [], targets: ['new'] });
  graph.output('x', x);
  return Program.compile(graph, { device, fuse: false });
}

/** Milliseconds to record a 100-step PGD on ResNet-20, per 10,000 dispatches; nothing is submitted. */
async function encodeAttack(device: Device, times: number): Promise<number[]> {
  const steps = 100;
  const model = Model.create(modelDefinition('resnet20'), { device, seed: 1 });
  const attack = await Attack.compile({ model, attack: 'pgd', eps: 8 / 255, steps, batch: 8 });
  const { executor } = await attack.executor();
  check(executor instanceof DeviceExecutor, 'internal', 'the attack does not run on a device', 'device');
  const { program } = executor;
  const dispatches = program.segmentDispatches('step');
  const measured: number[] = [];
  for (let run = -3; run < times; run++) {
    const { microseconds } = recorded(device, (pass) => {
      for (let step = 1; step <= steps; step++) program.encode(pass, dispatches, step);
    });
    if (run >= 0) measured.push((microseconds / 1000) * (10_000 / (steps * dispatches.length)));
  }
  attack.destroy();
  model.destroy();
  return measured;
}

/** The calls of a recorded program without linbp, from arrays made beforehand: what no change of ours can matter to. */
function bareCalls(dispatches: readonly CompiledDispatch[]): (pass: GPUComputePassEncoder) => void {
  const pipelines = dispatches.map(({ pipeline }) => pipeline);
  const groups = dispatches.map(({ bindGroup }) => bindGroup);
  return (pass) => {
    for (let i = 0; i < pipelines.length; i++) {
      pass.setPipeline(pipelines[i]!);
      pass.setBindGroup(1, groups[i]!);
      pass.dispatchWorkgroups(1);
    }
  };
}

/**
 * Records a pass and gives the command buffer with the microseconds of processor time it took. Recording keeps one thread busy and nothing
 * else runs in the process, so its processor time is the cost without the machine's other load.
 */
function recorded(device: Device, record: (pass: GPUComputePassEncoder) => void): { buffer: GPUCommandBuffer; microseconds: number } {
  const used = process.cpuUsage();
  const encoder = device.gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  record(pass);
  pass.end();
  const buffer = encoder.finish();
  const { user, system } = process.cpuUsage(used);
  return { buffer, microseconds: user + system };
}

/** What the host pays to record dispatches, and what a dispatch and a submit cost altogether. */
export async function measureDispatch(device: Device, times: number): Promise<BenchRow[]> {
  const count = 1000;
  const warmUp = 40;
  using program = await longProgram(device, count);
  const { dispatches } = program;
  const bareRecord = bareCalls(dispatches);
  const host: number[] = [];
  const bare: number[] = [];
  const total: number[] = [];
  for (let run = 0; run < 4 * times + warmUp; run++) {
    const control = recorded(device, bareRecord).microseconds;
    const begin = performance.now();
    const { buffer, microseconds } = recorded(device, (pass) => program.encode(pass, dispatches, 0));
    device.submit([buffer], { dispatches: dispatches.length });
    await device.idle();
    const end = performance.now();
    // The first runs are V8's, which compiles the loops.
    if (run < warmUp) continue;
    bare.push(control / dispatches.length);
    host.push(microseconds / dispatches.length);
    total.push((1000 * (end - begin)) / dispatches.length);
  }
  const encoded = await encodeAttack(device, 2 * times);
  const submits: number[] = [];
  for (let run = 0; run < times; run++) {
    const begin = performance.now();
    for (let i = 0; i < 100; i++) device.submit([device.gpu.createCommandEncoder().finish()]);
    await device.idle();
    submits.push((1000 * (performance.now() - begin)) / 100);
  }
  const round = await timed(device, 4 * times, () => device.submit([device.gpu.createCommandEncoder().finish()]));
  return [
    row(`host cost of a recorded dispatch, program of ${dispatches.length}`, 'linbp', 'us', host),
    row('control: the same calls without linbp', 'device', 'us', bare),
    row('recording a 100-step PGD on ResNet-20, per 10,000 dispatches', 'linbp', 'ms', encoded),
    row('dispatch of 64 elements, recorded, submitted and finished', 'linbp', 'us', total),
    row('empty submit, 100 in a row', 'device', 'us', submits),
    row('empty submit and wait', 'device', 'us', round.map((ms) => 1000 * ms)), // prettier-ignore
  ];
}
