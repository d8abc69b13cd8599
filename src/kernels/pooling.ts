import { byteLength, imagePitch } from '../graph/types.js';
import type { AveragePoolAttrs, PoolAttrs, Tensor } from '../graph/types.js';
import { writesMask } from '../passes/group.js';
import { opTable } from '../ops/table.js';
import { maxWorkgroups, operandBytes, reads, words, writes } from './grid.js';
import { shaderFragment } from './fragment.js';
import { link } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, Lowering, Operand, UniformParameter } from './types.js';

/** Pixels of a workgroup and channels of an invocation: WX and BLOCK of shaders/pool/params.wgsl. */
const width = 64;
const channelBlock = 16;

/** One kernel of shaders/pool: `shape` of the forward pass's input, `pooled` of its output. */
interface PoolProblem {
  readonly kernel: string;
  readonly shape: readonly number[];
  readonly pooled: readonly number[];
  readonly attrs?: AveragePoolAttrs;
  readonly source: Tensor;
  /** Shape over whose pixels the invocations run; by default that of the result. */
  readonly grid?: readonly number[];
  /** Window indices or the forward pass's input, where the kernel has them. */
  readonly aux?: Operand;
  readonly tau?: number;
  readonly flops: number;
}

function poolParameters(problem: PoolProblem, output: Tensor): UniformParameter[] {
  const { shape, pooled, attrs, source, aux } = problem;
  const [batch, channels, inH, inW] = shape as [number, number, number, number];
  const [, , outH, outW] = pooled as [number, number, number, number];
  const [kernelH, kernelW] = attrs?.kernel ?? [0, 0];
  const [strideH, strideW] = attrs?.stride ?? [1, 1];
  const [padTop, padLeft, padBottom, padRight] = attrs?.padding ?? [0, 0, 0, 0];
  return [
    ...words({ batch, channels }),
    ...words({ inH, inW, outH, outW, kernelH, kernelW, strideH, strideW, padTop, padLeft, padBottom, padRight }, 'i32'),
    ...words({
      sourceBase: bindingBase(source),
      auxBase: aux === undefined ? 0 : bindingBase(aux.tensor),
      cBase: bindingBase(output),
    }),
    { name: 'tau', type: 'f32', value: problem.tau ?? 0 },
    ...words({ sourceBatch: imagePitch(source), cBatch: imagePitch(output) }),
  ];
}

const windowName = (attrs: PoolAttrs | undefined): string =>
  attrs === undefined ? 'adaptive' : `${attrs.kernel.join('x')}/${attrs.stride.join('x')}`;

/** Columns of 64 pixels, folded into z where there are many, and blocks of channels. */
function poolGrid(shape: readonly number[]): [number, number, number] {
  const [batch, channels, height, breadth] = shape as [number, number, number, number];
  const blocks = Math.ceil((batch * height * breadth) / width);
  return [Math.min(blocks, maxWorkgroups), Math.ceil(channels / channelBlock), Math.ceil(blocks / maxWorkgroups)];
}

function lowerPool(problem: PoolProblem, group: Group): Dispatch[] {
  const { kernel, attrs, source, aux } = problem;
  const tail = epilogue(group, aux === undefined ? 3 : 4);
  const regions: Record<string, string> = { ...tail.regions };
  if (attrs === undefined) regions['window'] = shaderFragment('pool/adaptive');
  return [
    {
      kernel,
      variant: [windowName(attrs), tail.variant].filter((part) => part !== '').join(' '),
      code: link(kernel, {
        regions,
        constants: attrs?.excludePadding === true ? { EXCLUDE_PADDING: true } : {},
      }),
      operands: [
        reads('source', source),
        writes('c', tail.output),
        ...(aux === undefined ? [] : [aux]),
        ...tail.operands,
      ],
      parameters: [...poolParameters(problem, tail.output), ...tail.parameters],
      workgroups: poolGrid(problem.grid ?? tail.output.shape),
      flops: problem.flops + tail.flops,
      bytes:
        byteLength(source) + byteLength(tail.output) + (aux === undefined ? 0 : byteLength(aux.tensor)) + tail.bytes,
    },
  ];
}

export const lowerMaxPool2d: Lowering<'maxPool2d'> = (node, group) => {
  const { attrs, inputs, outputs } = node;
  const [x, y, indices] = [inputs[0]!, outputs[0]!, outputs[1]!];
  const flops = opTable.maxPool2d.flops(node);
  return lowerPool(
    { kernel: 'pool/maxPool', shape: x.shape, pooled: y.shape, attrs, source: x, aux: writes('aux', indices), flops },
    group,
  );
};

export const lowerMaxPool2dBackward: Lowering<'maxPool2dBackward'> = (node, group) => {
  const { attrs, inputs } = node;
  const [g, indices] = inputs as [Tensor, Tensor];
  const flops = opTable.maxPool2dBackward.flops(node);
  const [batch, channels, height, breadth] = attrs.inputShape as [number, number, number, number];
  const [windowH, windowW] = attrs.kernel;
  // Windows side by side: each pixel belongs to one, and an invocation serves all pixels of its window.
  const apart =
    attrs.kernel.every((size, axis) => size === attrs.stride[axis]) &&
    attrs.padding.every((size) => size === 0) &&
    !group.followers.some(writesMask);
  const grid = apart ? [batch, channels, Math.ceil(height / windowH), Math.ceil(breadth / windowW)] : attrs.inputShape;
  const kernel = apart ? 'pool/maxPoolBackwardTiles' : 'pool/maxPoolBackward';
  const problem = {
    kernel,
    grid,
    shape: attrs.inputShape,
    pooled: g.shape,
    attrs,
    source: g,
    aux: reads('aux', indices),
    flops,
  };
  return lowerPool(problem, group);
};

/**
 * Two dispatches, because a window's maximum and sum serve all its pixels: recomputing them for each costs five times
 * as much.
 */
export const lowerMaxPool2dSoftmaxBackward: Lowering<'maxPool2dSoftmaxBackward'> = (node, group, context) => {
  const { attrs, inputs } = node;
  const [g, x] = inputs as [Tensor, Tensor];
  const windows = context.scratch(`${node.outputs[0]!.name}.windows`, [2, ...g.shape]);
  const flops = opTable.maxPool2dSoftmaxBackward.flops(node) / 2;
  const problem = { shape: x.shape, pooled: g.shape, attrs, aux: reads('aux', x), tau: attrs.tau, flops };
  const first: PoolProblem = { ...problem, kernel: 'pool/softmaxWindows', source: g };
  const operands: Operand[] = [reads('source', g), writes('c', windows), reads('aux', x)];
  return [
    {
      kernel: first.kernel,
      variant: windowName(attrs),
      code: link(first.kernel),
      operands,
      parameters: poolParameters(first, windows),
      workgroups: poolGrid(g.shape),
      flops,
      bytes: operandBytes(operands),
    },
    ...lowerPool({ ...problem, kernel: 'pool/softmaxGather', source: windows }, group),
  ];
};

export const lowerAvgPool2d: Lowering<'avgPool2d'> = (node, group) => {
  const [x, y] = [node.inputs[0]!, node.outputs[0]!];
  const flops = opTable.avgPool2d.flops(node);
  return lowerPool(
    { kernel: 'pool/averagePool', shape: x.shape, pooled: y.shape, attrs: node.attrs, source: x, flops },
    group,
  );
};

export const lowerAvgPool2dBackward: Lowering<'avgPool2dBackward'> = (node, group) => {
  const { attrs, inputs } = node;
  const g = inputs[0]!;
  const flops = opTable.avgPool2dBackward.flops(node);
  return lowerPool(
    { kernel: 'pool/averagePoolBackward', shape: attrs.inputShape, pooled: g.shape, attrs, source: g, flops },
    group,
  );
};

export const lowerAdaptiveAvgPool2d: Lowering<'adaptiveAvgPool2d'> = (node, group) => {
  const [x, y] = [node.inputs[0]!, node.outputs[0]!];
  const flops = opTable.adaptiveAvgPool2d.flops(node);
  return lowerPool({ kernel: 'pool/averagePool', shape: x.shape, pooled: y.shape, source: x, flops }, group);
};

export const lowerAdaptiveAvgPool2dBackward: Lowering<'adaptiveAvgPool2dBackward'> = (node, group) => {
  const g = node.inputs[0]!;
  const flops = opTable.adaptiveAvgPool2dBackward.flops(node);
  return lowerPool(
    { kernel: 'pool/averagePoolBackward', shape: node.attrs.inputShape, pooled: g.shape, source: g, flops },
    group,
  );
};
