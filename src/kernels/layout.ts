import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { broadcastStrides } from './epilogueWriter.js';
import { bases, elementwiseWidth, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import { link } from '../wgsl/link.js';
import type { Dispatch, Lowering, LoweringContext } from './types.js';

/** Elements of a workgroup. */
const block = 256;
/** Axes that the kernels walk. */
export const mostAxes = 6;

/** One axis of a result, and how it moves through the tensor that is read. */
interface Axis {
  readonly size: number;
  readonly stride: number;
  /** Of padded axes: elements in front, from one of x to the next, and how many x has. */
  readonly padded?: { readonly before: number; readonly period: number; readonly whole: number };
}

/** Elements from one place along each axis to the next. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

/** Axes from the last to the first, without those of size 1, those that continue each other joined. */
function joinAxes(axes: readonly Axis[]): Axis[] {
  const joined: Axis[] = [];
  for (const axis of [...axes].reverse()) {
    const last = joined.at(-1);
    if (axis.size === 1 && axis.padded === undefined) continue;
    if (
      last !== undefined &&
      axis.padded === undefined &&
      last.padded === undefined &&
      axis.stride === last.stride * last.size
    )
      joined[joined.length - 1] = { size: last.size * axis.size, stride: last.stride };
    else joined.push(axis);
  }
  return joined;
}

/** Numbered words of the axes that the kernels walk. */
export const axisWords = (
  name: string,
  values: readonly number[],
  usual: number,
  count = mostAxes,
): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, axis) => [`${name}${axis}`, values[axis] ?? usual]));

/** Throws `limit-exceeded` for more axes than a kernel has words for. */
export function checkAxes(count: number, node: Node, most = mostAxes): void {
  check(
    count <= most,
    'limit-exceeded',
    `${node.op} of [${node.inputs[0]!.shape.join(', ')}] walks ${count} axes, at most ${most} are possible`,
    node.layer || node.op,
  );
}

function moveElements(
  node: Node,
  axes: readonly Axis[],
  context: LoweringContext,
  { start = 0, value = 0 }: { readonly start?: number; readonly value?: number } = {},
): Dispatch[] {
  const [x, y] = [node.inputs[0]!, node.outputs[0]!];
  const joined = joinAxes(axes);
  checkAxes(joined.length, node);
  const count = elementCount(y.shape);
  const operands = [reads('x', x), writes('y', y)];
  const padded = joined.some((axis) => axis.padded !== undefined);
  const of = (name: string, pick: (axis: Axis) => number, usual: number): Record<string, number> =>
    axisWords(name, joined.map(pick), usual);
  return [
    {
      kernel: 'elementwise/strided',
      variant: node.op,
      code: link('elementwise/strided', {
        constants: { ...elementwiseWidth(block, context.device), RANK: Math.max(1, joined.length), PADDED: padded },
      }),
      operands,
      parameters: [
        ...words({ count, start }),
        { name: 'value', type: 'f32', value },
        ...bases(operands),
        ...words(of('size', ({ size }) => size, 1)),
        ...words(
          of('stride', ({ stride }) => stride, 0),
          'i32',
        ),
        ...words(
          of('before', ({ padded: by }) => by?.before ?? 0, 0),
          'i32',
        ),
        ...words(
          of('period', ({ padded: by }) => by?.period ?? 1, 1),
          'i32',
        ),
        ...words(
          of('whole', ({ size, padded: by }) => by?.whole ?? size, 1),
          'i32',
        ),
      ],
      workgroups: foldGrid(Math.ceil(count / block)),
      flops: 0,
      bytes: operandBytes(operands),
    },
  ];
}

export const lowerExpand: Lowering<'expand'> = (node, _group, context) => {
  const { shape } = node.outputs[0]!;
  const strides = broadcastStrides(node.inputs[0]!, shape);
  return moveElements(
    node,
    shape.map((size, axis) => ({ size, stride: strides[axis]! })),
    context,
  );
};

export const lowerTranspose: Lowering<'transpose'> = (node, _group, context) => {
  const strides = rowMajorStrides(node.inputs[0]!.shape);
  const axes = node.attrs.order.map((axis, at) => ({ size: node.outputs[0]!.shape[at]!, stride: strides[axis]! }));
  return moveElements(node, axes, context);
};

export const lowerSlice: Lowering<'slice'> = (node, _group, context) => {
  const { start, step, size } = node.attrs;
  const strides = rowMajorStrides(node.inputs[0]!.shape);
  const axes = size.map((count, axis) => ({ size: count, stride: strides[axis]! * step[axis]! }));
  return moveElements(node, axes, context, { start: start.reduce((sum, at, axis) => sum + at * strides[axis]!, 0) });
};

export const lowerPad: Lowering<'pad'> = (node, _group, context) => {
  const { before, between, value } = node.attrs;
  const { shape } = node.inputs[0]!;
  const strides = rowMajorStrides(shape);
  const axes = node.outputs[0]!.shape.map((size, axis): Axis => {
    const plain = { size, stride: strides[axis]! };
    if (size === shape[axis]) return plain;
    return { ...plain, padded: { before: before[axis]!, period: between[axis]! + 1, whole: shape[axis]! } };
  });
  return moveElements(node, axes, context, { value });
};

export const lowerAxisMatrix: Lowering<'axisMatrix'> = (node, _group, context) => {
  const { axis, size } = node.attrs;
  const [x, first, index, weight] = node.inputs as [Tensor, Tensor, Tensor, Tensor];
  const y = node.outputs[0]!;
  const count = elementCount(y.shape);
  const operands = [
    reads('x', x),
    reads('first', first),
    reads('index', index),
    reads('weight', weight),
    writes('y', y),
  ];
  return [
    {
      kernel: 'elementwise/axisMatrix',
      variant: '',
      code: link('elementwise/axisMatrix', { constants: elementwiseWidth(block, context.device) }),
      operands,
      parameters: [
        ...words({ count, inner: elementCount(x.shape.slice(axis + 1)), xSize: x.shape[axis]!, ySize: size }),
        ...bases(operands),
      ],
      workgroups: foldGrid(Math.ceil(count / block)),
      flops: opTable.axisMatrix.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};
