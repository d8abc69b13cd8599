import { randomBits, uniform01 } from '../random/philox.js';
import { stepValue } from './types.js';
import type { Reference } from './types.js';

export const dropout: Reference<'dropout'> = (node, [x, sampleIds], context) => {
  const { p, stream, firstElement } = node.attrs;
  const [seed, step] = [stepValue(node.attrs.seed, context), stepValue(node.attrs.step, context)];
  const size = x!.length / sampleIds!.length;
  const y = new Float64Array(x!.length);
  sampleIds!.forEach((sampleId: number, n: number) => {
    const bits = randomBits(seed, stream, sampleId, step, firstElement + size);
    for (let i = 0; i < size; i++)
      y[n * size + i] = uniform01(bits[firstElement + i]!) < Math.fround(p) ? 0 : x![n * size + i]! / (1 - p);
  });
  return [y];
};
