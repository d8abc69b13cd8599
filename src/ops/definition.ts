import { check } from '../errors.js';
import type { GraphBuilder } from '../graph/builder.js';
import type { DType, Node, OpAttrs, OpName, Tensor } from '../graph/types.js';
import type { BackwardSelection } from '../graph/backward.js';

/** Shape and dtype of an output that is still to be made. */
export interface TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** What an op's `backward` may use: the graph to emit nodes into, and the rule chosen for an activation. */
export interface BackwardContext {
  readonly graph: GraphBuilder;
  /** Whether the gradient of input `index` of the node is wanted. */
  needs(index: number): boolean;
  /** The gradient of another output of the node than the first, for ops with several differentiable ones. */
  outputGradient(index: number): Tensor | undefined;
  /** The backward rules selected for activations and max-pools. */
  readonly rule: BackwardSelection;
  /** Output `index` of a forward node, recomputed with a mask when the forward node was added without one. */
  maskOf(node: Node<'activation'>): Tensor;
}

/** Everything that is known about an op apart from its kernels and its reference. */
export interface OpDefinition<K extends OpName> {
  /** Shapes and dtypes of the outputs; throws `bad-shape` or `bad-dtype`. */
  infer(inputs: readonly Tensor[], attrs: OpAttrs[K]): TensorSpec[];
  /** Floating-point operations of one run (a multiply-add counts two). */
  flops(node: Node<K>): number;
  /** Inputs that the op overwrites. */
  mutates?(attrs: OpAttrs[K]): readonly number[];
  /**
   * Emits the nodes of the gradients with respect to the inputs, given the gradient of output 0.
   * Entries of inputs that are not needed are undefined. Ops without it are not differentiable.
   */
  backward?(ctx: BackwardContext, node: Node<K>, gradient: Tensor): (Tensor | undefined)[];
}

export const f32 = (shape: readonly number[]): TensorSpec => ({ shape, dtype: 'f32' });
export const u32 = (shape: readonly number[]): TensorSpec => ({ shape, dtype: 'u32' });
const show = (tensor: Tensor | undefined): string =>
  tensor === undefined ? 'nothing' : `${tensor.dtype} [${tensor.shape.join(', ')}]`;

/** Checks that input `index` exists, has the dtype and, where given, the rank or the exact shape. */
export function expectInput(
  inputs: readonly Tensor[],
  index: number,
  name: string,
  dtype: DType,
  shape?: number | readonly (number | string)[],
): Tensor {
  const tensor = inputs[index];
  check(tensor !== undefined, 'bad-shape', `${name} is missing`, name);
  check(tensor.dtype === dtype, 'bad-dtype', `${name} must be ${dtype}, got ${show(tensor)}`, name);
  if (typeof shape === 'number') {
    check(tensor.shape.length === shape, 'bad-shape', `${name} must have ${shape} axes, got ${show(tensor)}`, name);
  } else if (shape !== undefined) {
    const fits =
      tensor.shape.length === shape.length &&
      shape.every((size, axis) => typeof size === 'string' || size === tensor.shape[axis]);
    check(fits, 'bad-shape', `${name} must be [${shape.join(', ')}], got ${show(tensor)}`, name);
  }
  return tensor;
}
