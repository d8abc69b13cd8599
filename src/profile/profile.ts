import { expectFields, expectList, expectObject, expectProgram } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { expectFinite } from '../finite.js';
import type { Direction } from '../graph/types.js';
import type { Program } from '../program/program.js';
import type { ScheduledDispatch } from '../plan/schedule.js';
import type { Ceilings } from './ceilings.js';
import { inTurns, measurements } from '../runtime/turns.js';
import { TimestampRun, wallClockTimeline } from './timestamps.js';
import type { TimedDispatch, Timeline } from './timestamps.js';
import { middleRun, unprofiled, wallOf } from './unprofiled.js';
import type { HostTimes } from './unprofiled.js';

/** What {@link profileProgram} runs and how often. */
export interface ProfileOptions {
  /** Segments to run once each, in this order; by default all of the program. */
  readonly segments?: readonly string[];
  /** Row of the step table that they read; default 0. */
  readonly row?: number;
  /** Timed runs, of which medians are taken; default 7. One more runs first and is not counted. */
  readonly repeats?: number;
  /** Says what is profiled, such as `bp`; kept in the result. */
  readonly label?: string;
  /** Measured peaks of the device, to state shares of them. */
  readonly ceilings?: Ceilings;
  /** Stops between runs with an `aborted` error. */
  readonly signal?: AbortSignal;
  /** Called after each run of the program with the runs done and all, the one that is not counted included. */
  readonly onProgress?: (done: number, total: number) => void;
}

const profileFields: FieldNames<ProfileOptions> = {
  ...{ segments: true, row: true, repeats: true, label: true, ceilings: true },
  ...{ signal: 'signal', onProgress: 'function' },
};

/** Times and rates of one dispatch. */
export interface DispatchProfile {
  readonly index: number;
  readonly segment: string;
  /** Shader file, such as `gemm/conv`. */
  readonly kernel: string;
  /** Tile sizes and fused parts. */
  readonly variant: string;
  readonly layer: string;
  readonly direction: Direction;
  /** Backward rules that this dispatch computes, joined by `+`; empty where it computes none. */
  readonly rule: string;
  readonly workgroups: readonly [number, number, number];
  /** Median over the timed runs, with the shortest and the longest. */
  readonly microseconds: number;
  readonly minMicroseconds: number;
  readonly maxMicroseconds: number;
  /**
   * Median time between the end of the dispatch before and the begin of this one; below 0 where a device overlaps them.
   */
  readonly gapMicroseconds: number;
  /** Place in the run of median length, after its first begin. */
  readonly beginMicroseconds: number;
  readonly endMicroseconds: number;
  readonly flops: number;
  /** Bytes of all operands, each counted once. */
  readonly bytes: number;
  readonly gflops: number;
  readonly gbps: number;
  /** The larger of the shares of the best matmul and of the copy bandwidth, 0 to 1, where ceilings were given. */
  readonly ceilingShare?: number;
}

/** Sums over a layer or a kernel, of medians. */
export interface ProfileTotal {
  readonly name: string;
  readonly dispatches: number;
  readonly microseconds: number;
  /** Part of the sum over all dispatches, 0 to 1. */
  readonly share: number;
  readonly flops: number;
  readonly bytes: number;
}

/** What a profiled program costs, dispatch by dispatch. */
export interface Profile {
  readonly label: string;
  /** `wall-clock` is the coarse fallback for devices without `timestamp-query`: differences of host times, no gaps. */
  readonly method: 'timestamps' | 'wall-clock';
  readonly segments: readonly string[];
  readonly repeats: number;
  readonly dispatches: readonly DispatchProfile[];
  readonly byLayer: readonly ProfileTotal[];
  readonly byKernel: readonly ProfileTotal[];
  readonly byDirection: readonly ProfileTotal[];
  /** Sum of the medians of all dispatches. */
  readonly medianMicroseconds: number;
  /**
   * Of the run of median length: last end minus first begin, and what it consists of: `passMicroseconds` inside
   * dispatches and `gapMicroseconds` between them. The three are exact to the nanosecond.
   */
  readonly spanMicroseconds: number;
  readonly passMicroseconds: number;
  readonly gapMicroseconds: number;
  /**
   * The same dispatches unprofiled, in one pass and one submit, by host times: of the run of median wall time, whose
   * `wall` = encode + submit + wait.
   */
  readonly wallMicroseconds: number;
  readonly encodeMicroseconds: number;
  readonly submitMicroseconds: number;
  readonly waitMicroseconds: number;
  /** Time the program spent compiling its pipelines. */
  readonly compileMicroseconds: number;
  readonly planBytes: number;
  readonly savedForBackwardBytes: number;
  readonly ceilings?: Ceilings;
}

/** The median; of an even number of values the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Names of the backward rules that a dispatch computes, alone or fused. */
export function rulesOf({ group }: ScheduledDispatch): string {
  const names = [group.anchor, ...group.followers].map((node) => node.rule).filter((name) => name !== '');
  return [...new Set(names)].join('+');
}

function totals(dispatches: readonly DispatchProfile[], key: (dispatch: DispatchProfile) => string): ProfileTotal[] {
  const whole = dispatches.reduce((sum, dispatch) => sum + dispatch.microseconds, 0);
  const found = new Map<string, { dispatches: number; microseconds: number; flops: number; bytes: number }>();
  for (const dispatch of dispatches) {
    const name = key(dispatch) || '(none)';
    const total = found.get(name) ?? { dispatches: 0, microseconds: 0, flops: 0, bytes: 0 };
    total.dispatches += 1;
    total.microseconds += dispatch.microseconds;
    total.flops += dispatch.flops;
    total.bytes += dispatch.bytes;
    found.set(name, total);
  }
  return [...found].map(([name, total]) => ({ name, ...total, share: whole > 0 ? total.microseconds / whole : 0 }));
}

const bySize = (list: ProfileTotal[]): ProfileTotal[] =>
  list.sort((left, right) => right.microseconds - left.microseconds);

/**
 * Runs segments of a program with a pass per dispatch and times each by GPU timestamps (without `timestamp-query` by
 * wall clock, and the result says so). The first run, which includes the driver's own compilation, is not counted. A
 * pass per dispatch costs time of its own, so the wall clock of the same work unprofiled is measured beside it.
 *
 * The segments really run, 2 (`repeats` + 1) times: a training step profiled moves the weights it is bound to.
 *
 * Throws `bad-argument` for an unknown segment, `bad-range` for `repeats` or `row`, `aborted`.
 */
export async function profileProgram(program: Program, options: ProfileOptions = {}): Promise<Profile> {
  expectFields(options, profileFields);
  return (await profileInTurns([{ program, options }]))[0]!;
}

/**
 * The same for several programs, whose runs take turns, so that a machine whose speed drifts slows all alike and
 * their times can be compared. Calls on one device wait for each other, and for what else runs the programs.
 */
export async function profileInTurns(
  takers: readonly { readonly program: Program; readonly options?: ProfileOptions }[],
): Promise<Profile[]> {
  expectList(takers, 'takers');
  const [first] = takers;
  if (first === undefined) return [];
  for (const taker of takers) {
    expectObject(taker, 'taker');
    expectProgram(taker.program);
  }
  const turns = takers.map(({ program }) => program.turns);
  return inTurns([measurements(first.program.device), ...turns], () => takeTurns(takers));
}

async function takeTurns(takers: Parameters<typeof profileInTurns>[0]): Promise<Profile[]> {
  const runs: ProfileRun[] = [];
  try {
    for (const { program, options } of takers) runs.push(new ProfileRun(program, options ?? {}));
    for (const { program } of takers) program.derive();
    const rounds = Math.max(...runs.map(({ repeats }) => repeats));
    for (let round = 0; round <= rounds; round++)
      for (const [index, run] of runs.entries()) {
        const { signal, onProgress } = takers[index]?.options ?? {};
        if (signal?.aborted === true) throw new LinbpError('aborted', 'profiling was aborted');
        if (round > run.repeats) continue;
        await run.once(round > 0);
        onProgress?.(round + 1, run.repeats + 1);
      }
    return runs.map((run) => run.result());
  } finally {
    for (const run of runs) run.destroy();
  }
}

const gapAt = (timeline: Timeline, index: number): number =>
  index === 0 ? 0 : timeline.begin[index]! - timeline.end[index - 1]!;

/** The runs of one program that is being profiled. */
class ProfileRun {
  readonly repeats: number;
  private readonly program: Program;
  private readonly options: ProfileOptions;
  private readonly segments: readonly string[];
  private readonly work: readonly TimedDispatch[];
  private readonly timestamps: TimestampRun | undefined;
  private readonly timelines: Timeline[] = [];
  private readonly host: HostTimes[] = [];

  /** Throws what {@link profileProgram} throws. */
  constructor(program: Program, options: ProfileOptions) {
    const { repeats = 7, row = 0 } = options;
    check(
      Number.isInteger(repeats) && repeats >= 1 && repeats <= 1000,
      'bad-range',
      `repeats must be 1 to 1000, got ${repeats}`,
      'repeats',
    );
    check(
      Number.isInteger(row) && row >= 0 && row < program.steps.rows,
      'bad-range',
      `row must be 0 to ${program.steps.rows - 1}, got ${row}`,
      'row',
    );
    this.program = program;
    this.options = options;
    this.repeats = repeats;
    this.segments = options.segments ?? [...new Set(program.dispatches.map((dispatch) => dispatch.source.segment))];
    this.work = this.segments.flatMap((segment) =>
      program.segmentDispatches(segment).map((dispatch): TimedDispatch => ({ dispatch, row })),
    );
    this.timestamps = program.device.features.has('timestamp-query') ? new TimestampRun(program, this.work) : undefined;
  }

  /**
   * One run with a pass per dispatch and one unprofiled: both kinds alternate, so that a machine whose speed drifts
   * slows both alike.
   */
  async once(keep: boolean): Promise<void> {
    const timeline =
      this.timestamps === undefined ? await wallClockTimeline(this.program, this.work) : await this.timestamps.run();
    const times = await unprofiled(this.program, this.work);
    if (!keep) return;
    this.timelines.push(timeline);
    this.host.push(times);
  }

  destroy(): void {
    this.timestamps?.destroy();
  }

  /** The medians of one dispatch, and where it stands in the timeline that is shown. */
  private dispatchProfile(index: number, shown: Timeline): DispatchProfile {
    const { timelines } = this;
    const { ceilings } = this.options;
    const { source } = this.work[index]!.dispatch;
    const durations = timelines.map((timeline) => timeline.end[index]! - timeline.begin[index]!);
    const nanoseconds = median(durations);
    const rate = (amount: number): number => (nanoseconds > 0 ? amount / nanoseconds : 0);
    const [gflops, gbps] = [rate(source.flops), rate(source.bytes)];
    return {
      index,
      segment: source.segment,
      kernel: source.kernel,
      variant: source.variant,
      layer: source.group.anchor.layer,
      direction: source.group.anchor.direction,
      rule: rulesOf(source),
      workgroups: source.workgroups,
      microseconds: nanoseconds / 1e3,
      minMicroseconds: Math.min(...durations) / 1e3,
      maxMicroseconds: Math.max(...durations) / 1e3,
      gapMicroseconds: median(timelines.map((timeline) => gapAt(timeline, index))) / 1e3,
      beginMicroseconds: shown.begin[index]! / 1e3,
      endMicroseconds: shown.end[index]! / 1e3,
      flops: source.flops,
      bytes: source.bytes,
      gflops,
      gbps,
      ...(ceilings === undefined
        ? {}
        : { ceilingShare: Math.max(gflops / ceilings.matmulGflops, gbps / ceilings.copyGbps) }),
    };
  }

  result(): Profile {
    const { program, segments, work, timelines, host, repeats } = this;
    const { label = '', ceilings } = this.options;
    const method = this.timestamps === undefined ? 'wall-clock' : 'timestamps';
    const last = work.length - 1;
    const shown = [...timelines].sort((left, right) => left.end[last]! - right.end[last]!)[(repeats - 1) >> 1]!;
    const dispatches = work.map((_, index) => this.dispatchProfile(index, shown));
    const where = (index: number): string => dispatches[index]!.layer || dispatches[index]!.kernel;
    for (const field of ['microseconds', 'gflops', 'gbps'] as const)
      expectFinite(
        dispatches.map((dispatch) => dispatch[field]),
        (index) => `${field} of ${where(index)}`,
      );
    const passNanoseconds = work.reduce((sum, _, index) => sum + shown.end[index]! - shown.begin[index]!, 0);
    const gapNanoseconds = work.reduce((sum, _, index) => sum + gapAt(shown, index), 0);
    const middle = middleRun(host);
    const [encode, submit, wait] = middle;
    return {
      label,
      method,
      segments,
      repeats,
      dispatches,
      byLayer: totals(dispatches, (dispatch) => dispatch.layer),
      byKernel: bySize(totals(dispatches, (dispatch) => dispatch.kernel)),
      byDirection: totals(dispatches, (dispatch) => dispatch.direction),
      medianMicroseconds: dispatches.reduce((sum, dispatch) => sum + dispatch.microseconds, 0),
      spanMicroseconds: (shown.end[last]! - shown.begin[0]!) / 1e3,
      passMicroseconds: passNanoseconds / 1e3,
      gapMicroseconds: gapNanoseconds / 1e3,
      wallMicroseconds: wallOf(middle),
      encodeMicroseconds: encode,
      submitMicroseconds: submit,
      waitMicroseconds: wait,
      compileMicroseconds: 1e6 * program.compileSeconds,
      planBytes: program.plan.bytes,
      savedForBackwardBytes: program.plan.savedForBackwardBytes,
      ...(ceilings === undefined ? {} : { ceilings }),
    };
  }
}
