import * as geometry from '../geometry.js';
import type { HostTensor } from '../types.js';
import { wholeIn } from './elementwise.js';
import { reshaped, strides, tensor, walk } from './kernel.js';

const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);

/** log(exp(a) + exp(b)), where the exponentials may be beyond all numbers. */
function logOfSum(a: number, b: number): number {
  return a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
}

/** Reductions by operator. */
export const reducers: Readonly<
  Record<
    string,
    { start: number; add: (sum: number, x: number) => number; end?: (sum: number, count: number) => number }
  >
> = {
  ReduceSum: { start: 0, add: (s, x) => s + x },
  ReduceMean: { start: 0, add: (s, x) => s + x, end: (s, n) => s / n },
  ReduceMax: { start: -Infinity, add: Math.max },
  ReduceMin: { start: Infinity, add: Math.min },
  ReduceProd: { start: 1, add: (s, x) => s * x },
  ReduceL1: { start: 0, add: (s, x) => s + Math.abs(x) },
  ReduceL2: { start: 0, add: (s, x) => s + x * x, end: Math.sqrt },
  ReduceSumSquare: { start: 0, add: (s, x) => s + x * x },
  ReduceLogSum: { start: 0, add: (s, x) => s + x, end: Math.log },
  ReduceLogSumExp: { start: -Infinity, add: logOfSum },
};

/** Reduces a tensor along axes. */
export function reduce(op: string, x: HostTensor, axes: readonly number[], keep: boolean): HostTensor {
  const { start, add, end } = reducers[op]!;
  const whole = wholeIn(x.type);
  const kept = geometry.reducedShape(x.shape, axes, true);
  const result = tensor(x.type, kept);
  result.data.fill(start);
  const steps = strides(kept).map((step, axis) => (axes.includes(axis) ? 0 : step));
  walk(x.shape, steps, (offset, i) => (result.data[offset] = add(result.data[offset]!, x.data[i]!)));
  const count = product(axes.map((axis) => x.shape[axis]!));
  if (end !== undefined) for (let i = 0; i < result.data.length; i++) result.data[i] = end(result.data[i]!, count);
  if (whole !== undefined) for (let i = 0; i < result.data.length; i++) result.data[i] = whole(result.data[i]!);
  return reshaped(result, geometry.reducedShape(x.shape, axes, keep));
}
