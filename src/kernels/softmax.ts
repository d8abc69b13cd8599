import { elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { link } from '../wgsl/link.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import type { Dispatch, KernelDevice, Lowering, Operand } from './types.js';

/** Lanes of a workgroup. */
const width = 64;

type Softmax = 'softmax' | 'softmaxBackward' | 'logSoftmax' | 'logSoftmaxBackward';

/** The shaders of a direction: with a workgroup for each line, and with a lane. */
const shaders = {
  forward: ['reduce/softmax', 'reduce/softmaxLines'],
  backward: ['reduce/softmaxBackward', 'reduce/softmaxLinesBackward'],
} as const;

/**
 * A workgroup for each line where lines lie in memory in one piece, else a lane for each. On the CPU, where barriers
 * cost much, only the few long lines of a network's logits are shared by a workgroup.
 */
function lowerLines(
  node: Node<Softmax>,
  inputs: readonly Operand[],
  flops: number,
  { software }: KernelDevice,
): Dispatch[] {
  const { axis = 1 } = node.attrs;
  const { shape } = node.outputs[0]!;
  const [size, inner] = [shape[axis]!, elementCount(shape.slice(axis + 1))];
  const lines = elementCount(shape) / size;
  const shared = inner === 1 && (!software || shape.length === 2);
  const kernel = shaders[inputs.length === 2 ? 'backward' : 'forward'][shared ? 0 : 1];
  const operands = [...inputs, writes('result', node.outputs[0]!)];
  return [
    {
      kernel,
      variant: node.op.startsWith('log') ? 'log' : '',
      code: link(kernel, {
        constants: { LOG: node.op.startsWith('log'), ...(shared ? { LANES: width } : {}) },
      }),
      operands,
      parameters: [...words({ lines, size, inner }), ...bases(operands)],
      workgroups: foldGrid(shared ? lines : Math.ceil(lines / width)),
      flops,
      bytes: operandBytes(operands),
    },
  ];
}

const forward =
  <K extends 'softmax' | 'logSoftmax'>(op: K): Lowering<K> =>
  (node, _group, { device }) =>
    lowerLines(node, [reads('x', node.inputs[0]!)], opTable[op].flops(node as never), device);

const backward =
  <K extends 'softmaxBackward' | 'logSoftmaxBackward'>(op: K): Lowering<K> =>
  (node, _group, { device }) => {
    const [g, y] = node.inputs as [Tensor, Tensor];
    return lowerLines(node, [reads('g', g), reads('y', y)], opTable[op].flops(node as never), device);
  };

export const lowerSoftmax = forward('softmax');
export const lowerLogSoftmax = forward('logSoftmax');
export const lowerSoftmaxBackward = backward('softmaxBackward');
export const lowerLogSoftmaxBackward = backward('logSoftmaxBackward');
