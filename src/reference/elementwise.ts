import { binaryFunctions } from '../graph/binary.js';
import { parameterValues, scalarFunction } from '../graph/functions.js';
import { mapped } from './types.js';
import type { Reference } from './types.js';
import { places } from './places.js';

export const unary: Reference<'unary'> = (node, [x]) => {
  const fn = scalarFunction(node.attrs.kind);
  const p = parameterValues(fn, node.attrs.values);
  return [mapped(x!, (value) => fn.value(value, ...p))];
};

export const unaryBackward: Reference<'unaryBackward'> = (node, [g, x]) => {
  const fn = scalarFunction(node.attrs.kind);
  const p = parameterValues(fn, node.attrs.values);
  return [mapped(g!, (gradient, i) => gradient * fn.slope(x![i]!, ...p))];
};

export const binary: Reference<'binary'> = (node, [a, b]) => {
  const { shape } = node.outputs[0]!;
  const { value } = binaryFunctions[node.attrs.kind];
  const [left, right] = node.inputs.map((input) => places(input.shape, shape));
  const results: number[] = [];
  left!.forEach((place, i) => results.push(value(a![place]!, b![right![i]!]!)));
  return [Float64Array.from(results)];
};
