import { check } from '../errors.js';
import { byteLength } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import type { Plan } from '../plan/plan.js';
import { rootOf } from '../plan/schedule.js';
import type { DispatchSchedule } from '../plan/schedule.js';
import type { Device } from '../runtime/device.js';
import { Failures } from '../runtime/failures.js';
import { BufferUsage, ShaderStage } from '../runtime/flags.js';
import { bindingsOf } from './bind.js';
import { compilePipelines, parameterTable } from './pipelines.js';
import { rowBytes } from './steps.js';
import type { StepTable } from './steps.js';
import type { CompiledDispatch, CompileOptions, Location } from './types.js';

/** What a compiled program consists of. */
export interface ProgramParts {
  readonly device: Device;
  readonly schedule: DispatchSchedule;
  readonly plan: Plan;
  readonly steps: StepTable;
  readonly dispatches: readonly CompiledDispatch[];
  readonly compileSeconds: number;
  /** Buffers that the program frees. */
  readonly owned: GPUBuffer[];
  readonly places: ReadonlyMap<Tensor, Location>;
  readonly stepBuffer: GPUBuffer;
  readonly stepGroup: GPUBindGroup;
  readonly failures: Failures;
}

type Create = (size: number, usage: number, kind: 'arena' | 'state' | 'uniform', label: string) => GPUBuffer;

const storage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
const uniform = BufferUsage.UNIFORM | BufferUsage.COPY_DST;

/** Of the bind group with the row of the step table, which all programs share. */
export const stepLayout = (device: Device): GPUBindGroupLayout => {
  const buffer = { type: 'uniform', hasDynamicOffset: true, minBindingSize: rowBytes } as const;
  return device.bindGroupLayout([{ binding: 0, visibility: ShaderStage.COMPUTE, buffer }], 'step');
};

/** Arenas as planned, and a buffer for each tensor that outlives a run, unless the caller binds one. */
function placeTensors(
  scheduled: DispatchSchedule,
  planned: Plan,
  bindings: CompileOptions['bindings'],
  create: Create,
): Map<Tensor, Location> {
  const arenas = planned.arenas.map((bytes, index) => create(bytes, storage, 'arena', `arena ${index}`));
  const places = new Map<Tensor, Location>();
  for (const [tensor, place] of planned.placements) {
    places.set(tensor, { buffer: arenas[place.arena]!, offset: place.offset, bytes: byteLength(tensor) });
  }
  const persistent = new Set(scheduled.graph.tensors.map(rootOf).filter((root) => root.kind !== 'value'));
  for (const tensor of persistent) {
    const given = bindings?.get(tensor);
    const bytes = byteLength(tensor);
    if (given !== undefined)
      check(
        given.size >= bytes,
        'bad-shape',
        `the buffer bound to ${tensor.name} has ${given.size} bytes, ${bytes} are needed`,
        tensor.name,
      );
    places.set(tensor, { buffer: given ?? create(bytes, storage, 'state', tensor.name), offset: 0, bytes });
  }
  return places;
}

/** One uniform buffer with the words of all dispatches, and where each begins. */
function placeParameters(
  device: Device,
  scheduled: DispatchSchedule,
  create: Create,
): { buffer: GPUBuffer; offsets: number[] } {
  const offsets: number[] = [];
  let bytes = 0;
  for (const dispatch of scheduled.dispatches) {
    offsets.push(bytes);
    bytes += Math.ceil((dispatch.parameters.length * 4) / 256) * 256 || 256;
  }
  const buffer = create(Math.max(256, bytes), uniform, 'uniform', 'parameters');
  device.write(buffer, 0, parameterTable(scheduled, offsets, bytes));
  return { buffer, offsets };
}

/**
 * Buffers, pipelines and bind groups of a planned schedule. The buffers are added to `owned` as they are made, so that
 * the caller can free them where this fails.
 */
export async function buildParts(
  scheduled: DispatchSchedule,
  planned: Plan,
  steps: StepTable,
  options: CompileOptions,
  owned: GPUBuffer[],
): Promise<ProgramParts> {
  const { device } = options;
  const create: Create = (size, usage, kind, label) => {
    const buffer = device.createBuffer({ size, usage, kind: kind as never, label });
    owned.push(buffer);
    return buffer;
  };
  const places = placeTensors(scheduled, planned, options.bindings, create);
  const parameters = placeParameters(device, scheduled, create);
  const stepBuffer = create(steps.bytes.byteLength, uniform, 'uniform', 'steps');
  const failures = new Failures();
  const bindGroup = (descriptor: GPUBindGroupDescriptor): GPUBindGroup =>
    device.scoped(failures, () => device.gpu.createBindGroup(descriptor));
  const stepGroup = bindGroup({
    layout: stepLayout(device),
    entries: [{ binding: 0, resource: { buffer: stepBuffer, size: rowBytes } }],
  });

  const started = performance.now();
  const pipelines = await compilePipelines(scheduled, device, stepLayout(device), options.onProgress);
  const compileSeconds = (performance.now() - started) / 1000;
  const dispatches = scheduled.dispatches.map((source, index): CompiledDispatch => {
    const { pipeline, layout } = pipelines[index]!;
    const place = { buffer: parameters.buffer, offset: parameters.offsets[index]! };
    const entries = bindingsOf(source, place, places, device.limits.maxStorageBufferBindingSize);
    const [x, y, z] = source.workgroups;
    const group = bindGroup({ label: source.group.anchor.layer, layout, entries });
    return { source, pipeline, bindGroup: group, x, y, z };
  });
  const compiled = { device, schedule: scheduled, plan: planned, steps, dispatches, compileSeconds };
  return { ...compiled, owned, places, stepBuffer, stepGroup, failures };
}
