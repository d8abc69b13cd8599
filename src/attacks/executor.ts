import { LinbpError } from '../errors.js';
import type { Tensor } from '../graph/types.js';
import { setReferenceWeights } from '../nn/predict.js';
import type { StateDict } from '../nn/model.js';
import type { DeviceCounters } from '../runtime/device.js';
import { Program } from '../program/program.js';
import type { CompileOptions, RunOptions, SegmentRun } from '../program/program.js';
import { ReferenceRun } from '../reference/run.js';
import type { StepRow } from '../reference/run.js';
import type { AttackGraph } from './attackGraph.js';
import type { StepFields } from '../program/steps.js';

/** What runs an attack's graph: a device program, or the float64 reference. */
export interface Executor {
  /** Running totals of this executor alone; zero on the reference. */
  readonly counters: DeviceCounters;
  setSteps(rows: readonly StepRow[]): void;
  write(tensor: Tensor, data: Float32Array | Uint32Array): void;
  run(runs: readonly SegmentRun[], options: RunOptions): Promise<void>;
  /** Values as float32; what the reference rounds is rounded towards those of `towards`, where given. */
  read(tensor: Tensor, towards?: Float32Array): Promise<Float32Array>;
  readU32(tensor: Tensor): Promise<Uint32Array>;
  destroy(): void;
}

/** The graph compiled for a device. */
export class DeviceExecutor implements Executor {
  readonly program: Program;

  private constructor(program: Program) {
    this.program = program;
  }

  static async compile(
    attack: AttackGraph,
    steps: { readonly fields: StepFields; readonly rows: number },
    options: Omit<CompileOptions, 'steps'>,
  ): Promise<DeviceExecutor> {
    return new DeviceExecutor(await Program.compile(attack.graph, { ...options, steps }));
  }

  get counters(): DeviceCounters {
    return this.program.counters;
  }

  setSteps(rows: readonly StepRow[]): void {
    for (const [row, values] of rows.entries()) this.program.steps.set(row, values);
    this.program.uploadSteps();
  }

  write(tensor: Tensor, data: Float32Array | Uint32Array): void {
    this.program.write(tensor, data);
  }

  run(runs: readonly SegmentRun[], options: RunOptions): Promise<void> {
    return this.program.run(runs, options);
  }

  read(tensor: Tensor): Promise<Float32Array> {
    return this.program.read(tensor);
  }

  readU32(tensor: Tensor): Promise<Uint32Array> {
    return this.program.readU32(tensor);
  }

  destroy(): void {
    this.program.destroy();
  }
}

/** The same graph in float64 on the CPU. */
export class ReferenceExecutor implements Executor {
  readonly reference: ReferenceRun;
  readonly counters: DeviceCounters = { submits: 0, readbacks: 0, dispatches: 0 };
  private rows: readonly StepRow[] = [{}];

  private readonly attack: AttackGraph;

  constructor(attack: AttackGraph) {
    this.attack = attack;
    this.reference = new ReferenceRun(attack.graph);
  }

  /** The weights to run with, by state-dict key. */
  setWeights(weights: StateDict): void {
    setReferenceWeights(this.reference, this.attack.network, weights);
  }

  setSteps(rows: readonly StepRow[]): void {
    this.rows = rows;
  }

  write(tensor: Tensor, data: Float32Array | Uint32Array): void {
    this.reference.set(tensor, data);
  }

  async run(runs: readonly SegmentRun[], options: RunOptions): Promise<void> {
    const total = runs.reduce((sum, { repeat = 1 }) => sum + repeat, 0);
    let done = 0;
    for (const { segment, repeat = 1, row = 0 } of runs) {
      for (let iteration = 0; iteration < repeat; iteration++) {
        if (options.signal?.aborted === true) throw new LinbpError('aborted', 'the run was aborted');
        this.reference.run(segment, [this.rows[row + iteration] ?? {}]);
        options.onChunk?.(++done / total);
        // lets an abort come through
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  async read(tensor: Tensor, towards?: Float32Array): Promise<Float32Array> {
    const exact = this.reference.get(tensor);
    const rounded = Float32Array.from(exact);
    if (towards !== undefined)
      for (let i = 0; i < rounded.length; i++) rounded[i] = roundTowards(exact[i]!, towards[i]!);
    return Promise.resolve(rounded);
  }

  async readU32(tensor: Tensor): Promise<Uint32Array> {
    return Promise.resolve(Uint32Array.from(this.reference.get(tensor)));
  }

  destroy(): void {}
}

const bits = new DataView(new ArrayBuffer(4));

/** The float32 nearest to a pixel in [0, 1] that is not further from `origin`, a float32, than the pixel itself. */
function roundTowards(pixel: number, origin: number): number {
  const nearest = Math.fround(pixel);
  const away = pixel > origin ? nearest > pixel : nearest < pixel;
  if (!away || nearest === origin) return nearest;
  bits.setFloat32(0, nearest);
  // Neighbors of positive floats are neighbors as integers.
  bits.setInt32(0, bits.getInt32(0) + (pixel > origin ? -1 : 1));
  return bits.getFloat32(0);
}
