export type { ActivationKind } from '../graph/functions.js';

/**
 * What a rule needs from the forward pass: nothing, one bit per element (the true derivative), or the pre-activation.
 */
export type RuleSaves = 'nothing' | 'mask' | 'input';

/**
 * A pointwise backward rule: dL/dz = rule(g, d, z, parameters) with g = dL/dy, d the activation's true derivative
 * (0 or 1; passed as 0 when the rule saves nothing) and z the pre-activation (0 unless the rule saves the input).
 */
export interface PointwiseRule {
  readonly name: string;
  readonly saves: RuleSaves;
  /** The rule is dL/dz = g: no kernel runs and nothing is stored. */
  readonly identity: boolean;
  /** Names of the rule's parameters in order, at most four; they are uniforms, so a sweep compiles nothing. */
  readonly parameters: readonly string[];
  /** WGSL text that defines `fn rule(g: f32, d: f32, z: f32, p: RuleParams) -> f32`; RuleParams is vec4<f32>. */
  readonly wgsl: string;
  /** The same in JavaScript, used by the float64 reference. */
  readonly reference: (g: number, d: number, z: number, p: readonly number[]) => number;
}

/** A rule together with the values of its parameters. */
export interface BoundRule {
  readonly rule: PointwiseRule;
  readonly values: readonly number[];
}
