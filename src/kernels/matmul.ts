import { elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { matrixSize } from '../ops/linear.js';
import type { Group } from '../passes/group.js';
import type { ConvProblem } from './convProblem.js';
import type { Dispatch, LoweringContext } from './types.js';

/** Matrices side by side, as channel groups of one product. */
interface Stack {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  readonly count: number;
  /** Whether each product has an operand of its own, rather than all one. */
  readonly own: readonly [boolean, boolean];
}

/** Row by row the axes in front of the matrices, without those of size 1. */
function frontOf(tensor: Tensor, front: readonly number[]): number[] {
  const own = tensor.shape.slice(0, -2);
  return front.map((_, axis) => own[axis - front.length + own.length] ?? 1);
}

/** Matrices of a tensor from number `first` on. */
function part(tensor: Tensor, first: number, count: number): Tensor {
  const matrix = tensor.shape.slice(-2);
  if (first === 0 && count * elementCount(matrix) === elementCount(tensor.shape)) return tensor;
  const offset = first * elementCount(matrix);
  return { ...tensor, shape: [count, ...matrix], producer: undefined, view: { base: tensor, offset } };
}

/**
 * Cuts the products along the axes in front into stacks in which each operand is either another one every time, one
 * behind the other in memory, or always the same.
 */
function stacks(node: Node<'matmul'>): Stack[] {
  const [a, b, c] = [node.inputs[0]!, node.inputs[1]!, node.outputs[0]!];
  const front = c.shape.slice(0, -2);
  const [left, right] = [frontOf(a, front), frontOf(b, front)];
  const whole = (sizes: readonly number[], from: number): boolean =>
    sizes.slice(from).every((size, axis) => size === front[from + axis]);
  const single = (sizes: readonly number[], from: number): boolean => sizes.slice(from).every((size) => size === 1);
  let from = front.length;
  while (from > 0 && [left, right].every((sizes) => whole(sizes, from - 1) || single(sizes, from - 1))) from -= 1;
  const count = elementCount(front.slice(from));
  const own = [left, right].map((sizes) => !single(sizes, from)) as [boolean, boolean];
  const outer = front.slice(0, from);
  return Array.from({ length: elementCount(outer) }, (_, number) => {
    const place = [0, 0];
    const strides = own.map((each) => (each ? count : 1));
    let rest = number;
    for (let axis = from - 1; axis >= 0; axis--) {
      const at = rest % outer[axis]!;
      rest = Math.floor(rest / outer[axis]!);
      [left, right].forEach((sizes, side) => {
        if (sizes[axis]! > 1) place[side]! += at * strides[side]!;
        strides[side]! *= sizes[axis]!;
      });
    }
    const [first, second] = place as [number, number];
    return {
      a: part(a, first, own[0] ? count : 1),
      b: part(b, second, own[1] ? count : 1),
      c: part(c, number * count, count),
      count,
      own,
    };
  });
}

/**
 * Products of matrices as grouped ones, by whatever kernel suits: the rows of A are the channels, the columns of B
 * the pixels. Where only A has axes in front, they are further rows.
 */
export function lowerMatrices(
  node: Node<'matmul'>,
  group: Group,
  lower: (problem: ConvProblem, group: Group, context: LoweringContext) => Dispatch[],
  context: LoweringContext,
): Dispatch[] {
  const { transposeA, transposeB } = node.attrs;
  const [m, inner] = matrixSize(node.inputs[0]!.shape, transposeA);
  const columns = matrixSize(node.inputs[1]!.shape, transposeB)[1];
  return stacks(node).flatMap(({ a, b, c, count, own }) => {
    const tall = !own[1] && (!transposeA || count === 1);
    const [groups, rows] = tall ? [1, m * count] : [count, m];
    const anchor = { ...group.anchor, outputs: [c] };
    return lower(
      {
        a,
        b,
        bias: undefined,
        rows,
        batch: 1,
        inner,
        groups,
        taps: [1, 1],
        columns: [1, columns],
        source: [1, columns],
        step: [1, 1],
        tapOrigin: [0, 0],
        tapStep: [1, 1],
        phases: [1, 1],
        aStrides: {
          ...(transposeA ? { row: 1, inner: m } : { row: inner, inner: 1 }),
          tapH: 0,
          tapW: 0,
          group: own[0] ? m * inner : 0,
        },
        bStrides: {
          batch: 0,
          ...(transposeB ? { inner: 1, w: inner } : { inner: columns, w: 1 }),
          h: 0,
          group: own[1] ? inner * columns : 0,
        },
        cStrides: { batch: 0, row: columns, w: 1 },
        rowStart: 0,
        accumulate: false,
        bStart: 0,
        flops: 2 * rows * groups * columns * inner,
      },
      { ...group, anchor },
      context,
    );
  });
}
