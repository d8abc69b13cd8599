import type { Graph } from '../graph/graph.js';
import type { Node, Tensor } from '../graph/types.js';
import type { RuleUse } from './types.js';

/** The long form of a rule: it emits graph nodes that compute dL/dz from g = dL/dy. */
export interface EmittingRule {
  readonly name: string;
  /** What `emit` reads besides g: the mask, the pre-activation, or neither. */
  readonly emit: (ctx: EmitContext, node: Node<'relu'>, g: Tensor) => Tensor;
}

/** What a long-form rule may use. */
export interface EmitContext {
  readonly graph: Graph;
  /** Applies a pointwise rule to g at this activation. */
  pointwise(rule: RuleUse, node: Node<'relu'>, g: Tensor): Tensor;
}

/** The backward of one activation: a pointwise rule with its parameters, or a long-form rule. */
export type ActivationBackward = { readonly kind: 'pointwise'; readonly use: RuleUse } | { readonly kind: 'emit'; readonly rule: EmittingRule };

/** Chooses the backward of each activation by its name, index and kind. */
export type RuleSelection = (node: Node<'relu'>) => ActivationBackward;
