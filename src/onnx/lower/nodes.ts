import { LinbpError, check } from '../../errors.js';
import * as geometry from '../geometry.js';
import { castType, expectNoDropping } from '../host/elementwise.js';
import { axisOf, list } from '../host/kernel.js';
import { isFloat } from '../types.js';
import type { HostTensor } from '../types.js';
import { constant, shapeOf } from './builder.js';
import { arithmetic, binaryNode, manyNode, power, prelu, unaries } from './arithmeticNodes.js';
import { constantAt, dataAt, fixed, valueAt } from './context.js';
import type { NodeContext, NodeLowering } from './context.js';
import { imageNodes } from './imageNodes.js';
import type { ConstantValue, DataValue, StepAttributes, Value } from './steps.js';
import { einsumSteps } from './einsum.js';

/** A constant condition chooses elementwise; where it is the same along the batch it becomes a mask. */
function where(context: NodeContext): readonly Value[] {
  const { build } = context;
  const condition = constantAt(context, 0, 'a condition');
  const [a, b] = [valueAt(context, 1), valueAt(context, 2)];
  const every = (wanted: number): boolean => condition.data.every((value) => (value === 0 ? 0 : 1) === wanted);
  const full = (value: Value): boolean => shapeOf(value).length >= condition.shape.length;
  if (every(1) && full(a)) return [a];
  if (every(0) && full(b)) return [b];
  const mask = (inverse: boolean): ConstantValue =>
    constant({
      type: 'float32',
      shape: condition.shape,
      data: Float64Array.from(condition.data, (value) => ((value !== 0) !== inverse ? 1 : 0)),
    });
  const finite = (value: Value): Value =>
    value.kind === 'constant'
      ? constant({
          ...value.tensor,
          data: Float64Array.from(value.tensor.data, (x) => Math.max(-3e38, Math.min(3e38, x))),
        })
      : value;
  const part = (value: Value, inverse: boolean): Value => {
    if (value.kind === 'data') return build.binary('mul', value, mask(inverse));
    const chosen = mask(inverse).tensor;
    return constant({ ...chosen, ...product(chosen, (finite(value) as ConstantValue).tensor) });
  };
  return [build.binary('add', part(a, false), part(b, true))];
}

/** The product of two constants of broadcasting shapes. */
function product(a: HostTensor, b: HostTensor): HostTensor {
  return geometry.hostProduct(a, b);
}

function gather(context: NodeContext): readonly Value[] {
  const { build, attributes } = context;
  const x = dataAt(context, 0);
  const indices = constantAt(context, 1, 'an index');
  const axis = axisOf(attributes.int('axis', 0), x.shape.length);
  const size = x.shape[axis]!;
  const places = list(indices).map((index) => (index < 0 ? index + size : index));
  check(
    places.every((index) => index >= 0 && index < size),
    'bad-file',
    `an index outside 0 to ${size - 1}`,
  );
  const taken = build.gather(x, axis, places);
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  const shift = indices.shape.length - 1;
  const batch = x.batch === undefined || x.batch < axis ? x.batch : x.batch + shift;
  return [build.reshape(taken, shape, batch)];
}

function viewed(context: NodeContext): readonly Value[] {
  const { build, node, constants } = context;
  const x = dataAt(context, 0);
  fixed(context, [1]);
  if (node.op === 'Reshape') return [build.reshape(x, reshapeShape(context, x))];
  const shape = geometry.viewShape(x.shape, constants, context);
  if (node.op === 'Flatten' || x.batch === undefined) return [build.reshape(x, shape)];
  const given = constants[1] === undefined ? context.attributes.ints('axes') : list(constants[1]);
  if (node.op === 'Squeeze') {
    const gone = given?.map((axis) => axisOf(axis, x.shape.length)) ?? [];
    // A batch of one must not be squeezed away with the others.
    if (gone.includes(x.batch)) throw new LinbpError('unsupported', 'the batch axis is removed');
    if (given === undefined) {
      const rest = x.shape.flatMap((size, axis) => (size !== 1 || axis === x.batch ? [axis] : []));
      return [
        build.reshape(
          x,
          rest.map((axis) => x.shape[axis]!),
          rest.indexOf(x.batch),
        ),
      ];
    }
    return [build.reshape(x, shape, x.batch - gone.filter((axis) => axis < x.batch!).length)];
  }
  const added = new Set((given ?? []).map((axis) => axisOf(axis, shape.length)));
  const kept = shape.flatMap((_, axis) => (added.has(axis) ? [] : [axis]));
  return [build.reshape(x, shape, kept[x.batch]!)];
}

/** The target of a Reshape; a batch that is fixed in it counts for the batch that is analyzed. */
function reshapeShape(context: NodeContext, x: DataValue): readonly number[] {
  return geometry.viewShape(x.shape, context.constants, context);
}

function softmax(log: boolean): NodeLowering {
  return (context) => {
    const { build, attributes, node } = context;
    const x = dataAt(context, 0);
    const rank = x.shape.length;
    const old = node.opset < 13;
    const axis = axisOf(attributes.int('axis', old ? 1 : -1), rank);
    if (!old || axis === rank - 1) return [build.softmax(x, axis, log)];
    // Before opset 13 all axes from the given one on are one.
    const flat = [...x.shape.slice(0, axis), x.shape.slice(axis).reduce((p, size) => p * size, 1)];
    return [build.reshape(build.softmax(build.reshape(x, flat), axis, log), x.shape, x.batch)];
  };
}

const reduceKinds: Readonly<Record<string, StepAttributes['reduce']['kind']>> = {
  ReduceSum: 'sum',
  ReduceMean: 'mean',
  ReduceMax: 'amax',
  ReduceMin: 'amin',
  ReduceProd: 'prod',
  ReduceL2: 'l2',
};
const reduces = Object.fromEntries(
  Object.entries(reduceKinds).map(([op, kind]): [string, NodeLowering] => [
    op,
    (context) => {
      const x = dataAt(context, 0);
      fixed(context, [1]);
      const { axes, keep } = geometry.reduceOperands(context.constants, context, x.shape.length);
      return [context.build.reduce(x, kind, axes, keep)];
    },
  ]),
);

function reduceBy(before: string | undefined, after: string | undefined): NodeLowering {
  return (context) => {
    const { build } = context;
    const x = dataAt(context, 0);
    const { axes, keep } = geometry.reduceOperands(context.constants, context, x.shape.length);
    const sum = build.reduce(before === undefined ? x : build.unary(x, before), 'sum', axes, keep);
    return [after === undefined ? sum : build.unary(sum, after)];
  };
}

function tile(context: NodeContext): readonly Value[] {
  const { build } = context;
  const x = dataAt(context, 0);
  const repeats = list(constantAt(context, 1, 'a number of repeats'));
  check(repeats.length === x.shape.length, 'bad-file', `${repeats.length} repeats for ${x.shape.length} axes`);
  if (x.batch !== undefined && repeats[x.batch] !== 1) throw new LinbpError('unsupported', 'the batch is repeated');
  return [
    repeats.reduce((value, count, axis) => {
      check(count >= 1 && count <= 4096, 'unsupported', `${count} repeats`);
      return count === 1 ? value : (build.concat(new Array<Value>(count).fill(value), axis) as DataValue);
    }, x),
  ];
}

function identity(context: NodeContext): readonly Value[] {
  const second = context.node.outputs[1];
  if (second !== undefined && second !== '') throw new LinbpError('unsupported', "dropout's mask as a result");
  return [dataAt(context, 0)];
}

function cast(context: NodeContext): readonly Value[] {
  const x = dataAt(context, 0);
  const to = castType(context.attributes.int('to', 1));
  // Between floating-point types nothing is rounded: all arithmetic is in float32.
  if (isFloat(to)) return [x];
  throw new LinbpError('unsupported', `a cast of what depends on the pixels to ${to}, which has no gradient`);
}

const structures: Readonly<Record<string, NodeLowering>> = {
  Identity: identity,
  Cast: cast,
  CastLike: identity,
  Dropout: (context) => {
    fixed(context, [1, 2]);
    expectNoDropping(context.constants);
    return identity(context);
  },
  Reshape: viewed,
  Flatten: viewed,
  Squeeze: viewed,
  Unsqueeze: viewed,
  Gather: gather,
  Tile: tile,
  Where: where,
  Transpose: (context) => {
    const x = dataAt(context, 0);
    return [context.build.transpose(x, geometry.transposeAxes(context.attributes.ints('perm'), x.shape.length))];
  },
  Slice: (context) => {
    const x = dataAt(context, 0);
    fixed(context, [1, 2, 3, 4]);
    return [context.build.slice(x, geometry.sliceOperands(context.constants, context, x.shape))];
  },
  Split: (context) => {
    const x = dataAt(context, 0);
    fixed(context, [1]);
    const { axis, sizes } = geometry.splitOperands(context.constants, context, x.shape);
    let start = 0;
    return sizes.map((size) => context.build.sliceAxis(x, axis, (start += size) - size, size));
  },
  Concat: (context) => {
    const parts = context.values.map((_, i) => valueAt(context, i));
    const rank = shapeOf(parts[0]!).length;
    return [context.build.concat(parts, axisOf(context.attributes.int('axis', 1), rank))];
  },
  Pad: (context) => {
    const x = dataAt(context, 0);
    fixed(context, [1, 2, 3]);
    const { pads, mode, value } = geometry.padOperands(context.constants, context, x.shape.length);
    return [context.build.pad(x, pads, mode, value)];
  },
  Expand: (context) => [context.build.expand(dataAt(context, 0), list(constantAt(context, 1, 'a shape')))],
  Einsum: (context) => [einsumSteps(context)],
  MatMul: matMul,
  Gemm: gemm,
};

function matMul(context: NodeContext): readonly Value[] {
  const { build } = context;
  let [a, b] = [valueAt(context, 0), valueAt(context, 1)];
  const raise = (value: Value, shape: readonly number[]): Value =>
    value.kind === 'data' ? build.reshape(value, shape) : constant({ ...value.tensor, shape });
  const [left, right] = [shapeOf(a).length === 1, shapeOf(b).length === 1];
  if (left) a = raise(a, [1, ...shapeOf(a)]);
  if (right) b = raise(b, [...shapeOf(b), 1]);
  const y = build.matmul(a, b);
  if (!left && !right) return [y];
  return [
    build.reshape(
      y,
      y.shape.filter((_, axis) => !(left && axis === y.shape.length - 2) && !(right && axis === y.shape.length - 1)),
    ),
  ];
}

function gemm(context: NodeContext): readonly Value[] {
  const { build, attributes } = context;
  const flip = (value: Value, name: string): Value => {
    if (attributes.int(name, 0) === 0) return value;
    return value.kind === 'data' ? build.transpose(value, [1, 0]) : constant(geometry.flipped(value.tensor));
  };
  const [a, b] = [flip(valueAt(context, 0), 'transA'), flip(valueAt(context, 1), 'transB')];
  const [alpha, beta] = [attributes.float('alpha', 1), attributes.float('beta', 1)];
  const c = context.values[2];
  const [m, n] = [shapeOf(a)[0]!, shapeOf(b)[1]!];
  check(
    shapeOf(a).length === 2 && shapeOf(b).length === 2 && shapeOf(a)[1] === shapeOf(b)[0],
    'bad-shape',
    `[${shapeOf(a).join(', ')}] times [${shapeOf(b).join(', ')}]`,
  );
  const scaled = (value: HostTensor, factor: number): HostTensor =>
    factor === 1 ? value : { type: value.type, shape: value.shape, data: value.data.map((x) => factor * x) };
  if (a.kind === 'data' && b.kind === 'constant') {
    const weight = scaled(b.tensor, alpha);
    const bias = c?.kind === 'constant' ? geometry.rowVector(c.tensor, n) : undefined;
    if (c === undefined || bias !== undefined)
      return [build.linear(a, weight, bias === undefined ? undefined : scaled(bias, beta))];
    const y = build.linear(a, weight);
    return [build.binary('add', y, beta === 1 ? c : arithmetic(build, 'mul', c, number(beta)))];
  }
  let y: Value = build.matmul(a, b);
  if (alpha !== 1) y = arithmetic(build, 'mul', y, number(alpha));
  if (c === undefined) return [y];
  const term =
    beta === 1
      ? c
      : c.kind === 'constant'
        ? constant(scaled(c.tensor, beta))
        : arithmetic(build, 'mul', c, number(beta));
  check(m > 0, 'bad-shape', 'no rows');
  return [arithmetic(build, 'add', y, term)];
}

const number = (value: number): ConstantValue => constant({ type: 'float32', shape: [], data: Float64Array.of(value) });

/** How each ONNX operator on the path of the pixels becomes steps. */
export const nodeLowerings: Readonly<Record<string, NodeLowering>> = {
  ...unaries,
  ...reduces,
  ...structures,
  ...imageNodes,
  Add: binaryNode('add'),
  Sub: binaryNode('sub'),
  Mul: binaryNode('mul'),
  Div: binaryNode('div'),
  Sum: manyNode('add'),
  Max: manyNode('max'),
  Min: manyNode('min'),
  Mean: (context) => {
    const sum = manyNode('add')(context)[0]!;
    return [arithmetic(context.build, 'mul', sum, number(1 / context.values.length))];
  },
  Pow: power,
  PRelu: prelu,
  Softmax: softmax(false),
  LogSoftmax: softmax(true),
  ReduceSumSquare: reduceBy('square', undefined),
  ReduceL1: reduceBy('abs', undefined),
  ReduceLogSum: reduceBy(undefined, 'log'),
};
