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

export const conv2d: Reference<'conv2d'> = (node, inputs) => {
  const [x, w] = [float64(inputs[0]!), float64(inputs[1]!)];
  const b = inputs[2];
  const shape = node.outputs[0]!.shape;
  const pixels = shape[2]! * shape[3]!;
  const y = new Float64Array(elementCount(shape));
  if (b !== undefined) for (let i = 0; i < y.length; i++) y[i] = b[Math.floor(i / pixels) % shape[1]!]!;
  forEachRun(node.attrs, node.inputs[0]!.shape, node.inputs[1]!.shape, (yi, xi, wi, count, step) => {
    const weight = w[wi]!;
    for (let i = 0; i < count; i++) y[yi + i]! += x[xi + i * step]! * weight;
  });
  return [y];
};

export const conv2dInputGradient: Reference<'conv2dInputGradient'> = (node, inputs) => {
  const [g, w] = [float64(inputs[0]!), float64(inputs[1]!)];
  const dx = new Float64Array(elementCount(node.attrs.inputShape));
  forEachRun(node.attrs, node.attrs.inputShape, node.inputs[1]!.shape, (yi, xi, wi, count, step) => {
    const weight = w[wi]!;
    for (let i = 0; i < count; i++) dx[xi + i * step]! += g[yi + i]! * weight;
  });
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
