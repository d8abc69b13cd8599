import { elementCount } from '../graph/types.js';
import { coordinates, placeOf, places } from './places.js';
import type { Reference, ReferenceArray } from './types.js';

/**
 * An array of `shape` whose elements are those of x at the places that `from` gives; `otherwise` where it gives none.
 */
function gather(
  x: ReferenceArray,
  shape: readonly number[],
  from: (at: readonly number[]) => number | undefined,
  otherwise = 0,
): Float64Array {
  const y = new Float64Array(elementCount(shape));
  let i = 0;
  for (const at of coordinates(shape)) {
    const place = from(at);
    y[i++] = place === undefined ? otherwise : x[place]!;
  }
  return y;
}

export const expand: Reference<'expand'> = (node, [x]) => {
  const from = places(node.inputs[0]!.shape, node.attrs.shape);
  return [Float64Array.from(from, (place) => x![place]!)];
};

export const transpose: Reference<'transpose'> = (node, [x]) => {
  const { order } = node.attrs;
  const { shape } = node.inputs[0]!;
  const from = (at: readonly number[]): number =>
    placeOf(
      shape.map((_, axis) => at[order.indexOf(axis)]!),
      shape,
    );
  return [gather(x!, node.outputs[0]!.shape, from)];
};

export const slice: Reference<'slice'> = (node, [x]) => {
  const { start, step, size } = node.attrs;
  const from = (at: readonly number[]): number =>
    placeOf(
      at.map((coordinate, axis) => start[axis]! + coordinate * step[axis]!),
      node.inputs[0]!.shape,
    );
  return [gather(x!, size, from)];
};

export const pad: Reference<'pad'> = (node, [x]) => {
  const { before, between, value } = node.attrs;
  const { shape } = node.inputs[0]!;
  const from = (at: readonly number[]): number | undefined => {
    const inside = at.map((coordinate, axis) => (coordinate - before[axis]!) / (between[axis]! + 1));
    const fits = inside.every((each, axis) => Number.isInteger(each) && each >= 0 && each < shape[axis]!);
    return fits ? placeOf(inside, shape) : undefined;
  };
  return [gather(x!, node.outputs[0]!.shape, from, value)];
};

export const axisMatrix: Reference<'axisMatrix'> = (node, [x, first, index, weight]) => {
  const { axis } = node.attrs;
  const { shape } = node.inputs[0]!;
  const y = new Float64Array(elementCount(node.outputs[0]!.shape));
  let i = 0;
  for (const at of coordinates(node.outputs[0]!.shape)) {
    const row = at[axis]!;
    for (let k = first![row]!; k < first![row + 1]!; k++) {
      const from = at.map((coordinate, each) => (each === axis ? index![k]! : coordinate));
      y[i]! += weight![k]! * x![placeOf(from, shape)]!;
    }
    i += 1;
  }
  return [y];
};
