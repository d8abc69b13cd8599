import { check } from '../../errors.js';
import { parameterValues, scalarFunction } from '../../graph/functions.js';
import type { ActivationKind, BuiltinFunctionName } from '../../graph/functions.js';
import type { ExportAttribute } from './writer.js';

/** Adds nodes over one tensor. */
export interface FunctionWriter {
  readonly op: (
    name: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, ExportAttribute>>,
  ) => string;
  readonly number: (value: number) => string;
}

type Write = (w: FunctionWriter, x: string, a: number, b: number) => string;

const plain =
  (op: string): Write =>
  (w, x) =>
    w.op(op, [x]);
/** An operator with the function's parameters as attributes. */
const withAttributes =
  (op: string, ...names: string[]): Write =>
  (w, x, a, b) =>
    w.op(op, [x], Object.fromEntries(names.map((name, i) => [name, { f: [a, b][i]! }])));
const scaled = (w: FunctionWriter, x: string, factor: number): string =>
  factor === 1 ? x : w.op('Mul', [x, w.number(factor)]);
const shifted = (w: FunctionWriter, x: string, term: number): string =>
  term === 0 ? x : w.op('Add', [x, w.number(term)]);
const clip: Write = (w, x, low, high) => {
  const bound = (value: number): string => (Math.abs(value) > 3e38 ? '' : w.number(value));
  const inputs = [x, bound(low), bound(high)];
  while (inputs.at(-1) === '') inputs.pop();
  return w.op('Clip', inputs);
};

/** How opset 17 writes each function; those that it has no operator for as the chains that exporters write. */
const writers: Readonly<Record<BuiltinFunctionName | 'relu6Official', Write>> = {
  exp: plain('Exp'),
  log: plain('Log'),
  sqrt: plain('Sqrt'),
  norm: plain('Sqrt'),
  square: (w, x) => w.op('Mul', [x, x]),
  reciprocal: plain('Reciprocal'),
  abs: plain('Abs'),
  affine: (w, x, scale, shift) => shifted(w, scaled(w, x, scale), shift),
  power: (w, x, exponent) => w.op('Pow', [x, w.number(exponent)]),
  erf: plain('Erf'),
  sin: plain('Sin'),
  cos: plain('Cos'),
  relu: plain('Relu'),
  relu6: (w, x) => clip(w, x, 0, 6),
  relu6Official: (w, x) => {
    const negative = w.op('Relu', [w.op('Neg', [x])]);
    const beyond = w.op('Relu', [shifted(w, x, -6)]);
    return w.op('Add', [w.op('Add', [x, negative]), beyond]);
  },
  clip,
  leakyRelu: withAttributes('LeakyRelu', 'alpha'),
  thresholdedRelu: withAttributes('ThresholdedRelu', 'alpha'),
  hardSigmoid: withAttributes('HardSigmoid', 'alpha', 'beta'),
  sigmoid: plain('Sigmoid'),
  tanh: plain('Tanh'),
  hardSwish: plain('HardSwish'),
  silu: (w, x, beta) => w.op('Mul', [x, w.op('Sigmoid', [scaled(w, x, beta)])]),
  gelu: (w, x) => {
    const erf = w.op('Erf', [w.op('Div', [x, w.number(Math.SQRT2)])]);
    return scaled(w, w.op('Mul', [x, shifted(w, erf, 1)]), 0.5);
  },
  geluTanh: (w, x) => {
    const cube = w.op('Mul', [w.op('Mul', [x, x]), x]);
    const inner = scaled(w, w.op('Add', [x, scaled(w, cube, 0.044715)]), Math.sqrt(2 / Math.PI));
    return w.op('Mul', [scaled(w, x, 0.5), shifted(w, w.op('Tanh', [inner]), 1)]);
  },
  elu: withAttributes('Elu', 'alpha'),
  celu: withAttributes('Celu', 'alpha'),
  selu: withAttributes('Selu', 'alpha', 'gamma'),
  softplus: (w, x, beta) => scaled(w, w.op('Softplus', [scaled(w, x, beta)]), 1 / beta),
  softsign: plain('Softsign'),
  mish: (w, x) => w.op('Mul', [x, w.op('Tanh', [w.op('Softplus', [x])])]),
};

/** Writes a function of one number; returns the name of its result. */
export function writeFunction(
  writer: FunctionWriter,
  kind: Exclude<ActivationKind, 'prelu'>,
  x: string,
  values: readonly number[] | undefined,
): string {
  const [a, b] = kind === 'relu6Official' ? [0, 0] : parameterValues(scalarFunction(kind), values);
  const write = writers[kind as BuiltinFunctionName];
  check(Object.hasOwn(writers, kind), 'unsupported', `ONNX has no operator for the registered function ${kind}`, kind);
  return write(writer, x, a, b);
}
