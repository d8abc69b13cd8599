/** Register tile of an invocation and how its workgroup shares loads; see shaders/gemm/conv.wgsl. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  readonly lanes: number;
  /** Lanes that share the loads of the left operand; 1 = none. */
  readonly share: number;
  /** Which loops of constant length are unrolled, where it is not what {@link unrolled} says for the device. */
  readonly unroll?: Unrolling;
}

/** Loops that are unrolled: none, those over the lanes that share a load, or all of constant length. */
export type Unrolling = (typeof unrollings)[number];
export const unrollings = ['none', 'lanes', 'all'] as const;

/** How a workgroup stages operands through its memory; see shaders/gemm/tile.wgsl. */
export interface Stage {
  /** Rows of invocations: a workgroup has `lanes` x `ranks`. */
  readonly ranks: number;
  /** Products a stage. */
  readonly depth: number;
  /** Read operands four numbers at a time where their layout allows it. */
  readonly vectors: boolean;
}

/** A register tile whose operands go through workgroup memory. */
export interface StagedTile extends Tile {
  readonly stage: Stage;
}

/** Kernels on subgroup matrices, by what their operands are made of. */
export type MatrixKernel = 'gemm/convMatrix' | 'gemm/convHalfMatrix';

/** Kernels of Winograd's minimal filtering: tiles of 2 x 2 or 4 x 4 outputs. */
export type WinogradKernel = 'gemm/winogradF2' | 'gemm/winogradF4';

/**
 * Kernels that compute the products of networks, and that the tuner chooses between: see products.ts. Those of
 * `software/` are for software adapters.
 */
export type ProductKernel = `${'gemm' | 'software'}/${string}`;

/**
 * In which order a kernel adds up the products of one output. Choices of one order give the same bits whatever their
 * tiles, so a layer keeps its order over all batch sizes. Parts of a split contraction, whose lengths the layer
 * decides, are added one after the other. Subgroup matrices add up in an order of their own, and those of f16 round
 * their operands besides. The Winograd methods add up other numbers, each in an order of its own. Weight gradients
 * have an order of their own, which splits may change.
 */
export const sumOrders = [
  'taps',
  'rows',
  'images',
  'parts',
  'matrix',
  'halfMatrix',
  'winograd2',
  'winograd4',
  'weights',
] as const;

/** One of {@link sumOrders}. */
export type SumOrder = (typeof sumOrders)[number];

/**
 * How one product runs: its kernel, its tile and, for weight gradients, into how many parts the contraction is split.
 */
export interface KernelChoice extends Tile {
  readonly kernel: ProductKernel;
  readonly splits?: number;
  /** How operands go through workgroup memory, for the kernels that take them there. */
  readonly stage?: Stage;
}

/** What decides which choice is fast. Two problems with equal {@link problemKey} share a choice. */
export interface TuningProblem {
  /** Everything but the batch: sizes, strides, padding, layout. */
  readonly layer: string;
  /** Images, or rows of a plain product. */
  readonly batch: number;
  /** Kernels that can compute it. */
  readonly kernels: readonly ProductKernel[];
  /** The epilogue writes masks of 16 channels, so that more than 8 rows need a tile of 16. */
  readonly writesMask: boolean;
  /** Rows of the product. */
  readonly rows: number;
  /** Neighboring outputs of a row, taps of a row; for the kernels that go by rows. */
  readonly width: number;
  readonly taps: number;
  /**
   * Results that an invocation owns of a row where a kernel takes an image as a whole: its outputs, or the taps of a
   * window.
   */
  readonly image?: number;
  /** Longest contraction split; for weight gradients. */
  readonly lines: number;
}

/** Source of choices, such as a table of measured ones. */
export interface KernelChoices {
  /** The choice for a problem, where there is one. */
  find(problem: TuningProblem): KernelChoice | undefined;
  /** The accumulation order that a layer keeps over all batch sizes, where it is not the usual one. */
  order(problem: TuningProblem): SumOrder | undefined;
}
