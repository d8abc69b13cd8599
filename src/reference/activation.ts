import { elementCount, maskRows, maskShape, pixelCount } from '../graph/types.js';
import type { ActivationKind } from '../graph/rule.js';
import type { Reference } from './types.js';

const forward: Record<ActivationKind, (z: number) => number> = {
  relu: (z) => Math.max(z, 0),
  relu6: (z) => Math.min(Math.max(z, 0), 6),
  relu6Official: (z) => Math.max(z, 0) + Math.max(z - 6, 0),
};

/**
 * The derivative that masks hold and rules take, which is 0 at the kinks; the official ReLU6 has no backward but the
 * linear one.
 */
const derivative: Record<ActivationKind, (z: number) => number> = {
  relu: (z) => (z > 0 ? 1 : 0),
  relu6: (z) => (z > 0 && z < 6 ? 1 : 0),
  relu6Official: () => 1,
};

/** Word and bit of the packed mask (`maskShape`) for the flat index of an element of [N, C, ...]. */
function maskPlace(shape: readonly number[], index: number): { word: number; bit: number } {
  const pixels = pixelCount(shape);
  const channels = shape[1] ?? 1;
  const [n, c, p] = [Math.floor(index / (channels * pixels)), Math.floor(index / pixels) % channels, index % pixels];
  return { word: (n * Math.ceil(channels / maskRows) + Math.floor(c / maskRows)) * pixels + p, bit: c % maskRows };
}

export const activation: Reference<'activation'> = (node, [z]) => {
  const { kind } = node.attrs;
  const y = Float64Array.from(z!, forward[kind]);
  if (!node.attrs.mask) return [y];
  const shape = node.inputs[0]!.shape;
  const mask = new Uint32Array(elementCount(maskShape(shape)));
  z!.forEach((value: number, index: number) => {
    const { word, bit } = maskPlace(shape, index);
    mask[word]! |= derivative[kind](value) << bit;
  });
  return [y, mask];
};

export const activationBackward: Reference<'activationBackward'> = (node, [g, saved]) => {
  const { rule, values } = node.attrs.rule;
  const shape = node.inputs[0]!.shape;
  return [
    Float64Array.from(g!, (gradient, index) => {
      if (rule.saves === 'nothing') return rule.reference(gradient, 0, 0, values);
      if (rule.saves === 'input')
        return rule.reference(gradient, derivative[node.attrs.kind](saved![index]!), saved![index]!, values);
      const { word, bit } = maskPlace(shape, index);
      return rule.reference(gradient, (saved![word]! >>> bit) & 1, 0, values);
    }),
  ];
};
