import { channelWindow, resolveView } from '../graph/graph.js';
import { byteLength, elementCount, imagePitch } from '../graph/types.js';
import type { Pair, Tensor } from '../graph/types.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import { link } from '../wgsl/link.js';
import { inFours } from './staging.js';
import { bindingBase } from './types.js';
import type { Dispatch, Lowering, Operand } from './types.js';

/** Elements of a workgroup of copyRuns.wgsl (WX * RUN). */
const copyBlock = 256;
/** Runs of a workgroup of channelPad.wgsl (WX), and columns of a run. */
const padBlock = 64;
const padRun = 4;

/** How channelPad.wgsl stores a run of {@link padRun} at once. */
const storeFour = `@group(1) @binding(2) var<storage, read_write> y: array<vec4f>;
fn store(first: u32, values: array<f32, RUN>) {
  y[(p.yBase + first) / 4u] = vec4f(values[0], values[1], values[2], values[3]);
}
`;

/** Copies runs of `run` elements, which begin `xBatch` and `yBatch` elements apart. */
function copyRuns(from: Tensor, to: Tensor, lengths: { run: number; xBatch: number; yBatch: number }): Dispatch {
  const count = elementCount(from.shape);
  const operands: Operand[] = [reads('x', from), writes('y', to)];
  return {
    kernel: 'elementwise/copyRuns',
    variant: '',
    code: link('elementwise/copyRuns'),
    operands,
    parameters: [...words({ count, ...lengths }), ...bases(operands)],
    workgroups: foldGrid(Math.ceil(count / copyBlock)),
    flops: 0,
    bytes: operandBytes(operands),
  };
}

/** Copies images: none where `to` lies in the memory of `from`. */
function copyImages(from: Tensor, to: Tensor): Dispatch[] {
  const [source, target] = [resolveView(from), resolveView(to)];
  if (source.root === target.root && source.offset === target.offset) return [];
  const run = elementCount(from.shape.slice(1));
  return [copyRuns(from, to, { run, xBatch: imagePitch(from), yBatch: imagePitch(to) })];
}

/** One copy per part that does not lie in its place already. */
export const lowerConcat: Lowering<'concat'> = (node) => {
  const { axis = 1 } = node.attrs;
  const whole = node.outputs[0]!;
  let first = 0;
  return node.inputs.flatMap((part) => {
    const begin = first;
    first += part.shape[axis]!;
    if (axis === 1) return copyImages(part, channelWindow(part, whole, begin));
    const run = elementCount(part.shape.slice(axis));
    const offset = begin * elementCount(part.shape.slice(axis + 1));
    const yBatch = elementCount(whole.shape.slice(axis));
    const span = elementCount(part.shape.slice(0, axis)) * yBatch - (yBatch - run);
    const window = { ...whole, shape: [span], view: { base: whole, offset } };
    return [copyRuns(part, window, { run, xBatch: run, yBatch })];
  });
};

function padDispatch(x: Tensor, y: Tensor, shift: number, stride: Pair, transpose: boolean): Dispatch {
  const [, channels, height, width] = y.shape as [number, number, number, number];
  const [, xChannels, xHeight, xWidth] = x.shape as [number, number, number, number];
  const runsPerRow = Math.ceil(width / padRun);
  const runs = (elementCount(y.shape) / width) * runsPerRow;
  const operands: Operand[] = [reads('x', x), { name: 'y', tensor: y, access: 'write' }];
  const fours = inFours(width, bindingBase(y));
  return {
    kernel: 'elementwise/channelPad',
    variant: [...(transpose ? ['transposed'] : []), ...(fours ? ['vec4'] : [])].join(' '),
    code: link('elementwise/channelPad', {
      constants: { RUN: padRun, TRANSPOSE: transpose },
      regions: fours ? { store: storeFour } : {},
    }),
    operands,
    parameters: [
      ...words({ runs, runsPerRow, channels, height, width, xChannels, xHeight, xWidth }),
      { name: 'shift', type: 'i32', value: shift },
      ...words({ strideH: stride[0], strideW: stride[1] }),
      ...bases(operands),
    ],
    workgroups: foldGrid(Math.ceil(runs / padBlock)),
    flops: 0,
    bytes: byteLength(x) + byteLength(y),
  };
}

export const lowerChannelPad: Lowering<'channelPad'> = (node) => [
  padDispatch(node.inputs[0]!, node.outputs[0]!, -node.attrs.before, node.attrs.stride, false),
];

export const lowerChannelSlice: Lowering<'channelSlice'> = (node) => {
  const { first, stride } = node.attrs;
  const [from, to] = [node.inputs[0]!, node.outputs[0]!];
  if (stride.some((step) => step !== 1)) return [padDispatch(from, to, first, stride, true)];
  return copyImages(channelWindow(to, from, first), to);
};
