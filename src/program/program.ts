import { expectElements, expectFields, expectIterable, expectList, expectObject, expectTensor } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { resolveView } from '../graph/graph.js';
import type { Graph } from '../graph/graph.js';
import { byteLength, elementBytes, elementCount, imagePitch, spanBytes } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { decodeHalf, encodeHalf } from '../io/half.js';
import { attentionRegions } from '../passes/attention.js';
import { groupNodes } from '../passes/fuse.js';
import { settlePrecision } from '../passes/half.js';
import { placeWindows } from '../passes/windows.js';
import { checkPlan } from '../plan/check.js';
import { plan } from '../plan/plan.js';
import type { Plan } from '../plan/plan.js';
import { derivedSegment, schedule } from '../plan/schedule.js';
import type { DispatchSchedule } from '../plan/schedule.js';
import type { Device, DeviceCounters } from '../runtime/device.js';
import type { Failures } from '../runtime/failures.js';
import { Turns } from '../runtime/turns.js';
import { deviceTuning } from '../choices/stored.js';
import { admitHalf } from './admitHalf.js';
import { buildParts, stepLayout } from './build.js';
import type { ProgramParts } from './build.js';
import { kernelDevice } from './kernelDevice.js';
import { Chunks, SegmentTiming } from './chunks.js';
import { compilePipelines } from './pipelines.js';
import type { Compiler } from './selfTest/probe.js';
import { SelfTest } from './selfTest/selfTest.js';
import { rowBytes, StepTable } from './steps.js';
import { readImages, writeImages } from './transfer.js';
import type { ImageLocation } from './transfer.js';
import { expectCompilable, runFields } from './types.js';
import type { CompiledDispatch, CompileOptions, Location, RunOptions, SegmentRun } from './types.js';

export type { CompiledDispatch, CompileOptions, Location, RunOptions, SegmentRun } from './types.js';

/**
 * A compiled graph: pipelines, bind groups and memory, fixed at compile time. Running it compiles nothing, no buffer is
 * written and nothing is read back inside a run. Dispose it with {@link Program.destroy} or `using`.
 *
 * `write`, `run` and `read` take effect in the order in which they are called, whether or not the caller
 * waits in between: a write during a run is done after it. Callers that share a program should use
 * {@link Program.compute}, which nobody else can come between.
 */
export class Program {
  readonly device: Device;
  readonly schedule: DispatchSchedule;
  readonly plan: Plan;
  readonly steps: StepTable;
  readonly dispatches: readonly CompiledDispatch[];
  /** Seconds spent compiling pipelines. */
  readonly compileSeconds: number;
  /** Running totals of this program alone. */
  readonly counters: DeviceCounters = { submits: 0, readbacks: 0, dispatches: 0 };
  private readonly owned: GPUBuffer[];
  private readonly places: ReadonlyMap<Tensor, Location>;
  private readonly stepBuffer: GPUBuffer;
  private readonly stepGroup: GPUBindGroup;
  /** Everything that the program's dispatches bind: its own buffers and those of others, such as a model's. */
  private readonly bound: ReadonlySet<GPUBuffer>;
  private readonly failures: Failures;
  private readonly timings = new Map<string, SegmentTiming>();
  /** Whatever runs the program or touches its tensors takes its turn here. */
  readonly turns = new Turns();
  private destroyed = false;

  private constructor(parts: ProgramParts) {
    this.device = parts.device;
    this.schedule = parts.schedule;
    this.plan = parts.plan;
    this.steps = parts.steps;
    this.dispatches = parts.dispatches;
    this.compileSeconds = parts.compileSeconds;
    this.owned = parts.owned;
    this.places = parts.places;
    this.stepBuffer = parts.stepBuffer;
    this.stepGroup = parts.stepGroup;
    this.failures = parts.failures;
    this.bound = new Set([...[...parts.places.values()].map(({ buffer }) => buffer), ...parts.owned]);
    this.device.addPlanned(this.plan.bytes);
  }

  /**
   * Compiles a graph. Throws `bad-argument` where `device` is no device, `limit-exceeded` when a tensor does not fit
   * the device, `gpu-error` when a shader is refused, `unsupported` when `f16` is asked for and the device has none, or
   * none that agrees with f32, or where a kernel is wrong on this device and no other can take its place.
   */
  static async compile(graph: Graph, options: CompileOptions): Promise<Program> {
    expectCompilable(graph, options);
    const { device } = options;
    const { scheduled, steps } = await Program.schedule(graph, options);
    const planned = plan(scheduled, { maxArena: device.limits.maxBufferSize, aliasing: options.aliasing ?? true });
    checkPlan(scheduled, planned);
    const owned: GPUBuffer[] = [];
    try {
      const program = new Program(await buildParts(scheduled, planned, steps, options, owned));
      program.uploadSteps();
      for (const [tensor, values] of scheduled.graph.initial) program.write(tensor, values);
      device.expectAlive();
      return program;
    } catch (error) {
      for (const buffer of owned) buffer.destroy();
      throw error;
    }
  }

  /** Chooses kernels for a graph. */
  private static async schedule(
    graph: Graph,
    options: CompileOptions,
  ): Promise<{ scheduled: DispatchSchedule; steps: StepTable }> {
    const { device, maxBindingBytes, fuse = true, windows = true, precision = 'f32' } = options;
    if (precision === 'f16' && options.untested !== true)
      await admitHalf(device, (probe, probeOptions) => Program.compile(probe, probeOptions));
    settlePrecision(graph, precision, options.weightsSegment);
    const choices = options.choices ?? (await deviceTuning(device));
    const steps = new StepTable(options.steps?.fields ?? {}, options.steps?.rows ?? 1);
    const groups = groupNodes(graph, fuse);
    const places = windows ? placeWindows(graph, groups) : undefined;
    // Where every result is to be kept, so are maps of attention.
    const regions = fuse && options.aliasing !== false ? attentionRegions(graph, groups) : [];
    const selfTest = options.untested === true ? undefined : SelfTest.of(device);
    for (;;) {
      const capability = {
        ...kernelDevice(device),
        choices,
        ...(selfTest !== undefined && { refused: selfTest.refused }),
        ...(maxBindingBytes === undefined ? {} : { maxBindingBytes }),
      };
      const scheduled = schedule(graph, groups, capability, (field) => steps.word(field), places, regions);
      // Kernels that turn out to be wrong are refused from then on, and others chosen.
      if (selfTest === undefined || !(await selfTest.admit(scheduled, Program.compiler))) return { scheduled, steps };
    }
  }

  /** What tests of the device compile with. @internal */
  static readonly compiler: Compiler = {
    compile: (graph, options) => Program.compile(graph, options),
    schedule: async (graph, options) => (await Program.schedule(graph, options)).scheduled,
  };

  /** Compiles a graph's pipelines and nothing else, so that a later {@link compile} finds them ready. */
  static async warm(graph: Graph, options: CompileOptions): Promise<void> {
    expectCompilable(graph, options);
    const { scheduled } = await Program.schedule(graph, options);
    await compilePipelines(scheduled, options.device, stepLayout(options.device), options.onProgress);
  }

  /** Where a tensor's elements lie, from the first to the last. */
  location(tensor: Tensor): ImageLocation {
    expectTensor(tensor);
    const placed = this.schedule.places.get(tensor) ?? tensor;
    const { root, offset } = resolveView(placed);
    const place = this.places.get(root);
    check(place !== undefined, 'bad-argument', `${tensor.name} has no memory in this program`, tensor.name);
    return {
      buffer: place.buffer,
      offset: place.offset + offset * elementBytes(tensor),
      bytes: spanBytes(placed),
      images: tensor.shape[0] ?? 1,
      pitch: elementBytes(tensor) * imagePitch(placed),
    };
  }

  /**
   * Writes a tensor from the host, before the next run: a Float32Array to `f32` and `f16` tensors, integers to `u32`.
   * Throws `bad-dtype`, and `bad-shape` when the length differs.
   */
  write(tensor: Tensor, data: Float32Array | Uint32Array | Int32Array): void {
    this.alive();
    expectTensor(tensor);
    expectElements(data, tensor.dtype, elementCount(tensor.shape), `${tensor.name} [${tensor.shape.join(', ')}]`);
    const location = this.location(tensor);
    // What waits for a run must not change with the caller's array.
    const given = tensor.dtype === 'f16' ? encodeHalf(data) : this.turns.busy ? data.slice() : data;
    this.turns.runSync(() => writeImages(this.device, location, given));
  }

  /**
   * Reads a tensor of floats back: an output of the graph, a state, an input or a parameter.
   *
   * @throws LinbpError `bad-dtype` for `u32` tensors, whose words are no floats
   */
  async read(tensor: Tensor | string): Promise<Float32Array> {
    const found = this.tensor(tensor);
    check(found.dtype !== 'u32', 'bad-dtype', `${found.name} holds u32; read it with readU32`, found.name);
    const bytes = await this.turns.run(() => this.readBytes(found));
    return found.dtype === 'f16'
      ? decodeHalf(new Uint8Array(bytes, 0, 2 * elementCount(found.shape)))
      : new Float32Array(bytes);
  }

  /** {@link read} for `u32` tensors. Throws `bad-dtype` for others. */
  async readU32(tensor: Tensor | string): Promise<Uint32Array> {
    const found = this.tensor(tensor);
    check(found.dtype === 'u32', 'bad-dtype', `${found.name} holds ${found.dtype}; read it with read`, found.name);
    return new Uint32Array(await this.turns.run(() => this.readBytes(found)));
  }

  private tensor(tensor: Tensor | string): Tensor {
    const found = typeof tensor === 'string' ? this.schedule.graph.outputs.get(tensor) : tensor;
    check(found !== undefined, 'bad-argument', `the program has no output "${String(tensor)}"`, String(tensor));
    expectTensor(found);
    return found;
  }

  private async readBytes(tensor: Tensor): Promise<ArrayBuffer> {
    this.alive();
    this.counters.readbacks += 1;
    const bytes = await readImages(this.device, this.location(tensor), byteLength(tensor));
    this.failures.check();
    return bytes;
  }

  /** Sends the step table to the device; call it after changing {@link steps} and before running. */
  uploadSteps(rows = this.steps.rows): void {
    this.alive();
    const whole = Number.isInteger(rows) && rows >= 0 && rows <= this.steps.rows;
    check(whole, 'bad-range', `rows must be 0 to ${this.steps.rows}, got ${rows}`, 'rows');
    const bytes = new Uint8Array(this.steps.bytes, 0, rows * rowBytes);
    const given = this.turns.busy ? bytes.slice() : bytes;
    this.turns.runSync(() => this.device.write(this.stepBuffer, 0, given));
  }

  /** Dispatches of one segment. */
  segmentDispatches(segment: string): readonly CompiledDispatch[] {
    const found = this.dispatches.filter((dispatch) => dispatch.source.segment === segment);
    check(found.length > 0, 'bad-argument', `the program has no segment "${segment}"`, segment);
    return found;
  }

  /** What is derived from the weights for some segments. */
  private derivedFor(segments: ReadonlySet<string>): readonly CompiledDispatch[] {
    return this.dispatches.filter(
      ({ source: { segment, reader } }) => segment === derivedSegment && (reader === undefined || segments.has(reader)),
    );
  }

  /** Submits what is derived from the weights, for those who submit dispatches themselves. */
  derive(): void {
    for (const dispatch of this.dispatches) if (dispatch.source.segment === derivedSegment) this.submitOne(dispatch, 0);
  }

  /**
   * Records one iteration of a segment into a pass, or its dispatches from `begin` up to `end`. This is all the host
   * does per step.
   */
  encode(
    pass: GPUComputePassEncoder,
    dispatches: readonly CompiledDispatch[],
    row: number,
    begin = 0,
    end = dispatches.length,
  ): void {
    pass.setBindGroup(0, this.stepGroup, [row * rowBytes]);
    let current: GPUComputePipeline | undefined;
    for (let i = begin; i < end; i++) {
      const { pipeline, bindGroup, x, y, z } = dispatches[i]!;
      if (pipeline !== current) pass.setPipeline((current = pipeline));
      pass.setBindGroup(1, bindGroup);
      // Each argument is converted by Dawn, which costs more than asking whether it is needed.
      if (z !== 1) pass.dispatchWorkgroups(x, y, z);
      else if (y !== 1) pass.dispatchWorkgroups(x, y);
      else pass.dispatchWorkgroups(x);
    }
  }

  /** Submits a single dispatch, as the debugging modes do. */
  submitOne(dispatch: CompiledDispatch, row: number): void {
    this.usable();
    const encoder = this.device.gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.encode(pass, [dispatch], row);
    pass.end();
    this.device.submit([encoder.finish()], { dispatches: 1, failures: this.failures });
    this.counters.submits += 1;
    this.counters.dispatches += 1;
  }

  /**
   * Runs segments in order. Work is submitted in chunks of bounded duration, two in flight; the last chunk may still be
   * running when the promise resolves (reads wait for it). Throws `aborted` between chunks when the signal fires.
   */
  async run(runs: readonly SegmentRun[], options: RunOptions = {}): Promise<void> {
    check(Array.isArray(runs), 'bad-argument', 'runs must be a list of segments', 'runs');
    expectFields(options, runFields);
    return this.turns.run(() => this.runNow(runs, options));
  }

  /**
   * Writes tensors, runs segments and reads tensors back, as one piece that no other call comes between.
   *
   * @returns what was read, in the order of `read`: words of `u32` tensors, floats of the others
   * @throws LinbpError as {@link Program.write}, {@link Program.run} and {@link Program.read} do
   */
  async compute(work: {
    readonly write: Iterable<readonly [Tensor, Float32Array | Uint32Array | Int32Array]>;
    readonly runs: readonly SegmentRun[];
    readonly read: readonly (Tensor | string)[];
    readonly options?: RunOptions;
  }): Promise<(Float32Array | Uint32Array)[]> {
    expectObject(work, 'work');
    expectList(work.read, 'read');
    expectIterable(work.write, 'write');
    for (const [tensor, data] of work.write) this.write(tensor, data);
    const tensors = work.read.map((tensor) => this.tensor(tensor));
    // Called without a wait in between, so they are neighbors in the queue.
    const ran = this.run(work.runs, work.options);
    const read = tensors.map((tensor) => (tensor.dtype === 'u32' ? this.readU32(tensor) : this.read(tensor)));
    const [, ...results] = await Promise.all([ran, ...read]);
    return results;
  }

  private async runNow(runs: readonly SegmentRun[], options: RunOptions): Promise<void> {
    this.usable();
    const asked = runs.map((run) => ({
      segment: run.segment,
      dispatches: this.segmentDispatches(run.segment),
      repeat: run.repeat ?? 1,
      row: run.row ?? 0,
    }));
    const derived = this.derivedFor(new Set(runs.map(({ segment }) => segment)));
    const work = [
      ...(derived.length > 0 ? [{ segment: derivedSegment, dispatches: derived, repeat: 1, row: 0 }] : []),
      ...asked,
    ];
    const total = work.reduce((sum, item) => sum + item.repeat, 0);
    for (const { segment, row, repeat } of work) {
      const rows = this.steps.rows;
      check(
        row >= 0 && row + repeat <= rows,
        'bad-range',
        `${segment}: ${repeat} steps from row ${row} on need more than the ${rows} rows there are`,
        'steps',
      );
    }
    const chunks = new Chunks(this.device, total, options, this.failures, this.counters);
    for (const { segment, dispatches, repeat, row } of work) {
      const timing = this.timingOf(segment, dispatches);
      const { length } = dispatches;
      for (let iteration = 0; iteration < repeat; iteration++) {
        for (let begin = 0, end = 0; begin < length; begin = end) {
          end = chunks.partEnd(timing, begin, length);
          this.encode(chunks.pass(), dispatches, row + iteration, begin, end);
          await chunks.recorded(timing, begin, end, length);
        }
      }
    }
    await chunks.finish();
    this.device.expectAlive();
    this.failures.check();
  }

  /** What is known about the durations of a segment; of the derived one, which runs in parts, by its length. */
  private timingOf(segment: string, dispatches: readonly CompiledDispatch[]): SegmentTiming {
    const key = `${segment} ${dispatches.length}`;
    let timing = this.timings.get(key);
    if (timing === undefined) this.timings.set(key, (timing = new SegmentTiming(dispatches)));
    return timing;
  }

  /** Frees the program's own buffers; parameters bound from outside stay. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    for (const buffer of this.owned) buffer.destroy();
    this.device.addPlanned(-this.plan.bytes);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  /** Throws before anything is recorded where a buffer is gone, such as those of a model that was destroyed. */
  private usable(): void {
    this.alive();
    this.device.expectAlive();
    this.failures.check();
    for (const buffer of this.bound) this.device.expectUsable(buffer);
  }

  private alive(): void {
    if (this.destroyed) throw new LinbpError('disposed', 'the program was destroyed');
  }
}
