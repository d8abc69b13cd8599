import type { Graph } from '../graph/graph.js';
import type { Tensor } from '../graph/types.js';
import { check } from '../errors.js';
import type { StepRow } from '../reference/run.js';
import type { ReferenceArray } from '../reference/types.js';
import type { Device, DeviceCounters } from '../runtime/device.js';
import { Program } from './program.js';
import { ReferenceExecutor } from './referenceExecutor.js';
import { DeviceStore, ReferenceStore } from './store.js';
import type { Store, StoredValues } from './store.js';
import type { CompileOptions, Executor, RunOptions, SegmentRun } from './types.js';

export type { Executor } from './types.js';

/** A graph compiled for a device. */
export class DeviceExecutor implements Executor {
  readonly program: Program;

  constructor(program: Program) {
    this.program = program;
  }

  get kernels(): readonly string[] {
    return this.program.dispatches.map(({ source }) => `${source.kernel} ${source.variant}`.trim());
  }

  get counters(): DeviceCounters {
    return this.program.counters;
  }

  setSteps(rows: readonly StepRow[]): void {
    for (const [row, values] of rows.entries()) this.program.steps.set(row, values);
    this.program.uploadSteps(rows.length);
  }

  write(tensor: Tensor, data: StoredValues | Int32Array): void {
    this.program.write(tensor, data instanceof Float64Array ? Float32Array.from(data) : data);
  }

  run(runs: readonly SegmentRun[], options?: RunOptions): Promise<void> {
    return this.program.run(runs, options);
  }

  read(tensor: Tensor): Promise<Float32Array> {
    return this.program.read(tensor);
  }

  readU32(tensor: Tensor): Promise<Uint32Array> {
    return this.program.readU32(tensor);
  }

  exact(tensor: Tensor): Promise<Float32Array> {
    return this.program.read(tensor);
  }

  destroy(): void {
    this.program.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** How {@link openExecutor} compiles; all but the device and the stores is for devices only. */
export interface ExecutorOptions<D extends Device | 'reference'> extends Omit<CompileOptions, 'device' | 'bindings'> {
  /** A device, or `reference` for float64 on the CPU. */
  readonly device: D;
  /** Where persistent tensors live that others share, by root tensor: on the same device, or of the reference. */
  readonly stores?: ReadonlyMap<Tensor, Store>;
}

/** What runs a graph: compiled for a device, or in float64. Throws what {@link Program.compile} throws. */
export async function openExecutor<D extends Device | 'reference'>(
  graph: Graph,
  options: ExecutorOptions<D>,
): Promise<D extends Device ? DeviceExecutor : ReferenceExecutor>;
export async function openExecutor(
  graph: Graph,
  { device, stores = new Map<Tensor, Store>(), ...options }: ExecutorOptions<Device | 'reference'>,
): Promise<Executor> {
  if (device === 'reference') {
    const memory = new Map<Tensor, ReferenceArray>();
    for (const [tensor, store] of stores) {
      check(store instanceof ReferenceStore, 'internal', `${tensor.name} is stored on a device`, tensor.name);
      memory.set(tensor, store.values);
    }
    return new ReferenceExecutor(graph, memory);
  }
  const bindings = new Map<Tensor, GPUBuffer>();
  for (const [tensor, store] of stores) {
    check(store instanceof DeviceStore, 'internal', `${tensor.name} is not stored on the device`, tensor.name);
    bindings.set(tensor, store.buffer);
  }
  return new DeviceExecutor(await Program.compile(graph, { ...options, device, bindings }));
}
