import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, sliceOperand, slices, stepParameter, words, writes } from './grid.js';
import { link } from '../wgsl/link.js';
import type { Dispatch, Lowering, Operand } from './types.js';

const power = { l1: 1, l2: 2, linf: 0, sum: 3 } as const;

/** One workgroup per sample; its width depends on the size of a sample only, and with it the order of the sum. */
export const lowerSampleNorm: Lowering<'sampleNorm'> = (node) => {
  const x = node.inputs[0]!;
  const batch = x.shape[0]!;
  const sampleSize = elementCount(x.shape) / batch;
  const lanes = sampleSize >= 16384 ? 256 : 64;
  const operands: Operand[] = [reads('x', x), writes('y', node.outputs[0]!)];
  return [
    {
      kernel: 'reduce/sampleNorm',
      variant: `${node.attrs.norm} ${lanes}`,
      code: link('reduce/sampleNorm', { constants: { LANES: lanes, POWER: power[node.attrs.norm] } }),
      operands,
      parameters: [...words({ batch, sampleSize }), ...bases(operands)],
      workgroups: foldGrid(batch),
      flops: opTable.sampleNorm.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};

/** Sums a batch's losses and correct samples into one row of the log; rows outside the log are dropped. */
export const lowerRecord: Lowering<'record'> = (node, _group, context) => {
  const [loss, correct, history] = node.inputs as [Tensor, Tensor, Tensor];
  const row = stepParameter(node.attrs.row, context, 'row');
  const batch = loss.shape[0]!;
  const operands: Operand[] = [
    reads('loss', loss),
    reads('correct', correct),
    { name: 'history', tensor: history, access: 'readWrite' },
  ];
  return [
    {
      kernel: 'reduce/record',
      variant: '',
      code: link('reduce/record', { constants: { LANES: batch > 64 ? 256 : 64, ROW_PER_STEP: row.perStep } }),
      operands,
      parameters: [...words({ batch, rows: history.shape[0]!, row: row.value }), ...bases(operands)],
      workgroups: [1, 1, 1],
      flops: opTable.record.flops(node),
      bytes: 8 * batch + 8,
    },
  ];
};

/** Writes one column of an attack's logs, so that a step costs the same however many steps there are. */
export const lowerLogColumn: Lowering<'logColumn'> = (node, _group, context) => {
  const [loss, margin, losses, margins] = node.inputs as [Tensor, Tensor, Tensor, Tensor];
  const column = stepParameter(node.attrs.column, context, 'column');
  const [batch, rows] = losses.shape as [number, number];
  const operands: Operand[] = [
    reads('loss', loss),
    reads('margin', margin),
    { name: 'losses', tensor: losses, access: 'readWrite' },
    { name: 'margins', tensor: margins, access: 'readWrite' },
  ];
  return [
    {
      kernel: 'reduce/logColumn',
      variant: '',
      code: link('reduce/logColumn', { constants: { COLUMN_PER_STEP: column.perStep } }),
      operands,
      parameters: [...words({ batch, rows, column: column.value }), ...bases(operands)],
      workgroups: foldGrid(Math.ceil(batch / 64)),
      flops: 0,
      bytes: 16 * batch,
    },
  ];
};

/** Elements of a workgroup of reduce/overflow.wgsl. */
const overflowBlock = 8192;
/** Bits of what the kernel writes where it finds something: infinity between its two passes, 1 at the end. */
const [infinityBits, oneBits] = [0x7f800000, 0x3f800000];

/** One pass where a workgroup suffices; else workgroups mark with infinity what a second pass looks through. */
export const lowerOverflow: Lowering<'overflow'> = (node, _group, context) => {
  const x = node.inputs[0]!;
  const result = node.outputs[0]!;
  const count = elementCount(x.shape);
  const parts = slices(count, 1, context.device).map((slice) => ({
    slice,
    groups: Math.ceil(slice.count / overflowBlock),
  }));
  const marks = parts.reduce((sum, { groups }) => sum + groups, 0);
  const pass = (
    source: Operand,
    target: Operand,
    values: { count: number; perGroup: number; first: number; mark: number },
  ): Dispatch => {
    const operands = [source, target];
    return {
      kernel: 'reduce/overflow',
      variant: '',
      code: link('reduce/overflow'),
      operands,
      parameters: [...words(values), ...bases(operands)],
      workgroups: foldGrid(Math.ceil(values.count / values.perGroup)),
      flops: values.count,
      bytes: operandBytes(operands),
    };
  };
  if (marks === 1)
    return [pass(reads('x', x), writes('result', result), { count, perGroup: overflowBlock, first: 0, mark: oneBits })];
  const found = context.scratch(`${result.name}.marks`, [marks]);
  let first = 0;
  const passes = parts.map(({ slice, groups }, index) => {
    const source = sliceOperand(reads('x', x), slice, 1);
    const values = { count: slice.count, perGroup: overflowBlock, first, mark: infinityBits };
    first += groups;
    return pass(source, writes('result', found, index > 0), values);
  });
  return [
    ...passes,
    pass(reads('x', found), writes('result', result), { count: marks, perGroup: marks, first: 0, mark: oneBits }),
  ];
};
