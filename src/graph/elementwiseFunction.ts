/**
 * One elementwise computation: WGSL expressions and the same thing in JavaScript.
 * Inputs are named in order; scalars follow. Both forms see numbers only.
 */
export interface ElementwiseFunction {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly scalars: readonly string[];
  /** One WGSL expression per result, in terms of the input and scalar names (all `f32`). */
  readonly results: readonly string[];
  /** Optional WGSL statements in front of the expressions (`let` bindings). */
  readonly prelude?: string;
  /** The reference: takes inputs then scalars, returns the results. */
  readonly reference: (...values: number[]) => number[];
  /**
   * For each input that the only result may be differentiated by, what the gradient by it is: a function of the
   * result's gradient, the inputs and the scalars.
   */
  readonly derivatives?: readonly (ElementwiseFunction | undefined)[];
}
