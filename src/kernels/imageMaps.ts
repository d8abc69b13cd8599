import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import { link } from '../wgsl/link.js';
import type { Lowering } from './types.js';

/** Invocations of a workgroup: WX of the shaders. */
const lanes = 64;

/** One element an invocation. */
export const lowerAxisMap: Lowering<'axisMap'> = (node) => {
  const { axis, transposed } = node.attrs;
  const [x, matrix] = node.inputs as [Tensor, Tensor];
  const result = node.outputs[0]!;
  const [, channels, height, width] = result.shape as [number, number, number, number];
  const [shared, matrixHeight, matrixWidth] = matrix.shape as [number, number, number];
  const elements = elementCount(result.shape);
  const operands = [reads('x', x), reads('matrix', matrix), writes('result', result)];
  const inner = x.shape[axis === 'rows' ? 2 : 3]!;
  const matrixSize = shared === 1 ? 0 : matrixHeight * matrixWidth;
  return [
    {
      kernel: 'source/axisMap',
      variant: `${axis}${transposed ? ' transposed' : ''}`,
      code: link('source/axisMap', { constants: { ROWS: axis === 'rows', TRANSPOSED: transposed } }),
      operands,
      parameters: [...words({ elements, channels, height, width, inner, matrixSize, matrixWidth }), ...bases(operands)],
      workgroups: foldGrid(Math.ceil(elements / lanes)),
      flops: opTable.axisMap.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};

/** Forward one element an invocation, transposed one row of a channel. */
export const lowerGridSample: Lowering<'gridSample'> = (node) => {
  const { mode, transposed, size } = node.attrs;
  const [x, grid] = node.inputs as [Tensor, Tensor];
  const [batch, channels] = x.shape as [number, number];
  const [, planes, gridHeight, gridWidth] = grid.shape as [number, number, number, number];
  const [height, width] = transposed ? size : (x.shape.slice(2) as [number, number]);
  const count = batch * channels * (transposed ? height : gridHeight * gridWidth);
  const operands = [reads('x', x), reads('grid', grid), writes('result', node.outputs[0]!)];
  const constants = { BILINEAR: mode === 'bilinear', BOUNDED: planes === 6, TRANSPOSED: transposed };
  return [
    {
      kernel: 'source/gridSample',
      variant: `${mode}${planes === 6 ? ' bounded' : ''}${transposed ? ' transposed' : ''}`,
      code: link('source/gridSample', { constants }),
      operands,
      parameters: [...words({ count, channels, height, width, gridHeight, gridWidth }), ...bases(operands)],
      workgroups: foldGrid(Math.ceil(count / lanes)),
      flops: opTable.gridSample.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};
