import { elementCount } from '../graph/types.js';
import type { ConvAttrs } from '../graph/types.js';
import { convOutputShape } from '../ops/convolution.js';
import type { Reference } from './types.js';

/**
 * Visits every product of a convolution: y[yi] = sum over the visits of x[xi] * w[wi]. The two gradients are sums over the
 * same triples, so all three directions share this loop.
 */
function forEachProduct(
  attrs: ConvAttrs,
  xShape: readonly number[],
  wShape: readonly number[],
  visit: (yi: number, xi: number, wi: number) => void,
): void {
  const [batch = 0, channels = 0, height = 0, width = 0] = xShape;
  const [outChannels = 0, groupChannels = 0, kernelHeight = 0, kernelWidth = 0] = wShape;
  const [, , outHeight = 0, outWidth = 0] = convOutputShape(xShape, wShape, attrs);
  const [top, left] = attrs.padding;
  const outPerGroup = outChannels / attrs.groups;
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outChannels; o++) {
      const firstChannel = Math.floor(o / outPerGroup) * groupChannels;
      for (let oy = 0; oy < outHeight; oy++) {
        for (let ox = 0; ox < outWidth; ox++) {
          const yi = ((n * outChannels + o) * outHeight + oy) * outWidth + ox;
          for (let c = 0; c < groupChannels; c++) {
            for (let ky = 0; ky < kernelHeight; ky++) {
              const iy = oy * attrs.stride[0] - top + ky * attrs.dilation[0];
              if (iy < 0 || iy >= height) continue;
              for (let kx = 0; kx < kernelWidth; kx++) {
                const ix = ox * attrs.stride[1] - left + kx * attrs.dilation[1];
                if (ix < 0 || ix >= width) continue;
                const xi = ((n * channels + firstChannel + c) * height + iy) * width + ix;
                visit(yi, xi, ((o * groupChannels + c) * kernelHeight + ky) * kernelWidth + kx);
              }
            }
          }
        }
      }
    }
  }
}

export const conv2d: Reference<'conv2d'> = (node, [x, w, b]) => {
  const shape = node.outputs[0]!.shape;
  const pixels = shape[2]! * shape[3]!;
  const y = Float64Array.from({ length: elementCount(shape) }, (_, i) => (b === undefined ? 0 : b[Math.floor(i / pixels) % shape[1]!]!));
  forEachProduct(node.attrs, node.inputs[0]!.shape, node.inputs[1]!.shape, (yi, xi, wi) => (y[yi]! += x![xi]! * w![wi]!));
  return [y];
};

export const conv2dInputGradient: Reference<'conv2dInputGradient'> = (node, [g, w]) => {
  const dx = new Float64Array(elementCount(node.attrs.inputShape));
  forEachProduct(node.attrs, node.attrs.inputShape, node.inputs[1]!.shape, (yi, xi, wi) => (dx[xi]! += g![yi]! * w![wi]!));
  return [dx];
};

export const conv2dWeightGradient: Reference<'conv2dWeightGradient'> = (node, [g, x]) => {
  const dw = new Float64Array(elementCount(node.attrs.weightShape));
  forEachProduct(node.attrs, node.inputs[1]!.shape, node.attrs.weightShape, (yi, xi, wi) => (dw[wi]! += g![yi]! * x![xi]!));
  if (!node.attrs.bias) return [dw];
  const [, outChannels = 0, outHeight = 0, outWidth = 0] = node.inputs[0]!.shape;
  const db = new Float64Array(outChannels);
  g!.forEach((value: number, i: number) => (db[Math.floor(i / (outHeight * outWidth)) % outChannels]! += value));
  return [dw, db];
};
