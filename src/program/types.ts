import { expectDevice, expectFields, expectGraph } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import type { Graph } from '../graph/graph.js';
import type { Precision, Tensor } from '../graph/types.js';
import type { KernelChoices } from '../kernels/problem.js';
import type { ScheduledDispatch } from '../plan/schedule.js';
import type { StepRow } from '../reference/run.js';
import type { Device, DeviceCounters } from '../runtime/device.js';
import type { StoredValues } from './store.js';
import type { StepFields } from './steps.js';

/** How a graph is compiled. */
export interface CompileOptions {
  readonly device: Device;
  /**
   * `f16` stores activations, their gradients and the weights that products read in 16 bits (see
   * docs/half-precision.md); default `f32`. It is the graph's for good: compiling it again in another precision is
   * refused.
   */
  readonly precision?: Precision;
  /** Do not test the device's kernels first, nor its half precision, as the tests themselves do. */
  readonly untested?: boolean;
  /**
   * With `f16`, the segment that is run before all others, in which copies of weights are made; by default each
   * segment makes its own.
   */
  readonly weightsSegment?: string;
  /** Fuse pointwise chains into their producers; default true. */
  readonly fuse?: boolean;
  /**
   * Put parts of concatenations and slices of channels inside the wider tensor instead of copying them; default true.
   */
  readonly windows?: boolean;
  /**
   * Let values whose lifetimes do not overlap share memory; default true. Debug mode turns it off to keep every result.
   */
  readonly aliasing?: boolean;
  /** Bind at most this many bytes at once, where that is less than the device allows; larger tensors are cut. */
  readonly maxBindingBytes?: number;
  /** Buffers of persistent tensors that live elsewhere, such as a model's parameters, by root tensor. */
  readonly bindings?: ReadonlyMap<Tensor, GPUBuffer>;
  /** Fields and number of rows of the step table. */
  readonly steps?: { readonly fields: StepFields; readonly rows: number };
  /** Choices of kernels in place of the device's tuned ones. */
  readonly choices?: KernelChoices;
  /** Called after each compiled pipeline. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** The fields of {@link CompileOptions}. */
export const compileFields: FieldNames<CompileOptions> = {
  ...{ device: true, precision: true, weightsSegment: true, maxBindingBytes: true, bindings: true, steps: true },
  ...{ untested: 'flag', fuse: 'flag', windows: 'flag', aliasing: 'flag', choices: true, onProgress: 'function' },
};

/** A segment to run, `repeat` times (default 1), reading the step table from row `row` (default 0) on. */
export interface SegmentRun {
  readonly segment: string;
  readonly repeat?: number;
  readonly row?: number;
}

/** How {@link Program.run} submits its work. */
export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Called when a chunk of work has been submitted, with the share of all iterations encoded so far (0..1). */
  readonly onChunk?: (share: number) => void;
  /**
   * Longest submit in milliseconds to aim for; default 100. Work is cut between dispatches; those of much work are in
   * parts.
   */
  readonly chunkMilliseconds?: number;
  /** Called when a submit has finished, with the milliseconds that it took; the run then waits for its last, too. */
  readonly onSubmitted?: (milliseconds: number) => void;
}

/** The fields of {@link RunOptions}. */
export const runFields: FieldNames<RunOptions> = {
  ...{ signal: 'signal', onChunk: 'function', chunkMilliseconds: true, onSubmitted: 'function' },
};

/** One recorded dispatch. */
export interface CompiledDispatch {
  readonly source: ScheduledDispatch;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  /** Workgroups, next to what is recorded with them. */
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** Where a tensor lives on the device. */
export interface Location {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * What runs a graph: a program on a device, or the float64 reference. Whoever has one need not know which. Dispose it
 * with {@link Executor.destroy} or `using`.
 */
export interface Executor extends Disposable {
  /** `kernel variant` of every dispatch in order; empty for the reference. */
  readonly kernels: readonly string[];
  /** Running totals of this executor alone; zero for the reference. */
  readonly counters: DeviceCounters;
  /** Sets rows 0, 1, ... of the step table. */
  setSteps(rows: readonly StepRow[]): void;
  /** Copies values into a tensor, before the next run. Throws `bad-dtype`, `bad-shape`. */
  write(tensor: Tensor, data: StoredValues | Int32Array): void;
  /** Runs segments in order. Throws `aborted` between iterations when the signal fires. */
  run(runs: readonly SegmentRun[], options?: RunOptions): Promise<void>;
  /** Values as float32. */
  read(tensor: Tensor): Promise<Float32Array>;
  /** Values of a `u32` tensor. */
  readU32(tensor: Tensor): Promise<Uint32Array>;
  /** Values of a float tensor as they were computed: float32 of a device, float64 of the reference. */
  exact(tensor: Tensor): Promise<Float32Array | Float64Array>;
  destroy(): void;
}

/** Throws `bad-argument` or `unknown-option` for what cannot be compiled. */
export function expectCompilable(graph: Graph, options: CompileOptions): void {
  expectGraph(graph);
  expectFields(options, compileFields);
  expectDevice(options.device, 'a program runs on a device; ReferenceRun runs its graph in float64 on the CPU');
}
