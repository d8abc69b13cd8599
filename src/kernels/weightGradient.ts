import { elementCount, imagePitch } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { choose } from './choice.js';
import { isDepthwise } from '../graph/convolution.js';
import { lowerDepthwiseWeightGradient } from './depthwise.js';
import type { TuningProblem } from './problem.js';
import { strategies, weightProducts } from './products.js';
import { imagesOf, sliceLength } from './slice.js';
import { inFours } from './staging.js';
import { isPointwise } from './tiles.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, Lowering, LoweringContext } from './types.js';
import type { WeightProblem } from './weightProblem.js';
import { widthOf } from './weightStrategy.js';
import type { WeightProduct } from './weightStrategy.js';

/** What decides how fast a weight gradient runs; see {@link TuningProblem}. */
function tuningProblem(product: WeightProduct, batch: number, kernels: TuningProblem['kernels']): TuningProblem {
  const problem = product.slices[0]!;
  const { rows, columns, groups, taps, linesPerImage, pixels, lines, aStrides, attrs } = problem;
  const perImage = aStrides.batch === 0 ? '' : ` lines${linesPerImage}x${pixels}`;
  const mode = [
    ...(attrs.stride.some((by) => by !== 1) ? [`step${attrs.stride.join('x')}`] : []),
    ...(attrs.padding.some((size) => size !== 0) ? ['padded'] : []),
    ...(groups === 1 ? [] : [`groups${groups}`]),
  ];
  return {
    layer: [`weights ${rows}x${columns} taps${taps.join('x')}${perImage}`, ...mode].join(' '),
    batch,
    kernels,
    writesMask: false,
    rows,
    width: widthOf(product),
    taps: taps[1],
    image: taps[0] * taps[1],
    lines,
  };
}

/** Lowers a weight gradient with the kernel and tile that the device's table or the usual rules choose. */
function lowerWeightProduct(product: WeightProduct, batch: number, group: Group, context: LoweringContext): Dispatch[] {
  const { device } = context;
  const suiting = strategies(weightProducts, device).filter((strategy) => strategy.suits(product, device));
  const tuning = tuningProblem(
    product,
    batch,
    suiting.map(({ name }) => name),
  );
  const { strategy, choice } = choose(product, suiting, tuning, device);
  const dispatches = strategy.lower(product, choice, group, context);
  return dispatches.map((dispatch) =>
    dispatch.kernel === strategy.name ? { ...dispatch, tuning: { problem: tuning, choice } } : dispatch,
  );
}

export const lowerConv2dWeightGradient: Lowering<'conv2dWeightGradient'> = (node, group, context) => {
  const [g, x] = node.inputs as [Tensor, Tensor];
  const { groups, weightShape } = node.attrs;
  const [outputs, inner, kh, kw] = weightShape as [number, number, number, number];
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const [, , oh, ow] = g.shape as [number, number, number, number];
  if (isDepthwise(node.attrs, channels, weightShape)) {
    return lowerDepthwiseWeightGradient(g, x, node.attrs, weightShape, node.outputs as [Tensor, Tensor?], context);
  }
  const flat = isPointwise(node.attrs, [kh, kw]);
  const length = sliceLength([g, x], batch, context.device.maxBindingBytes) || 1;
  const slices: WeightProblem[] = [];
  for (let first = 0; first < batch; first += length) {
    const count = Math.min(length, batch - first);
    slices.push({
      g: count === batch ? g : imagesOf(g, first, count),
      x: count === batch ? x : imagesOf(x, first, count),
      rows: outputs / groups,
      columns: inner * kh * kw,
      groups,
      lines: flat ? count : count * oh,
      linesPerImage: flat ? 1 : oh,
      pixels: flat ? oh * ow : ow,
      taps: [kh, kw],
      source: flat ? [1, height * width] : [height, width],
      attrs: node.attrs,
      aStrides: { batch: imagePitch(g), row: oh * ow, line: ow, pixel: 1 },
      bStrides: { batch: imagePitch(x), channel: height * width, h: width, w: 1 },
      aStart: 0,
      flops: 2 * (elementCount(g.shape) / batch) * count * inner * kh * kw,
    });
  }
  return lowerWeightProduct({ slices, outputs: node.outputs as [Tensor, Tensor?] }, batch, group, context);
};

export const lowerLinearWeightGradient: Lowering<'linearWeightGradient'> = (node, group, context) => {
  const [g, x] = node.inputs as [Tensor, Tensor];
  const [batch, outputs] = g.shape as [number, number];
  const inputs = x.shape[1]!;
  const [weight, bias] = node.outputs as [Tensor, Tensor?];
  // A weight larger than a binding is made in blocks of rows.
  const length = sliceLength([weight], outputs, context.device.maxBindingBytes) || 1;
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < outputs; first += length) {
    const rows = Math.min(length, outputs - first);
    const whole = rows === outputs;
    const weightPart = whole ? weight : imagesOf(weight, first, rows);
    const problem: WeightProblem = {
      g,
      x,
      rows,
      columns: inputs,
      groups: 1,
      lines: 1,
      linesPerImage: 1,
      pixels: batch,
      taps: [1, 1],
      source: [1, batch],
      attrs: { stride: [1, 1], dilation: [1, 1], padding: [0, 0, 0, 0] },
      aStrides: { batch: 0, row: 1, line: 0, pixel: outputs },
      bStrides: { batch: 0, channel: 1, h: 0, w: inputs },
      aStart: first,
      storesFours: inFours(bindingBase(weightPart)),
      flops: 2 * batch * rows * inputs,
    };
    const biasPart = bias === undefined || whole ? bias : imagesOf(bias, first, rows);
    const parts: [Tensor, Tensor?] = [weightPart];
    if (biasPart !== undefined) parts.push(biasPart);
    dispatches.push(...lowerWeightProduct({ slices: [problem], outputs: parts }, batch, group, context));
  }
  return dispatches;
};
