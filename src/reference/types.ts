import type { Node, OpName, StepValue } from '../graph/types.js';

/** Values of a tensor on the CPU: float64 for `f32` tensors, unsigned words for `u32` tensors; row-major. */
export type ReferenceArray = Float64Array | Uint32Array;

/** What a reference may ask for besides its inputs. */
export interface ReferenceContext {
  /** The value of a field of the current row of the step table. */
  step(field: string): number;
}

/**
 * The plain computation of one op in float64: inputs in the node's order, results in the order of its outputs.
 * Ops that overwrite inputs (`node.mutates`) do so in the arrays they are given.
 */
export type Reference<K extends OpName> = (
  node: Node<K>,
  inputs: readonly ReferenceArray[],
  context: ReferenceContext,
) => ReferenceArray[];

/** The number that a {@link StepValue} stands for in the current step. */
export function stepValue(value: StepValue, context: ReferenceContext): number {
  return typeof value === 'number' ? value : context.step(value.step);
}

/** A function of each element; `Float64Array.from` would go through an iterator, at many times the cost. */
export function mapped(x: ReferenceArray, fn: (value: number, index: number) => number): Float64Array {
  const y = new Float64Array(x.length);
  for (let i = 0; i < y.length; i++) y[i] = fn(x[i]!, i);
  return y;
}
