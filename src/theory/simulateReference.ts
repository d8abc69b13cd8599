/** The simulations of simulate.ts in float64 by plain loops, on the same draws. */
import { normals, randomStreams } from '../random/philox.js';
import { clipToBox, l1Distance, theoryRules } from './closedForm.js';
import type { TheoryRule } from './closedForm.js';
import { statisticRows, statisticsFromRows } from './statistics.js';
import { Turn } from './turn.js';
import { attackDraws, checkAttack, trainingDraws } from './simulationSettings.js';
import type {
  AttackArrays,
  AttackSimulation,
  GradientMode,
  SimulationOptions,
  SimulationResult,
  TrainingSimulation,
} from './simulationSettings.js';

const relu = (z: number): number => Math.max(z, 0);

/** The draws of the attack that the device makes, each rounded to float32 as normal numbers, before scaling. */
export function drawAttackArrays(settings: AttackSimulation): AttackArrays {
  checkAttack(settings);
  const { d1, d2, d3, repeats, seed, targetMean, targetDeviation } = settings;
  const draw = (size: number, step: number, offset = 0, scale = 1): Float64Array => {
    const result = new Float64Array(repeats * size);
    for (let repeat = 0; repeat < repeats; repeat++) {
      const values = normals(seed, randomStreams.simulation, repeat, step, size);
      for (let i = 0; i < size; i++) result[repeat * size + i] = offset + scale * values[i]!;
    }
    return result;
  };
  return {
    w: draw(d2 * d1, attackDraws.w),
    v: draw(d3 * d2, attackDraws.v),
    xStar: draw(d1, attackDraws.xStar, targetMean, targetDeviation),
    xStart: draw(d1, attackDraws.xStart),
  };
}

/** The attack in float64, of settings that are checked. Throws `aborted`, `diverged`. */
export async function simulateAttackReference(
  settings: AttackSimulation,
  arrays: AttackArrays | undefined,
  options: SimulationOptions,
): Promise<ReadonlyMap<GradientMode, SimulationResult>> {
  const given = arrays ?? drawAttackArrays(settings);
  const { repeats, d1, d2, d3, steps, modes } = settings;
  const turn = new Turn(modes.length * repeats, options);
  const results = new Map<GradientMode, SimulationResult>();
  for (const mode of modes) {
    const recorder = new Recorder(repeats, steps);
    for (let repeat = 0; repeat < repeats; repeat++) {
      const network = {
        w: matrix(given.w, repeat, d2, d1),
        v: matrix(given.v, repeat, d3, d2),
        target: given.xStar.subarray(repeat * d1, (repeat + 1) * d1),
        start: given.xStart.subarray(repeat * d1, (repeat + 1) * d1),
      };
      for (const [index, rule] of theoryRules.entries()) {
        attackOnce(network, rule, mode, settings, (t, distance, loss) =>
          recorder.record(index, repeat, t, distance, loss),
        );
      }
      await turn.next();
    }
    results.set(mode, recorder.result(options));
  }
  return results;
}

interface Network {
  readonly w: readonly ArrayLike<number>[];
  readonly v: readonly ArrayLike<number>[];
  readonly target: ArrayLike<number>;
  readonly start: ArrayLike<number>;
}

type Report = (t: number, distance: number, loss: number) => void;

function attackOnce(
  { w, v, target, start }: Network,
  rule: TheoryRule,
  mode: GradientMode,
  settings: AttackSimulation,
  report: Report,
): void {
  const wantedHidden = times(w, target).map(relu);
  const x = Float64Array.from(start);
  for (let t = 0; ; t++) {
    const z = times(w, x);
    const output = times(
      v,
      z.map((value, i) => relu(value) - wantedHidden[i]!),
    );
    report(t, l1Distance(x, target), 0.5 * output.reduce((sum, value) => sum + value * value, 0));
    if (t === settings.steps) return;
    const back = timesTransposed(v, output, z.length).map((value, i) => (rule === 'linbp' || z[i]! > 0 ? value : 0));
    // The official simulation divides the gradient by d1.
    const gradient = timesTransposed(w, back, x.length).map((value) => value / x.length);
    const length = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
    for (let j = 0; j < x.length; j++) {
      const value = gradient[j]!;
      const direction = mode === 'raw' ? value : mode === 'sign' ? Math.sign(value) : length > 0 ? value / length : 0;
      x[j] = x[j]! - settings.rates[mode] * direction;
    }
    clipToBox(x, start, settings.eps);
  }
}

/** The training in float64, of settings that are checked. Throws `aborted`, `diverged`. */
export async function simulateTrainingReference(
  settings: TrainingSimulation,
  options: SimulationOptions,
): Promise<SimulationResult> {
  const { d, rows, steps, repeats, rate, seed, targetMean, targetDeviation } = settings;
  const recorder = new Recorder(repeats, steps);
  const turn = new Turn(repeats * (steps + 1), options);
  for (let repeat = 0; repeat < repeats; repeat++) {
    const draw = (step: number, count: number): Float32Array =>
      normals(seed, randomStreams.simulation, repeat, step, count);
    const target = Float64Array.from(draw(trainingDraws.wStar, d), (value) => targetMean + targetDeviation * value);
    const start = draw(trainingDraws.wStart, d);
    const weights = theoryRules.map(() => Float64Array.from(start));
    for (let t = 0; t <= steps; t++) {
      const x = matrix(draw(t + 1, rows * d), 0, rows, d);
      const wanted = times(x, target).map(relu);
      for (const [index, rule] of theoryRules.entries()) {
        const w = weights[index]!;
        const z = times(x, w);
        const error = z.map((value, row) => relu(value) - wanted[row]!);
        recorder.record(
          index,
          repeat,
          t,
          l1Distance(w, target),
          error.reduce((sum, value) => sum + value * value, 0) / (2 * rows),
        );
        if (t === steps) continue;
        const back = error.map((value, row) => (rule === 'linbp' || z[row]! > 0 ? value : 0));
        const gradient = timesTransposed(x, back, d);
        for (let j = 0; j < d; j++) w[j] = w[j]! - (rate * gradient[j]!) / rows;
      }
      await turn.next();
    }
  }
  return recorder.result(options);
}

/** Curves [quantity][rule][repeat][step] and their statistics. */
class Recorder {
  private readonly curves: Float64Array;
  private readonly length: number;

  constructor(
    private readonly repeats: number,
    steps: number,
  ) {
    this.length = steps + 1;
    this.curves = new Float64Array(4 * repeats * this.length);
  }

  record(rule: number, repeat: number, t: number, distance: number, loss: number): void {
    [distance, loss].forEach(
      (value, quantity) => (this.curves[((2 * quantity + rule) * this.repeats + repeat) * this.length + t] = value),
    );
  }

  result({ keepCurves = false }: SimulationOptions): SimulationResult {
    const part = (quantity: number): SimulationResult['loss'] => {
      const curves = this.curves.subarray(quantity * 2 * this.repeats * this.length);
      return statisticsFromRows(statisticRows(curves, this.length, this.repeats), this.length, this.repeats);
    };
    return { distance: part(0), loss: part(1), ...(keepCurves && { curves: this.curves }) };
  }
}

/** Rows of matrix `index` of a stack [n, rows, columns]. */
function matrix(
  stack: Float32Array | Float64Array,
  index: number,
  rows: number,
  columns: number,
): (Float32Array | Float64Array)[] {
  return Array.from({ length: rows }, (_, i) =>
    stack.subarray((index * rows + i) * columns, (index * rows + i + 1) * columns),
  );
}

/** M x, of a matrix given by its rows. */
function times(rows: readonly ArrayLike<number>[], x: ArrayLike<number>): Float64Array {
  const result = new Float64Array(rows.length);
  rows.forEach((row, i) => {
    let sum = 0;
    for (let j = 0; j < row.length; j++) sum += row[j]! * x[j]!;
    result[i] = sum;
  });
  return result;
}

/** M^T y. */
function timesTransposed(rows: readonly ArrayLike<number>[], y: ArrayLike<number>, columns: number): Float64Array {
  const result = new Float64Array(columns);
  rows.forEach((row, i) => {
    for (let j = 0; j < columns; j++) result[j] = result[j]! + row[j]! * y[i]!;
  });
  return result;
}
