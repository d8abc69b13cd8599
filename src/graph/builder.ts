import type { Direction, DType, OpAttrs, OpName, Tensor } from './types.js';

/** Where a new node belongs; see {@link GraphBuilder.scope}. */
export interface NodeScope {
  readonly segment: string;
  readonly layer: string;
  readonly direction: Direction;
  /** Name of the backward rule that emits it; empty for what no rule emits. */
  readonly rule: string;
}

/** What ops and backward rules may do with a graph: add to it. */
export interface GraphBuilder {
  /** The scope that new nodes get now. */
  readonly currentScope: NodeScope;
  /** Runs `body` with parts of the scope replaced; nodes added inside get that segment, layer, direction and rule. */
  scope<T>(scope: Partial<NodeScope>, body: () => T): T;
  /** A tensor that persists between steps and runs, such as momentum or an attack's iterate. */
  state(name: string, shape: readonly number[], dtype?: DType): Tensor;
  /** A contiguous window of `base`, `offset` elements in, seen as `shape`. */
  window(base: Tensor, offset: number, shape: readonly number[], name: string): Tensor;
  /** A state that holds `values` from the start, such as the mean and deviation of an input normalization. */
  constant(name: string, values: readonly number[], shape?: readonly number[]): Tensor;
  /** A u32 state that holds `values` from the start, such as the indices of a gather. */
  integers(name: string, values: readonly number[]): Tensor;
  /** The values that a state holds from the start, where it was given any. */
  valuesOf(tensor: Tensor): Float32Array | Uint32Array | undefined;
  /** Adds a node and returns its outputs. Throws `bad-shape` or `bad-dtype` when the inputs do not fit the op. */
  add<K extends OpName>(op: K, inputs: readonly Tensor[], attrs: OpAttrs[K], names?: readonly string[]): Tensor[];
  /** {@link add} for ops with one output. */
  one<K extends OpName>(op: K, inputs: readonly Tensor[], attrs: OpAttrs[K], name?: string): Tensor;
}
