import { elementCount, pixelCount } from '../graph/types.js';
import type { Reference } from './types.js';

export const concat: Reference<'concat'> = (node, parts) => {
  const { axis = 1 } = node.attrs;
  const { shape } = node.outputs[0]!;
  const whole = elementCount(shape.slice(axis));
  const y = new Float64Array(elementCount(shape));
  let first = 0;
  for (const [index, part] of parts.entries()) {
    const size = elementCount(node.inputs[index]!.shape.slice(axis));
    for (let n = 0; n * whole < y.length; n++) y.set(part.subarray(n * size, (n + 1) * size), n * whole + first);
    first += size;
  }
  return [y];
};

/** Pairs an element of the padded and strided tensor with the one of the plain tensor it comes from. */
function forEachPair(
  plain: readonly number[],
  padded: readonly number[],
  before: number,
  stride: readonly [number, number],
  visit: (plainIndex: number, paddedIndex: number) => void,
): void {
  const [batch = 1, channels = 1, , width = 1] = plain;
  const [, paddedChannels = 1, rows = 1, columns = 1] = padded;
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < channels; c++) {
      for (let h = 0; h < rows; h++) {
        for (let w = 0; w < columns; w++) {
          const from = (n * channels + c) * pixelCount(plain) + h * stride[0] * width + w * stride[1];
          visit(from, ((n * paddedChannels + before + c) * rows + h) * columns + w);
        }
      }
    }
  }
}

export const channelPad: Reference<'channelPad'> = (node, [x]) => {
  const { shape } = node.outputs[0]!;
  const y = new Float64Array(elementCount(shape));
  forEachPair(
    node.inputs[0]!.shape,
    shape,
    node.attrs.before,
    node.attrs.stride,
    (plain, padded) => (y[padded] = x![plain]!),
  );
  return [y];
};

export const channelSlice: Reference<'channelSlice'> = (node, [x]) => {
  const { first, stride, shape } = node.attrs;
  const y = new Float64Array(elementCount(shape));
  forEachPair(shape, node.inputs[0]!.shape, first, stride, (plain, padded) => (y[plain] = x![padded]!));
  return [y];
};
