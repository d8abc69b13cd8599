import { elementCount } from '../graph/types.js';
import type { Reference } from './types.js';

const average = (values: ArrayLike<number>, of: (index: number) => number): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += of(i);
  return sum / values.length;
};

export const normalize: Reference<'normalize'> = (node, [x]) => {
  const { first, epsilon, center } = node.attrs;
  const size = elementCount(node.inputs[0]!.shape.slice(first));
  const rows = x!.length / size;
  const [y, means, scales] = [new Float64Array(x!.length), new Float64Array(rows), new Float64Array(rows)];
  for (let row = 0; row < rows; row++) {
    const line = x!.subarray(row * size, (row + 1) * size);
    const mean = center ? average(line, (i) => line[i]!) : 0;
    const scale = 1 / Math.sqrt(average(line, (i) => (line[i]! - mean) ** 2) + epsilon);
    [means[row], scales[row]] = [mean, scale];
    line.forEach((value: number, i: number) => (y[row * size + i] = (value - mean) * scale));
  }
  return [y, means, scales];
};

export const normalizeBackward: Reference<'normalizeBackward'> = (node, [g, x, means, scales]) => {
  const { first, center } = node.attrs;
  const size = elementCount(node.inputs[0]!.shape.slice(first));
  const dx = new Float64Array(g!.length);
  for (let row = 0; row < g!.length / size; row++) {
    const [mean, scale] = [means![row]!, scales![row]!];
    const line = g!.subarray(row * size, (row + 1) * size);
    const normal = (i: number): number => (x![row * size + i]! - mean) * scale;
    const slope = average(line, (i) => line[i]! * normal(i));
    const shift = center ? average(line, (i) => line[i]!) : 0;
    line.forEach((value: number, i: number) => (dx[row * size + i] = scale * (value - shift - normal(i) * slope)));
  }
  return [dx];
};
