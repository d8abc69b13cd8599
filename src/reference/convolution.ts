import { elementCount } from '../graph/types.js';
import type { ConvAttrs } from '../graph/types.js';
import { convOutputShape } from '../ops/convolution.js';
import type { Reference, ReferenceArray } from './types.js';

/** A 1 x 1 convolution without stride or padding sees no rows: the whole image may be taken as one. */
function asRows(attrs: ConvAttrs, xShape: readonly number[], wShape: readonly number[]): readonly number[] {
  const plain =
    wShape[2] === 1 &&
    wShape[3] === 1 &&
    attrs.stride.every((step) => step === 1) &&
    attrs.padding.every((size) => size === 0);
  return plain ? [xShape[0]!, xShape[1]!, 1, xShape[2]! * xShape[3]!] : xShape;
}

/**
 * Visits the products of a convolution, y[yi] = sum of x[xi] * w[wi], in runs along an output row: `count` products
 * with one weight, of y[yi + i] and x[xi + i * step]. The two gradients are sums over the same triples, so all three
 * directions share this loop.
 */
function forEachRun(
  attrs: ConvAttrs,
  inputShape: readonly number[],
  wShape: readonly number[],
  visit: (yi: number, xi: number, wi: number, count: number, step: number) => void,
): void {
  const xShape = asRows(attrs, inputShape, wShape);
  const [batch = 0, channels = 0, height = 0, width = 0] = xShape;
  const [outChannels = 0, groupChannels = 0, kernelHeight = 0, kernelWidth = 0] = wShape;
  const [, , outHeight = 0, outWidth = 0] = convOutputShape(xShape, wShape, attrs);
  const [top, left] = attrs.padding;
  const [strideH, strideW] = attrs.stride;
  const outPerGroup = outChannels / attrs.groups;
  const kernel = kernelHeight * kernelWidth;
  for (let n = 0; n < batch; n++) {
    for (let wi = 0; wi < outChannels * groupChannels * kernel; wi++) {
      const o = Math.floor(wi / (groupChannels * kernel));
      const c = Math.floor(o / outPerGroup) * groupChannels + (Math.floor(wi / kernel) % groupChannels);
      const plane = (n * channels + c) * height;
      const shift = (wi % kernelWidth) * attrs.dilation[1] - left;
      const first = Math.max(0, Math.ceil(-shift / strideW));
      const count = Math.min(outWidth, Math.floor((width - 1 - shift) / strideW) + 1) - first;
      if (count <= 0) continue;
      const above = (Math.floor(wi / kernelWidth) % kernelHeight) * attrs.dilation[0] - top;
      for (let oy = 0; oy < outHeight; oy++) {
        const iy = oy * strideH + above;
        if (iy < 0 || iy >= height) continue;
        const yi = ((n * outChannels + o) * outHeight + oy) * outWidth + first;
        visit(yi, (plane + iy) * width + first * strideW + shift, wi, count, strideW);
      }
    }
  }
}

/** The values as float64; `f32` tensors are already, and knowing it makes the loops below many times faster. */
const float64 = (values: ReferenceArray): Float64Array =>
  values instanceof Float64Array ? values : Float64Array.from(values);

/** Images between zeros: `above` and `left` of each, `gap - 1` between neighbors, and what else fits. */
interface Spread {
  readonly height: number;
  readonly width: number;
  readonly above: number;
  readonly left: number;
  readonly gap: readonly [number, number];
}

/** The channels of one image, each of `height` times `width` values, between zeros. */
function spreadOut(
  values: Float64Array,
  first: number,
  [channels, height, width]: readonly [number, number, number],
  spread: Spread,
): Float64Array {
  const all = new Float64Array(channels * spread.height * spread.width);
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < height; y++) {
      const row = (c * spread.height + spread.above + y * spread.gap[0]) * spread.width + spread.left;
      const from = first + (c * height + y) * width;
      for (let x = 0; x < width; x++) all[row + x * spread.gap[1]] = values[from + x]!;
    }
  return all;
}

/** Sums over places of an image: at each of `rows` times `columns`, `strides` apart, products with weights. */
interface Sums {
  readonly from: Float64Array;
  /** Elements from one row to the next. */
  readonly pitch: number;
  readonly rows: number;
  readonly columns: number;
  readonly strides: readonly [number, number];
}

/**
 * Adds to `to`, from `first` on, the products with `count` weights, in their order; `places` says how far each factor
 * lies from the first one. Eight at a time: a sum is then read and written once for eight products.
 */
function addProducts(
  to: Float64Array,
  first: number,
  sums: Sums,
  places: Int32Array,
  weights: Float64Array,
  count: number,
): void {
  let tap = 0;
  for (; tap + 8 <= count; tap += 8) addEight(to, first, sums, places, weights, tap);
  for (; tap < count; tap++) addOne(to, first, sums, places[tap]!, weights[tap]!);
}

function addEight(
  to: Float64Array,
  first: number,
  { from, pitch, rows, columns, strides }: Sums,
  places: Int32Array,
  weights: Float64Array,
  tap: number,
): void {
  const [p0, p1, p2, p3] = [places[tap]!, places[tap + 1]!, places[tap + 2]!, places[tap + 3]!];
  const [p4, p5, p6, p7] = [places[tap + 4]!, places[tap + 5]!, places[tap + 6]!, places[tap + 7]!];
  const [w0, w1, w2, w3] = [weights[tap]!, weights[tap + 1]!, weights[tap + 2]!, weights[tap + 3]!];
  const [w4, w5, w6, w7] = [weights[tap + 4]!, weights[tap + 5]!, weights[tap + 6]!, weights[tap + 7]!];
  const step = strides[1];
  let i = first;
  for (let row = 0; row < rows; row++) {
    let at = row * strides[0] * pitch;
    for (const end = i + columns; i < end; i++, at += step) {
      let sum = to[i]!;
      sum += from[at + p0]! * w0;
      sum += from[at + p1]! * w1;
      sum += from[at + p2]! * w2;
      sum += from[at + p3]! * w3;
      sum += from[at + p4]! * w4;
      sum += from[at + p5]! * w5;
      sum += from[at + p6]! * w6;
      sum += from[at + p7]! * w7;
      to[i] = sum;
    }
  }
}

function addOne(to: Float64Array, first: number, sums: Sums, place: number, weight: number): void {
  const { from, pitch, rows, columns, strides } = sums;
  let i = first;
  for (let row = 0; row < rows; row++) {
    let at = row * strides[0] * pitch + place;
    for (const end = i + columns; i < end; i++, at += strides[1]) to[i]! += from[at]! * weight;
  }
}

/** Zeros beyond the edge times such weights would be NaN, so they are left out there. */
const allFinite = (values: Float64Array): boolean => values.every(Number.isFinite);

/**
 * Convolution as in PyTorch's `conv2d` (a cross-correlation), in float64: x [N, C, H, W], w [O, C / groups, KH, KW] and
 * optionally b [O] give y [N, O, OH, OW], all row-major. Output channels come group by group: channel o reads input
 * channels of group floor(o / (O / groups)). `padding` is [top, left, bottom, right] in zeros, `stride` and `dilation`
 * are [rows, columns]. Where w is not finite, products with padding are left out, since 0 times infinity would be NaN.
 */
export const conv2d: Reference<'conv2d'> = (node, inputs) => {
  const [x, w] = [float64(inputs[0]!), float64(inputs[1]!)];
  const b = inputs[2];
  const [batch, outs, rows, columns] = node.outputs[0]!.shape as [number, number, number, number];
  const pixels = rows * columns;
  const y = new Float64Array(batch * outs * pixels);
  if (b !== undefined) for (let i = 0; i < batch * outs; i++) y.fill(b[i % outs]!, i * pixels, (i + 1) * pixels);
  const { attrs } = node;
  const xShape = node.inputs[0]!.shape;
  const wShape = node.inputs[1]!.shape;
  if (!allFinite(w)) {
    forEachRun(attrs, xShape, wShape, (yi, xi, wi, count, step) => {
      const weight = w[wi]!;
      for (let i = 0; i < count; i++) y[yi + i]! += x[xi + i * step]! * weight;
    });
    return [y];
  }
  const [, channels, height, width] = xShape as [number, number, number, number];
  const [, per, kernelHeight, kernelWidth] = wShape as [number, number, number, number];
  const [above, left] = attrs.padding;
  const spread: Spread = {
    height: Math.max(above + height, (rows - 1) * attrs.stride[0] + (kernelHeight - 1) * attrs.dilation[0] + 1),
    width: Math.max(left + width, (columns - 1) * attrs.stride[1] + (kernelWidth - 1) * attrs.dilation[1] + 1),
    ...{ above, left, gap: [1, 1] },
  };
  const taps = per * kernelHeight * kernelWidth;
  const places = Int32Array.from({ length: taps }, (_, tap) => {
    const [kx, ky] = [tap % kernelWidth, Math.floor(tap / kernelWidth) % kernelHeight];
    const c = Math.floor(tap / (kernelWidth * kernelHeight));
    return (c * spread.height + ky * attrs.dilation[0]) * spread.width + kx * attrs.dilation[1];
  });
  for (let n = 0; n < batch; n++) {
    const from = spreadOut(x, n * channels * height * width, [channels, height, width], spread);
    for (let o = 0; o < outs; o++) {
      const group = Math.floor(o / (outs / attrs.groups)) * per * spread.height * spread.width;
      const sums = { from: from.subarray(group), pitch: spread.width, rows, columns, strides: attrs.stride };
      addProducts(y, (n * outs + o) * pixels, sums, places, w.subarray(o * taps, (o + 1) * taps), taps);
    }
  }
  return [y];
};

export const conv2dInputGradient: Reference<'conv2dInputGradient'> = (node, inputs) => {
  const [g, w] = [float64(inputs[0]!), float64(inputs[1]!)];
  const { attrs } = node;
  const dx = new Float64Array(elementCount(attrs.inputShape));
  const wShape = node.inputs[1]!.shape;
  if (!allFinite(w)) {
    forEachRun(attrs, attrs.inputShape, wShape, (yi, xi, wi, count, step) => {
      const weight = w[wi]!;
      for (let i = 0; i < count; i++) dx[xi + i * step]! += g[yi + i]! * weight;
    });
    return [dx];
  }
  const [batch, channels, rows, columns] = attrs.inputShape as [number, number, number, number];
  const [, outs, height, width] = node.inputs[0]!.shape as [number, number, number, number];
  const [, per, kernelHeight, kernelWidth] = wShape as [number, number, number, number];
  const [top, start] = attrs.padding;
  // dx at a row is a sum of rows of g, as many strides apart, that lie above it by a tap less the padding
  const [reachDown, reachRight] = [(kernelHeight - 1) * attrs.dilation[0], (kernelWidth - 1) * attrs.dilation[1]];
  const [above, left] = [Math.max(0, reachDown - top), Math.max(0, reachRight - start)];
  const spread: Spread = {
    height: above + Math.max((height - 1) * attrs.stride[0] + 1, rows + top),
    width: left + Math.max((width - 1) * attrs.stride[1] + 1, columns + start),
    ...{ above, left, gap: attrs.stride },
  };
  const outPerGroup = outs / attrs.groups;
  const kernel = kernelHeight * kernelWidth;
  const taps = outPerGroup * kernel;
  const places = Int32Array.from({ length: taps }, (_, tap) => {
    const [kx, ky] = [tap % kernelWidth, Math.floor(tap / kernelWidth) % kernelHeight];
    const down = above + top - ky * attrs.dilation[0];
    return (Math.floor(tap / kernel) * spread.height + down) * spread.width + left + start - kx * attrs.dilation[1];
  });
  const spreads = Array.from({ length: batch }, (_, n) =>
    spreadOut(g, n * outs * height * width, [outs, height, width], spread),
  );
  const weights = new Float64Array(taps);
  for (let c = 0; c < channels; c++) {
    const group = Math.floor(c / per);
    for (let tap = 0; tap < taps; tap++) {
      const o = group * outPerGroup + Math.floor(tap / kernel);
      weights[tap] = w[(o * per + (c % per)) * kernel + (tap % kernel)]!;
    }
    for (let n = 0; n < batch; n++) {
      const from = spreads[n]!.subarray(group * outPerGroup * spread.height * spread.width);
      const sums: Sums = { from, pitch: spread.width, rows, columns, strides: [1, 1] };
      addProducts(dx, (n * channels + c) * rows * columns, sums, places, weights, taps);
    }
  }
  return [dx];
};

export const conv2dWeightGradient: Reference<'conv2dWeightGradient'> = (node, inputs) => {
  const [g, x] = [float64(inputs[0]!), float64(inputs[1]!)];
  const dw = new Float64Array(elementCount(node.attrs.weightShape));
  forEachRun(node.attrs, node.inputs[1]!.shape, node.attrs.weightShape, (yi, xi, wi, count, step) => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += g[yi + i]! * x[xi + i * step]!;
    dw[wi]! += sum;
  });
  if (!node.attrs.bias) return [dw];
  const [, outChannels = 0, outHeight = 0, outWidth = 0] = node.inputs[0]!.shape;
  const db = new Float64Array(outChannels);
  g.forEach((value, i) => (db[Math.floor(i / (outHeight * outWidth)) % outChannels]! += value));
  return [dw, db];
};
