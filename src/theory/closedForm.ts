/**
 * What backpropagation (BP) and linear backpropagation (LinBP) do on average in the two student-teacher problems of
 * Z. Li, Y. Guo, H. Liu, C. Zhang, "A Theoretical View of Linear Backpropagation and Its Convergence" (TPAMI 2024,
 * arXiv 2112.11018), with the problems as its official code (github.com/lzalza/LinBP, folder of simulations) sets them:
 *
 * - **training, one layer**: `h(X, w) = relu(X w)`, rows of X standard normal, loss `|h(X, w) - h(X, w*)|^2 / (2 N)`;
 * - **attack, two layers**: `h(x) = V relu(W x)`, entries of W [d2, d1] and V [d3, d2] standard normal, loss `|h(x) -
 * h(x*)|^2 / 2`,
 *   every iterate clipped to the box of half-width eps around the start.
 *
 * All vectors are plain number arrays; everything here is computed in float64. The papers' own numbering and scale
 * constants could not be compared; the formulas are derived from the arc-cosine identities of Gaussian half-spaces
 * and agree with sampled gradients (`montecarlo`). Theta is the angle between `a` and `a*`.
 */
import { expectList, expectMembers, expectOneOf } from '../arguments.js';
import { check } from '../errors.js';
import { expectLaw, lowerPartialMean, probabilityBelow } from './gaussian.js';

/** The two backward rules that the theory compares. */
export type TheoryRule = 'bp' | 'linbp';
/** The rules that the theory compares. */
export const theoryRules: readonly TheoryRule[] = ['bp', 'linbp'];

/** Numbers by index. */
export type Vector = ArrayLike<number>;

function checkPair(a: Vector, target: Vector): void {
  expectList(a, 'vector');
  expectList(target, 'vector');
  check(
    a.length > 0 && a.length === target.length,
    'bad-shape',
    `both vectors must have the same positive length, got ${a.length} and ${target.length}`,
  );
}

function norm(a: Vector): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * a[i]!;
  return Math.sqrt(sum);
}

/**
 * The angle between two vectors, in [0, pi]. W. Kahan's form with both differences keeps full accuracy near 0 and pi,
 * where the arc cosine of a rounded cosine has an error of 1e-8.
 *
 * @returns NaN where one of the vectors is zero
 * @throws LinbpError `bad-shape`
 */
export function angleBetween(a: Vector, b: Vector): number {
  checkPair(a, b);
  return angleOf(a, norm(a), b, norm(b));
}

function angleOf(a: Vector, normA: number, b: Vector, normB: number): number {
  let difference = 0;
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const u = a[i]! / normA;
    const v = b[i]! / normB;
    difference += (u - v) * (u - v);
    sum += (u + v) * (u + v);
  }
  return 2 * Math.atan2(Math.sqrt(difference), Math.sqrt(sum));
}

/**
 * The expected gradient of BP per unit of scale,
 * `B(a, a*) = (a - a*)/2 + (Theta a* - |a*|/|a| sin(Theta) a) / (2 pi)`.
 * It follows from `E[X^T D(Xa) D(Xb) X b] / N = ((pi - Theta) b + |b| sin(Theta) a/|a|) / (2 pi)` and `E[X^T D(Xa) X
 * a] / N = a/2`.
 *
 * @param a current point [d], not zero (the formula divides by its norm)
 * @param target teacher's point a* [d]; zero is allowed and leaves a/2
 * @throws LinbpError `bad-shape`, or `bad-range` at a = 0
 */
export function bpField(a: Vector, target: Vector): Float64Array {
  checkPair(a, target);
  return bpFieldInto(new Float64Array(a.length), a, target);
}

/** {@link bpField} into an array that is there already: the dynamics below take millions of steps. */
function bpFieldInto(out: Float64Array, a: Vector, target: Vector): Float64Array {
  const normA = norm(a);
  const normTarget = norm(target);
  check(normA > 0, 'bad-range', 'the expected gradient of BP is undefined at the zero vector', 'a');
  const angle = normTarget > 0 ? angleOf(a, normA, target, normTarget) : 0;
  const pull = (normTarget / normA) * Math.sin(angle);
  for (let i = 0; i < a.length; i++)
    out[i] = 0.5 * (a[i]! - target[i]!) + (angle * target[i]! - pull * a[i]!) / (2 * Math.PI);
  return out;
}

/**
 * The expected gradient of LinBP per unit of scale, `Lambda(a, a*) = (a - a*)/2`: a step against it goes straight
 * toward the teacher. With {@link bpField} it is the closed-form lemma of the theory paper (arXiv 2112.11018). It
 * follows from `E[X^T relu(Xa)] / N = a/2`, for X [N, d] with standard normal entries.
 *
 * @param a current point [d]; zero is allowed
 * @param target teacher's point a* [d]
 * @returns the field at `a` [d]
 * @throws LinbpError `bad-shape` unless both have the same positive length
 */
export function linbpField(a: Vector, target: Vector): Float64Array {
  checkPair(a, target);
  return linbpFieldInto(new Float64Array(a.length), a, target);
}

function linbpFieldInto(out: Float64Array, a: Vector, target: Vector): Float64Array {
  for (let i = 0; i < a.length; i++) out[i] = 0.5 * (a[i]! - target[i]!);
  return out;
}

/** {@link bpField} or {@link linbpField}. */
export function field(rule: TheoryRule, a: Vector, target: Vector): Float64Array {
  expectOneOf(rule, theoryRules, 'rule');
  return rule === 'bp' ? bpField(a, target) : linbpField(a, target);
}

/**
 * Expectation over standard normal rows of the gradient with respect to the student's weights of the one-layer
 * problem, per row (`X^T D(Xw) (relu(Xw) - relu(Xw*)) / N` for BP, without D for LinBP).
 *
 * @param w student's weights [d]
 * @param target teacher's weights w* [d]
 * @throws LinbpError as {@link bpField}
 */
export function expectedOneLayerGradient(rule: TheoryRule, w: Vector, target: Vector): Float64Array {
  return field(rule, w, target);
}

/** Sizes of the two-layer problem: input, hidden and output. */
export interface TwoLayerSizes {
  readonly d1: number;
  readonly d2: number;
  readonly d3: number;
}

/**
 * Expectation over standard normal W [d2, d1] and V [d3, d2] of the gradient with respect to the input of the
 * two-layer problem, `W^T D(Wx) V^T V (relu(Wx) - relu(Wx*))` for BP, without D for LinBP: `d2 d3` times the field.
 *
 * @param x current input [d1]
 * @param target the optimal adversarial input x* [d1]
 * @param options.asCoded divide by d1, as the official simulation does; default false
 * @throws LinbpError as {@link bpField}
 */
export function expectedTwoLayerGradient(
  rule: TheoryRule,
  x: Vector,
  target: Vector,
  sizes: { readonly d2: number; readonly d3: number },
  options: { readonly asCoded?: boolean } = {},
): Float64Array {
  checkPair(x, target);
  expectMembers(sizes, 'sizes', { d2: 'number', d3: 'number' });
  const scale = (sizes.d2 * sizes.d3) / (options.asCoded === true ? x.length : 1);
  return field(rule, x, target).map((value) => scale * value);
}

/**
 * The step eta' with which the expected gradients move along the unscaled fields: `eta` (training), `eta d2 d3`
 * (attack), `eta d2 d3 / d1` (attack as coded).
 */
export function effectiveStep(
  eta: number,
  problem: 'training' | TwoLayerSizes,
  options: { readonly asCoded?: boolean } = {},
): number {
  if (problem === 'training') return eta;
  expectMembers(problem, 'problem', { d1: 'number', d2: 'number', d3: 'number' });
  return (eta * problem.d2 * problem.d3) / (options.asCoded === true ? problem.d1 : 1);
}

/**
 * Whether LinBP approaches the teacher monotonically in every coordinate, which is what "a reasonably small step" has
 * to grant: its error is multiplied by `q = 1 - eta'/2` in each step, so `0 < eta' <= 2` never overshoots, and `eta'
 * < 4` still converges. (Derived; the paper's exact condition is not known.)
 */
export function stepSizeCondition(effective: number): {
  readonly contraction: number;
  readonly monotone: boolean;
  readonly converges: boolean;
} {
  const contraction = 1 - effective / 2;
  return { contraction, monotone: effective > 0 && effective <= 2, converges: effective > 0 && effective < 4 };
}

/**
 * Clips a point in place to the box of half-width eps around the start, coordinate by coordinate: `min(max(z, x0 -
 * eps), x0 + eps)`.
 *
 * @returns the same array
 */
export function clipToBox(point: Float64Array, start: Vector, eps: number): Float64Array {
  checkPair(point, start);
  for (let i = 0; i < point.length; i++) point[i] = clipCoordinate(point[i]!, start[i]!, eps);
  return point;
}

function clipCoordinate(value: number, start: number, eps: number): number {
  return Math.min(Math.max(value, start - eps), start + eps);
}

/** Sum of magnitudes of a difference, `|a - b|_1`. */
export function l1Distance(a: Vector, b: Vector): number {
  checkPair(a, b);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i]! - b[i]!);
  return sum;
}

/** A run of the population dynamics. */
export interface PopulationRun {
  readonly rule: TheoryRule;
  readonly start: Vector;
  readonly target: Vector;
  /** Effective step eta' ({@link effectiveStep}), positive. */
  readonly eta: number;
  /** Steps, a whole number from 0. */
  readonly steps: number;
  /** Half-width of the box around the start; absent without a clip. */
  readonly eps?: number | undefined;
}

/** Distances of a run and where it ended. */
export interface PopulationTrajectory {
  /** `|a* - a_t|_1` for t = 0..steps. */
  readonly distances: Float64Array;
  readonly end: Float64Array;
}

/**
 * Population dynamics: gradient descent along the expected gradient, `a <- Clip(a - eta' F(a, a*))`.
 *
 * @throws LinbpError `bad-shape`; `bad-range` for a step that is not positive, steps that are no whole number, a
 * negative eps, or a BP iterate at 0
 */
export function populationDynamics(run: PopulationRun): PopulationTrajectory {
  expectMembers(run, 'run', { eta: 'number', steps: 'number' });
  const { rule, start, target, eta, steps, eps } = run;
  checkPair(start, target);
  check(eta > 0 && Number.isFinite(eta), 'bad-range', `eta must be positive, got ${eta}`, 'eta');
  check(
    Number.isSafeInteger(steps) && steps >= 0,
    'bad-range',
    `steps must be a whole number of at least 0, got ${steps}`,
    'steps',
  );
  check(eps === undefined || eps >= 0, 'bad-range', `eps must not be negative, got ${eps}`, 'eps');
  const point = new Float64Array(start.length);
  for (let i = 0; i < point.length; i++) point[i] = start[i]!;
  const gradient = new Float64Array(start.length);
  const distances = new Float64Array(steps + 1);
  distances[0] = l1Distance(point, target);
  for (let t = 1; t <= steps; t++) {
    if (rule === 'bp') bpFieldInto(gradient, point, target);
    else linbpFieldInto(gradient, point, target);
    let moved = false;
    for (let i = 0; i < point.length; i++) {
      const before = point[i]!;
      let value = before - eta * gradient[i]!;
      if (eps !== undefined) value = clipCoordinate(value, start[i]!, eps);
      moved ||= value !== before;
      point[i] = value;
    }
    distances[t] = l1Distance(point, target);
    // A point that a step leaves as it is stays for ever: all its coordinates are at their bounds, or converged to
    // the last bit.
    if (!moved) {
      distances.fill(distances[t]!, t);
      break;
    }
  }
  return { distances, end: point };
}

/**
 * Distance of LinBP's population iterate from the teacher in one coordinate after t steps: `max(q^t |Delta|, |Delta|
 * - eps)` with `q = 1 - eta'/2` and `Delta = a* - a_0`; without a clip the first term alone. The error shrinks by q
 * until the coordinate meets its clip bound, where it stays.
 *
 * @param eta effective step, 0 < eta' <= 2 (with a clip); without a clip any step, and |q|^t is taken
 * @param eps half-width of the box; absent without a clip
 * @throws LinbpError `bad-range` for a step that can overshoot within a clip, or for one that is not positive
 */
export function linbpCoordinateDistance(delta: number, t: number, eta: number, eps?: number): number {
  const { contraction, monotone } = stepSizeCondition(eta);
  check(
    eta > 0 && (monotone || eps === undefined),
    'bad-range',
    `the closed form with a clip needs 0 < eta' <= 2, got ${eta}`,
    'eta',
  );
  const free = Math.abs(contraction) ** t * Math.abs(delta);
  return eps === undefined ? free : Math.max(free, Math.abs(delta) - eps);
}

/** `|a* - a_t|_1` of LinBP's population dynamics in closed form: the sum of {@link linbpCoordinateDistance}. */
export function linbpDistance(start: Vector, target: Vector, t: number, eta: number, eps?: number): number {
  checkPair(start, target);
  let sum = 0;
  for (let i = 0; i < start.length; i++) sum += linbpCoordinateDistance(target[i]! - start[i]!, t, eta, eps);
  return sum;
}

/**
 * The law of start and teacher: independent coordinates, `a_0 ~ N(startMean, startDeviation^2)`, `a* ~ N(targetMean,
 * targetDeviation^2)`.
 */
export interface GaussianPair {
  readonly dimension: number;
  readonly targetMean: number;
  readonly targetDeviation: number;
  readonly startMean: number;
  readonly startDeviation: number;
}

/**
 * `E|a* - a_t|_1` of LinBP over the draws of start and teacher, in closed form: `d E[max(q^t |Delta|, |Delta| -
 * eps)]` with `Delta ~ N(targetMean - startMean, targetDeviation^2 + startDeviation^2)`. The second term is the
 * larger beyond `|Delta| = eps / (1 - q^t)`, so the expectation is a sum of partial moments of a normal variable.
 *
 * @throws LinbpError as {@link linbpCoordinateDistance}
 */
export function expectedLinbpDistance(law: GaussianPair, t: number, eta: number, eps?: number): number {
  expectLaw(law);
  linbpCoordinateDistance(0, t, eta, eps);
  const mean = law.targetMean - law.startMean;
  const deviation = Math.hypot(law.targetDeviation, law.startDeviation);
  const shrink = Math.abs(stepSizeCondition(eta).contraction) ** t;
  const bound = eps === undefined || shrink === 1 ? Infinity : eps / (1 - shrink);
  const partial = (c: number): number =>
    c === Infinity ? mean : c === -Infinity ? 0 : lowerPartialMean(mean, deviation, c);
  const below = (c: number): number =>
    c === Infinity ? 1 : c === -Infinity ? 0 : probabilityBelow(mean, deviation, c);
  const inside = partial(bound) - 2 * partial(0) + partial(-bound); // E[|Delta|; |Delta| <= bound]
  const total = mean - 2 * partial(0); // E|Delta|
  const outside = 1 - below(bound) + below(-bound);
  return law.dimension * (shrink * inside + (total - inside) - (bound === Infinity ? 0 : (eps ?? 0) * outside));
}
