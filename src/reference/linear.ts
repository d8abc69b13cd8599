import { elementCount } from '../graph/types.js';
import { matrixSize } from '../ops/linear.js';
import { places } from './places.js';
import type { Reference, ReferenceArray } from './types.js';

/** A matrix inside an array: element (i, j) is at i * rowStep + j * columnStep. */
interface Matrix {
  readonly values: ReferenceArray;
  readonly rowStep: number;
  readonly columnStep: number;
}

const matrix = (values: ReferenceArray, columns: number): Matrix => ({ values, rowStep: columns, columnStep: 1 });
const transposed = (values: ReferenceArray, columns: number): Matrix => ({ values, rowStep: 1, columnStep: columns });

/** C [m, n] = A [m, k] B [k, n], each sum in the order of k. */
function product(m: number, k: number, n: number, a: Matrix, b: Matrix): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    // Rows of B that lie in one piece are added up; columns are gone along.
    if (b.columnStep === 1) {
      for (let l = 0; l < k; l++) addRow(c, i * n, n, a.values[i * a.rowStep + l * a.columnStep]!, b, l);
      continue;
    }
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++)
        sum += a.values[i * a.rowStep + l * a.columnStep]! * b.values[l * b.rowStep + j * b.columnStep]!;
      c[i * n + j] = sum;
    }
  }
  return c;
}

function addRow(c: Float64Array, first: number, n: number, factor: number, { values, rowStep }: Matrix, row: number) {
  const from = row * rowStep;
  for (let j = 0; j < n; j++) c[first + j]! += factor * values[from + j]!;
}

export const linear: Reference<'linear'> = (node, [x, w, b]) => {
  const [batch = 0, ins = 0] = node.inputs[0]!.shape;
  const outs = node.inputs[1]!.shape[0]!;
  const y = product(batch, ins, outs, matrix(x!, ins), transposed(w!, ins));
  return [b === undefined ? y : y.map((value, i) => value + b[i % outs]!)];
};

export const linearInputGradient: Reference<'linearInputGradient'> = (node, [g, w]) => {
  const [batch = 0, outs = 0] = node.inputs[0]!.shape;
  const ins = node.inputs[1]!.shape[1]!;
  return [product(batch, outs, ins, matrix(g!, outs), matrix(w!, ins))];
};

export const linearWeightGradient: Reference<'linearWeightGradient'> = (node, [g, x]) => {
  const [batch = 0, outs = 0] = node.inputs[0]!.shape;
  const ins = node.inputs[1]!.shape[1]!;
  const dw = product(outs, batch, ins, transposed(g!, outs), matrix(x!, ins));
  if (!node.attrs.bias) return [dw];
  const db = new Float64Array(outs);
  g!.forEach((value: number, i: number) => (db[i % outs]! += value));
  return [dw, db];
};

export const matmul: Reference<'matmul'> = (node, [a, b]) => {
  const { transposeA, transposeB } = node.attrs;
  const { shape } = node.outputs[0]!;
  const [m, n] = shape.slice(-2) as [number, number];
  const [left, right] = node.inputs.map((input) => input.shape) as [readonly number[], readonly number[]];
  const k = matrixSize(left, transposeA)[1];
  const front = shape.slice(0, -2);
  const [leftPlaces, rightPlaces] = [left, right].map((each) => places(each.slice(0, -2), front));
  const y = new Float64Array(elementCount(shape));
  for (let at = 0; at * m * n < y.length; at++) {
    const [first, second] = [leftPlaces![at]!, rightPlaces![at]!];
    const one = a!.subarray(first * m * k, (first + 1) * m * k);
    const other = b!.subarray(second * k * n, (second + 1) * k * n);
    const [x, w] = [
      (transposeA ? transposed : matrix)(one, left.at(-1)!),
      (transposeB ? transposed : matrix)(other, right.at(-1)!),
    ];
    y.set(product(m, k, n, x, w), at * m * n);
  }
  return [y];
};
