import type { ActivationKind } from '../graph/rule.js';

/** Where an activation stands in its network. */
export type PositionKind = 'stem' | 'branch' | 'post-addition' | 'classifier' | 'conv';

/** One activation of a model. */
export interface ActivationPosition {
  /** The layer of its nodes, such as `fc.1` or `layer4.0.relu2`. */
  readonly name: string;
  /** What `from=<number>` compares with; rises along the network. */
  readonly index: number;
  /** Such as `layer4`. */
  readonly stage?: string;
  /** Number of its block within the stage, from 0. */
  readonly block?: number;
  readonly kind: PositionKind;
  readonly activation: ActivationKind;
}

/** A residual branch and the names of the activations inside. */
export interface BranchPlace {
  readonly name: string;
  readonly activations: readonly string[];
}

/** The activations of a model in the order of the forward pass, and its named selections. */
export interface PositionTable {
  readonly model: string;
  readonly positions: readonly ActivationPosition[];
  /** What `sgm` and `match=block` can act on. */
  readonly branches?: readonly BranchPlace[];
  /** ReLU names by preset; `default` is what `linbp` alone means. */
  readonly presets: Readonly<Record<string, readonly string[]>>;
  /** Why there is no default preset, or why it is empty, for the error that says so. */
  readonly presetNote?: string;
}
