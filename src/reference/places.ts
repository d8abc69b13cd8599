/** Row-major coordinates of every element of a shape, in order. */
export function* coordinates(shape: readonly number[]): Generator<readonly number[]> {
  const at = shape.map(() => 0);
  for (;;) {
    yield at;
    let axis = shape.length - 1;
    while (axis >= 0 && ++at[axis]! === shape[axis]) at[axis--] = 0;
    if (axis < 0) return;
  }
}

/** The place of an element in row-major order. */
export const placeOf = (at: readonly number[], shape: readonly number[]): number =>
  at.reduce((place, coordinate, axis) => place * shape[axis]! + coordinate, 0);

/** For every element of `shape` the place of the element of a tensor of shape `small` that broadcasts to it. */
export function places(small: readonly number[], shape: readonly number[]): Uint32Array {
  const missing = shape.length - small.length;
  const found = new Uint32Array(shape.reduce((product, size) => product * size, 1));
  let i = 0;
  for (const at of coordinates(shape))
    found[i++] = placeOf(
      small.map((size, axis) => (size === 1 ? 0 : at[axis + missing]!)),
      small,
    );
  return found;
}
