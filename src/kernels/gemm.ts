import { writesMask } from '../passes/group.js';
import { byteLength, elementCount, imagePitch } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { choose } from './choice.js';
import { isDepthwise } from '../graph/convolution.js';
import { lowerDepthwise } from './depthwise.js';
import { isPadded } from './convProblem.js';
import type { ConvProblem } from './convProblem.js';
import { lowerMatrices } from './matmul.js';
import type { TuningProblem } from './problem.js';
import { convProducts, strategies } from './products.js';
import { imagesOf, sliceLength } from './slice.js';
import { isPointwise } from './tiles.js';
import type { Dispatch, Group, Lowering, LoweringContext } from './types.js';

/** What decides how fast a product runs, in words; see {@link TuningProblem}. */
function tuningProblem(problem: ConvProblem, group: Group, kernels: TuningProblem['kernels']): TuningProblem {
  const { rows, batch, inner, groups, taps, columns, step, tapStep, phases, aStrides, bStrides, cStrides } = problem;
  const mode = [
    ...(isPadded(problem) ? ['padded'] : []),
    ...(step.some((by) => by !== 1) ? [`step${step.join('x')}`] : []),
    ...(tapStep.some((by) => by !== 1) ? [`tap${tapStep.join('x')}`] : []),
    ...(phases.some((count) => count !== 1) ? [`phases${phases.join('x')}`] : []),
    ...(groups === 1 ? [] : [`groups${groups}`]),
    // which operands have neighbors in memory along the lanes or along the contraction
    `${aStrides.inner === 1 ? 'a' : 'A'}${bStrides.inner === 1 ? 'b' : 'B'}${cStrides.row === 1 ? 'c' : 'C'}`,
  ];
  return {
    layer: `product ${rows}x${inner} taps${taps.join('x')} columns${columns.join('x')} ${mode.join(' ')}`,
    batch,
    kernels,
    writesMask: group.followers.some(writesMask),
    rows,
    width: Math.ceil(columns[1] / phases[1]),
    taps: Math.ceil(taps[1] / phases[1]),
    image: columns[0] * columns[1],
    lines: 1,
  };
}

/** Lowers a product with the kernel and tile that the device's table or the usual rules choose. */
function lowerConvProblem(problem: ConvProblem, group: Group, context: LoweringContext): Dispatch[] {
  const { device } = context;
  const suiting = strategies(convProducts, device).filter((strategy) => strategy.suits(problem, device));
  const tuning = tuningProblem(
    problem,
    group,
    suiting.map(({ name }) => name),
  );
  const { strategy, choice } = choose(problem, suiting, tuning, device);
  return strategy.lower(problem, choice, group, context).map((dispatch) => ({
    ...dispatch,
    tuning: { problem: tuning, choice },
  }));
}

const finalOutput = (group: Group): Tensor => (group.followers.at(-1) ?? group.anchor).outputs[0]!;

export const lowerConv2d: Lowering<'conv2d'> = (node, group, context) => {
  const [x, w, bias] = node.inputs as [Tensor, Tensor, Tensor | undefined];
  const { stride, padding, dilation, groups } = node.attrs;
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const [outputs, inner, kh, kw] = w.shape as [number, number, number, number];
  const [batch, , oh, ow] = node.outputs[0]!.shape as [number, number, number, number];
  if (isDepthwise(node.attrs, channels, w.shape)) {
    const problem = {
      weight: w,
      source: x,
      bias,
      target: [batch, channels, oh, ow] as const,
      attrs: node.attrs,
      transposed: false,
    };
    return lowerDepthwise(problem, group, context);
  }
  const flat = isPointwise(node.attrs, [kh, kw]);
  const rows = outputs / groups;
  return lowerConvProblem(
    {
      a: w,
      b: x,
      bias,
      rows,
      batch,
      inner,
      groups,
      taps: [kh, kw],
      columns: flat ? [1, oh * ow] : [oh, ow],
      source: flat ? [1, height * width] : [height, width],
      step: stride,
      tapOrigin: [-padding[0], -padding[1]],
      tapStep: dilation,
      phases: [1, 1],
      aStrides: { row: inner * kh * kw, inner: kh * kw, tapH: kw, tapW: 1, group: rows * inner * kh * kw },
      bStrides: { batch: imagePitch(x), inner: height * width, h: width, w: 1, group: inner * height * width },
      cStrides: { batch: imagePitch(finalOutput(group)), row: oh * ow, w: 1 },
      flops: 2 * elementCount(node.outputs[0]!.shape) * inner * kh * kw,
    },
    group,
    context,
  );
};

export const lowerConv2dInputGradient: Lowering<'conv2dInputGradient'> = (node, group, context) => {
  const [g, w] = node.inputs as [Tensor, Tensor];
  const { stride, padding, dilation, groups, inputShape } = node.attrs;
  const [batch, channels, height, width] = inputShape as [number, number, number, number];
  const [outputs, rows, kh, kw] = w.shape as [number, number, number, number];
  const [, , oh, ow] = g.shape as [number, number, number, number];
  if (isDepthwise(node.attrs, channels, w.shape)) {
    const problem = {
      weight: w,
      source: g,
      bias: undefined,
      target: [batch, channels, height, width] as const,
      attrs: node.attrs,
      transposed: true,
    };
    return lowerDepthwise(problem, group, context);
  }
  const flat = isPointwise(node.attrs, [kh, kw]);
  const inner = outputs / groups;
  return lowerConvProblem(
    {
      a: w,
      b: g,
      bias: undefined,
      rows,
      batch,
      inner,
      groups,
      taps: [kh, kw],
      columns: flat ? [1, height * width] : [height, width],
      source: flat ? [1, oh * ow] : [oh, ow],
      step: [1, 1],
      tapOrigin: [padding[0], padding[1]],
      tapStep: [-dilation[0], -dilation[1]],
      phases: stride,
      aStrides: { row: kh * kw, inner: rows * kh * kw, tapH: kw, tapW: 1, group: inner * rows * kh * kw },
      bStrides: { batch: imagePitch(g), inner: oh * ow, h: ow, w: 1, group: inner * oh * ow },
      cStrides: { batch: imagePitch(finalOutput(group)), row: height * width, w: 1 },
      flops: 2 * elementCount(g.shape) * rows * kh * kw,
    },
    group,
    context,
  );
};

/** The product C [batch, channels] of strided matrices, as linear layers have it; images run along the lanes. */
interface LayerProblem {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly bias?: Tensor | undefined;
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
  readonly aStrides: { readonly row: number; readonly inner: number };
  readonly bStrides: { readonly inner: number; readonly column: number };
  /** Rows of the whole result where this product makes a block of them, from `rowStart` on. */
  readonly allRows?: number;
  readonly rowStart?: number;
  readonly accumulate?: boolean;
  readonly bStart?: number;
}

function lowerLayer(problem: LayerProblem, group: Group, context: LoweringContext): Dispatch[] {
  const { a, b, bias, rows, columns, inner, aStrides, bStrides } = problem;
  return lowerConvProblem(
    {
      a,
      b,
      bias,
      rows,
      batch: columns,
      inner,
      groups: 1,
      taps: [1, 1],
      columns: [1, 1],
      source: [1, 1],
      step: [1, 1],
      tapOrigin: [0, 0],
      tapStep: [1, 1],
      phases: [1, 1],
      aStrides: { ...aStrides, tapH: 0, tapW: 0, group: 0 },
      bStrides: { batch: bStrides.column, inner: bStrides.inner, h: 0, w: 0, group: 0 },
      cStrides: { batch: problem.allRows ?? rows, row: 1, w: 0 },
      rowStart: problem.rowStart ?? 0,
      accumulate: problem.accumulate ?? false,
      bStart: problem.bStart ?? 0,
      flops: 2 * rows * columns * inner,
    },
    group,
    context,
  );
}

/**
 * Blocks of a weight's output rows that the device can bind, a multiple of 16 rows each: usually one with all of them.
 */
function rowBlocks(
  w: Tensor,
  context: LoweringContext,
): { readonly first: number; readonly count: number; readonly weight: Tensor }[] {
  const rows = w.shape[0]!;
  if (byteLength(w) + 252 <= context.device.maxBindingBytes) return [{ first: 0, count: rows, weight: w }];
  const length = Math.max(16, Math.floor(sliceLength([w], rows, context.device.maxBindingBytes) / 16) * 16);
  return Array.from({ length: Math.ceil(rows / length) }, (_, block) => {
    const first = block * length;
    const count = Math.min(length, rows - first);
    return { first, count, weight: imagesOf(w, first, count) };
  });
}

export const lowerLinear: Lowering<'linear'> = (node, group, context) => {
  const [x, w, bias] = node.inputs as [Tensor, Tensor, Tensor | undefined];
  const [allRows, inner] = w.shape as [number, number];
  const strides = { aStrides: { row: inner, inner: 1 }, bStrides: { inner: 1, column: inner } };
  return rowBlocks(w, context).flatMap(({ first, count, weight }) =>
    lowerLayer(
      { a: weight, b: x, bias, rows: count, columns: x.shape[0]!, inner, ...strides, allRows, rowStart: first },
      group,
      context,
    ),
  );
};

export const lowerLinearInputGradient: Lowering<'linearInputGradient'> = (node, group, context) => {
  const [g, w] = node.inputs as [Tensor, Tensor];
  const [outputs, rows] = w.shape as [number, number];
  const strides = { aStrides: { row: 1, inner: rows }, bStrides: { inner: 1, column: outputs } };
  const blocks = rowBlocks(w, context);
  // Blocks of output rows are blocks of the sum: each goes on where the one before stopped, the last one finishes.
  return blocks.flatMap(({ first, count, weight }, index) => {
    const part: Group =
      index === blocks.length - 1
        ? group
        : { anchor: { ...group.anchor, outputs: [finalOutput(group)] }, followers: [], kept: [] };
    return lowerLayer(
      { a: weight, b: g, rows, columns: g.shape[0]!, inner: count, ...strides, accumulate: index > 0, bStart: first },
      part,
      context,
    );
  });
};

export const lowerMatmul: Lowering<'matmul'> = (node, group, context) =>
  lowerMatrices(node, group, lowerConvProblem, context);
