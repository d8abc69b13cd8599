import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { Reference } from './types.js';

export const custom: Reference<'custom'> = (node, inputs) => {
  const { name, reference } = node.attrs.kernel;
  const values = reference(
    inputs,
    node.inputs.map((input) => input.shape),
  );
  const count = elementCount(node.outputs[0]!.shape);
  check(values.length === count, 'bad-shape', `the reference of ${name} gave ${values.length} of ${count}`, name);
  return [Float64Array.from(values)];
};
