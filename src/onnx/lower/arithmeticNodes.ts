import { LinbpError, check } from '../../errors.js';
import { elementwise, scalarOf } from '../host/kernel.js';
import type { StepBuilder } from './builder.js';
import { constant, shapeOf } from './builder.js';
import { dataAt, fixed, valueAt } from './context.js';
import type { NodeContext, NodeLowering } from './context.js';
import type { BinaryKind, Value } from './steps.js';

const unaryNames: Readonly<Record<string, string>> = {
  Exp: 'exp',
  Log: 'log',
  Sqrt: 'sqrt',
  Abs: 'abs',
  Reciprocal: 'reciprocal',
  Erf: 'erf',
  Sin: 'sin',
  Cos: 'cos',
  Tanh: 'tanh',
  Sigmoid: 'sigmoid',
  Relu: 'relu',
  Softsign: 'softsign',
  HardSwish: 'hardSwish',
  Mish: 'mish',
  Softplus: 'softplus',
};

/** Functions of one number. */
export const unaries: Readonly<Record<string, NodeLowering>> = {
  ...Object.fromEntries(
    Object.entries(unaryNames).map(([op, fn]): [string, NodeLowering] => [
      op,
      (context) => [context.build.unary(dataAt(context, 0), fn)],
    ]),
  ),
  Neg: (context) => [context.build.unary(dataAt(context, 0), 'affine', -1, 0)],
  LeakyRelu: (context) => [
    context.build.unary(dataAt(context, 0), 'leakyRelu', context.attributes.float('alpha', 0.01)),
  ],
  Elu: (context) => [context.build.unary(dataAt(context, 0), 'elu', context.attributes.float('alpha', 1))],
  Celu: (context) => [context.build.unary(dataAt(context, 0), 'celu', context.attributes.float('alpha', 1))],
  Selu: ({ attributes, ...context }) => [
    context.build.unary(
      dataAt({ attributes, ...context }, 0),
      'selu',
      attributes.float('alpha', 1.6732632423543772),
      attributes.float('gamma', 1.0507009873554805),
    ),
  ],
  ThresholdedRelu: (context) => [
    context.build.unary(dataAt(context, 0), 'thresholdedRelu', context.attributes.float('alpha', 1)),
  ],
  HardSigmoid: ({ attributes, ...context }) => [
    context.build.unary(
      dataAt({ attributes, ...context }, 0),
      'hardSigmoid',
      attributes.float('alpha', 0.2),
      attributes.float('beta', 0.5),
    ),
  ],
  Swish: (context) => [context.build.unary(dataAt(context, 0), 'silu', context.attributes.float('alpha', 1))],
  Gelu: (context) => [
    context.build.unary(
      dataAt(context, 0),
      context.attributes.text('approximate', 'none') === 'tanh' ? 'geluTanh' : 'gelu',
    ),
  ],
  Clip: clip,
};

function clip(context: NodeContext): readonly Value[] {
  const { build, node, attributes, constants } = context;
  const x = dataAt(context, 0);
  fixed(context, [1, 2]);
  const bound = (index: number, name: string, open: number): number =>
    node.opset < 11 ? attributes.float(name, open) : constants[index] === undefined ? open : scalarOf(constants[index]);
  const high = bound(2, 'max', Infinity);
  // A minimum above the maximum gives way to it.
  const low = Math.min(bound(1, 'min', -Infinity), high);
  if (low === 0 && high === 6) return [build.unary(x, 'relu6')];
  // An open side stays open: the largest number there would make infinity a number again.
  return [build.unary(x, 'clip', low, high)];
}

/** A constant operand that is one number. */
const single = (value: Value): number | undefined =>
  value.kind === 'constant' && value.tensor.data.length === 1 ? value.tensor.data[0]! : undefined;

/** Whether a one-number constant has no more axes than its partner, so that the result keeps the partner's shape. */
const keepsRank = (number: Value, x: Value): boolean => shapeOf(number).length <= shapeOf(x).length;

/** The second operand of opsets below 7, whose axes begin at `axis`. */
function legacyOperand({ node, attributes }: NodeContext, a: Value, b: Value, axisByDefault?: number): Value {
  if (node.opset >= 7 || (attributes.int('broadcast', 0) !== 1 && axisByDefault === undefined)) return b;
  if (b.kind !== 'constant' || b.tensor.data.length === 1) return b;
  const rank = shapeOf(a).length;
  const axis = axisByDefault ?? attributes.int('axis', rank - b.tensor.shape.length);
  const after = rank - (axis < 0 ? axis + rank : axis) - b.tensor.shape.length;
  check(after >= 0, 'bad-file', `[${b.tensor.shape.join(', ')}] does not fit from axis ${axis} on`);
  const shape = [...b.tensor.shape, ...new Array<number>(after).fill(1)];
  return constant({ ...b.tensor, shape });
}

/** Sums, products and so on; with a single number they are lines of one variable. */
export function arithmetic(build: StepBuilder, kind: BinaryKind, a: Value, b: Value): Value {
  const [p, q] = [single(a), single(b)];
  if (a.kind === 'data' && q !== undefined && keepsRank(b, a)) {
    if (kind === 'add') return build.unary(a, 'affine', 1, q);
    if (kind === 'sub') return build.unary(a, 'affine', 1, -q);
    if (kind === 'mul') return build.unary(a, 'affine', q, 0);
    if (kind === 'div') return build.unary(a, 'affine', 1 / q, 0);
  }
  if (b.kind === 'data' && p !== undefined && keepsRank(a, b)) {
    if (kind === 'add') return build.unary(b, 'affine', 1, p);
    if (kind === 'sub') return build.unary(b, 'affine', -1, p);
    if (kind === 'mul') return build.unary(b, 'affine', p, 0);
    if (kind === 'div') {
      const inverse = build.unary(b, 'reciprocal');
      return p === 1 ? inverse : build.unary(inverse, 'affine', p, 0);
    }
  }
  return build.binary(kind, a, b);
}

export const binaryNode =
  (kind: BinaryKind): NodeLowering =>
  (context) => {
    const a = valueAt(context, 0);
    return [arithmetic(context.build, kind, a, legacyOperand(context, a, valueAt(context, 1)))];
  };
const ofConstants = {
  add: (a: number, b: number) => a + b,
  max: Math.max,
  min: Math.min,
} as const;

/** A sum, a maximum or a minimum of any number of operands. */
export const manyNode =
  (kind: keyof typeof ofConstants): NodeLowering =>
  (context) => [
    context.values
      .map((_, index) => valueAt(context, index))
      .reduce((a, b) =>
        a.kind === 'constant' && b.kind === 'constant'
          ? constant(elementwise([a.tensor, b.tensor], a.tensor.type, ofConstants[kind] as (...x: number[]) => number))
          : arithmetic(context.build, kind, a, b),
      ),
  ];

export function power(context: NodeContext): readonly Value[] {
  const { build } = context;
  const [a, b] = [valueAt(context, 0), valueAt(context, 1)];
  const exponent = single(b);
  if (a.kind === 'data' && exponent !== undefined && keepsRank(b, a)) {
    if (exponent === 1) return [a];
    if (exponent === 2) return [build.unary(a, 'square')];
    if (exponent === 0.5) return [build.unary(a, 'sqrt')];
    if (exponent === -1) return [build.unary(a, 'reciprocal')];
    if (exponent === 3) return [build.binary('mul', build.unary(a, 'square'), a)];
    return [build.unary(a, 'power', exponent)];
  }
  const base = single(a);
  if (b.kind === 'data' && base !== undefined && base > 0)
    return [build.unary(build.unary(b, 'affine', Math.log(base), 0), 'exp')];
  // exp(b log a) would be no number for a negative a, which has powers for whole b.
  throw new LinbpError('unsupported', 'a power with several exponents');
}

export function prelu(context: NodeContext): readonly Value[] {
  const { build, node } = context;
  const x = dataAt(context, 0);
  const slope = context.values[1];
  check(slope !== undefined, 'bad-file', 'the slope is missing');
  if (slope.kind === 'constant') {
    const { tensor } = slope;
    if (tensor.data.length === 1) return [build.unary(x, 'leakyRelu', tensor.data[0]!)];
    const rank = x.shape.length;
    const channels = x.shape[1];
    const after = node.opset < 7 ? 0 : rank - 2;
    const perChannel =
      tensor.data.length === channels &&
      (node.opset < 7 || (tensor.shape.at(-1 - after) === channels && tensor.shape.length >= after + 1));
    if (perChannel) return [build.prelu(x, { ...tensor, shape: [channels] })];
  }
  // x > 0: x, else slope x: max(x, 0) + slope min(x, 0).
  const negative = build.unary(build.unary(build.unary(x, 'affine', -1, 0), 'relu'), 'affine', -1, 0);
  return [build.binary('add', build.unary(x, 'clip', 0, Infinity), build.binary('mul', negative, slope))];
}
