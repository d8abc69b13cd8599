/**
 * The matrix [outputs, inputs] by which one axis is averaged to another size, as PyTorch chooses the windows: output i
 * takes the elements from floor(i inputs / outputs) up to ceil((i + 1) inputs / outputs).
 */
export function pooledBy(inputs: number, outputs: number): Float32Array {
  const matrix = new Float32Array(outputs * inputs);
  for (let i = 0; i < outputs; i++) {
    const [first, end] = [Math.floor((i * inputs) / outputs), Math.ceil(((i + 1) * inputs) / outputs)];
    matrix.fill(1 / (end - first), i * inputs + first, i * inputs + end);
  }
  return matrix;
}

/** The transpose of a matrix with `columns` columns. */
export function transposed(matrix: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns;
  return Float32Array.from(matrix, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}
