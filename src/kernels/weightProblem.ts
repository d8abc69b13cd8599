import type { ConvAttrs, Tensor } from '../graph/types.js';

/** One weight gradient of shaders/gemm/weightGradient.wgsl. */
export interface WeightProblem {
  readonly g: Tensor;
  readonly x: Tensor;
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
  readonly lines: number;
  readonly linesPerImage: number;
  readonly pixels: number;
  readonly taps: readonly [number, number];
  readonly source: readonly [number, number];
  readonly attrs: Pick<ConvAttrs, 'stride' | 'dilation' | 'padding'>;
  readonly aStrides: { readonly batch: number; readonly row: number; readonly line: number; readonly pixel: number };
  readonly bStrides: { readonly batch: number; readonly channel: number; readonly h: number; readonly w: number };
  /** First element of A inside the binding of g: the first row's place. */
  readonly aStart: number;
  /** Whether the result begins where four numbers can be stored at once. */
  readonly storesFours?: boolean;
  readonly flops: number;
}
