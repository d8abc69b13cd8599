import type { Reference, ReferenceArray } from './types.js';

/** Applies `body` to each row of [N, K]. */
function byRow(
  values: ReferenceArray,
  classes: number,
  body: (row: ReferenceArray, first: number) => ReferenceArray,
): Float64Array {
  const result = new Float64Array(values.length);
  for (let first = 0; first < values.length; first += classes)
    result.set(body(values.subarray(first, first + classes), first), first);
  return result;
}

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);

export const logSoftmax: Reference<'logSoftmax'> = (node, [x]) => [
  byRow(x!, node.inputs[0]!.shape[1]!, (row) => {
    const largest = Math.max(...row);
    const shift = largest + Math.log(sum(Float64Array.from(row, (value) => Math.exp(value - largest))));
    return Float64Array.from(row, (value) => value - shift);
  }),
];

export const logSoftmaxBackward: Reference<'logSoftmaxBackward'> = (node, [g, y]) => [
  byRow(g!, node.inputs[0]!.shape[1]!, (row, first) => {
    const total = sum(row);
    return Float64Array.from(row, (value, k) => value - Math.exp(y![first + k]!) * total);
  }),
];
