/**
 * A kernel of the user's own: one f32 tensor of any f32 tensors, element by element. The WGSL text defines
 * `fn element(index: u32) -> f32`, the element of the result in row-major order, and whatever functions and constants
 * that needs. For an input called `x` it may use `x_at(i)`, its element i, and the constant `x_shape`, an array of u32;
 * `result_shape` is that of the result.
 */
export interface CustomKernel {
  /** Letters, digits and `_`, beginning with a letter; what profiles show. */
  readonly name: string;
  /** Names of the inputs in order. */
  readonly inputs: readonly string[];
  /** The shape of the result; throws where the shapes do not fit. */
  readonly shape: (...shapes: readonly (readonly number[])[]) => readonly number[];
  readonly wgsl: string;
  /** The same in float64: all elements of the result from all elements of the inputs. */
  readonly reference: (
    inputs: readonly ArrayLike<number>[],
    shapes: readonly (readonly number[])[],
  ) => ArrayLike<number>;
  /**
   * For each input that may be differentiated by, the kernel of the gradient by it. Its inputs are the gradient of the
   * result, then the inputs in order; its result has the shape of the input.
   */
  readonly backward?: readonly (CustomKernel | undefined)[];
  /** Operations for one element of the result, for profiles and the length of dispatches; 1 unless given. */
  readonly flopsPerElement?: number;
}
