import { resolveView } from '../graph/graph.js';
import { elementBytes } from '../graph/types.js';
import type { DType, Node, OpName, Tensor } from '../graph/types.js';
import type { Group } from '../passes/group.js';
import type { KernelDevice } from './device.js';
import type { KernelChoice, TuningProblem } from './problem.js';

export type { Group, KernelDevice };

/** How a kernel touches a tensor. */
export type Access = 'read' | 'write' | 'readWrite';

/**
 * One storage buffer of a kernel: WGSL variable `name` at the binding of its place in the list, after the uniform
 * parameters.
 */
export interface Operand {
  readonly name: string;
  readonly tensor: Tensor;
  readonly access: Access;
  /** Bytes into the tensor where the binding begins (a multiple of 256) and its length; the whole tensor by default. */
  readonly range?: { readonly offset: number; readonly length: number };
}

/**
 * A uniform parameter: a number, or the first element of a tensor's window inside its binding, known once the plan is
 * made.
 */
export interface UniformParameter {
  readonly name: string;
  readonly type: 'u32' | 'i32' | 'f32';
  readonly value: number;
}

/**
 * One dispatch before memory is planned. The shader text is linked from files of `shaders/`; bindings follow the
 * convention of shaders/README.md: group 0 binding 0 the step row, group 1 binding 0 the parameters, then the operands.
 */
export interface Dispatch {
  /** Shader file without extension, e.g. `gemm/conv`; the name the profiler shows. */
  readonly kernel: string;
  /** Variant within the kernel: tile sizes and fused epilogues, for people to read. */
  readonly variant: string;
  readonly code: string;
  readonly operands: readonly Operand[];
  /** Uniform words in the order of the shader's `Params` struct. */
  readonly parameters: readonly UniformParameter[];
  readonly workgroups: readonly [number, number, number];
  readonly flops: number;
  readonly bytes: number;
  /** The product that this dispatch computes and how, where the tuner may choose. */
  readonly tuning?: { readonly problem: TuningProblem; readonly choice: KernelChoice };
}

/** A tensor made from weights alone, and what has to run before its use besides what runs at the beginning. */
export interface DerivedTensor {
  readonly tensor: Tensor;
  readonly dispatches: readonly Dispatch[];
}

/** What a lowering may use besides its node. */
export interface LoweringContext {
  readonly device: KernelDevice;
  /** A tensor the graph does not have, such as partial sums of a split contraction; alive for this group only. */
  scratch(name: string, shape: readonly number[], dtype?: DType): Tensor;
  /**
   * A tensor made from weights alone, such as their transform. Where nothing in the program changes `source`, it is
   * made once at the beginning of each run and shared by all who ask for the same `key`; otherwise `dispatches` make
   * it at this place.
   */
  derive(source: Tensor, key: string, shape: readonly number[], make: (derived: Tensor) => Dispatch): DerivedTensor;
  /** Word of the step row that holds a named field. */
  stepWord(field: string): number;
}

/** Turns a group (its anchor is `node`) into dispatches. */
export type Lowering<K extends OpName> = (node: Node<K>, group: Group, context: LoweringContext) => Dispatch[];

/** First element of `tensor` inside its binding: views need not begin at a multiple of 256 bytes, bindings must. */
export function bindingBase(tensor: Tensor): number {
  return resolveView(tensor).offset % (256 / elementBytes(tensor));
}
