import { byteLength, elementCount, imagePitch } from '../graph/types.js';
import { stripLength } from '../graph/convolution.js';
import type { ConvAttrs, Tensor } from '../graph/types.js';
import { foldGrid, operandBytes, reads, writes } from './grid.js';
import { link } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import { imagesOf, sliceLength } from './slice.js';
import { laneRegions, shareOf, signedWords, tileConstants, tileName } from './tiles.js';
import type { Tile } from './tiles.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, LoweringContext, Operand } from './types.js';
import { sumSplits } from './sumSplits.js';

/**
 * A convolution in the terms of gemm/depthwise: from `source` to `target`, which is the forward pass's input or output.
 */
interface DepthwiseProblem {
  readonly weight: Tensor;
  readonly source: Tensor;
  readonly bias: Tensor | undefined;
  readonly target: readonly [number, number, number, number];
  readonly attrs: ConvAttrs;
  readonly transposed: boolean;
}

/** First source column of a strip relative to its start, and how many the strip needs. */
function stripSource({ attrs, transposed }: DepthwiseProblem, tapsW: number): { origin: number; loads: number } {
  const [stride, dilation, padding] = [attrs.stride[1], attrs.dilation[1], attrs.padding[1]];
  const reach = (tapsW - 1) * dilation;
  if (!transposed) return { origin: -padding, loads: (stripLength - 1) * stride + reach + 1 };
  const origin = Math.floor((padding - reach) / stride);
  return { origin, loads: Math.floor((stripLength - 1 + padding) / stride) - origin + 1 };
}

/** One dispatch of gemm/depthwise, forward or input gradient. */
// eslint-disable-next-line max-lines-per-function -- mostly the table of what the kernel is told
export function lowerDepthwise(problem: DepthwiseProblem, group: Group, context: LoweringContext): Dispatch[] {
  const { weight, source, bias, target, attrs, transposed } = problem;
  const tail = epilogue(group, 4, bias);
  const [batch, channels, colsH, colsW] = target;
  const [, , sourceH, sourceW] = source.shape as [number, number, number, number];
  const [, , tapsH, tapsW] = weight.shape as [number, number, number, number];
  const [stride, dilation] = [attrs.stride[1], attrs.dilation[1]];
  const tile: Tile = {
    rows: 16,
    columns: stripLength,
    lanes: context.device.software ? 8 : 64,
    share: shareOf(context.device),
  };
  const stripsPerRow = Math.ceil(colsW / stripLength);
  const { origin, loads } = stripSource(problem, tapsW);
  const lastStrip = (stripsPerRow - 1) * stripLength;
  const lastStart = (transposed ? lastStrip / stride : lastStrip * stride) + origin;
  const flops = 2 * tapsH * tapsW * elementCount(transposed ? source.shape : target);
  return [
    {
      kernel: 'gemm/depthwise',
      variant: [`${tileName(tile)} ${tapsH}x${tapsW}/${stride}${transposed ? ' transposed' : ''}`, tail.variant]
        .filter((part) => part !== '')
        .join(' '),
      code: link('gemm/depthwise', {
        constants: {
          ...tileConstants(tile, context.device),
          TAPS_H: tapsH,
          TAPS: tapsW,
          WORDS: Math.ceil((tapsH * tapsW) / tile.share),
          STRIDE: stride,
          DILATION: dilation,
          TRANSPOSED: transposed,
          PADDING: attrs.padding[1],
          ORIGIN: origin,
          LOADS: loads,
          FIRST: Math.max(0, -origin),
          LAST: Math.max(0, Math.min(loads, sourceW - lastStart)),
        },
        regions: { ...tail.regions, ...laneRegions(tile, context.device) },
      }),
      operands: [reads('a', weight), reads('b', source), writes('c', tail.output), ...tail.operands],
      parameters: [
        ...signedWords(
          {
            ...{ channels, batch, block: tile.rows, colsH, colsW, stripsPerRow, sourceH, sourceW },
            strideH: attrs.stride[0],
            dilationH: attrs.dilation[0],
            paddingH: attrs.padding[0],
            aBase: bindingBase(weight),
            bBase: bindingBase(source),
            bBatch: imagePitch(source),
            cBase: bindingBase(tail.output),
            cBatch: imagePitch(tail.output),
          },
          ['paddingH'],
        ),
        ...tail.parameters,
      ],
      workgroups: [Math.ceil((batch * colsH * stripsPerRow) / tile.lanes), Math.ceil(channels / tile.rows), 1],
      flops: flops + tail.flops,
      bytes: byteLength(weight) + byteLength(source) + byteLength(tail.output) + tail.bytes,
    },
  ];
}

/** Invocations of a workgroup of gemm/depthwiseWeightGradient. */
const lanes = 64;

/** Weight gradient of a depthwise convolution; slices of the batch and ranges of strips are added in order. */
// eslint-disable-next-line max-lines-per-function -- mostly the table of what the kernel is told
export function lowerDepthwiseWeightGradient(
  g: Tensor,
  x: Tensor,
  attrs: ConvAttrs,
  weightShape: readonly number[],
  outputs: readonly [Tensor, Tensor?],
  context: LoweringContext,
): Dispatch[] {
  const [weight, bias] = outputs;
  const [batch, channels, colsH, colsW] = g.shape as [number, number, number, number];
  const [, , sourceH, sourceW] = x.shape as [number, number, number, number];
  const [, , tapsH, tapsW] = weightShape as [number, number, number, number];
  const { stride, dilation, padding } = attrs;
  const stripsPerRow = Math.ceil(colsW / stripLength);
  const width = tapsH * tapsW + (bias === undefined ? 0 : 1);
  const length = sliceLength([g, x], batch, context.device.maxBindingBytes) || 1;
  const wanted = Math.ceil((context.device.software ? 16 : 512) / channels);
  const slices = Array.from({ length: Math.ceil(batch / length) }, (_, index) => {
    const first = index * length;
    const count = Math.min(length, batch - first);
    const strips = count * colsH * stripsPerRow;
    const perSplit = Math.ceil(strips / Math.max(1, Math.min(wanted, Math.floor(strips / (4 * lanes)))));
    return { first, count, strips, perSplit, splits: Math.ceil(strips / perSplit) };
  });
  const splits = slices.reduce((sum, slice) => sum + slice.splits, 0);
  const partial = splits > 1 ? context.scratch(`${weight.name}.partial`, [splits, channels, width]) : undefined;
  const regions: Record<string, string> = {};
  if (partial !== undefined || bias === undefined) regions['bindings'] = '';
  if (partial !== undefined)
    regions['store'] = '  c[p.cBase + ((split + p.firstSplit) * p.channels + channel) * p.width + tap] = value;\n';
  else if (bias === undefined) regions['store'] = '  c[p.cBase + channel * (TAPS_H * TAPS) + tap] = value;\n';
  const code = link('gemm/depthwiseWeightGradient', {
    constants: {
      ...{ LANES: lanes, TAPS_H: tapsH, TAPS: tapsW, STRIDE: stride[1], DILATION: dilation[1] },
      LOADS: (stripLength - 1) * stride[1] + (tapsW - 1) * dilation[1] + 1,
    },
    regions,
  });
  let firstSplit = 0;
  const products = slices.map((slice): Dispatch => {
    const window = (tensor: Tensor): Tensor =>
      slice.count === batch ? tensor : imagesOf(tensor, slice.first, slice.count);
    const target = partial ?? weight;
    const operands: Operand[] = [reads('g', window(g)), reads('x', window(x)), writes('c', target, firstSplit > 0)];
    if (partial === undefined && bias !== undefined) operands.push(writes('biasGradient', bias));
    const dispatch: Dispatch = {
      kernel: 'gemm/depthwiseWeightGradient',
      variant: `${tapsH}x${tapsW}/${stride[1]}${slice.splits > 1 ? ` split${slice.splits}` : ''}`,
      code,
      operands,
      parameters: signedWords(
        {
          ...{
            channels,
            splits: slice.splits,
            strips: slice.strips,
            perSplit: slice.perSplit,
            colsH,
            colsW,
            stripsPerRow,
            sourceH,
            sourceW,
          },
          strideH: stride[0],
          dilationH: dilation[0],
          firstSplit,
          paddingH: padding[0],
          paddingW: padding[1],
          width,
          gBase: bindingBase(operands[0]!.tensor),
          xBase: bindingBase(operands[1]!.tensor),
          cBase: bindingBase(target),
          biasBase: bias === undefined || partial !== undefined ? 0 : bindingBase(bias),
        },
        ['paddingH', 'paddingW'],
      ),
      workgroups: foldGrid(channels * slice.splits),
      flops: 2 * tapsH * tapsW * slice.count * channels * colsH * colsW,
      bytes: operandBytes(operands),
    };
    firstSplit += slice.splits;
    return dispatch;
  });
  return partial === undefined ? products : [...products, sumSplits(partial, weight, bias, tapsH * tapsW)];
}
