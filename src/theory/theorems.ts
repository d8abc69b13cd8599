/**
 * The two convergence theorems of "A Theoretical View of Linear Backpropagation and Its Convergence" as programs.
 * Both say: with teacher and start drawn from normal laws, the same start for both rules and a reasonably small step,
 * the expected-gradient iterates satisfy `E|a* - a~_t|_1 <= E|a* - a_t|_1` for all t, where a~ is LinBP's and a is
 * BP's. Theorem 1 is the attack on the input of a two-layer network, with a clip; theorem 2 is the training of a
 * one-layer network, without one. The programs evaluate both sides, the margin BP - LinBP, and how often single draws
 * violate the inequality. The wording is reconstructed from the official code and the proof's outline.
 */
import { expectList, expectObject } from '../arguments.js';
import { check } from '../errors.js';
import { normals, randomStreams } from '../random/philox.js';
import { expectedLinbpDistance, populationDynamics, stepSizeCondition } from './closedForm.js';
import type { GaussianPair } from './closedForm.js';
import { expectLaw, studentQuantile95 } from './gaussian.js';
import type { SimulationOptions } from './simulationSettings.js';
import { Turn } from './turn.js';

/** One evaluation of a theorem. */
export interface TheoremSettings extends GaussianPair {
  readonly theorem: 1 | 2;
  /** Effective step eta' (`effectiveStep` of closedForm.ts turns a raw step into it). */
  readonly eta: number;
  /** Half-width of the clip box; absent without a clip (theorem 2 has none). */
  readonly eps?: number | undefined;
  readonly steps: number;
  /** Draws of (a*, a_0). */
  readonly draws: number;
  /** Whole number 0..2^32-1; draw k is the Philox sample k of the simulation stream. */
  readonly seed: number;
}

/**
 * Settings with the official code's laws: attack d = 100, a* ~ N(1, 2^2), clip 0.25; training d = 10, a* ~ N(1, 3^2);
 * start standard normal.
 */
export const theoremDefaults: Readonly<Record<1 | 2, TheoremSettings>> = {
  1: {
    theorem: 1,
    dimension: 100,
    targetMean: 1,
    targetDeviation: 2,
    startMean: 0,
    startDeviation: 1,
    eta: 0.05,
    eps: 0.25,
    steps: 100,
    draws: 300,
    seed: 0,
  },
  2: {
    theorem: 2,
    dimension: 10,
    targetMean: 1,
    targetDeviation: 3,
    startMean: 0,
    startDeviation: 1,
    eta: 0.01,
    steps: 1500,
    draws: 300,
    seed: 0,
  },
};

/** Both sides of the inequality over the steps 0..`steps`. */
export interface TheoremResult {
  readonly settings: TheoremSettings;
  /** Mean over the draws of `|a* - a_t|_1`. */
  readonly bp: Float64Array;
  readonly linbp: Float64Array;
  /** LinBP's side as an exact expectation; NaN where the closed form does not hold (a clip together with eta' > 2). */
  readonly linbpExpected: Float64Array;
  /** Mean of BP - LinBP: the inequality's margin, negative where it fails on average. */
  readonly margin: Float64Array;
  /** Half-width of the 95 % confidence interval of the margin. */
  readonly marginHalfWidth: Float64Array;
  /** Smallest margin of a single draw. */
  readonly smallestMargin: Float64Array;
  /** Share of the draws with a negative margin. */
  readonly violating: Float64Array;
  /** Share of the draws that violate the inequality at one step or more. */
  readonly drawsViolating: number;
  /** Steps (of 1..steps) at which the inequality fails on average. */
  readonly stepsViolating: number;
  readonly verdict: TheoremVerdict;
  readonly stepSize: ReturnType<typeof stepSizeCondition>;
}

/**
 * `every draw`: no draw violates at any step; `on average`: some draws do, the mean never; `fails`: the mean does at
 * some step.
 */
export type TheoremVerdict = 'every draw' | 'on average' | 'fails';

/** Margins within this share of the start's distance count as equality: both sides are sums of rounded terms. */
const ROUNDING = 1e-12;

/** Most steps and coordinates, and most of both in one draw: it is worked out in one go. */
const most = { steps: 1_000_000, dimension: 1_000_000, work: 100_000_000 } as const;

/** Teacher and start of one draw, from Philox: elements 0..d-1 are the teacher's, d..2d-1 the start's. */
export function drawPair(law: GaussianPair, seed: number, draw: number): { target: Float64Array; start: Float64Array } {
  expectLaw(law);
  const { dimension } = law;
  const values = normals(seed, randomStreams.simulation, draw, 0, 2 * dimension);
  return {
    target: Float64Array.from({ length: dimension }, (_, i) => law.targetMean + law.targetDeviation * values[i]!),
    start: Float64Array.from(
      { length: dimension },
      (_, i) => law.startMean + law.startDeviation * values[dimension + i]!,
    ),
  };
}

function checkSettings(settings: TheoremSettings): void {
  expectObject(settings, 'settings');
  const { theorem, dimension, targetDeviation, startDeviation, eta, eps, steps, draws } = settings;
  check(theorem === 1 || theorem === 2, 'bad-argument', `theorem must be 1 or 2, got ${String(theorem)}`, 'theorem');
  check(
    Number.isSafeInteger(dimension) && dimension > 0 && dimension <= most.dimension,
    'bad-range',
    `dimension must be a whole number 1..${most.dimension}, got ${dimension}`,
    'dimension',
  );
  check(
    Number.isSafeInteger(draws) && draws > 0,
    'bad-range',
    `draws must be a positive whole number, got ${draws}`,
    'draws',
  );
  check(
    Number.isSafeInteger(steps) && steps > 0 && steps <= most.steps,
    'bad-range',
    `steps must be a whole number 1..${most.steps}, got ${steps}`,
    'steps',
  );
  check(
    steps * dimension <= most.work,
    'bad-range',
    `steps times dimension must be at most ${most.work}, got ${steps} times ${dimension}`,
    'steps',
  );
  check(
    targetDeviation >= 0 && startDeviation > 0,
    'bad-range',
    'standard deviations must not be negative, and the start must vary',
    'sigma',
  );
  check(eta > 0 && Number.isFinite(eta), 'bad-range', `eta must be positive, got ${eta}`, 'eta');
  check(eps === undefined || eps > 0, 'bad-range', `eps must be positive, got ${eps}`, 'eps');
  check(theorem === 1 || eps === undefined, 'bad-argument', 'theorem 2 has no clip', 'eps');
}

/** The signal's abort ends the computation with `aborted`. */
export type TheoremOptions = Pick<SimulationOptions, 'signal' | 'onProgress'>;

/** Sums over the draws, by step. */
interface Sides {
  readonly bp: Float64Array;
  readonly linbp: Float64Array;
  /** Of BP - LinBP. */
  readonly squares: Float64Array;
  readonly smallestMargin: Float64Array;
  readonly violating: Float64Array;
  readonly drawsViolating: number;
}

/** Both sides of the inequality in all draws: means, and shares of draws. */
async function sampleSides(settings: TheoremSettings, turn: Turn): Promise<Sides> {
  const { eta, eps, steps, draws, seed } = settings;
  const length = steps + 1;
  const bp = new Float64Array(length);
  const linbp = new Float64Array(length);
  const squares = new Float64Array(length);
  const smallestMargin = new Float64Array(length).fill(Infinity);
  const violating = new Float64Array(length);
  let drawsViolating = 0;
  for (let draw = 0; draw < draws; draw++) {
    const { target, start } = drawPair(settings, seed, draw);
    const sides = (['bp', 'linbp'] as const).map(
      (rule) => populationDynamics({ rule, start, target, eta, steps, eps }).distances,
    );
    const [slow, fast] = sides as [Float64Array, Float64Array];
    const tolerance = ROUNDING * slow[0]!;
    let violated = false;
    for (let t = 0; t < length; t++) {
      const margin = slow[t]! - fast[t]!;
      bp[t]! += slow[t]! / draws;
      linbp[t]! += fast[t]! / draws;
      squares[t]! += (margin * margin) / draws;
      smallestMargin[t] = Math.min(smallestMargin[t]!, margin);
      if (!(margin >= -tolerance)) {
        violating[t]!++;
        violated = true;
      }
    }
    if (violated) drawsViolating++;
    await turn.next();
  }
  violating.forEach((count, t) => (violating[t] = count / draws));
  return { bp, linbp, squares, smallestMargin, violating, drawsViolating: drawsViolating / draws };
}

/**
 * Evaluates both sides of a theorem's inequality for all steps, by plain loops that let others have the thread.
 *
 * @throws LinbpError `bad-range`, `bad-argument`, `aborted`
 */
export async function evaluateTheorem(settings: TheoremSettings, options: TheoremOptions = {}): Promise<TheoremResult> {
  checkSettings(settings);
  expectObject(options, 'options');
  const { eta, eps, steps, draws } = settings;
  const length = steps + 1;
  const turn = new Turn(draws + length, options);
  const { squares, ...sides } = await sampleSides(settings, turn);
  const { bp, linbp, drawsViolating } = sides;
  const margin = bp.map((value, t) => value - linbp[t]!);
  const quantile = studentQuantile95(draws - 1);
  const marginHalfWidth = margin.map(
    (mean, t) => quantile * Math.sqrt(Math.max(0, squares[t]! - mean * mean) / Math.max(1, draws - 1)),
  );
  const stepSize = stepSizeCondition(eta);
  const closed = stepSize.monotone || eps === undefined;
  const linbpExpected = new Float64Array(length).fill(NaN);
  for (let t = 0; t < length; t++) {
    if (closed) linbpExpected[t] = expectedLinbpDistance(settings, t, eta, eps);
    await turn.next();
  }
  const stepsViolating = margin.reduce((count, value) => count + (value >= -ROUNDING * bp[0]! ? 0 : 1), 0);
  const verdict = stepsViolating > 0 ? 'fails' : drawsViolating > 0 ? 'on average' : 'every draw';
  return { settings, ...sides, linbpExpected, margin, marginHalfWidth, stepsViolating, verdict, stepSize };
}

/** Which setting a sweep varies. */
export type TheoremAxis = 'eta' | 'eps' | 'dimension' | 'targetMean' | 'targetDeviation' | 'startDeviation';

/** A map of a theorem: one row per value of the axis, one column per time. */
export interface TheoremMap {
  readonly axis: TheoremAxis;
  readonly values: readonly number[];
  /** Steps shown, from 1. */
  readonly times: readonly number[];
  /**
   * [values][times]: mean margin as a share of BP's mean distance; positive where LinBP is closer. NaN once a side is
   * not finite.
   */
  readonly margin: readonly (readonly number[])[];
  /** [values][times]: share of draws violating. */
  readonly violating: readonly (readonly number[])[];
  /** The whole evaluation of each row. */
  readonly rows: readonly TheoremResult[];
}

/**
 * Evaluates a theorem over a grid of one setting and time. The default axis, eta from far below to beyond the bound
 * of 2, shows where the inequality stops holding for every draw, then on average.
 *
 * @param options `times`: steps shown; default eight, spread evenly in their logarithm
 * @throws LinbpError as {@link evaluateTheorem}
 */
export async function mapTheorem(
  base: TheoremSettings,
  axis: TheoremAxis,
  values: readonly number[],
  options: TheoremOptions & { readonly times?: readonly number[] } = {},
): Promise<TheoremMap> {
  expectObject(base, 'settings');
  expectList(values, 'values');
  expectObject(options, 'options');
  const { times = logarithmicTimes(base.steps), signal, onProgress } = options;
  check(values.length > 0, 'bad-argument', 'a map needs at least one value', 'values');
  for (const t of times)
    check(
      Number.isSafeInteger(t) && t >= 0 && t <= base.steps,
      'bad-range',
      `times must be steps 0..${base.steps}, got ${t}`,
      'times',
    );
  const all = values.map((value): TheoremSettings => ({ ...base, [axis]: value }));
  all.forEach(checkSettings);
  const rows: TheoremResult[] = [];
  for (const settings of all) {
    const share = (part: number): void => onProgress?.((rows.length + part) / all.length);
    rows.push(await evaluateTheorem(settings, { signal, onProgress: share }));
  }
  return {
    axis,
    values,
    times,
    margin: rows.map((row) => times.map((t) => relativeMargin(row, t))),
    violating: rows.map((row) => times.map((t) => row.violating[t]!)),
    rows,
  };
}

/** Margin as a share of BP's distance; 0 once both sides are down to rounding. */
function relativeMargin({ bp, linbp, margin }: TheoremResult, t: number): number {
  if (Math.max(bp[t]!, linbp[t]!) <= ROUNDING * bp[0]!) return 0;
  return bp[t]! > 0 ? margin[t]! / bp[t]! : -Infinity;
}

function logarithmicTimes(steps: number): number[] {
  const times = Array.from({ length: 8 }, (_, k) => Math.round(steps ** (k / 7)));
  return [...new Set(times)];
}
