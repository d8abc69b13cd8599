import { activationFunction, parameterValues } from '../graph/functions.js';
import type { ActivationKind, ScalarFunction } from '../graph/functions.js';
import { elementCount, maskRows, maskShape, pixelCount } from '../graph/types.js';
import type { Node } from '../graph/types.js';
import { mapped } from './types.js';
import type { Reference, ReferenceArray } from './types.js';

/** Value and derivative of an activation for parameters `p`; the official ReLU6 has the linear backward only. */
function functionOf(kind: ActivationKind): Pick<ScalarFunction, 'value' | 'slope' | 'parameters'> {
  if (kind !== 'relu6Official') return activationFunction(kind);
  return { parameters: {}, value: (z) => Math.max(z, 0) + Math.max(z - 6, 0), slope: () => 1 };
}

/** Parameters of an activation at an element: those of the node, or the slope of its channel. */
function parametersAt(
  { attrs: { kind, values }, inputs: [z] }: Node<'activation' | 'activationBackward'>,
  slopes: ReferenceArray | undefined,
): (index: number) => readonly [number, number] {
  if (kind !== 'prelu') {
    const fixed = parameterValues({ ...functionOf(kind), slope: () => 0 }, values);
    return () => fixed;
  }
  const [channels, pixels] = [z!.shape[1] ?? 1, pixelCount(z!.shape)];
  return (index) => [slopes![Math.floor(index / pixels) % channels]!, 0];
}

/** Words and bits of the packed mask (`maskShape`) for the flat indices of elements of [N, C, ...]. */
function maskPlaces(shape: readonly number[]): { word: (index: number) => number; bit: (index: number) => number } {
  const pixels = pixelCount(shape);
  const channels = shape[1] ?? 1;
  const rows = Math.ceil(channels / maskRows);
  const channel = (index: number): number => Math.floor(index / pixels) % channels;
  return {
    word: (index) =>
      (Math.floor(index / (channels * pixels)) * rows + Math.floor(channel(index) / maskRows)) * pixels +
      (index % pixels),
    bit: (index) => channel(index) % maskRows,
  };
}

export const activation: Reference<'activation'> = (node, [z, slopes]) => {
  const { value: valueOf, slope: slopeOf } = functionOf(node.attrs.kind);
  const at = parametersAt(node, slopes);
  const y = mapped(z!, (value, index) => valueOf(value, ...at(index)));
  if (!node.attrs.mask) return [y];
  const shape = node.inputs[0]!.shape;
  const kind = node.attrs.kind as Exclude<ActivationKind, 'relu6Official'>;
  const mask = new Uint32Array(elementCount(maskShape(shape)));
  const { word, bit } = maskPlaces(shape);
  const { pieces } = activationFunction(kind);
  z!.forEach((value: number, index: number) => {
    const { inside } = pieces!(...at(index));
    mask[word(index)]! |= Number(slopeOf(value, ...at(index)) === inside) << bit(index);
  });
  return [y, mask];
};

export const activationBackward: Reference<'activationBackward'> = (node, [g, saved, slopes]) => {
  const { kind, rule: use } = node.attrs;
  const { rule, values } = use;
  const shape = node.inputs[0]!.shape;
  const at = parametersAt(node, slopes);
  const bits = node.inputs[1]?.dtype === 'u32';
  const { slope: slopeOf } = functionOf(kind);
  const { word, bit } = maskPlaces(shape);
  const slope = (index: number): number => {
    if (!bits) return slopeOf(saved![index]!, ...at(index));
    const { inside, outside } = activationFunction(kind as Exclude<ActivationKind, 'relu6Official'>).pieces!(
      ...at(index),
    );
    return ((saved![word(index)]! >>> bit(index)) & 1) === 1 ? inside : outside;
  };
  return [
    mapped(g!, (gradient, index) => {
      if (rule.saves === 'nothing') return rule.reference(gradient, 0, 0, values);
      return rule.reference(gradient, slope(index), rule.saves === 'input' ? saved![index]! : 0, values);
    }),
  ];
};
