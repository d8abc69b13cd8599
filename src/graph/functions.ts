import { check } from '../errors.js';

/**
 * Functions of one number: the activations, and the arithmetic of networks that are not written by hand. Each has a
 * twin in WGSL, `shaders/functions/<name>.wgsl`, that defines `value` and `slope`.
 */

/** A function of one number with up to two parameters, and its derivative. */
export interface ScalarFunction {
  /** The parameters in order, with the values they have unless told; uniforms, so changing them compiles nothing. */
  readonly parameters: Readonly<Record<string, number>>;
  readonly value: (x: number, a: number, b: number) => number;
  /** The derivative; at a kink that of one side, at a jump 0. */
  readonly slope: (x: number, a: number, b: number) => number;
  /**
   * For functions with two slopes: `inside` where `from` < x < `to`, `outside` elsewhere. One bit tells which. Other
   * functions need x for their derivative.
   */
  readonly pieces?: (a: number, b: number) => TwoSlopes;
}

/** A function of two slopes: `inside` where `from` < x < `to`, `outside` elsewhere. */
export interface TwoSlopes {
  readonly from: number;
  readonly to: number;
  readonly inside: number;
  readonly outside: number;
}

const { exp, log, log1p, expm1, sqrt, abs, tanh, min, max, PI } = Math;

function logistic(x: number): number {
  const e = exp(-abs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}
const softLogarithm = (x: number): number => max(x, 0) + log1p(exp(-abs(x)));
const clamp = (x: number, least: number, most: number): number => min(max(x, least), most);

/**
 * The error function in float64: its Maclaurin series up to 2.5, Laplace's continued fraction of the complement
 * beyond (Abramowitz and Stegun 7.1.5 and 7.1.14).
 */
export function erf(x: number): number {
  const size = abs(x);
  if (size < 2.5) {
    let power = x;
    let sum = x;
    for (let n = 1; abs(power) > 1e-20 * abs(sum); n++) {
      power *= -(x * x) / n;
      sum += power / (2 * n + 1);
    }
    return (2 / sqrt(PI)) * sum;
  }
  let fraction = size;
  for (let k = 80; k >= 1; k--) fraction = size + k / 2 / fraction;
  return Math.sign(x) * (1 - exp(-size * size) / (sqrt(PI) * fraction));
}

const smooth = (
  value: ScalarFunction['value'],
  slope: ScalarFunction['slope'],
  parameters: Readonly<Record<string, number>> = {},
): ScalarFunction => ({
  parameters,
  value,
  slope,
});

const twoSlopes = (
  value: ScalarFunction['value'],
  pieces: NonNullable<ScalarFunction['pieces']>,
  parameters: Readonly<Record<string, number>> = {},
): ScalarFunction => ({
  parameters,
  value,
  pieces,
  slope: (x, a, b) => {
    const { from, to, inside, outside } = pieces(a, b);
    return x > from && x < to ? inside : outside;
  },
});

const geluInner = sqrt(2 / PI);
const normalDensity = (x: number): number => exp(-(x * x) / 2) / sqrt(2 * PI);

/** All functions by name. */
export const scalarFunctions = {
  exp: smooth(
    (x) => exp(x),
    (x) => exp(x),
  ),
  log: smooth(
    (x) => log(x),
    (x) => 1 / x,
  ),
  sqrt: smooth(sqrt, (x) => 0.5 / sqrt(x)),
  /** The square root of a sum of squares, whose slope at 0 counts as 0. */
  norm: smooth(sqrt, (x) => (x > 0 ? 0.5 / sqrt(x) : 0)),
  square: smooth(
    (x) => x * x,
    (x) => 2 * x,
  ),
  reciprocal: smooth(
    (x) => 1 / x,
    (x) => -1 / (x * x),
  ),
  abs: smooth(abs, Math.sign),
  affine: smooth(
    (x, scale, shift) => scale * x + shift,
    (_x, scale) => scale,
    { scale: 1, shift: 0 },
  ),
  power: smooth(
    (x, exponent) => x ** exponent,
    (x, exponent) => exponent * x ** (exponent - 1),
    { exponent: 1 },
  ),
  erf: smooth(erf, (x) => (2 / sqrt(PI)) * exp(-x * x)),
  sin: smooth(Math.sin, Math.cos),
  cos: smooth(Math.cos, (x) => -Math.sin(x)),
  relu: twoSlopes(
    (x) => max(x, 0),
    () => ({ from: 0, to: Infinity, inside: 1, outside: 0 }),
  ),
  relu6: twoSlopes(
    (x) => clamp(x, 0, 6),
    () => ({ from: 0, to: 6, inside: 1, outside: 0 }),
  ),
  clip: twoSlopes(
    (x, least, most) => clamp(x, least, most),
    (from, to) => ({ from, to, inside: 1, outside: 0 }),
    { least: 0, most: 1 },
  ),
  leakyRelu: twoSlopes(
    (x, slope) => (x > 0 ? x : slope * x),
    (outside) => ({ from: 0, to: Infinity, inside: 1, outside }),
    { slope: 0.01 },
  ),
  thresholdedRelu: twoSlopes(
    (x, threshold) => (x <= threshold ? 0 : x),
    (from) => ({ from, to: Infinity, inside: 1, outside: 0 }),
    { threshold: 1 },
  ),
  hardSigmoid: twoSlopes(
    (x, scale, shift) => clamp(scale * x + shift, 0, 1),
    (scale, shift) => {
      const ends = [-shift / scale, (1 - shift) / scale];
      return { from: min(...ends), to: max(...ends), inside: scale, outside: 0 };
    },
    { scale: 1 / 6, shift: 0.5 },
  ),
  sigmoid: smooth(logistic, (x) => logistic(x) * logistic(-x)),
  tanh: smooth(tanh, (x) => 1 - tanh(x) ** 2),
  hardSwish: smooth(
    (x) => (x * clamp(x + 3, 0, 6)) / 6,
    (x) => (x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5),
  ),
  /** x times the logistic function of `beta` x: SiLU or Swish. */
  silu: smooth(
    (x, beta) => x * logistic(beta * x),
    (x, beta) => {
      const s = logistic(beta * x);
      return s + beta * x * s * logistic(-beta * x);
    },
    { beta: 1 },
  ),
  gelu: smooth(
    (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    (x) => 0.5 * (1 + erf(x / Math.SQRT2)) + x * normalDensity(x),
  ),
  geluTanh: smooth(
    (x) => 0.5 * x * (1 + tanh(geluInner * (x + 0.044715 * x ** 3))),
    (x) => {
      const t = tanh(geluInner * (x + 0.044715 * x ** 3));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * geluInner * (1 + 3 * 0.044715 * x * x);
    },
  ),
  elu: smooth(
    (x, alpha) => (x > 0 ? x : alpha * expm1(x)),
    (x, alpha) => (x > 0 ? 1 : alpha * exp(x)),
    { alpha: 1 },
  ),
  celu: smooth(
    (x, alpha) => (x > 0 ? x : alpha * expm1(x / alpha)),
    (x, alpha) => (x > 0 ? 1 : exp(x / alpha)),
    { alpha: 1 },
  ),
  selu: smooth(
    (x, alpha, gamma) => gamma * (x > 0 ? x : alpha * expm1(x)),
    (x, alpha, gamma) => gamma * (x > 0 ? 1 : alpha * exp(x)),
    { alpha: 1.6732632423543772, gamma: 1.0507009873554805 },
  ),
  softplus: smooth(
    (x, beta) => softLogarithm(beta * x) / beta,
    (x, beta) => logistic(beta * x),
    { beta: 1 },
  ),
  softsign: smooth(
    (x) => x / (1 + abs(x)),
    (x) => 1 / (1 + abs(x)) ** 2,
  ),
  mish: smooth(
    (x) => x * tanh(softLogarithm(x)),
    (x) => {
      const t = tanh(softLogarithm(x));
      return t + x * (1 - t * t) * logistic(x);
    },
  ),
} as const satisfies Readonly<Record<string, ScalarFunction>>;

/** Names of the functions that linbp has. */
export type BuiltinFunctionName = keyof typeof scalarFunctions;
/** The name of a function that was registered at run time; see `registerFunction`. */
export type RegisteredFunctionName = string & { readonly registered: true };

/** Names of the functions of one number that networks may use, such as `gelu`. */
export type ScalarFunctionName = BuiltinFunctionName | RegisteredFunctionName;

const registered = new Map<string, ScalarFunction & { readonly differentiable: boolean }>();

/** A function by name, with the type that all of them share. */
export const scalarFunction = (name: ScalarFunctionName): ScalarFunction =>
  registered.get(name) ?? scalarFunctions[name as BuiltinFunctionName];

/** Whether a function may be differentiated; one that was registered without a slope may not. */
export const isDifferentiable = (name: string): boolean => registered.get(name)?.differentiable ?? true;

/**
 * Adds a function to those that networks and rules (`on=name`) may name.
 *
 * @param slope undefined where it is not to be differentiated
 * @throws LinbpError `bad-argument` for a name that is taken
 */
export function addScalarFunction(
  name: string,
  {
    value,
    slope,
    parameters,
  }: Omit<ScalarFunction, 'slope' | 'pieces'> & { slope: ScalarFunction['slope'] | undefined },
): RegisteredFunctionName {
  const taken = Object.hasOwn(scalarFunctions, name) || kinds.includes(name) || registered.has(name);
  check(!taken, 'bad-argument', `there is a function ${name} already`, 'name');
  registered.set(name, { parameters, value, slope: slope ?? (() => NaN), differentiable: slope !== undefined });
  kinds.push(name);
  return name as RegisteredFunctionName;
}

/**
 * Activations: functions that take backward rules. `prelu` is `leakyRelu` with one slope per channel, the node's second
 * input.
 *
 * `relu6Official` is what the official LinBP code computes where it means a linearized ReLU6: z + relu(-z) + relu(z -
 * 6), the last sign being wrong, so 2z - 6 above 6. It stands for no ReLU6 but that one, and has the linear backward
 * only.
 */
export type ActivationKind = ScalarFunctionName | 'prelu' | 'relu6Official';

/** Functions that are arithmetic rather than activations. */
const arithmetic: ReadonlySet<string> = new Set<ScalarFunctionName>([
  'exp',
  'log',
  'sqrt',
  'norm',
  'square',
  'reciprocal',
  'abs',
  'affine',
  'power',
  'erf',
  'sin',
  'cos',
]);

const kinds: string[] = [...Object.keys(scalarFunctions).filter((name) => !arithmetic.has(name)), 'prelu'];
/** Kinds of activation that networks have, by name; registered ones join them. */
export const activationKinds: readonly string[] = kinds;

/** The function that an activation computes; `prelu` with its slope as parameter. */
export const activationFunction = (kind: Exclude<ActivationKind, 'relu6Official'>): ScalarFunction =>
  scalarFunction(kind === 'prelu' ? 'leakyRelu' : kind);

/** Values of all parameters of a function: those given, in order, and the usual ones. */
export function parameterValues(fn: ScalarFunction, given: readonly number[] = []): readonly [number, number] {
  const [a = 0, b = 0] = Object.values(fn.parameters).map((usual, index) => given[index] ?? usual);
  return [a, b];
}
