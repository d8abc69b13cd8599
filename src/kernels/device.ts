import type { KernelChoices } from './problem.js';

/** A product of subgroup matrices that an adapter offers: M x K times K x N, of these components, into sums of f32. */
export interface MatrixShape {
  readonly component: 'f16' | 'f32';
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** The subgroup matrices of a device. */
export interface SubgroupMatrices {
  readonly shapes: readonly MatrixShape[];
  /** Lanes of a subgroup. */
  readonly subgroupSize: number;
  /** Subgroups have this size only where a shader asks for it. */
  readonly pinned: boolean;
  /** What the length of a workgroup must be a multiple of: the largest size of a subgroup. */
  readonly granularity: number;
  /** Computed by shaders/gemm/matrixEmulation.wgsl instead of the adapter, to test what surrounds them. */
  readonly emulated?: boolean;
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
  /** Most workgroups along an axis of a dispatch, 65,535 unless told; longer grids are folded. */
  readonly maxWorkgroups?: number;
  /**
   * Most operations of one dispatch, and fewest workgroups of each part of what is more, where they are not the usual
   * ones.
   */
  readonly partLimits?: { readonly operations?: number; readonly workgroups?: number };
  /** Subgroup matrices, where the adapter offers them. */
  readonly matrices?: SubgroupMatrices;
  /** Measured choices of kernels; without them the usual ones run. */
  readonly choices?: KernelChoices;
  /**
   * What is never used here because it gave wrong results: choices by {@link tileKey}, or all of a kernel by its name.
   */
  readonly refused?: ReadonlySet<string>;
}
