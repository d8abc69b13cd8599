import type { Node, Tensor } from '../graph/types.js';

/**
 * Nodes that run as one kernel: an anchor and pointwise followers absorbed into its epilogue, in order.
 * The graph is left as it is; only the grouping differs between fused and unfused programs.
 */
export interface Group {
  readonly anchor: Node;
  readonly followers: readonly Node[];
  /** Results inside the chain that somebody outside the group reads; the epilogue stores them too. */
  readonly kept: readonly Tensor[];
}

/** Whether a node stores the packed mask of an activation. */
export const writesMask = ({ op, outputs }: Node): boolean => op === 'activation' && outputs.length > 1;
