import { byteLength, elementBytes, elementCount, pixelCount } from '../graph/types.js';
import type { Pair, Tensor } from '../graph/types.js';
import { bases, foldGrid, reads, words } from './grid.js';
import { link } from './link.js';
import type { Access, Dispatch, Lowering, Operand } from './types.js';

/** Elements of a workgroup of copyRuns.wgsl (WX * RUN) and of channelPad.wgsl (WX). */
const copyBlock = 256;
const padBlock = 64;

interface Run {
  readonly from: Tensor;
  /** Words into a sample where the run begins. */
  readonly fromFirst: number;
  readonly to: Tensor;
  readonly toFirst: number;
  /** Words of the run. */
  readonly run: number;
  readonly access: Access;
}

function copyRun({ from, fromFirst, to, toFirst, run, access }: Run): Dispatch {
  const batch = from.shape[0]!;
  const count = batch * run;
  const operands: Operand[] = [reads('x', from), { name: 'y', tensor: to, access }];
  const sizes = { fromFirst, fromSize: elementCount(from.shape) / batch, toFirst, toSize: elementCount(to.shape) / batch };
  return {
    kernel: 'elementwise/copyRuns',
    variant: '',
    code: link('elementwise/copyRuns'),
    operands,
    parameters: [...words({ count, run, ...sizes }), ...bases(operands)],
    workgroups: foldGrid(Math.ceil(count / copyBlock)),
    flops: 0,
    bytes: 2 * elementBytes(from) * count,
  };
}

/** One copy per part. */
export const lowerConcat: Lowering<'concat'> = (node) => {
  const to = node.outputs[0]!;
  let toFirst = 0;
  return node.inputs.map((from, index) => {
    const run = elementCount(from.shape.slice(1));
    // later parts must leave what the earlier ones wrote
    const dispatch = copyRun({ from, fromFirst: 0, to, toFirst, run, access: index === 0 ? 'write' : 'readWrite' });
    toFirst += run;
    return dispatch;
  });
};

function padDispatch(x: Tensor, y: Tensor, shift: number, stride: Pair, transpose: boolean): Dispatch {
  const [, channels, height, width] = y.shape as [number, number, number, number];
  const [, xChannels, xHeight, xWidth] = x.shape as [number, number, number, number];
  const count = elementCount(y.shape);
  const operands: Operand[] = [reads('x', x), { name: 'y', tensor: y, access: 'write' }];
  return {
    kernel: 'elementwise/channelPad',
    variant: transpose ? 'transposed' : '',
    code: link('elementwise/channelPad', { constants: { TRANSPOSE: transpose } }),
    operands,
    parameters: [
      ...words({ count, channels, height, width, xChannels, xHeight, xWidth }),
      { name: 'shift', type: 'i32', value: shift },
      ...words({ strideH: stride[0], strideW: stride[1] }),
      ...bases(operands),
    ],
    workgroups: foldGrid(Math.ceil(count / padBlock)),
    flops: 0,
    bytes: byteLength(x) + byteLength(y),
  };
}

export const lowerChannelPad: Lowering<'channelPad'> = (node) => [
  padDispatch(node.inputs[0]!, node.outputs[0]!, -node.attrs.before, node.attrs.stride, false),
];

export const lowerChannelSlice: Lowering<'channelSlice'> = (node) => {
  const { first, stride, shape } = node.attrs;
  const [from, to] = [node.inputs[0]!, node.outputs[0]!];
  if (stride.some((step) => step !== 1)) return [padDispatch(from, to, first, stride, true)];
  return [copyRun({ from, fromFirst: first * pixelCount(shape), to, toFirst: 0, run: elementCount(shape.slice(1)), access: 'write' })];
};
