import type { Graph } from '../../graph/graph.js';
import type { Pair, Padding, Tensor } from '../../graph/types.js';
import type { WindowGeometry } from '../windows.js';
import { alongAxis, binary } from './emitContext.js';
import type { EmitContext } from './emitContext.js';
import type { Step } from './steps.js';

/*
 * Windows over images. The engine's convolutions take any padding; its poolings take what PyTorch's take, and others
 * are composed: an average is separable, a maximum over dilated windows is the maximum of shifted slices.
 */

const pairOf = (values: readonly number[]): Pair => [values[0]!, values[1]!];
const sidesOf = ({ before, after }: WindowGeometry): Padding => [before[0]!, before[1]!, after[0]!, after[1]!];

/** An image with what a convolution cannot take as padding cut or added in front. */
function withoutNegative(graph: Graph, x: Tensor, window: WindowGeometry): { x: Tensor; padding: Padding } {
  const padding = sidesOf(window);
  if (padding.every((size) => size >= 0)) return { x, padding };
  const cut = padding.map((size) => Math.max(0, -size)) as unknown as Padding;
  const [top, left, bottom, right] = cut;
  const inner = graph.one('slice', [x], {
    start: [0, 0, top, left],
    step: [1, 1, 1, 1],
    size: [x.shape[0]!, x.shape[1]!, x.shape[2]! - top - bottom, x.shape[3]! - left - right],
  });
  return { x: inner, padding: padding.map((size) => Math.max(0, size)) as unknown as Padding };
}

export function emitConv(step: Step<'conv'>, { graph, tensor }: EmitContext): Tensor {
  const { window, groups } = step.attributes;
  const { x, padding } = withoutNegative(graph, tensor(0), window);
  const operands = step.inputs.slice(1).map((_, i) => tensor(i + 1));
  const attrs = { stride: pairOf(window.stride), padding, dilation: pairOf(window.dilation), groups };
  return graph.one('conv2d', [x, ...operands], attrs);
}

/**
 * A transposed convolution: the input spread out by its strides, padded, and convolved with the turned kernel
 * (V. Dumoulin, F. Visin, 2016, relationship 14).
 */
export function emitConvTranspose(step: Step<'convTranspose'>, { graph, tensor, target }: EmitContext): Tensor {
  const { window, groups } = step.attributes;
  const x = tensor(0);
  const weight = step.inputs[1]!;
  if (weight.kind === 'data') throw new Error('the weight is constant');
  const [inputs, per] = weight.tensor.shape as [number, number];
  const [kh, kw] = window.kernel as [number, number];
  const inner = inputs / groups;
  const turned = new Float64Array(weight.tensor.data.length);
  for (let o = 0; o < per * groups; o++)
    for (let c = 0; c < inner; c++)
      for (let tap = 0; tap < kh * kw; tap++) {
        const from = ((Math.floor(o / per) * inner + c) * per + (o % per)) * kh * kw + (kh * kw - 1 - tap);
        turned[(o * inner + c) * kh * kw + tap] = weight.tensor.data[from]!;
      }
  const full = { type: weight.tensor.type, shape: [per * groups, inner, kh, kw], data: turned };
  const w = target.constant(full);
  const spatial = x.shape.slice(2);
  const before = [0, 1].map((i) => window.dilation[i]! * (window.kernel[i]! - 1) - window.before[i]!);
  // Whatever the output still lacks comes behind: output padding and uneven strides.
  const after = [0, 1].map(
    (i) =>
      window.output[i]! +
      window.dilation[i]! * (window.kernel[i]! - 1) -
      before[i]! -
      ((spatial[i]! - 1) * window.stride[i]! + 1),
  );
  const spread = graph.one('pad', [x], {
    before: [0, 0, Math.max(0, before[0]!), Math.max(0, before[1]!)],
    after: [0, 0, Math.max(0, after[0]!), Math.max(0, after[1]!)],
    between: [0, 0, window.stride[0]! - 1, window.stride[1]! - 1],
    value: 0,
  });
  const rest: WindowGeometry = {
    ...window,
    stride: [1, 1],
    before: before.map((size) => Math.min(0, size)),
    after: after.map((size) => Math.min(0, size)),
  };
  const { x: cut, padding } = withoutNegative(graph, spread, rest);
  const bias = step.inputs.length > 2 ? [tensor(2)] : [];
  return graph.one('conv2d', [cut, w, ...bias], {
    stride: [1, 1],
    padding,
    dilation: pairOf(window.dilation),
    groups,
  });
}

const smallest = -3.4028234663852886e38;

export function emitMaxPool(step: Step<'maxPool'>, { graph, tensor }: EmitContext): Tensor {
  const { window } = step.attributes;
  const x = tensor(0);
  const { kernel, stride, dilation, before, after, ceilMode, output } = window;
  const half = [0, 1].every((i) => before[i]! <= kernel[i]! / 2 && after[i]! <= kernel[i]! / 2);
  if (half && dilation.every((each) => each === 1)) {
    const attrs = { kernel: pairOf(kernel), stride: pairOf(stride), padding: sidesOf(window), ceilMode };
    return graph.add('maxPool2d', [x], attrs)[0]!;
  }
  const reach = [0, 1].map((i) => (output[i]! - 1) * stride[i]! + dilation[i]! * (kernel[i]! - 1) + 1);
  const padded = graph.one('pad', [x], {
    before: [0, 0, before[0]!, before[1]!],
    after: [0, 0, ...[0, 1].map((i) => Math.max(0, reach[i]! - before[i]! - x.shape[i + 2]!))],
    between: [0, 0, 0, 0],
    value: smallest,
  });
  const taps = Array.from({ length: kernel[0]! * kernel[1]! }, (_, tap) =>
    graph.one('slice', [padded], {
      start: [0, 0, Math.floor(tap / kernel[1]!) * dilation[0]!, (tap % kernel[1]!) * dilation[1]!],
      step: [1, 1, stride[0]!, stride[1]!],
      size: [x.shape[0]!, x.shape[1]!, output[0]!, output[1]!],
    }),
  );
  return taps.reduce((a, b) => binary(graph, 'max', a, b));
}

/** One row per output: the pixels of its window, each with its share of the average. */
function averageRows(window: WindowGeometry, i: number, size: number, includePad: boolean): [number, number][][] {
  const { kernel, stride, dilation, before, after, output } = window;
  return Array.from({ length: output[i]! }, (_, at) => {
    const start = at * stride[i]! - before[i]!;
    const taps = Array.from({ length: kernel[i]! }, (__, k) => start + k * dilation[i]!);
    const inside = taps.filter((pixel) => pixel >= 0 && pixel < size);
    const counted = includePad ? taps.filter((pixel) => pixel < size + after[i]!) : inside;
    return inside.map((pixel) => [pixel, 1 / counted.length]);
  });
}

export function emitAveragePool(step: Step<'averagePool'>, { graph, tensor }: EmitContext): Tensor {
  const { window, includePad } = step.attributes;
  const x = tensor(0);
  const { kernel, stride, dilation, before, after, ceilMode } = window;
  const unpadded = [...before, ...after].every((size) => size === 0);
  const half = [0, 1].every((i) => before[i]! <= kernel[i]! / 2 && after[i]! <= kernel[i]! / 2);
  if (dilation.every((each) => each === 1) && half && !ceilMode && (includePad || unpadded)) {
    const attrs = { kernel: pairOf(kernel), stride: pairOf(stride), padding: sidesOf(window), ceilMode };
    return graph.one('avgPool2d', [x], attrs);
  }
  const rows = alongAxis(graph, x, 2, averageRows(window, 0, x.shape[2]!, includePad));
  return alongAxis(graph, rows, 3, averageRows(window, 1, x.shape[3]!, includePad));
}
