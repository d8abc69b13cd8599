import { argmaxRows, argmaxShape, elementCount } from '../graph/types.js';
import type { AveragePoolAttrs } from '../graph/types.js';
import type { Reference } from './types.js';

/** One window of a pooling sweep. */
interface Window {
  /** Flat index of the window's output. */
  readonly output: number;
  /**
   * Elements inside the image: flat index into the input, and place in the window counted row by row, padding included.
   */
  readonly elements: readonly { readonly input: number; readonly place: number }[];
  /** Elements inside the image or, where it counts, its padding; a window of ceil mode may hang over both. */
  readonly size: number;
}

function* windows(x: readonly number[], y: readonly number[], attrs: AveragePoolAttrs): Generator<Window> {
  const [, , height = 0, width = 0] = x;
  const [batch = 0, channels = 0, outHeight = 0, outWidth = 0] = y;
  const [top, left, bottom, right] = attrs.padding;
  for (let output = 0; output < batch * channels * outHeight * outWidth; output++) {
    const plane = Math.floor(output / (outHeight * outWidth));
    const [oy, ox] = [Math.floor(output / outWidth) % outHeight, output % outWidth];
    const elements = [];
    let size = 0;
    for (let ky = 0; ky < attrs.kernel[0]; ky++) {
      for (let kx = 0; kx < attrs.kernel[1]; kx++) {
        const [iy, ix] = [oy * attrs.stride[0] - top + ky, ox * attrs.stride[1] - left + kx];
        if (iy < height + bottom && ix < width + right) size++;
        if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
        elements.push({ input: (plane * height + iy) * width + ix, place: ky * attrs.kernel[1] + kx });
      }
    }
    yield { output, elements, size: attrs.excludePadding === true ? elements.length : size };
  }
}

/** Word and shift of the packed window index (`argmaxShape`) for the flat index of a pooling output [N, C, H, W]. */
function argmaxPlace(shape: readonly number[], index: number): { word: number; shift: number } {
  const [, channels = 0, height = 0, width = 0] = shape;
  const pixels = height * width;
  const [n, c, p] = [Math.floor(index / (channels * pixels)), Math.floor(index / pixels) % channels, index % pixels];
  return {
    word: (n * Math.ceil(channels / argmaxRows) + Math.floor(c / argmaxRows)) * pixels + p,
    shift: 8 * (c % argmaxRows),
  };
}

export const maxPool2d: Reference<'maxPool2d'> = (node, [x]) => {
  const shape = node.outputs[0]!.shape;
  const y = new Float64Array(elementCount(shape));
  const argmax = new Uint32Array(elementCount(argmaxShape(shape)));
  for (const { output, elements } of windows(node.inputs[0]!.shape, shape, node.attrs)) {
    let best = elements[0]!;
    // NaN counts as larger than everything, as in PyTorch.
    for (const element of elements)
      if (x![element.input]! > x![best.input]! || Number.isNaN(x![element.input]!)) best = element;
    y[output] = x![best.input]!;
    const { word, shift } = argmaxPlace(shape, output);
    argmax[word]! |= best.place << shift;
  }
  return [y, argmax];
};

export const maxPool2dBackward: Reference<'maxPool2dBackward'> = (node, [g, argmax]) => {
  const shape = node.inputs[0]!.shape;
  const dx = new Float64Array(elementCount(node.attrs.inputShape));
  for (const { output, elements } of windows(node.attrs.inputShape, shape, node.attrs)) {
    const { word, shift } = argmaxPlace(shape, output);
    const place = (argmax![word]! >>> shift) & 255;
    dx[elements.find((element) => element.place === place)!.input]! += g![output]!;
  }
  return [dx];
};

/** Padded zeros take part in the softmax, as in BPA's own code, so their share of the gradient is lost. */
export const maxPool2dSoftmaxBackward: Reference<'maxPool2dSoftmaxBackward'> = (node, [g, x]) => {
  const { tau, inputShape } = node.attrs;
  const dx = new Float64Array(elementCount(inputShape));
  for (const { output, elements, size } of windows(inputShape, node.inputs[0]!.shape, node.attrs)) {
    const padded = size - elements.length;
    const largest = Math.max(...elements.map((element) => x![element.input]!), padded > 0 ? 0 : -Infinity);
    const weights = elements.map((element) => Math.exp(tau * (x![element.input]! - largest)));
    // without padding the exponential may be infinite, and 0 times it is not 0
    const total = weights.reduce((sum, weight) => sum + weight, padded > 0 ? padded * Math.exp(-tau * largest) : 0);
    elements.forEach((element, i) => (dx[element.input]! += (g![output]! * weights[i]!) / total));
  }
  return [dx];
};

export const avgPool2d: Reference<'avgPool2d'> = (node, [x]) => {
  const y = new Float64Array(elementCount(node.outputs[0]!.shape));
  for (const { output, elements, size } of windows(node.inputs[0]!.shape, node.outputs[0]!.shape, node.attrs)) {
    for (const element of elements) y[output]! += x![element.input]! / size;
  }
  return [y];
};

export const avgPool2dBackward: Reference<'avgPool2dBackward'> = (node, [g]) => {
  const dx = new Float64Array(elementCount(node.attrs.inputShape));
  for (const { output, elements, size } of windows(node.attrs.inputShape, node.inputs[0]!.shape, node.attrs)) {
    for (const element of elements) dx[element.input]! += g![output]! / size;
  }
  return [dx];
};

/**
 * Visits (output, input, 1 / window size) of adaptive pooling: window i of O over size S spans floor(iS/O) to
 * ceil((i+1)S/O).
 */
function forEachAdaptive(
  x: readonly number[],
  size: readonly [number, number],
  visit: (yi: number, xi: number, weight: number) => void,
): void {
  const [batch = 0, channels = 0, height = 0, width = 0] = x;
  const span = (i: number, outs: number, ins: number): [number, number] => [
    Math.floor((i * ins) / outs),
    Math.ceil(((i + 1) * ins) / outs),
  ];
  for (let yi = 0; yi < batch * channels * size[0] * size[1]; yi++) {
    const plane = Math.floor(yi / (size[0] * size[1]));
    const [top, bottom] = span(Math.floor(yi / size[1]) % size[0], size[0], height);
    const [left, right] = span(yi % size[1], size[1], width);
    const weight = 1 / ((bottom - top) * (right - left));
    for (let iy = top; iy < bottom; iy++)
      for (let ix = left; ix < right; ix++) visit(yi, (plane * height + iy) * width + ix, weight);
  }
}

export const adaptiveAvgPool2d: Reference<'adaptiveAvgPool2d'> = (node, [x]) => {
  const y = new Float64Array(elementCount(node.outputs[0]!.shape));
  forEachAdaptive(node.inputs[0]!.shape, node.attrs.size, (yi, xi, weight) => (y[yi]! += x![xi]! * weight));
  return [y];
};

export const adaptiveAvgPool2dBackward: Reference<'adaptiveAvgPool2dBackward'> = (node, [g]) => {
  const dx = new Float64Array(elementCount(node.attrs.inputShape));
  forEachAdaptive(node.attrs.inputShape, node.attrs.size, (yi, xi, weight) => (dx[xi]! += g![yi]! * weight));
  return [dx];
};
