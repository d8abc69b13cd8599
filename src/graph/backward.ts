import type { GraphBuilder } from './builder.js';
import type { Node, Region, Tensor } from './types.js';
import type { BoundRule } from './rule.js';

/** How a rule looks at a batch. */
export interface BatchUse {
  /** Whether an image's gradient depends on the others of its batch; default false. */
  readonly mixesBatch?: boolean;
}

/** The long form of a rule: it emits graph nodes that compute dL/dz from g = dL/dy. */
export interface EmittingRule extends BatchUse {
  readonly name: string;
  /** What `emit` reads besides g: the mask, the pre-activation, or neither. */
  readonly emit: (ctx: EmitContext, node: Node<'activation'>, g: Tensor) => Tensor;
}

/** What a long-form rule may use. */
export interface EmitContext {
  readonly graph: GraphBuilder;
  /** Applies a pointwise rule to g at this activation. */
  pointwise(rule: BoundRule, node: Node<'activation'>, g: Tensor): Tensor;
}

/** The backward of one activation: a pointwise rule with its parameters, or a long-form rule. */
export type ActivationBackward =
  { readonly kind: 'pointwise'; readonly use: BoundRule } | { readonly kind: 'emit'; readonly rule: EmittingRule };

/** The backward of a max-pool: it emits nodes that compute dL/dx from g = dL/dy. */
export interface MaxPoolBackward extends BatchUse {
  readonly name: string;
  /** Emits dL/dx. */
  readonly emit: (graph: GraphBuilder, node: Node<'maxPool2d'>, g: Tensor) => Tensor;
}

/**
 * The backward of a whole region, such as a residual branch: it emits nodes that compute dL/d(input) from g =
 * dL/d(output). It defines no gradients of the parameters inside.
 */
export interface RegionBackward extends BatchUse {
  readonly name: string;
  /** Emits dL/d(input of the region). */
  readonly emit: (ctx: RegionContext, region: Region, g: Tensor) => Tensor;
}

/** What a region's rule may use. */
export interface RegionContext {
  readonly graph: GraphBuilder;
  /** J^T g through the region, under the rules selected for its nodes or under others; as often as wanted. */
  differentiate(g: Tensor, rules?: BackwardSelection): Tensor;
  /** Shows a value to whoever asked for it (see `GradientOptions.observe`); it is built only then. */
  observe(name: string, value: () => Tensor): void;
}

/**
 * The backward of the edge that leads into a region: it emits nodes that change the gradient which the region passes
 * to its input.
 */
export interface EdgeBackward extends BatchUse {
  readonly name: string;
  /** Emits the changed gradient. */
  readonly emit: (graph: GraphBuilder, region: Region, g: Tensor) => Tensor;
}

/**
 * Chooses the backward of each node: called with an activation, it returns that activation's backward. Max-pools,
 * regions and the edges into regions keep their true backward unless the selection says otherwise. The four kinds
 * combine freely: what leaves a region by its input is computed by the region's rule from the rules of the nodes
 * inside, and then changed by the edge's rule.
 */
export interface BackwardSelection {
  (node: Node<'activation'>): ActivationBackward;
  /** The backward of a max-pool; undefined keeps the true one. */
  readonly maxPool?: (node: Node<'maxPool2d'>) => MaxPoolBackward | undefined;
  /** The backward of a region; undefined keeps that of its nodes. */
  readonly region?: (region: Region) => RegionBackward | undefined;
  /** Whether no gradient passes through attention maps: what a softmax gives to a product counts as a constant. */
  readonly fixedAttention?: boolean;
  /** What changes the gradient leaving a region; undefined for nothing. */
  readonly edge?: (region: Region) => EdgeBackward | undefined;
}
