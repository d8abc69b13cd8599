import { elementCount } from '../graph/types.js';
import type { Node } from '../graph/types.js';
import type { Reference, ReferenceArray } from './types.js';

type Softmax = 'softmax' | 'softmaxBackward' | 'logSoftmax' | 'logSoftmaxBackward';

/** Applies `body` to each line along the node's axis, with the lines of all its inputs. */
function byLine(
  node: Node<Softmax>,
  inputs: readonly ReferenceArray[],
  body: (...lines: Float64Array[]) => Float64Array,
): Float64Array[] {
  const { axis = 1 } = node.attrs;
  const { shape } = node.outputs[0]!;
  const [size, inner] = [shape[axis]!, elementCount(shape.slice(axis + 1))];
  const result = new Float64Array(elementCount(shape));
  for (let first = 0; first < result.length; first += size * inner) {
    for (let beside = 0; beside < inner; beside++) {
      const place = (k: number): number => first + k * inner + beside;
      const lines = inputs.map((values) => Float64Array.from({ length: size }, (_, k) => values[place(k)]!));
      body(...lines).forEach((value, k) => (result[place(k)] = value));
    }
  }
  return [result];
}

const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);

export const logSoftmax: Reference<'logSoftmax'> = (node, inputs) =>
  byLine(node, inputs, (x) => {
    const largest = Math.max(...x!);
    const shift = largest + Math.log(sum(x!.map((value) => Math.exp(value - largest))));
    return x!.map((value) => value - shift);
  });

export const logSoftmaxBackward: Reference<'logSoftmaxBackward'> = (node, inputs) =>
  byLine(node, inputs, (g, y) => {
    const total = sum(g!);
    return g!.map((value, k) => value - Math.exp(y![k]!) * total);
  });

export const softmax: Reference<'softmax'> = (node, inputs) =>
  byLine(node, inputs, (x) => {
    const largest = Math.max(...x!);
    const powers = x!.map((value) => Math.exp(value - largest));
    const total = sum(powers);
    return powers.map((value) => value / total);
  });

export const softmaxBackward: Reference<'softmaxBackward'> = (node, inputs) =>
  byLine(node, inputs, (g, y) => {
    const total = sum(g!.map((value, k) => value * y![k]!));
    return g!.map((value, k) => y![k]! * (value - total));
  });
