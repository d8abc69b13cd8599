/**
 * The two simulations of the official code of "A Theoretical View of Linear Backpropagation and Its Convergence"
 * (`two_layer_attack` and `one_layer_sgd`): all repeats run at once, a workgroup each, which loops over the steps
 * itself; the curves stay on the device and only their statistics over the repeats are read back. Both rules of a
 * repeat share every draw.
 */
import { randomStreams } from '../random/philox.js';
import type { Device } from '../runtime/device.js';
import { Batch, f32, u32 } from './kernels.js';
import { STATISTICS, statisticsFromRows } from './statistics.js';
import { attackDraws, checkArrays, checkAttack, checkTraining, trainingDraws } from './simulationSettings.js';
import { simulateAttackReference, simulateTrainingReference } from './simulateReference.js';
import type {
  AttackArrays,
  AttackSimulation,
  GradientMode,
  SimulationOptions,
  SimulationResult,
  TrainingSimulation,
} from './simulationSettings.js';

export * from './simulationSettings.js';

/** Results of the attack, one per mode, and the seconds they took together after compilation. */
export interface AttackSimulationResult {
  readonly settings: AttackSimulation;
  readonly modes: ReadonlyMap<GradientMode, SimulationResult>;
  readonly seconds: number;
  readonly compileSeconds: number;
}

/** Result of the training simulation and the seconds it took after compilation. */
export interface TrainingSimulationResult extends SimulationResult {
  readonly settings: TrainingSimulation;
  readonly seconds: number;
  readonly compileSeconds: number;
}

/** The shader's numbers of the modes. */
const modeNumbers: Readonly<Record<GradientMode, number>> = { raw: 0, l2: 1, sign: 2 };
/** Steps of one dispatch: short enough for a display driver's watchdog, long enough that dispatching costs nothing. */
const STEPS_PER_DISPATCH = 100;
/** Numbers in the training kernel's tile of X, and its most rows. */
const TILE = 1536;
const TILE_ROWS = 256;
const QUANTITIES = 2;

/** First step and number of curve rows of each dispatch; row `steps` is measured without a step after it. */
function chunks(steps: number): { first: number; count: number }[] {
  const result: { first: number; count: number }[] = [];
  for (let first = 0; first <= steps; first += STEPS_PER_DISPATCH)
    result.push({ first, count: Math.min(STEPS_PER_DISPATCH, steps + 1 - first) });
  return result;
}

/** Draws normal arrays and adds up curves: what both simulations need of a batch. */
class Simulator {
  private constructor(
    readonly batch: Batch,
    private readonly draws: Awaited<ReturnType<Batch['kernel']>>,
    private readonly statistics: Awaited<ReturnType<Batch['kernel']>>,
    private readonly settings: { readonly repeats: number; readonly steps: number; readonly seed: number },
  ) {}

  static async on(
    batch: Batch,
    settings: { readonly repeats: number; readonly steps: number; readonly seed: number },
  ): Promise<Simulator> {
    const draws = await batch.kernel('drawNormals', ['readWrite']);
    return new Simulator(batch, draws, await batch.kernel('curveStatistics', ['read', 'readWrite']), settings);
  }

  /** A buffer [repeats, size] of normal numbers. */
  normals(label: string, size: number, step: number, offset = 0, scale = 1): GPUBuffer {
    const { repeats, seed } = this.settings;
    const buffer = this.batch.storage(label, repeats * size);
    const blocks = Math.ceil(size / 4);
    const parameters = [
      ...[repeats, size, blocks, seed, randomStreams.simulation, step].map(u32),
      f32(offset),
      f32(scale),
    ];
    this.batch.add({
      kernel: this.draws,
      buffers: [buffer],
      parameters,
      workgroups: Math.ceil((repeats * blocks) / 64),
    });
    return buffer;
  }

  /** A buffer for curves [QUANTITIES][2][repeats][steps + 1]. */
  curves(label: string): GPUBuffer {
    return this.batch.storage(label, QUANTITIES * 2 * this.settings.repeats * (this.settings.steps + 1));
  }

  /** Adds the statistics of curves; the buffer [QUANTITIES][STATISTICS][steps + 1] is filled when the batch has run. */
  summarize(curves: GPUBuffer): GPUBuffer {
    const rows = this.settings.steps + 1;
    const result = this.batch.storage('statistics', QUANTITIES * STATISTICS * rows);
    const parameters = [this.settings.repeats, rows, QUANTITIES].map(u32);
    this.batch.add({
      kernel: this.statistics,
      buffers: [curves, result],
      parameters,
      workgroups: Math.ceil((rows * QUANTITIES) / 64),
    });
    return result;
  }

  /** Reads the statistics, and the curves where wanted. */
  async result(statistics: GPUBuffer, curves: GPUBuffer, options: SimulationOptions): Promise<SimulationResult> {
    const rows = await this.batch.read(statistics);
    const length = this.settings.steps + 1;
    const part = (quantity: number): ReturnType<typeof statisticsFromRows> =>
      statisticsFromRows(rows.subarray(quantity * STATISTICS * length), length, this.settings.repeats);
    const kept = options.keepCurves === true ? { curves: await this.batch.read(curves) } : {};
    return { distance: part(0), loss: part(1), ...kept };
  }
}

/**
 * Runs the attack simulation in all its modes on the same draws.
 *
 * @param device a device, or `reference` for float64 loops on the CPU
 * @param arrays draws to take instead of Philox's; rounded to float32 on a device
 * @throws LinbpError `bad-range`, `bad-argument`, `bad-shape`, `limit-exceeded`, `aborted`
 */
export async function simulateAttack(
  device: Device | 'reference',
  settings: AttackSimulation,
  arrays?: AttackArrays,
  options: SimulationOptions = {},
): Promise<AttackSimulationResult> {
  checkAttack(settings);
  if (arrays !== undefined) checkArrays(settings, arrays);
  if (device === 'reference') {
    const started = performance.now();
    const results = await simulateAttackReference(settings, arrays, options);
    return { settings, modes: results, seconds: (performance.now() - started) / 1000, compileSeconds: 0 };
  }
  const { d1, d2, d3, repeats, steps, modes, rates, eps, targetMean, targetDeviation } = settings;
  using batch = new Batch(device);
  const compiling = performance.now();
  const simulator = await Simulator.on(batch, settings);
  const kernel = await batch.kernel('attack', ['read', 'read', 'read', 'read', 'readWrite', 'readWrite']);
  const started = performance.now();

  const given = (name: keyof AttackArrays, size: number, offset = 0, scale = 1): GPUBuffer =>
    arrays === undefined
      ? simulator.normals(name, size, attackDraws[name], offset, scale)
      : batch.storage(name, Float32Array.from(arrays[name]));
  const w = given('w', d2 * d1);
  const v = given('v', d3 * d2);
  const xStar = given('xStar', d1, targetMean, targetDeviation);
  const xStart = given('xStart', d1);
  const state = batch.storage('iterates', repeats * 2 * d1);
  const outcomes = modes.map((mode) => {
    const curves = simulator.curves(`curves of mode ${mode}`);
    for (const { first, count } of chunks(steps)) {
      const words = [repeats, d1, d2, d3, first, count, steps, modeNumbers[mode]].map(u32);
      const parameters = [...words, f32(rates[mode]), f32(eps), f32(d1)];
      batch.add({ kernel, buffers: [w, v, xStar, xStart, state, curves], parameters, workgroups: repeats });
    }
    return { mode, curves, statistics: simulator.summarize(curves) };
  });
  await batch.run(options);
  const results = new Map<GradientMode, SimulationResult>();
  for (const { mode, curves, statistics } of outcomes)
    results.set(mode, await simulator.result(statistics, curves, options));
  const finished = performance.now();
  return {
    settings,
    modes: results,
    seconds: (finished - started) / 1000,
    compileSeconds: (started - compiling) / 1000,
  };
}

/**
 * Runs the training simulation, on a device or with `reference` in float64 loops on the CPU. X of step t is the Philox
 * sample `repeat` at step t + 1, the same for both rules.
 *
 * @throws LinbpError `bad-range`, `limit-exceeded`, `aborted`
 */
export async function simulateTraining(
  device: Device | 'reference',
  settings: TrainingSimulation,
  options: SimulationOptions = {},
): Promise<TrainingSimulationResult> {
  checkTraining(settings);
  if (device === 'reference') {
    const started = performance.now();
    const result = await simulateTrainingReference(settings, options);
    return { settings, ...result, seconds: (performance.now() - started) / 1000, compileSeconds: 0 };
  }
  const { d, rows, repeats, steps, rate, seed, targetMean, targetDeviation } = settings;
  using batch = new Batch(device);
  const compiling = performance.now();
  const simulator = await Simulator.on(batch, settings);
  const kernel = await batch.kernel('training', ['read', 'read', 'readWrite', 'readWrite']);
  const started = performance.now();

  const wStar = simulator.normals('teachers', d, trainingDraws.wStar, targetMean, targetDeviation);
  const wStart = simulator.normals('starts', d, trainingDraws.wStart);
  const state = batch.storage('iterates', repeats * 2 * d);
  const curves = simulator.curves('curves');
  // A tile begins at a multiple of 4 numbers, since Philox makes four at a time.
  const tileRows = Math.min(TILE_ROWS, 4 * Math.floor(TILE / d / 4));
  for (const { first, count } of chunks(steps)) {
    const words = [repeats, d, rows, tileRows, first, count, steps, seed, randomStreams.simulation].map(u32);
    batch.add({
      kernel,
      buffers: [wStar, wStart, state, curves],
      parameters: [...words, f32(rate)],
      workgroups: repeats,
    });
  }
  const statistics = simulator.summarize(curves);
  await batch.run(options);
  const result = await simulator.result(statistics, curves, options);
  return {
    settings,
    ...result,
    seconds: (performance.now() - started) / 1000,
    compileSeconds: (started - compiling) / 1000,
  };
}
