import { LinbpError, check } from '../../errors.js';
import { halfToFloat, floatToHalf } from '../../io/half.js';
import { elementTypes, isFloat } from '../types.js';
import type { ElementType, HostTensor } from '../types.js';
import { elementwise, need, scalarOf } from './kernel.js';
import type { HostContext, HostKernel } from './kernel.js';

/** The error function: W. J. Cody's rational approximations (1969), relative error below 1e-16. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    // Maclaurin series; 60 terms reach full precision below 2.5.
    let term = a;
    let sum = a;
    for (let n = 1; n < 80; n++) {
      term *= (-a * a) / n;
      const next = term / (2 * n + 1);
      sum += next;
      if (Math.abs(next) < 1e-18 * Math.abs(sum)) break;
    }
    return Math.sign(x) * ((2 / Math.sqrt(Math.PI)) * sum);
  }
  // Continued fraction of erfc (Abramowitz and Stegun 7.1.14), evaluated from its end.
  let fraction = 0;
  for (let k = 60; k > 0; k--) fraction = k / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const even = (x: number): number => {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
};

/** Functions of one number, with parameters from the node's attributes. */
export const unaryFunctions: Readonly<Record<string, (context: HostContext) => (x: number) => number>> = {
  Abs: () => Math.abs,
  Neg: () => (x) => -x,
  Exp: () => Math.exp,
  Log: () => Math.log,
  Sqrt: () => Math.sqrt,
  Reciprocal: () => (x) => 1 / x,
  Floor: () => Math.floor,
  Ceil: () => Math.ceil,
  Round: () => even,
  Sign: () => Math.sign,
  Sin: () => Math.sin,
  Cos: () => Math.cos,
  Tan: () => Math.tan,
  Asin: () => Math.asin,
  Acos: () => Math.acos,
  Atan: () => Math.atan,
  Sinh: () => Math.sinh,
  Cosh: () => Math.cosh,
  Erf: () => erf,
  Tanh: () => Math.tanh,
  Sigmoid: () => sigmoid,
  Relu: () => (x) => (x > 0 ? x : x === x ? 0 : x),
  Softplus: () => softplus,
  Softsign: () => (x) => x / (1 + Math.abs(x)),
  LeakyRelu: ({ attributes }) => {
    const alpha = attributes.float('alpha', 0.01);
    return (x) => (x < 0 ? alpha * x : x);
  },
  Elu: ({ attributes }) => {
    const alpha = attributes.float('alpha', 1);
    return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
  },
  Celu: ({ attributes }) => {
    const alpha = attributes.float('alpha', 1);
    return (x) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha));
  },
  Selu: ({ attributes }) => {
    const alpha = attributes.float('alpha', 1.6732632423543772);
    const gamma = attributes.float('gamma', 1.0507009873554805);
    return (x) => gamma * (x <= 0 ? alpha * Math.expm1(x) : x);
  },
  ThresholdedRelu: ({ attributes }) => {
    const alpha = attributes.float('alpha', 1);
    return (x) => (x <= alpha ? 0 : x);
  },
  HardSigmoid: ({ attributes }) => {
    const alpha = attributes.float('alpha', 0.2);
    const beta = attributes.float('beta', 0.5);
    return (x) => Math.max(0, Math.min(1, alpha * x + beta));
  },
  HardSwish: () => (x) => x * Math.max(0, Math.min(1, x / 6 + 0.5)),
  Mish: () => (x) => x * Math.tanh(softplus(x)),
  Swish: ({ attributes }) => {
    const alpha = attributes.float('alpha', 1);
    return (x) => x * sigmoid(alpha * x);
  },
  Gelu: ({ attributes }) =>
    attributes.text('approximate', 'none') === 'tanh'
      ? (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
      : (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  Identity: () => (x) => x,
};

const isInteger = (type: ElementType): boolean => !isFloat(type) && type !== 'bool';

/** Functions of two numbers; integers divide toward zero. */
const binaryFunctions: Readonly<
  Record<string, (type: ElementType, context: HostContext) => (a: number, b: number) => number>
> = {
  Add: () => (a, b) => a + b,
  Sub: () => (a, b) => a - b,
  // Products of 32 bits have more digits than a float64.
  Mul: (type) => (type === 'int32' || type === 'uint32' ? Math.imul : (a, b) => a * b),
  Div: (type) => (isInteger(type) ? (a, b) => (b === 0 ? 0 : Math.trunc(a / b)) : (a, b) => a / b),
  Pow: (type) => (isInteger(type) ? (a, b) => Math.trunc(a ** b) : (a, b) => a ** b),
  Mod: (_, { attributes }) =>
    attributes.int('fmod', 0) === 1 ? (a, b) => a % b : (a, b) => (b === 0 ? 0 : a - b * Math.floor(a / b)),
  PRelu: () => (a, b) => (a < 0 ? a * b : a),
};
const comparisons: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  Equal: (a, b) => a === b,
  Greater: (a, b) => a > b,
  Less: (a, b) => a < b,
  GreaterOrEqual: (a, b) => a >= b,
  LessOrEqual: (a, b) => a <= b,
  And: (a, b) => a !== 0 && b !== 0,
  Or: (a, b) => a !== 0 || b !== 0,
  Xor: (a, b) => (a !== 0) !== (b !== 0),
};
const foldings: Readonly<Record<string, (a: number, b: number) => number>> = {
  Max: Math.max,
  Min: Math.min,
  Sum: (a, b) => a + b,
};

/** Before opset 7 the second operand was laid along the first one's axes from `axis` on. */
function legacy(inputs: readonly HostTensor[], { node, attributes }: HostContext): HostTensor[] {
  const [a, b] = inputs as [HostTensor, HostTensor];
  if (node.opset >= 7 || attributes.int('broadcast', 0) !== 1 || b.data.length === 1) return [a, b];
  const axis = attributes.int('axis', a.shape.length - b.shape.length);
  return [a, { ...b, shape: legacyShape(a.shape, b.shape, axis) }];
}

export function legacyShape(a: readonly number[], b: readonly number[], axis: number): number[] {
  const after = a.length - (axis < 0 ? axis + a.length : axis) - b.length;
  check(after >= 0, 'bad-file', `[${b.join(', ')}] does not fit [${a.join(', ')}] from axis ${axis} on`);
  return [...b, ...new Array<number>(after).fill(1)];
}

const wrapBits: Partial<Record<ElementType, (x: number) => number>> = {
  int8: (x) => (x << 24) >> 24,
  uint8: (x) => x & 0xff,
  int16: (x) => (x << 16) >> 16,
  uint16: (x) => x & 0xffff,
  int32: (x) => x | 0,
  uint32: (x) => x >>> 0,
  bool: (x) => (x === 0 ? 0 : 1),
  float32: Math.fround,
  float16: (x) => halfToFloat(floatToHalf(x)),
};

/** What an integer type makes of a number: the whole part, and of what does not fit the lowest bits. */
export function wholeIn(type: ElementType): ((x: number) => number) | undefined {
  if (!isInteger(type)) return undefined;
  const wrap = wrapBits[type];
  return wrap === undefined ? Math.trunc : (x) => wrap(Math.trunc(x));
}

/** A function of integers with what their type makes of results that do not fit: the lowest bits. */
function inBits(type: ElementType, fn: (...values: number[]) => number): (...values: number[]) => number {
  const wrap = isInteger(type) ? wrapBits[type] : undefined;
  return wrap === undefined ? fn : (...values) => wrap(fn(...values));
}

/** Throws where a Dropout of a network in training mode would draw random numbers: opset 12 says so by an input. */
export function expectNoDropping([, ratio, training]: readonly (HostTensor | undefined)[]): void {
  const drops = training !== undefined && training.data[0] !== 0 && (ratio === undefined || ratio.data[0] !== 0);
  if (drops) throw new LinbpError('unsupported', 'a dropout in training mode; export the network in eval mode');
}

/** What a number becomes in another element type. */
export function castNumber(from: ElementType, to: ElementType): (x: number) => number {
  if (to === 'bool') return (x) => (x === 0 ? 0 : 1);
  if (isFloat(to)) {
    // Folding keeps what it computed in float64; only a narrower type rounds.
    return to === 'float16' && from !== 'float16' ? wrapBits.float16! : (x) => x;
  }
  const wrap = wrapBits[to] ?? ((x: number) => x);
  return (x) => wrap(Math.trunc(x));
}

export function castType(to: number): ElementType {
  const type = elementTypes[to as keyof typeof elementTypes];
  if (type === undefined || type === 'string' || type.startsWith('complex'))
    throw new LinbpError('unsupported', `casts to the element type ${type ?? to} are not supported`);
  return type;
}

function clip(inputs: readonly (HostTensor | undefined)[], { attributes, node }: HostContext): HostTensor[] {
  const x = need(inputs, 0);
  const bound = (index: number, name: string, open: number): number =>
    node.opset < 11 ? attributes.float(name, open) : inputs[index] === undefined ? open : scalarOf(inputs[index]);
  const [low, high] = [bound(1, 'min', -Infinity), bound(2, 'max', Infinity)];
  return [elementwise([x], x.type, (value) => Math.min(Math.max(value, low), high))];
}

const unary = Object.fromEntries(
  Object.entries(unaryFunctions).map(([op, make]): [string, HostKernel] => [
    op,
    (inputs, context) => {
      const x = need(inputs, 0);
      return op === 'Identity' ? [x] : [elementwise([x], x.type, inBits(x.type, make(context)))];
    },
  ]),
);
const binary = Object.fromEntries(
  Object.entries(binaryFunctions).map(([op, make]): [string, HostKernel] => [
    op,
    (inputs, context) => {
      const pair = legacy([need(inputs, 0), need(inputs, 1)], context);
      if (op === 'PRelu' && context.node.opset < 7 && pair[1]!.shape.length === 1 && pair[1]!.data.length > 1)
        pair[1] = { ...pair[1]!, shape: legacyShape(pair[0]!.shape, pair[1]!.shape, 1) };
      const type = pair[0]!.type;
      return [elementwise(pair, type, inBits(type, make(type, context) as (...values: number[]) => number))];
    },
  ]),
);
const compared = Object.fromEntries(
  Object.entries(comparisons).map(([op, test]): [string, HostKernel] => [
    op,
    (inputs, context) => [
      elementwise(legacy([need(inputs, 0), need(inputs, 1)], context), 'bool', (a, b) => (test(a!, b!) ? 1 : 0)),
    ],
  ]),
);
const folded = Object.fromEntries(
  Object.entries(foldings).map(([op, fn]): [string, HostKernel] => [
    op,
    (inputs) => [
      inputs
        .map((_, i) => need(inputs, i))
        .reduce((a, b) => elementwise([a, b], a.type, inBits(a.type, fn as (...values: number[]) => number))),
    ],
  ]),
);

/** Kernels that treat each element by itself. */
export const elementwiseKernels: Readonly<Record<string, HostKernel>> = {
  ...unary,
  ...binary,
  ...compared,
  ...folded,
  Mean: (inputs, context) => {
    const sum = folded['Sum']!(inputs, context)[0]!;
    return [elementwise([sum], sum.type, (x) => x / inputs.length)];
  },
  Not: (inputs) => [elementwise([need(inputs, 0)], 'bool', (x) => (x === 0 ? 1 : 0))],
  IsNaN: (inputs) => [elementwise([need(inputs, 0)], 'bool', (x) => (Number.isNaN(x) ? 1 : 0))],
  Where: (inputs) => {
    const [c, a, b] = [need(inputs, 0), need(inputs, 1), need(inputs, 2)];
    return [elementwise([c, a, b], a.type, (...v) => (v[0] !== 0 ? v[1]! : v[2]!))];
  },
  Clip: clip,
  Cast: (inputs, { attributes }) => {
    const x = need(inputs, 0);
    const to = castType(attributes.int('to', 1));
    return [{ ...elementwise([x], to, castNumber(x.type, to)), ...(x.origin !== undefined && { origin: x.origin }) }];
  },
  CastLike: (inputs) => {
    const [x, like] = [need(inputs, 0), need(inputs, 1)];
    return [elementwise([x], like.type, castNumber(x.type, like.type))];
  },
  Dropout: (inputs) => {
    expectNoDropping(inputs);
    const x = need(inputs, 0);
    return [x, elementwise([x], 'bool', () => 1)];
  },
};
