import { elementCount } from '../graph/types.js';
import type { Node } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { link } from '../wgsl/link.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import type { Dispatch, KernelDevice, Lowering, Operand } from './types.js';

/** Lanes of a workgroup. */
const width = 64;

/** The shaders of an op: with a workgroup for each row, and with a lane. */
const shaders = {
  normalize: ['reduce/normalize', 'reduce/normalizeRows'],
  normalizeBackward: ['reduce/normalizeBackward', 'reduce/normalizeBackwardRows'],
} as const;

/** A workgroup for each row; on the CPU, where barriers cost much, a lane, unless rows are very long. */
function lowerRows(
  node: Node<'normalize' | 'normalizeBackward'>,
  operands: readonly Operand[],
  flops: number,
  { software }: KernelDevice,
): Dispatch[] {
  const { first, epsilon, center } = node.attrs;
  const size = elementCount(node.inputs[0]!.shape.slice(first));
  const rows = elementCount(node.inputs[0]!.shape) / size;
  const shared = !software || size >= 8192;
  const kernel = shaders[node.op][shared ? 0 : 1];
  return [
    {
      kernel,
      variant: center ? '' : 'uncentered',
      code: link(kernel, { constants: { CENTER: center, ...(shared ? { LANES: width } : {}) } }),
      operands,
      parameters: [...words({ rows, size }), { name: 'epsilon', type: 'f32', value: epsilon }, ...bases(operands)],
      workgroups: foldGrid(shared ? rows : Math.ceil(rows / width)),
      flops,
      bytes: operandBytes(operands),
    },
  ];
}

export const lowerNormalize: Lowering<'normalize'> = (node, _group, { device }) => {
  const [y, mean, scale] = node.outputs;
  const operands = [reads('x', node.inputs[0]!), writes('y', y!), writes('mean', mean!), writes('scale', scale!)];
  return lowerRows(node, operands, opTable.normalize.flops(node), device);
};

export const lowerNormalizeBackward: Lowering<'normalizeBackward'> = (node, _group, { device }) => {
  const names = ['g', 'x', 'mean', 'scale'];
  const operands = [
    ...node.inputs.map((tensor, index) => reads(names[index]!, tensor)),
    writes('dx', node.outputs[0]!),
  ];
  return lowerRows(node, operands, opTable.normalizeBackward.flops(node), device);
};
