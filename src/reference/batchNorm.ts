import { pixelCount } from '../graph/types.js';
import type { Reference, ReferenceArray } from './types.js';

/** Calls `visit` for each element of [N, C, ...] with its channel. */
function forEachElement(shape: readonly number[], visit: (index: number, channel: number) => void): void {
  const [batch = 1, channels = 1] = shape;
  const pixels = pixelCount(shape);
  let index = 0;
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < channels; c++) for (let p = 0; p < pixels; p++) visit(index++, c);
  }
}

function channelMeans(shape: readonly number[], value: (index: number, channel: number) => number): Float64Array {
  const sums = new Float64Array(shape[1]!);
  forEachElement(shape, (index, c) => (sums[c]! += value(index, c)));
  return sums.map((sum) => sum / (shape[0]! * pixelCount(shape)));
}

export const batchNormScaleShift: Reference<'batchNormScaleShift'> = (node, [gamma, beta, mean, variance]) => {
  const scale = Float64Array.from(gamma!, (value, c) => value / Math.sqrt(variance![c]! + node.attrs.epsilon));
  return [scale, scale.map((value, c) => beta![c]! - mean![c]! * value)];
};

export const batchNormStatistics: Reference<'batchNormStatistics'> = (node, [x, gamma]) => {
  const { shape } = node.inputs[0]!;
  const mean = channelMeans(shape, (index) => x![index]!);
  const variance = channelMeans(shape, (index, c) => (x![index]! - mean[c]!) ** 2);
  return [mean, variance, variance.map((value, c) => gamma![c]! / Math.sqrt(value + node.attrs.epsilon))];
};

/** `line` at each element of [N, C, ...]. */
function perElement(
  shape: readonly number[],
  x: ReferenceArray,
  line: (index: number, channel: number) => number,
): Float64Array {
  const y = new Float64Array(x.length);
  forEachElement(shape, (index, c) => (y[index] = line(index, c)));
  return y;
}

export const batchNormApply: Reference<'batchNormApply'> = (node, [x, mean, scale, beta]) => [
  perElement(node.inputs[0]!.shape, x!, (i, c) => (x![i]! - mean![c]!) * scale![c]! + beta![c]!),
];

export const batchNormInputGradient: Reference<'batchNormInputGradient'> = (
  node,
  [g, x, mean, scale, slope, offset],
) => [
  perElement(
    node.inputs[0]!.shape,
    g!,
    (i, c) => g![i]! * scale![c]! + (x![i]! - mean![c]!) * slope![c]! + offset![c]!,
  ),
];

export const channelSums: Reference<'channelSums'> = (node, [g, x, center]) => {
  const { shape } = node.inputs[0]!;
  const [products, sums] = [new Float64Array(shape[1]!), new Float64Array(shape[1]!)];
  forEachElement(shape, (i, c) => {
    products[c]! += g![i]! * (x![i]! - (center?.[c] ?? 0));
    sums[c]! += g![i]!;
  });
  return [products, sums];
};
