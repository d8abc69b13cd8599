import { expectMembers, expectObject } from '../arguments.js';
import { LinbpError, check } from '../errors.js';
import { readSafetensors } from '../io/safetensors.js';
import type { StoredTensor } from '../io/safetensors.js';
import { tensorAsFloat32 } from '../io/safetensors.js';
import type { TwoLayerSizes } from './closedForm.js';
import type { CurveStatistics } from './statistics.js';

/** What the attack moves along: the gradient itself, divided by its 2-norm, or its sign (official modes 0, 1, 2). */
export type GradientMode = 'raw' | 'l2' | 'sign';
/** What the simulated attack makes of a gradient: its own length, unit length, or its signs. */
export const gradientModes: readonly GradientMode[] = ['raw', 'l2', 'sign'];

/** The attack simulation: two layers, `x <- clip(x - rate * direction)`; see closedForm.ts for the problem. */
export interface AttackSimulation extends TwoLayerSizes {
  readonly modes: readonly GradientMode[];
  /** Step sizes of the modes. */
  readonly rates: Readonly<Record<GradientMode, number>>;
  readonly steps: number;
  readonly repeats: number;
  /** Half-width of the box around the start. */
  readonly eps: number;
  /** x* ~ N(targetMean, targetDeviation^2), x_0 ~ N(0, 1), independent entries. */
  readonly targetMean: number;
  readonly targetDeviation: number;
  /** Whole number 0..2^32-1; repeat r is the Philox sample r of the simulation stream. */
  readonly seed: number;
}

/**
 * The training simulation: one layer, fresh rows in every step, `w <- w - rate * gradient`; see closedForm.ts for the
 * problem.
 */
export interface TrainingSimulation {
  readonly d: number;
  /** Rows of X per step. */
  readonly rows: number;
  readonly steps: number;
  readonly repeats: number;
  readonly rate: number;
  /** w* ~ N(targetMean, targetDeviation^2), w_0 ~ N(0, 1), independent entries. */
  readonly targetMean: number;
  readonly targetDeviation: number;
  readonly seed: number;
}

/** The official code's settings (`two_layer_attack`), with enough repeats for a verdict: it runs 10. */
export const attackDefaults: AttackSimulation = {
  d1: 100,
  d2: 20,
  d3: 10,
  modes: gradientModes,
  rates: { raw: 1e-3, l2: 0.05, sign: 0.005 },
  steps: 100,
  repeats: 400,
  eps: 0.25,
  targetMean: 1,
  targetDeviation: 2,
  seed: 0,
};

/** The official code's settings (`one_layer_sgd`). */
export const trainingDefaults: TrainingSimulation = {
  d: 10,
  rows: 100,
  steps: 10_000,
  repeats: 10,
  rate: 1e-3,
  targetMean: 1,
  targetDeviation: 3,
  seed: 0,
};

/**
 * Arrays of all repeats of the attack, for draws made elsewhere; float64 arrays keep their precision on the reference.
 */
export interface AttackArrays {
  /** [repeats, d2, d1] */
  readonly w: Float32Array | Float64Array;
  /** [repeats, d3, d2] */
  readonly v: Float32Array | Float64Array;
  /** [repeats, d1] */
  readonly xStar: Float32Array | Float64Array;
  /** [repeats, d1] */
  readonly xStart: Float32Array | Float64Array;
}

/** Which Philox step each array of the attack is drawn at. Part of the reproducibility contract. */
export const attackDraws = { w: 0, v: 1, xStar: 2, xStart: 3 } as const;
/**
 * Training: at step 0 the elements 0..d-1 are the teacher's; X of step t is drawn at t + 1; the start has a step of
 * its own.
 */
export const trainingDraws = { wStar: 0, wStart: 0xffff_ffff } as const;

/** What a simulation measured. `Setting` says which. */
export interface SimulationResult {
  /** `|x_t - x*|_1` or `|w_t - w*|_1` for t = 0..steps. */
  readonly distance: CurveStatistics;
  /** Loss at step t, half the squared distance of the outputs (per row in training, on the rows of step t). */
  readonly loss: CurveStatistics;
  /** Curves of single repeats `[quantity][rule][repeat][step]` (distance first, BP first), where asked for. */
  readonly curves?: Float32Array | Float64Array;
}

/** How a simulation is run. */
export interface SimulationOptions {
  /** Read the curves of single repeats back too; default false. */
  readonly keepCurves?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called with the share that is done (0..1). */
  readonly onProgress?: ((share: number) => void) | undefined;
}

/** Largest sizes that the kernels' workgroup memory holds. */
export const largestSizes = { d1: 512, d2: 128, d3: 128, d: 256 } as const;

function checkWhole(values: Readonly<Record<string, number>>, least: number, most: number): void {
  for (const [field, value] of Object.entries(values)) {
    check(
      Number.isSafeInteger(value) && value >= least && value <= most,
      'bad-range',
      `${field} must be a whole number ${least}..${most}, got ${value}`,
      field,
    );
  }
}

function checkPositive(values: Readonly<Record<string, number>>): void {
  for (const [field, value] of Object.entries(values)) {
    check(value > 0 && Number.isFinite(value), 'bad-range', `${field} must be positive, got ${value}`, field);
  }
}

/** Throws `bad-range` or `bad-argument` where settings make no sense. */
export function checkAttack(settings: AttackSimulation): void {
  expectMembers(settings, 'settings', { modes: 'list', rates: 'object' });
  const { d1, d2, d3, modes, rates, steps, repeats, eps, targetMean, targetDeviation, seed } = settings;
  checkWhole({ d1 }, 1, largestSizes.d1);
  checkWhole({ d2, d3 }, 1, largestSizes.d2);
  checkWhole({ steps, repeats }, 1, 10_000_000);
  checkWhole({ seed }, 0, 2 ** 32 - 1);
  check(
    modes.length > 0 && new Set(modes).size === modes.length,
    'bad-argument',
    'modes must name at least one gradient mode, none twice',
    'modes',
  );
  for (const mode of modes) {
    check(
      gradientModes.includes(mode),
      'bad-argument',
      `mode: expected ${gradientModes.join(', ')}, got ${JSON.stringify(mode)}`,
      'mode',
    );
    checkPositive({ rate: rates[mode] });
  }
  checkPositive({ eps });
  check(
    Number.isFinite(targetMean) && targetDeviation >= 0,
    'bad-range',
    "the teacher's mean and deviation must be finite",
    'targetMean',
  );
}

/** Throws `bad-range` where settings make no sense. */
export function checkTraining(settings: TrainingSimulation): void {
  expectObject(settings, 'settings');
  const { d, rows, steps, repeats, rate, targetMean, targetDeviation, seed } = settings;
  checkWhole({ d }, 1, largestSizes.d);
  checkWhole({ rows, steps, repeats }, 1, 10_000_000);
  check(rows * d < 2 ** 32, 'bad-range', `rows times d must stay below 2^32, got ${rows * d}`, 'rows');
  checkWhole({ seed }, 0, 2 ** 32 - 1);
  checkPositive({ rate });
  check(
    Number.isFinite(targetMean) && targetDeviation >= 0,
    'bad-range',
    "the teacher's mean and deviation must be finite",
    'targetMean',
  );
}

/** Throws `bad-shape` unless the arrays have the settings' sizes. */
export function checkArrays(settings: AttackSimulation, arrays: AttackArrays): void {
  expectObject(settings, 'settings');
  expectMembers(arrays, 'arrays', { w: 'list', v: 'list', xStar: 'list', xStart: 'list' });
  const { d1, d2, d3, repeats } = settings;
  const expected = { w: [repeats, d2, d1], v: [repeats, d3, d2], xStar: [repeats, d1], xStart: [repeats, d1] };
  for (const [name, shape] of Object.entries(expected) as [keyof AttackArrays, number[]][]) {
    const count = shape.reduce((product, size) => product * size, 1);
    check(
      arrays[name].length === count,
      'bad-shape',
      `${name} must have shape [${shape.join(', ')}], ${count} numbers; got ${arrays[name].length}`,
      name,
    );
  }
}

/**
 * Reads the attack's arrays from a safetensors file with the tensors `W` [R, d2, d1], `V` [R, d3, d2], `x_star` [R,
 * d1] and `x_0` [R, d1] (F64, or anything that converts to F32).
 *
 * @returns the arrays and the sizes and repeats they imply
 * @throws LinbpError `missing-file`, `bad-file`, `bad-dtype`, `bad-shape`
 */
export async function readAttackArrays(path: string): Promise<{
  readonly arrays: AttackArrays;
  readonly sizes: TwoLayerSizes & { readonly repeats: number };
}> {
  const { tensors } = await readSafetensors(path);
  const tensor = (name: string, rank: number): StoredTensor => {
    const found = tensors.get(name);
    if (found === undefined)
      throw new LinbpError('bad-file', `${path} has no tensor "${name}"; expected W, V, x_star and x_0`, {
        field: name,
      });
    check(
      found.shape.length === rank,
      'bad-shape',
      `tensor ${name}: expected ${rank} dimensions, got [${found.shape.join(', ')}]`,
      name,
    );
    return found;
  };
  const [w, v, xStar, xStart] = [tensor('W', 3), tensor('V', 3), tensor('x_star', 2), tensor('x_0', 2)];
  const [repeats, d2, d1] = w.shape as [number, number, number];
  const d3 = v.shape[1]!;
  for (const [name, found, shape] of [
    ['V', v, [repeats, d3, d2]],
    ['x_star', xStar, [repeats, d1]],
    ['x_0', xStart, [repeats, d1]],
  ] as const) {
    check(
      found.shape.join() === shape.join(),
      'bad-shape',
      `tensor ${name}: expected [${shape.join(', ')}] beside W, got [${found.shape.join(', ')}]`,
      name,
    );
  }
  const values = async (from: StoredTensor): Promise<Float32Array | Float64Array> => {
    const tensor = await from.read();
    return from.dtype === 'F64' ? new Float64Array(new Uint8Array(tensor.data).buffer) : tensorAsFloat32(tensor);
  };
  const arrays = { w: await values(w), v: await values(v), xStar: await values(xStar), xStart: await values(xStart) };
  for (const [name, array] of Object.entries(arrays))
    check(array.every(Number.isFinite), 'bad-range', `${name} holds numbers that are not finite`, name);
  return { arrays, sizes: { d1, d2, d3, repeats } };
}
