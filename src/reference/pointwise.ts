import { pixelCount } from '../graph/types.js';
import { mapped, stepValue } from './types.js';
import type { Reference, ReferenceArray } from './types.js';

export const scaleShift: Reference<'scaleShift'> = (node, [x, scale, shift]) => {
  const shape = node.inputs[0]!.shape;
  const pixels = pixelCount(shape);
  const channel = (i: number): number => Math.floor(i / pixels) % shape[1]!;
  return [mapped(x!, (value, i) => value * scale![channel(i)]! + (shift?.[channel(i)] ?? 0))];
};

export const add: Reference<'add'> = (_node, [a, b]) => [mapped(a!, (value, i) => value + b![i]!)];

/** The output shares the input's memory already; the array is handed on as it is. */
export const reshape: Reference<'reshape'> = (_node, [x]) => [x!];

export const map: Reference<'map'> = (node, inputs, context) => {
  const { fn, targets } = node.attrs;
  const scalars = node.attrs.scalars.map((scalar) => stepValue(scalar, context));
  const count = inputs[0]!.length;
  const sampleSize = count / node.inputs[0]!.shape[0]!;
  // Which element of an input goes with element i: its own, its sample's, or the only one.
  const pick = (array: ReferenceArray, i: number): number =>
    array[array.length === count ? i : array.length === 1 ? 0 : Math.floor(i / sampleSize)]!;
  const results = targets.map((target) => (target === 'new' ? new Float64Array(count) : inputs[target]!));
  const given = [...inputs.map(() => 0), ...scalars];
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < inputs.length; k++) given[k] = pick(inputs[k]!, i);
    const values = fn.reference(...given);
    for (let r = 0; r < results.length; r++) results[r]![i] = values[r]!;
  }
  return results.filter((_, r) => targets[r] === 'new');
};

export const assign: Reference<'assign'> = (_node, [value, state]) => {
  state!.set(value!);
  return [];
};

export const sampleNorm: Reference<'sampleNorm'> = (node, [x]) => {
  const samples = node.inputs[0]!.shape[0]!;
  const size = x!.length / samples;
  return [
    Float64Array.from({ length: samples }, (_, n) => {
      const own = Array.from(x!.subarray(n * size, (n + 1) * size));
      const sample = own.map(Math.abs);
      switch (node.attrs.norm) {
        case 'sum':
          return own.reduce((sum, value) => sum + value, 0);
        case 'l1':
          return sample.reduce((sum, value) => sum + value, 0);
        case 'l2':
          return Math.sqrt(sample.reduce((sum, value) => sum + value * value, 0));
        case 'linf':
          return sample.reduce((largest, value) => Math.max(largest, value), 0);
      }
    }),
  ];
};

export const sampleRoot: Reference<'sampleRoot'> = (node, inputs) => {
  const { fn, rising } = node.attrs;
  const pixels = inputs.slice(0, -2);
  const [most, goal] = inputs.slice(-2) as [Float64Array, Float64Array];
  const size = pixels[0]!.length / most.length;
  const found = Array.from(most, (bound, n) => {
    const sumAt = (t: number): number => {
      let sum = 0;
      for (let i = n * size; i < (n + 1) * size; i++) sum += fn.reference(...pixels.map((x) => x[i]!), t)[0]!;
      return sum;
    };
    let [near, far] = [0, bound];
    let [nearSum, farSum] = [sumAt(near), sumAt(far)];
    for (let round = 0; round < 200; round++) {
      const middle = (near + far) / 2;
      if (middle <= near || middle >= far) break;
      const sum = sumAt(middle);
      if (rising ? sum < goal[n]! : sum > goal[n]!) [near, nearSum] = [middle, sum];
      else [far, farSum] = [middle, sum];
    }
    return [near, far, nearSum, farSum];
  });
  return [0, 1, 2, 3].map((k) => Float64Array.from(found, (each) => each[k]!));
};

export const overflow: Reference<'overflow'> = (_node, [x]) => [Float64Array.of(x!.every(Number.isFinite) ? 0 : 1)];
