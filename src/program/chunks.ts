import { LinbpError } from '../errors.js';
import type { Device } from '../runtime/device.js';
import { stored } from '../runtime/failures.js';
import type { Failures } from '../runtime/failures.js';
import type { RunOptions } from './types.js';

/**
 * The work of one run on its way to the device: recorded iteration by iteration, submitted in chunks of bounded
 * duration, two in flight. How long an iteration of a segment takes is learned from chunks of that segment alone.
 */
export class Chunks {
  private readonly device: Device;
  private readonly durations: Map<string, number>;
  private readonly options: RunOptions;
  private readonly failures: Failures;
  private readonly total: number;
  private readonly target: number;
  private readonly flight: Promise<void>[] = [];
  private open: { readonly encoder: GPUCommandEncoder; readonly pass: GPUComputePassEncoder } | undefined;
  private budget: number;
  private dispatches = 0;
  private done = 0;
  private iterations = new Map<string, number>();

  /**
   * @param durations - milliseconds of an iteration by segment, as far as they are known; added to
   * @param total - iterations of the whole run
   * @param failures - where errors of the submitted work are kept
   */
  constructor(device: Device, durations: Map<string, number>, total: number, options: RunOptions, failures: Failures) {
    this.device = device;
    this.durations = durations;
    this.options = options;
    this.failures = failures;
    this.total = total;
    this.target = options.chunkMilliseconds ?? 100;
    this.budget = this.target;
    if (options.signal?.aborted === true) throw aborted();
  }

  /** The pass into which the next iteration is recorded. */
  pass(): GPUComputePassEncoder {
    if (this.open === undefined) {
      const encoder = this.device.gpu.createCommandEncoder();
      this.open = { encoder, pass: encoder.beginComputePass() };
    }
    return this.open.pass;
  }

  /**
   * Counts one recorded iteration, and submits the chunk where it is long enough. Throws `aborted` when the signal
   * has fired.
   */
  async recorded(segment: string, dispatches: number): Promise<void> {
    this.dispatches += dispatches;
    this.done += 1;
    this.iterations.set(segment, (this.iterations.get(segment) ?? 0) + 1);
    this.budget -= this.durations.get(segment) ?? this.target;
    if (this.budget > 0 || this.done === this.total) return;
    const counts = this.iterations;
    const began = performance.now();
    this.submit();
    const only = counts.size === 1 && this.flight.length === 0 ? [...counts][0] : undefined;
    this.flight.push(
      stored(
        this.device.finished().then(() => {
          if (only !== undefined) this.learn(only[0], (performance.now() - began) / only[1]);
        }),
      ),
    );
    // The first chunk of an unknown segment is waited for at once: its duration sizes the next ones.
    const known = [...counts.keys()].every((name) => this.durations.has(name));
    if (this.flight.length > (known ? 1 : 0)) await this.flight.shift();
    if (this.options.signal?.aborted === true) {
      await Promise.all(this.flight);
      throw aborted();
    }
  }

  /** Submits what is left and waits for the chunks before it. */
  async finish(): Promise<void> {
    if (this.open !== undefined) this.submit();
    await Promise.all(this.flight);
  }

  private submit(): void {
    const { encoder, pass } = this.open!;
    pass.end();
    this.device.submit([encoder.finish()], { dispatches: this.dispatches, failures: this.failures });
    this.options.onChunk?.(this.done / this.total);
    this.open = undefined;
    this.dispatches = 0;
    this.iterations = new Map();
    this.budget = this.target;
  }

  /** Keeps the lowest duration seen: the first one includes the driver's own compilation. */
  private learn(segment: string, milliseconds: number): void {
    this.durations.set(segment, Math.min(this.durations.get(segment) ?? Infinity, milliseconds));
  }
}

const aborted = (): LinbpError => new LinbpError('aborted', 'the run was aborted');
