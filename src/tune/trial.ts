import type { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { roundsOperands } from '../kernels/choice.js';
import type { KernelChoice, ProductKernel } from '../kernels/problem.js';
import { TimestampRun, wallClockTimeline } from '../profile/timestamps.js';
import type { TimedDispatch } from '../profile/timestamps.js';
import { differenceFrom, usualTolerance } from '../program/compare.js';
import { openExecutor } from '../program/executor.js';
import { Program } from '../program/program.js';
import type { Executor } from '../program/types.js';
import { uniforms } from '../random/philox.js';
import type { Device } from '../runtime/device.js';
import { BufferUsage } from '../runtime/flags.js';
import { onlyChoice } from '../choices/table.js';

/** Largest ||device - reference|| / ||reference|| where a kernel rounds its operands to f16, which have 11 bits. */
const halfTolerance = 1e-3;

/** Largest distance from the reference, relative, that results of a kernel may have. */
export const toleranceOf = (kernel: ProductKernel): number => (roundsOperands(kernel) ? halfTolerance : usualTolerance);

/** Numbers that every run draws alike: uniform in [-1, 1), or random bits. */
export function sampleValues(tensor: Tensor): Float32Array | Uint32Array {
  const count = elementCount(tensor.shape);
  if (tensor.dtype === 'f32') return uniforms(11, tensor.id, 0, 0, count).map((value) => 2 * value - 1);
  // A uniform number has 24 bits, a word of a packed mask uses 16.
  return Uint32Array.from(uniforms(11, tensor.id, 0, 0, count), (value) => Math.floor(value * 2 ** 16));
}

/** A problem with its data and what float64 loops make of it, which the candidates are checked against. */
export class CheckedProblem {
  readonly graph: Graph;
  private readonly device: Device;
  private readonly values = new Map<Tensor, Float32Array | Uint32Array>();
  private reference: Executor | undefined;

  constructor(graph: Graph, device: Device) {
    this.graph = graph;
    this.device = device;
  }

  private async computed(executor: Executor): Promise<Executor> {
    if (this.values.size === 0)
      for (const tensor of this.graph.tensors.filter(({ kind }) => kind === 'input'))
        this.values.set(tensor, sampleValues(tensor));
    for (const [tensor, data] of this.values) executor.write(tensor, data);
    await executor.run([{ segment: 'main' }]);
    return executor;
  }

  /**
   * Compiles the problem with a choice and compares every result; the dispatches' texts come back with the distance.
   */
  async check(choice: KernelChoice): Promise<{ readonly error: number; readonly code: readonly string[] }> {
    this.reference ??= await this.computed(await openExecutor(this.graph, { device: 'reference' }));
    using candidate = await openExecutor(this.graph, {
      device: this.device,
      choices: onlyChoice(choice),
      untested: true,
    });
    await this.computed(candidate);
    let error = 0;
    for (const output of this.graph.outputs.values())
      error = Math.max(error, await differenceFrom(this.reference, candidate, output));
    return { error, code: candidate.program.dispatches.map(({ source }) => source.code) };
  }
}

/** Data of a problem at its real size, which all candidates to be timed share. */
export class TimedProblem {
  private readonly graph: Graph;
  private readonly device: Device;
  private readonly buffers = new Map<Tensor, GPUBuffer>();

  constructor(graph: Graph, device: Device) {
    this.graph = graph;
    this.device = device;
    for (const tensor of graph.tensors.filter(({ kind }) => kind === 'input')) {
      const data = sampleValues(tensor);
      const usage = BufferUsage.STORAGE | BufferUsage.COPY_DST | BufferUsage.COPY_SRC;
      const buffer = device.createBuffer({ size: data.byteLength, usage, kind: 'input', label: tensor.name });
      device.write(buffer, 0, data);
      this.buffers.set(tensor, buffer);
    }
  }

  /** A candidate ready to be run. */
  async trial(choice: KernelChoice): Promise<Trial> {
    return new Trial(
      choice,
      await Program.compile(this.graph, {
        device: this.device,
        choices: onlyChoice(choice),
        untested: true,
        bindings: this.buffers,
      }),
    );
  }

  destroy(): void {
    for (const buffer of this.buffers.values()) buffer.destroy();
  }
}

/** One candidate, compiled at the problem's real size. */
export class Trial {
  readonly choice: KernelChoice;
  readonly program: Program;
  /** Duration of each run so far, in microseconds. */
  readonly microseconds: number[] = [];
  /** Processor time of the process in the same runs, which counts on software adapters. */
  readonly processor: number[] = [];
  private work: readonly TimedDispatch[];
  private timestamps: TimestampRun | undefined;
  private times: number | undefined;

  constructor(choice: KernelChoice, program: Program) {
    this.choice = choice;
    this.program = program;
    this.work = program.dispatches.map((dispatch) => ({ dispatch, row: 0 }));
    this.timestamps = this.timed();
  }

  private timed(): TimestampRun | undefined {
    return this.program.device.features.has('timestamp-query') ? new TimestampRun(this.program, this.work) : undefined;
  }

  /** Forgets the times so far. */
  reset(): void {
    this.microseconds.length = 0;
    this.processor.length = 0;
  }

  /**
   * Forgets the times so far; from now on a run computes it once and then `times` times in one pass, of which the
   * mean counts, so that a short one is not charged with the start of the device's threads, with caches that others
   * have filled, and with timestamps, for which some drivers wait.
   */
  repeat(times: number): void {
    this.reset();
    this.times = times;
    const [dispatch, ...rest] = this.program.dispatches;
    const again = Array.from({ length: times - 1 }, () => this.program.dispatches).flat();
    this.work = [rest, [...rest, ...again]].map((more) => ({ dispatch: dispatch!, row: 0, more }));
    this.timestamps?.destroy();
    this.timestamps = this.timed();
  }

  /** Shortest time so far: what other load on the machine disturbs least. */
  get shortest(): number {
    return Math.min(...this.microseconds);
  }

  /** Runs it a few times, more often where it is short. */
  async sample(): Promise<void> {
    await this.run(false);
    const most = 60_000;
    for (let run = 0, spent = 0; run < 3 || (run < 12 && spent < most); run++) spent += await this.run();
  }

  /** Runs it once; the time is kept unless it is the first, which includes the driver's own compilation. */
  async run(keep = true): Promise<number> {
    const before = process.cpuUsage();
    const { begin, end } =
      this.timestamps === undefined ? await wallClockTimeline(this.program, this.work) : await this.timestamps.run();
    const { user, system } = process.cpuUsage(before);
    // the first of several warms up
    const first = begin[this.times === undefined ? 0 : 1]!;
    const microseconds = (end.at(-1)! - first) / 1e3 / (this.times ?? 1);
    if (keep) {
      this.microseconds.push(microseconds);
      this.processor.push((user + system) / (this.times === undefined ? 1 : this.times + 1));
    }
    return microseconds;
  }

  destroy(): void {
    this.timestamps?.destroy();
    this.program.destroy();
  }
}
