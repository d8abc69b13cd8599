import type { CompiledDispatch, Program } from '../program/program.js';
import { BufferUsage } from '../runtime/flags.js';

/** A dispatch to time and the row of the step table it reads. */
export interface TimedDispatch {
  readonly dispatch: CompiledDispatch;
  readonly row: number;
  /** Dispatches behind it in the same pass, which are timed with it. */
  readonly more?: readonly CompiledDispatch[];
}

/** Begin and end of each dispatch in nanoseconds after the first begin. Whole numbers, so that sums are exact. */
export interface Timeline {
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

/** Most entries that WebGPU allows in a query set; a dispatch takes two. */
const querySetEntries = 4096;

/**
 * Runs dispatches one pass each (with those behind it that belong to it), with timestamps at the begin and the end of
 * every pass, in one submit. The device needs `timestamp-query`. Make it once and run it several times; it holds
 * query sets and a buffer.
 */
export class TimestampRun {
  private readonly program: Program;
  private readonly work: readonly TimedDispatch[];
  private readonly sets: GPUQuerySet[] = [];
  private readonly resolved: GPUBuffer;

  constructor(program: Program, work: readonly TimedDispatch[]) {
    this.program = program;
    this.work = work;
    const { device } = program;
    for (let left = 2 * work.length; left > 0; left -= querySetEntries) {
      this.sets.push(device.gpu.createQuerySet({ type: 'timestamp', count: Math.min(left, querySetEntries) }));
    }
    this.resolved = device.createBuffer({
      size: 16 * work.length,
      usage: BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC,
      kind: 'query',
    });
  }

  async run(): Promise<Timeline> {
    const { device } = this.program;
    const encoder = device.gpu.createCommandEncoder({ label: 'profile' });
    for (const [index, { dispatch, row, more = [] }] of this.work.entries()) {
      const entry = (2 * index) % querySetEntries;
      const querySet = this.sets[Math.floor((2 * index) / querySetEntries)]!;
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: entry, endOfPassWriteIndex: entry + 1 },
      });
      this.program.encode(pass, [dispatch, ...more], row);
      pass.end();
    }
    for (const [index, set] of this.sets.entries())
      encoder.resolveQuerySet(set, 0, set.count, this.resolved, 8 * querySetEntries * index);
    const dispatches = this.work.reduce((sum, { more = [] }) => sum + 1 + more.length, 0);
    device.submit([encoder.finish()], { dispatches, hold: this.sets });
    const stamps = new BigUint64Array(await device.read(this.resolved));
    // Nanoseconds since the machine's start exceed what a double holds exactly; differences within a run do not.
    const first = stamps[0]!;
    const relative = (index: number): number => Number(BigInt.asIntN(64, stamps[index]! - first));
    return {
      begin: this.work.map((_, index) => relative(2 * index)),
      end: this.work.map((_, index) => relative(2 * index + 1)),
    };
  }

  destroy(): void {
    for (const set of this.sets) set.destroy();
    this.resolved.destroy();
  }
}

/**
 * The fallback without timestamps: each dispatch is submitted and waited for on its own, and the time of an empty
 * submit is taken off. Coarse: it cannot see gaps, and small dispatches drown in the cost of submitting.
 */
export async function wallClockTimeline(program: Program, work: readonly TimedDispatch[]): Promise<Timeline> {
  const { device } = program;
  const submitted = async (dispatches: readonly CompiledDispatch[], row: number): Promise<number> => {
    const started = performance.now();
    const encoder = device.gpu.createCommandEncoder({ label: 'profile' });
    const pass = encoder.beginComputePass();
    program.encode(pass, dispatches, row);
    pass.end();
    device.submit([encoder.finish()], { dispatches: dispatches.length });
    await device.idle();
    return performance.now() - started;
  };
  let empty = Infinity;
  for (let i = 0; i < 5; i++) empty = Math.min(empty, await submitted([], 0));
  const begin: number[] = [];
  const end: number[] = [];
  let now = 0;
  for (const { dispatch, row, more = [] } of work) {
    begin.push(now);
    now += Math.max(0, Math.round(1e6 * ((await submitted([dispatch, ...more], row)) - empty)));
    end.push(now);
  }
  return { begin, end };
}
