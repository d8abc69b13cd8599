import type { ScalarFunctionName } from '../../graph/functions.js';
import type { OpName, Pair, Padding, PoolAttrs } from '../../graph/types.js';
import type { NodeExport } from './context.js';
import { writeFunction } from './functions.js';
import { pooledBy, transposed } from './windows.js';
import type { ExportAttribute } from './writer.js';

/** Writes a node and returns the name of its first result; undefined where a later node writes it. */
type Exporter<K extends OpName> = (at: NodeExport<K>) => string | undefined;

const ints = (values: readonly number[]): ExportAttribute => ({ ints: values });
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** [C] as it broadcasts to a tensor of `rank` axes. */
const perChannel = (channels: number, rank: number): number[] => [
  channels,
  ...new Array<number>(Math.max(rank - 2, 0)).fill(1),
];

const windowAttributes = (kernel: readonly number[], stride: Pair, padding: Padding) => ({
  kernel_shape: ints(kernel),
  strides: ints(stride),
  pads: ints(padding),
});

const poolAttributes = ({ kernel, stride, padding, ceilMode }: PoolAttrs) => ({
  ...windowAttributes(kernel, stride, padding),
  ...(ceilMode && { ceil_mode: { i: 1 } }),
});

/** The order, scale of a 1x1 convolution that takes one channel for each; undefined for others. */
function permutation(at: NodeExport<'conv2d'>): { order: number[]; scale: number[] } | undefined {
  const [weight, { groups }] = [at.input(1), at.attrs];
  const [outputs, inputs, kh, kw] = weight.shape as [number, number, number, number];
  if (at.scope.keys.has(weight) || groups !== 1 || kh * kw !== 1 || outputs !== inputs) return undefined;
  if (!weight.name.startsWith('preprocessing.')) return undefined;
  const values = Array.from(at.valuesOf(weight));
  const rows = range(outputs).map((o) => range(inputs).filter((c) => values[o * inputs + c] !== 0));
  if (rows.some(({ length }) => length !== 1)) return undefined;
  const order = rows.map(([c]) => c!);
  return { order, scale: order.map((c, o) => values[o * inputs + c]!) };
}

function convolution(at: NodeExport<'conv2d'>): string {
  const { stride, padding, dilation, groups } = at.attrs;
  const chosen = permutation(at);
  if (chosen !== undefined) {
    const shape = [chosen.scale.length, 1, 1];
    const taken = at.op('Gather', [at.name(0), at.integers(chosen.order)], { axis: { i: 1 } });
    const scaled = at.op('Mul', [taken, at.scope.writer.floats(undefined, shape, chosen.scale)]);
    return at.node.inputs.length > 2 ? at.op('Add', [scaled, at.name(2, shape)]) : scaled;
  }
  return at.op(
    'Conv',
    at.node.inputs.map((_, i) => at.name(i)),
    {
      ...windowAttributes(at.input(1).shape.slice(2), stride, padding),
      dilations: ints(dilation),
      group: { i: groups },
    },
  );
}

function scaleShift(at: NodeExport<'scaleShift'>): string {
  const [x, scale] = [at.input(0), at.input(1)];
  const line = at.scope.lines.get(scale);
  if (line !== undefined)
    return at.op('BatchNormalization', [at.name(0), ...line.inputs.map((tensor) => at.nameOf(tensor))], {
      epsilon: { f: line.attrs.epsilon },
    });
  const shape = perChannel(scale.shape[0]!, x.shape.length);
  const scaled = at.op('Mul', [at.name(0), at.name(1, shape)]);
  return at.node.inputs.length > 2 ? at.op('Add', [scaled, at.name(2, shape)]) : scaled;
}

/** Zeros between neighbors along one axis: a further axis of which the first element is the old one. */
function spread(at: NodeExport, x: string, shape: readonly number[], axis: number, gap: number, batch?: number) {
  const size = shape[axis]!;
  const shifted = batch === undefined || batch < axis ? batch : batch + 1;
  const apart = at.reshape(x, [...shape.slice(0, axis + 1), 1, ...shape.slice(axis + 1)], shifted);
  const rank = shape.length + 1;
  const after = range(rank).map((each) => (each === axis + 1 ? gap : 0));
  const filled = at.op('Pad', [apart, at.integers([...new Array<number>(rank).fill(0), ...after])]);
  const whole = shape.map((each, i) => (i === axis ? size * (gap + 1) : each));
  const joined = at.reshape(filled, whole, batch);
  const end = size * (gap + 1) - gap;
  return at.op('Slice', [joined, at.integers([0]), at.integers([end]), at.integers([axis])]);
}

function padded(at: NodeExport<'pad'>): string {
  const { before, after, between, value } = at.attrs;
  const shape = [...at.input(0).shape];
  let x = at.name(0);
  for (const [axis, gap] of between.entries()) {
    if (gap === 0) continue;
    if (value !== 0) throw at.refusal('it puts other numbers than zeros between elements');
    x = spread(at, x, shape, axis, gap, at.batchAxis(at.input(0)));
    shape[axis] = shape[axis]! + (shape[axis]! - 1) * gap;
  }
  if ([...before, ...after].every((count) => count === 0)) return x;
  return at.op('Pad', [x, at.integers([...before, ...after]), at.number(value)]);
}

/** Part of a tensor along the axes where it is not the whole. */
function cut(
  at: NodeExport,
  x: string,
  shape: readonly number[],
  part: { readonly start: readonly number[]; readonly step: readonly number[]; readonly size: readonly number[] },
): string {
  const axes = range(shape.length).filter((axis) => part.size[axis] !== shape[axis] || part.step[axis] !== 1);
  if (axes.length === 0) return x;
  const ends = axes.map((axis) => {
    const end = part.start[axis]! + part.size[axis]! * part.step[axis]!;
    return end < 0 ? -shape[axis]! - 1 : end;
  });
  const starts = axes.map((axis) => part.start[axis]!);
  const steps = axes.map((axis) => part.step[axis]!);
  return at.op('Slice', [x, at.integers(starts), at.integers(ends), at.integers(axes), at.integers(steps)]);
}

function channelPad(at: NodeExport<'channelPad'>): string {
  const { before, after, stride } = at.attrs;
  const { shape } = at.input(0);
  const part = {
    start: shape.map(() => 0),
    step: [1, 1, ...stride],
    size: shape.map((size, axis) => (axis < 2 ? size : Math.ceil(size / stride[axis - 2]!))),
  };
  const x = cut(at as NodeExport, at.name(0), shape, part);
  return before + after === 0 ? x : at.op('Pad', [x, at.integers([0, before, 0, 0, 0, after, 0, 0])]);
}

function axisMatrix(at: NodeExport<'axisMatrix'>): string {
  const { axis, size } = at.attrs;
  const { shape } = at.input(0);
  const [first, index, weight] = [1, 2, 3].map((i) => at.valuesOf(at.input(i))) as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const single = range(size).every((row) => first[row + 1]! - first[row]! === 1 && weight[first[row]!] === 1);
  if (single)
    return at.op('Gather', [at.name(0), at.integers(range(size).map((row) => index[first[row]!]!))], {
      axis: { i: axis },
    });
  const columns = shape[axis]!;
  const dense = new Float32Array(columns * size);
  for (let row = 0; row < size; row++)
    for (let k = first[row]!; k < first[row + 1]!; k++) dense[index[k]! * size + row]! += weight[k]!;
  const matrix = at.scope.writer.floats(undefined, [columns, size], dense);
  const last = shape.length - 1;
  const swapped = range(shape.length).map((i) => (i === axis ? last : i === last ? axis : i));
  if (axis === last) return at.op('MatMul', [at.name(0), matrix]);
  const perm = { perm: ints(swapped) };
  return at.op('Transpose', [at.op('MatMul', [at.op('Transpose', [at.name(0)], perm), matrix])], perm);
}

/** A matrix operand with its last two axes the other way round where that is asked for. */
function matrixOperand(at: NodeExport<'matmul'>, index: number, turned: boolean): string {
  const rank = at.input(index).shape.length;
  const perm = [...range(rank - 2), rank - 1, rank - 2];
  return turned ? at.op('Transpose', [at.name(index)], { perm: ints(perm) }) : at.name(index);
}

function normalize(at: NodeExport<'normalize'>): string {
  const { first, epsilon, center } = at.attrs;
  const { shape } = at.input(0);
  const sizes = shape.slice(first);
  if (center) {
    const ones = at.scope.writer.floats(undefined, sizes, new Float32Array(sizes.reduce((a, b) => a * b, 1)).fill(1));
    return at.op('LayerNormalization', [at.name(0), ones], { axis: { i: first }, epsilon: { f: epsilon } });
  }
  const axes = ints(range(shape.length).slice(first));
  const mean = at.op('ReduceMean', [at.op('Mul', [at.name(0), at.name(0)])], { axes });
  const deviation = at.op('Sqrt', [at.op('Add', [mean, at.number(epsilon)])]);
  return at.op('Div', [at.name(0), deviation]);
}

function reduced(at: NodeExport<'reduce'>): string {
  const { kind, axes } = at.attrs;
  if (kind === 'sum') return at.op('ReduceSum', [at.name(0), at.integers(axes)]);
  const whole = at.input(0).shape.length === 4 && axes.join() === '2,3';
  if (kind === 'max' && whole) return at.op('GlobalMaxPool', [at.name(0)]);
  return at.op(kind === 'mean' ? 'ReduceMean' : 'ReduceMax', [at.name(0)], { axes: ints(axes) });
}

function adaptiveAverage(at: NodeExport<'adaptiveAvgPool2d'>): string {
  const [height, width] = at.input(0).shape.slice(2) as [number, number];
  const [rows, columns] = at.attrs.size;
  if (rows === 1 && columns === 1) return at.op('GlobalAveragePool', [at.name(0)]);
  if (height % rows === 0 && width % columns === 0) {
    const kernel: Pair = [height / rows, width / columns];
    return at.op('AveragePool', [at.name(0)], { kernel_shape: ints(kernel), strides: ints(kernel) });
  }
  // Windows of different sizes: a matrix for each axis.
  const { writer } = at.scope;
  const left = writer.floats(undefined, [rows, height], pooledBy(height, rows));
  const right = writer.floats(undefined, [width, columns], transposed(pooledBy(width, columns), width));
  return at.op('MatMul', [left, at.op('MatMul', [at.name(0), right])]);
}

function axisMap(at: NodeExport<'axisMap'>): string {
  const { axis, transposed: turn } = at.attrs;
  const matrix = at.input(1);
  const [, a, b] = matrix.shape as [number, number, number];
  const placed = at.reshape(at.name(1), [matrix.shape[0]!, 1, a, b], at.batchAxis(matrix));
  const turned = (): string => at.op('Transpose', [placed], { perm: ints([0, 1, 3, 2]) });
  if (axis === 'rows') return at.op('MatMul', [turn ? turned() : placed, at.name(0)]);
  return at.op('MatMul', [at.name(0), turn ? placed : turned()]);
}

function sampleNorm(at: NodeExport<'sampleNorm'>): string {
  const axes = range(at.input(0).shape.length).slice(1);
  const options = { axes: ints(axes), keepdims: { i: 0 } };
  switch (at.attrs.norm) {
    case 'l1':
      return at.op('ReduceL1', [at.name(0)], options);
    case 'l2':
      return at.op('ReduceL2', [at.name(0)], options);
    case 'linf':
      return at.op('ReduceMax', [at.op('Abs', [at.name(0)])], options);
    default:
      return at.op('ReduceSum', [at.name(0), at.integers(axes)], { keepdims: { i: 0 } });
  }
}

const elementwise = { add: 'Add', sub: 'Sub', mul: 'Mul', div: 'Div', max: 'Max', min: 'Min' } as const;

/** How each op of a forward pass is written; the others have no form in ONNX. */
export const nodeExporters: { readonly [K in OpName]?: Exporter<K> } = {
  conv2d: convolution,
  linear: (at) =>
    at.op(
      'Gemm',
      at.node.inputs.map((_, i) => at.name(i)),
      { transB: { i: 1 } },
    ),
  matmul: (at) =>
    at.op('MatMul', [matrixOperand(at, 0, at.attrs.transposeA), matrixOperand(at, 1, at.attrs.transposeB)]),
  activation: (at) => {
    const { kind, values } = at.attrs;
    if (kind !== 'prelu') return writeFunction(at, kind, at.name(0), values);
    const { shape } = at.input(0);
    return at.op('PRelu', [at.name(0), at.name(1, perChannel(shape[1]!, shape.length))]);
  },
  unary: (at) => writeFunction(at, at.attrs.kind as ScalarFunctionName, at.name(0), at.attrs.values),
  binary: (at) => {
    const { kind } = at.attrs;
    if (kind === 'above') throw at.refusal('it belongs to a backward pass');
    return at.op(elementwise[kind], [at.name(0), at.name(1)]);
  },
  add: (at) => at.op('Add', [at.name(0), at.name(1)]),
  maxPool2d: (at) => at.op('MaxPool', [at.name(0)], poolAttributes(at.attrs)),
  avgPool2d: (at) =>
    at.op('AveragePool', [at.name(0)], {
      ...poolAttributes(at.attrs),
      count_include_pad: { i: at.attrs.excludePadding === true ? 0 : 1 },
    }),
  adaptiveAvgPool2d: adaptiveAverage,
  batchNormScaleShift: (at) => {
    for (const output of at.node.outputs) at.scope.lines.set(output, at.node);
    return undefined;
  },
  scaleShift,
  concat: (at) =>
    at.op(
      'Concat',
      at.node.inputs.map((_, i) => at.name(i)),
      { axis: { i: at.attrs.axis ?? 1 } },
    ),
  channelPad,
  channelSlice: (at) => {
    const { first, stride, shape } = at.attrs;
    const x = at.input(0).shape;
    const part = {
      start: x.map((_, axis) => (axis === 1 ? first : 0)),
      step: x.map(() => 1),
      size: x.map((size, axis) => (axis === 1 ? shape[1]! : size)),
    };
    if (stride.join() !== '1,1') throw at.refusal('it belongs to a backward pass');
    return cut(at as NodeExport, at.name(0), x, part);
  },
  softmax: (at) => at.op('Softmax', [at.name(0)], { axis: { i: at.attrs.axis ?? 1 } }),
  logSoftmax: (at) => at.op('LogSoftmax', [at.name(0)], { axis: { i: at.attrs.axis ?? 1 } }),
  normalize,
  reduce: reduced,
  expand: (at) => {
    const [x, y] = [at.input(0), at.node.outputs[0]!];
    const axis = at.batchAxis(y);
    // A batch that is there already stays under a size of 1.
    const there = axis !== undefined && x.shape[axis - y.shape.length + x.shape.length] === y.shape[axis];
    const shape = y.shape.map((size, i) => (there && i === axis ? 1 : size));
    return at.op('Expand', [at.name(0), at.shapeTensor(shape, there ? undefined : axis)]);
  },
  transpose: (at) => at.op('Transpose', [at.name(0)], { perm: ints(at.attrs.order) }),
  slice: (at) => cut(at as NodeExport, at.name(0), at.input(0).shape, at.attrs),
  pad: padded,
  axisMatrix,
  reshape: (at) => {
    const [x, y] = [at.input(0), at.node.outputs[0]!];
    if (at.scope.values.has(x)) return at.name(0, y.shape);
    const whole = y.shape.length === 2 && at.batchAxis(y) === 0 && x.shape[0] === y.shape[0];
    return whole ? at.op('Flatten', [at.name(0)]) : at.reshape(at.name(0), y.shape, at.batchAxis(y));
  },
  axisMap,
  sampleNorm,
};
