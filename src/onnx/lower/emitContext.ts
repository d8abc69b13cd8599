import type { BinaryName } from '../../graph/binary.js';
import type { ActivationKind, ScalarFunctionName } from '../../graph/functions.js';
import type { Graph } from '../../graph/graph.js';
import type { Tensor } from '../../graph/types.js';
import { matrixTensors } from '../../ops/layout.js';
import type { SparseRows } from '../../ops/layout.js';
import type { HostTensor } from '../types.js';
import type { DataValue, Step } from './steps.js';

/** Where steps become nodes. */
export interface EmitTarget {
  readonly graph: Graph;
  /** The batch to build for over the batch that was analyzed. */
  readonly scale: number;
  /** A constant operand as a tensor of the graph. */
  constant(tensor: HostTensor, shape?: readonly number[]): Tensor;
  /** An activation, which takes backward rules; undefined where the function is none to the target. */
  activation(
    step: Step,
    x: Tensor,
    kind: ActivationKind,
    options: { readonly values?: readonly number[]; readonly slopes?: Tensor },
  ): Tensor | undefined;
  /** A batch norm over constants, which may have batch statistics. */
  batchNorm(step: Step<'batchNorm'>, x: Tensor): Tensor;
  /** The per-channel line in front of a network. */
  preprocess(step: Step<'preprocess'>, x: Tensor): Tensor;
}

/** What emitting a step may use. */
export interface EmitContext {
  readonly target: EmitTarget;
  readonly graph: Graph;
  /** Operand `index` of the step as a tensor. */
  tensor(index: number): Tensor;
  /** The shape of a value for the batch that is built. */
  shape(value: DataValue, shape?: readonly number[]): number[];
}

export const unary = (graph: Graph, x: Tensor, kind: ScalarFunctionName, ...values: number[]): Tensor =>
  graph.one('unary', [x], { kind, ...(values.length > 0 && { values }) });
export const binary = (graph: Graph, kind: BinaryName, a: Tensor, b: Tensor): Tensor =>
  graph.one('binary', [a, b], { kind });
export const reshape = (graph: Graph, x: Tensor, shape: readonly number[]): Tensor =>
  x.shape.length === shape.length && x.shape.every((size, axis) => size === shape[axis])
    ? x
    : graph.one('reshape', [x], { shape });

/** Multiplies one axis by a sparse matrix given row by row. */
export function alongAxis(
  graph: Graph,
  x: Tensor,
  axis: number,
  rows: readonly (readonly (readonly [index: number, weight: number])[])[],
): Tensor {
  const first = [0];
  for (const row of rows) first.push(first.at(-1)! + row.length);
  const matrix: SparseRows = {
    first,
    index: rows.flatMap((row) => row.map(([index]) => index)),
    weight: rows.flatMap((row) => row.map(([, weight]) => weight)),
  };
  return graph.one('axisMatrix', [x, ...matrixTensors(graph, matrix)], { axis, size: rows.length });
}
