import { resolveView } from '../graph/graph.js';
import { elementBytes } from '../graph/types.js';
import type { Node, OpName, Tensor } from '../graph/types.js';
import type { SubgroupMatrices } from './matrices.js';
import type { KernelChoice, KernelChoices, TuningProblem } from './choice.js';

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
export interface Parameter {
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
  readonly parameters: readonly Parameter[];
  readonly workgroups: readonly [number, number, number];
  readonly flops: number;
  readonly bytes: number;
  /** The product that this dispatch computes and how, where the tuner may choose. */
  readonly tuning?: { readonly problem: TuningProblem; readonly choice: KernelChoice };
}

/** What the device offers that decides which variants may run. */
export interface KernelDevice {
  /** Lanes that `subgroupShuffle` is known to reach; 0 when the device has no subgroups. */
  readonly subgroupSize: number;
  readonly software: boolean;
  /**
   * The driver keeps arrays in memory where a variable indexes them, and unrolls no loops: kernels write their loops
   * out.
   */
  readonly plainCompiler?: boolean;
  /**
   * On the CPU, that its driver compiles for AVX-512: larger tiles, whose sums lie in memory, cost less there.
   * Results have the same bits with and without.
   */
  readonly avx512?: boolean;
  readonly maxInvocations: number;
  readonly maxWorkgroupStorage: number;
  readonly maxBindingBytes: number;
  readonly maxStorageBuffers: number;
  /** Subgroup matrices, where the adapter offers them. */
  readonly matrices?: SubgroupMatrices;
  /** Measured choices of kernels; without them the usual ones run. */
  readonly choices?: KernelChoices;
}

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

/** A tensor made from weights alone, and what has to run before its use besides what runs at the beginning. */
export interface DerivedTensor {
  readonly tensor: Tensor;
  readonly dispatches: readonly Dispatch[];
}

/** What a lowering may use besides its node. */
export interface LoweringContext {
  readonly device: KernelDevice;
  /** A tensor the graph does not have, such as partial sums of a split contraction; alive for this group only. */
  scratch(name: string, shape: readonly number[], dtype?: 'f32' | 'u32'): Tensor;
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
