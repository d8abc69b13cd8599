import { check } from '../errors.js';
import type { GraphBuilder } from '../graph/builder.js';
import type { Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';
import { broadcastShape, sameShape, sumTo } from './elementwise.js';

const show = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

export const expand: OpDefinition<'expand'> = {
  infer(inputs, { shape }) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    const fits = x.shape.length <= shape.length && sameShape(broadcastShape(x.shape, shape) ?? [], shape);
    check(fits, 'bad-shape', `${show(x.shape)} cannot be repeated to ${show(shape)}`, 'shape');
    return [f32(shape)];
  },
  flops: () => 0,
  backward: ({ graph }, node, gradient) =>
    graph.scope({ direction: 'inputGradient' }, () => [sumTo(graph, gradient, node.inputs[0]!.shape)]),
};

export const transpose: OpDefinition<'transpose'> = {
  infer(inputs, { order }) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    const fits = order.length === x.shape.length && x.shape.every((_, axis) => order.includes(axis));
    check(fits, 'bad-argument', `${show(order)} is no order of the axes of ${show(x.shape)}`, 'order');
    return [f32(order.map((axis) => x.shape[axis]!))];
  },
  flops: () => 0,
  backward({ graph }, node, gradient) {
    const { order } = node.attrs;
    return graph.scope({ direction: 'inputGradient' }, () => [
      graph.one('transpose', [gradient], { order: order.map((_, axis) => order.indexOf(axis)) }),
    ]);
  },
};

export const slice: OpDefinition<'slice'> = {
  infer(inputs, { start, step, size }) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    const fits =
      [start, step, size].every((list) => list.length === x.shape.length && list.every(Number.isInteger)) &&
      x.shape.every((whole, axis) => {
        const [first, last] = [start[axis]!, start[axis]! + (size[axis]! - 1) * step[axis]!];
        return step[axis] !== 0 && size[axis]! > 0 && Math.min(first, last) >= 0 && Math.max(first, last) < whole;
      });
    const what = `${show(size)} from ${show(start)} on in steps of ${show(step)}`;
    check(fits, 'bad-shape', `${show(x.shape)} has no ${what}`, 'start');
    return [f32(size)];
  },
  flops: () => 0,
  backward({ graph }, node, gradient) {
    const { start, step } = node.attrs;
    const whole = node.inputs[0]!.shape;
    return graph.scope({ direction: 'inputGradient' }, () => {
      const forward = reversed(graph, gradient, step);
      const first = start.map((at, axis) => (step[axis]! > 0 ? at : at + (gradient.shape[axis]! - 1) * step[axis]!));
      const between = step.map((by) => Math.abs(by) - 1);
      const covered = gradient.shape.map((size, axis) => (size - 1) * (between[axis]! + 1) + 1);
      const after = whole.map((size, axis) => size - first[axis]! - covered[axis]!);
      return [graph.one('pad', [forward], { before: first, after, between, value: 0 })];
    });
  },
};

/** `x` backwards along the axes with a negative step. */
function reversed(graph: GraphBuilder, x: Tensor, step: readonly number[]): Tensor {
  if (step.every((by) => by > 0)) return x;
  return graph.one('slice', [x], {
    start: x.shape.map((size, axis) => (step[axis]! < 0 ? size - 1 : 0)),
    step: step.map(Math.sign),
    size: x.shape,
  });
}

/** A shape with elements in front, between and behind. */
export const paddedShape = (
  shape: readonly number[],
  { before, after, between }: { before: readonly number[]; after: readonly number[]; between: readonly number[] },
): number[] => shape.map((size, axis) => before[axis]! + size + (size - 1) * between[axis]! + after[axis]!);

export const pad: OpDefinition<'pad'> = {
  infer(inputs, attrs) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    const fits = [attrs.before, attrs.after, attrs.between].every(
      (list) => list.length === x.shape.length && list.every((count) => Number.isInteger(count) && count >= 0),
    );
    check(fits, 'bad-range', `paddings of ${show(x.shape)} must be whole numbers from 0, one for each axis`, 'before');
    return [f32(paddedShape(x.shape, attrs))];
  },
  flops: () => 0,
  backward({ graph }, node, gradient) {
    const { before, between } = node.attrs;
    const attrs = { start: before, step: between.map((gap) => gap + 1), size: node.inputs[0]!.shape };
    return graph.scope({ direction: 'inputGradient' }, () => [graph.one('slice', [gradient], attrs)]);
  },
};

export const axisMatrix: OpDefinition<'axisMatrix'> = {
  infer(inputs, { axis, size }) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    expectInput(inputs, 1, 'first', 'u32', [size + 1]);
    const entries = expectInput(inputs, 2, 'index', 'u32', 1).shape;
    expectInput(inputs, 3, 'weight', 'f32', entries);
    check(
      Number.isInteger(axis) && axis >= 0 && axis < x.shape.length,
      'bad-range',
      `${show(x.shape)} has no axis ${axis}`,
      'axis',
    );
    return [f32(x.shape.map((whole, at) => (at === axis ? size : whole)))];
  },
  flops(node) {
    const { axis, size } = node.attrs;
    const lines = node.inputs[0]!.shape.reduce((all, each, at) => (at === axis ? all : all * each), 1);
    return (2 * lines * node.inputs[2]!.shape[0]! * size) / size;
  },
  backward({ graph }, node, gradient) {
    const { axis } = node.attrs;
    const size = node.inputs[0]!.shape[axis]!;
    const transposed = transposeMatrix(readMatrix(graph, node.inputs.slice(1)), size);
    return graph.scope({ direction: 'inputGradient' }, () => [
      graph.one('axisMatrix', [gradient, ...matrixTensors(graph, transposed)], { axis, size }),
    ]);
  },
};

/** A sparse matrix, row by row: the entries of row j are those from first[j] up to first[j + 1]. */
export interface SparseRows {
  readonly first: readonly number[];
  readonly index: readonly number[];
  readonly weight: readonly number[];
}

/** Puts a matrix into the graph, as constants. */
export function matrixTensors(graph: GraphBuilder, { first, index, weight }: SparseRows): [Tensor, Tensor, Tensor] {
  const name = graph.currentScope.layer || 'matrix';
  // A matrix without entries still needs a tensor.
  const [places, factors] = index.length === 0 ? [[0], [0]] : [index, weight];
  return [
    graph.integers(`${name}.first`, first),
    graph.integers(`${name}.index`, places),
    graph.constant(`${name}.weight`, factors),
  ];
}

function readMatrix(graph: GraphBuilder, tensors: readonly Tensor[]): SparseRows {
  const [first, index, weight] = tensors.map((tensor) => {
    const values = graph.valuesOf(tensor);
    check(values !== undefined, 'bad-argument', `${tensor.name} must be a constant of the graph`, tensor.name);
    return [...values];
  }) as [number[], number[], number[]];
  return { first, index, weight };
}

/** The transpose of a matrix with `columns` columns. */
function transposeMatrix({ first, index, weight }: SparseRows, columns: number): SparseRows {
  const lists: [number, number][][] = Array.from({ length: columns }, () => []);
  for (let row = 0; row + 1 < first.length; row++)
    for (let at = first[row]!; at < first[row + 1]!; at++) lists[index[at]!]!.push([row, weight[at]!]);
  const starts = [0];
  for (const list of lists) starts.push(starts.at(-1)! + list.length);
  return {
    first: starts,
    index: lists.flatMap((list) => list.map(([row]) => row)),
    weight: lists.flatMap((list) => list.map(([, factor]) => factor)),
  };
}
