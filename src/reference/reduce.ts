import { elementCount } from '../graph/types.js';
import { reducedShape } from '../ops/reduce.js';
import { coordinates, placeOf, places } from './places.js';
import type { Reference } from './types.js';

export const reduce: Reference<'reduce'> = (node, [x]) => {
  const { kind, axes } = node.attrs;
  const { shape } = node.inputs[0]!;
  const small = reducedShape(shape, axes);
  const to = places(small, shape);
  const results = new Float64Array(elementCount(small));
  if (kind === 'max') {
    const chosen = new Uint32Array(results.length);
    const seen = new Uint32Array(results.length);
    x!.forEach((value: number, i: number) => {
      const at = to[i]!;
      // NaN counts as larger than everything.
      if (seen[at] === 0 || value > results[at]! || Number.isNaN(value)) [results[at], chosen[at]] = [value, seen[at]!];
      seen[at]! += 1;
    });
    return [results, chosen];
  }
  x!.forEach((value: number, i: number) => (results[to[i]!]! += value));
  const count = x!.length / results.length;
  return [kind === 'mean' ? results.map((sum) => sum / count) : results];
};

export const reduceMaxBackward: Reference<'reduceMaxBackward'> = (node, [g, chosen]) => {
  const { axes, inputShape } = node.attrs;
  const to = places(reducedShape(inputShape, axes), inputShape);
  const among = inputShape.filter((_, axis) => axes.includes(axis));
  const dx = new Float64Array(to.length);
  let i = 0;
  for (const at of coordinates(inputShape)) {
    const place = placeOf(
      at.filter((_, axis) => axes.includes(axis)),
      among,
    );
    dx[i] = chosen![to[i]!] === place ? g![to[i]!]! : 0;
    i += 1;
  }
  return [dx];
};
