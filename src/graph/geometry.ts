/** Height and width. */
export type Pair = readonly [number, number];
/** Padding in pixels: top, left, bottom, right. */
export type Padding = readonly [number, number, number, number];

/** Geometry of a 2-d convolution. */
export interface ConvAttrs {
  readonly stride: Pair;
  readonly padding: Padding;
  readonly dilation: Pair;
  readonly groups: number;
}

/** Geometry of a 2-d pooling. */
export interface PoolAttrs {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly padding: Padding;
  /** Round the output size up; the last window may then hang over the edge (PyTorch's `ceil_mode`). */
  readonly ceilMode: boolean;
}

/** Geometry of a 2-d average pooling, and whether only pixels of the image count. */
export interface AveragePoolAttrs extends PoolAttrs {
  readonly excludePadding?: boolean;
}
