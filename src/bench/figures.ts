import { Attack } from '../attacks/attack.js';
import { DeviceExecutor } from '../program/executor.js';
import { check } from '../errors.js';
import { Graph } from '../graph/graph.js';
import type { ElementwiseFunction } from '../graph/types.js';
import { Model } from '../nn/model.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { Program } from '../program/program.js';
import type { CompiledDispatch } from '../program/types.js';
import type { Device } from '../runtime/device.js';
import { additions } from './control.js';
import { row } from './rows.js';
import type { BenchRow } from './rows.js';

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
 * Records a pass and gives the command buffer with the microseconds of processor time it took. Recording keeps one
 * thread busy and nothing else runs in the process, so its processor time is the cost without the machine's other load.
 */
function recorded(
  device: Device,
  record: (pass: GPUComputePassEncoder) => void,
): { buffer: GPUCommandBuffer; microseconds: number } {
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
  // Both are recorded, submitted and waited for alike, since what is recorded and not submitted keeps its memory; who
  // goes first alternates.
  const once = async (record: (pass: GPUComputePassEncoder) => void): Promise<[host: number, all: number]> => {
    const begin = performance.now();
    const { buffer, microseconds } = recorded(device, record);
    device.submit([buffer], { dispatches: dispatches.length });
    await device.idle();
    return [microseconds / dispatches.length, (1000 * (performance.now() - begin)) / dispatches.length];
  };
  const own = (): ReturnType<typeof once> => once((pass) => program.encode(pass, dispatches, 0));
  const host: number[] = [];
  const bare: number[] = [];
  const sums: number[] = [];
  const total: number[] = [];
  for (let run = 0; run < 4 * times + warmUp; run++) {
    const sum = additions(1e5);
    const early = run % 2 === 0 ? await own() : undefined;
    const [control] = await once(bareRecord);
    const [microseconds, all] = early ?? (await own());
    // The first runs are V8's, which compiles the loops.
    if (run < warmUp) continue;
    sums.push(1000 * sum);
    bare.push(control);
    host.push(microseconds);
    total.push(all);
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
    row('control: 600,000 additions on the host beside them', 'host', 'us', sums),
    row('recording a 100-step PGD on ResNet-20, per 10,000 dispatches', 'linbp', 'ms', encoded),
    row('dispatch of 64 elements, recorded, submitted and finished', 'linbp', 'us', total),
    row('empty submit, 100 in a row', 'device', 'us', submits),
    row('empty submit and wait', 'device', 'us', round.map((ms) => 1000 * ms)), // prettier-ignore
  ];
}
