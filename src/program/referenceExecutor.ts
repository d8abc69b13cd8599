import { LinbpError } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Tensor } from '../graph/types.js';
import { ReferenceRun } from '../reference/run.js';
import type { StepRow } from '../reference/run.js';
import type { ReferenceArray } from '../reference/types.js';
import type { DeviceCounters } from '../runtime/device.js';
import '../runtime/dispose.js';
import type { StoredValues } from './store.js';
import type { Executor, RunOptions, SegmentRun } from './types.js';

/** Milliseconds of loops after which others get a turn. */
const longestBlock = 100;

/** Lets timers and signal handlers run. */
const breath = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function expectWanted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new LinbpError('aborted', 'the run was aborted');
}

/** A graph in float64 on the CPU. */
export class ReferenceExecutor implements Executor {
  readonly reference: ReferenceRun;
  readonly kernels: readonly string[] = [];
  readonly counters: DeviceCounters = { submits: 0, readbacks: 0, dispatches: 0 };
  /** Not rounded as a step table is. */
  private rows: readonly StepRow[] = [{}];

  /** @param memory arrays of root tensors that other executors share */
  constructor(graph: Graph, memory?: ReadonlyMap<Tensor, ReferenceArray>) {
    this.reference = new ReferenceRun(graph, memory);
  }

  setSteps(rows: readonly StepRow[]): void {
    this.rows = rows;
  }

  write(tensor: Tensor, data: StoredValues | Int32Array): void {
    this.reference.set(tensor, data);
  }

  async run(runs: readonly SegmentRun[], { signal, onChunk }: RunOptions = {}): Promise<void> {
    const total = runs.reduce((sum, { repeat = 1 }) => sum + repeat, 0);
    let done = 0;
    for (const { segment, repeat = 1, row = 0 } of runs) {
      for (let iteration = 0; iteration < repeat; iteration++) {
        expectWanted(signal);
        await this.runSegment(segment, this.rows[row + iteration] ?? {}, signal);
        onChunk?.(++done / total);
        await breath();
      }
    }
  }

  /** One iteration. A large network takes minutes: signals are heard in between. What changes tensors is done whole. */
  async runSegment(segment: string, row: StepRow, signal: AbortSignal | undefined): Promise<void> {
    const nodes = this.reference.nodesOf(segment);
    const pure = nodes.every(({ mutates }) => mutates.length === 0);
    let began = performance.now();
    for (const node of nodes) {
      if (performance.now() - began > longestBlock) {
        await breath();
        if (pure) expectWanted(signal);
        began = performance.now();
      }
      this.reference.runNode(node, row);
    }
  }

  async read(tensor: Tensor): Promise<Float32Array> {
    return Promise.resolve(Float32Array.from(this.reference.get(tensor)));
  }

  async readU32(tensor: Tensor): Promise<Uint32Array> {
    return Promise.resolve(Uint32Array.from(this.reference.get(tensor)));
  }

  async exact(tensor: Tensor): Promise<Float64Array> {
    return Promise.resolve(Float64Array.from(this.reference.get(tensor)));
  }

  destroy(): void {}

  [Symbol.dispose](): void {
    this.destroy();
  }
}
