import type { Node, Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import { link } from '../wgsl/link.js';
import type { Dispatch, Lowering, Operand } from './types.js';

function lowerRows(
  node: Node<'logSoftmax' | 'logSoftmaxBackward'>,
  inputs: readonly Operand[],
  flops: number,
): Dispatch[] {
  const kernel = `reduce/${node.op}`;
  const [batch, classes] = node.outputs[0]!.shape as [number, number];
  const operands = [...inputs, writes('result', node.outputs[0]!)];
  return [
    {
      kernel,
      variant: '',
      code: link(kernel, { constants: { LANES: 64 } }),
      operands,
      parameters: [...words({ batch, classes }), ...bases(operands)],
      workgroups: foldGrid(batch),
      flops,
      bytes: operandBytes(operands),
    },
  ];
}

export const lowerLogSoftmax: Lowering<'logSoftmax'> = (node) =>
  lowerRows(node, [reads('x', node.inputs[0]!)], opTable.logSoftmax.flops(node));

export const lowerLogSoftmaxBackward: Lowering<'logSoftmaxBackward'> = (node) => {
  const [g, y] = node.inputs as [Tensor, Tensor];
  return lowerRows(node, [reads('g', g), reads('y', y)], opTable.logSoftmaxBackward.flops(node));
};
