import { check, LinbpError } from '../errors.js';
import { operationsOf } from '../plan/schedule.js';
import type { Device, DeviceCounters } from '../runtime/device.js';
import { stored } from '../runtime/failures.js';
import type { Failures } from '../runtime/failures.js';
import { quotedValue } from '../quote.js';
import type { CompiledDispatch, RunOptions } from './types.js';

/**
 * What a device is taken for until it is measured: slow, so that the first submits are short on any. Watchdogs of
 * drivers end work of about 2 s.
 */
const assumedFlopsPerMillisecond = 4e7;

/** Throws `bad-range` unless a length of submits is a number above 0; left out is fine. */
export function expectChunkMilliseconds(value: number | undefined): void {
  const valid = value === undefined || (typeof value === 'number' && value > 0 && value < Infinity);
  const field = 'chunkMilliseconds';
  check(valid, 'bad-range', `${field} must be a number above 0, got ${quotedValue(value)}`, field);
}

/**
 * How long the dispatches of one segment take: estimated by their operations at first, then learned from the chunks
 * that they ran in.
 */
export class SegmentTiming {
  /** Milliseconds of each dispatch. */
  private readonly estimates: Float64Array;
  private readonly measured: Uint8Array;
  /** Milliseconds of an iteration. */
  total: number;
  /** Whether every dispatch has been measured. */
  known = false;

  constructor(dispatches: readonly CompiledDispatch[]) {
    const { length } = dispatches;
    this.estimates = Float64Array.from(dispatches, ({ source }) => operationsOf(source) / assumedFlopsPerMillisecond);
    this.measured = new Uint8Array(length);
    this.total = this.sum(0, length);
  }

  /** Milliseconds of the dispatches from `begin` up to `end`. */
  sum(begin: number, end: number): number {
    let milliseconds = 0;
    for (let i = begin; i < end; i++) milliseconds += this.estimates[i]!;
    return milliseconds;
  }

  /** Where a part that begins at `begin` ends, so that it takes at most `milliseconds`; one dispatch at least. */
  partEnd(begin: number, milliseconds: number): number {
    let end = begin;
    let left = milliseconds;
    do left -= this.estimates[end++]!;
    while (end < this.estimates.length && left >= this.estimates[end]!);
    return end;
  }

  /**
   * Takes in that a range took `factor` times what was estimated. A first measure counts as it is. Later, what took
   * less counts in full, since the first includes the driver's own compilation; of what took more, which may be other
   * load on the machine, a whole iteration takes nothing over and a part the root.
   */
  learn(begin: number, end: number, factor: number): void {
    const part = end - begin < this.estimates.length;
    for (let i = begin; i < end; i++) {
      const first = this.measured[i] === 0;
      this.measured[i] = 1;
      if (first || factor < 1) this.estimates[i]! *= factor;
      else if (part) this.estimates[i]! *= Math.sqrt(factor);
    }
    this.total = this.sum(0, this.estimates.length);
    this.known ||= this.measured.every((flag) => flag === 1);
  }

  /** Whether every dispatch of a range has been measured. */
  knows(begin: number, end: number): boolean {
    return this.known || this.measured.subarray(begin, end).every((flag) => flag === 1);
  }
}

/** Dispatches of a chunk: those of a segment from `begin` up to `end`, `times` times. */
interface Content {
  readonly timing: SegmentTiming;
  readonly begin: number;
  readonly end: number;
  times: number;
}

/**
 * The work of one run on its way to the device: submitted in chunks of bounded duration, two in flight. Short
 * iterations are submitted several at a time, long ones in parts.
 */
export class Chunks {
  private readonly device: Device;
  private readonly options: RunOptions;
  private readonly failures: Failures;
  private readonly total: number;
  private readonly target: number;
  private readonly counters: DeviceCounters;
  private readonly flight: Promise<void>[] = [];
  private open: { readonly encoder: GPUCommandEncoder; readonly pass: GPUComputePassEncoder } | undefined;
  private budget: number;
  private dispatches = 0;
  private done = 0;
  private contents: Content[] = [];
  private lastFinished = 0;

  /**
   * @param total - iterations of the whole run
   * @param failures - where errors of the submitted work are kept
   * @param counters - running totals to add to
   */
  constructor(device: Device, total: number, options: RunOptions, failures: Failures, counters: DeviceCounters) {
    expectChunkMilliseconds(options.chunkMilliseconds);
    this.counters = counters;
    this.device = device;
    this.options = options;
    this.failures = failures;
    this.total = total;
    this.target = options.chunkMilliseconds ?? 100;
    this.budget = this.target;
    if (options.signal?.aborted === true) throw aborted();
  }

  /** Where the part of an iteration that begins at dispatch `begin` ends: at its end unless it takes long. */
  partEnd(timing: SegmentTiming, begin: number, length: number): number {
    return timing.total <= this.target ? length : timing.partEnd(begin, this.target);
  }

  /** The pass into which the next dispatches are recorded. */
  pass(): GPUComputePassEncoder {
    if (this.open === undefined) {
      const encoder = this.device.gpu.createCommandEncoder();
      this.open = { encoder, pass: encoder.beginComputePass() };
    }
    return this.open.pass;
  }

  /**
   * Counts recorded dispatches, of a whole iteration or a part of it, and submits the chunk where it is long enough.
   * Throws `aborted` when the signal has fired.
   */
  async recorded(timing: SegmentTiming, begin: number, end: number, length: number): Promise<void> {
    const whole = begin === 0 && end === length;
    this.dispatches += end - begin;
    if (end === length) this.done += 1;
    const last = this.contents.at(-1);
    if (whole && last?.timing === timing && last.begin === 0 && last.end === length) last.times += 1;
    else this.contents.push({ timing, begin, end, times: 1 });
    this.budget -= whole ? (timing.known ? timing.total : this.target) : this.target;
    if (this.budget > 0 || this.done === this.total) return;
    // The first chunk of unknown duration is waited for at once: it sizes the next ones.
    const known = this.contents.every((each) => each.timing.knows(each.begin, each.end));
    this.submit();
    if (this.flight.length > (known ? 1 : 0)) await this.flight.shift();
    // An iteration is finished first: half a step would leave half of its changes.
    if (end === length && this.options.signal?.aborted === true) {
      await Promise.all(this.flight);
      throw aborted();
    }
  }

  /** Submits what is left and waits for the chunks before it; for all where each is to be reported. */
  async finish(): Promise<void> {
    if (this.open !== undefined) this.submit(this.options.onSubmitted !== undefined);
    await Promise.all(this.flight);
  }

  private submit(measure = true): void {
    const { encoder, pass } = this.open!;
    pass.end();
    this.device.submit([encoder.finish()], { dispatches: this.dispatches, failures: this.failures });
    this.counters.submits += 1;
    this.counters.dispatches += this.dispatches;
    this.options.onChunk?.(this.done / this.total);
    if (measure) this.flight.push(stored(this.measure(this.contents, performance.now())));
    this.open = undefined;
    this.dispatches = 0;
    this.contents = [];
    this.budget = this.target;
  }

  /** Waits for a chunk and learns from its duration, which begins where the chunk before it ended. */
  private async measure(contents: readonly Content[], submitted: number): Promise<void> {
    await this.device.finished();
    const finished = performance.now();
    const took = finished - Math.max(submitted, this.lastFinished);
    this.lastFinished = finished;
    this.options.onSubmitted?.(took);
    const expected = contents.reduce((sum, { timing, begin, end, times }) => sum + times * timing.sum(begin, end), 0);
    if (expected <= 0 || took <= 0) return;
    for (const { timing, begin, end } of contents) timing.learn(begin, end, took / expected);
  }
}

const aborted = (): LinbpError => new LinbpError('aborted', 'the run was aborted');
