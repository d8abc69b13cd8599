import { LinbpError, check } from '../../errors.js';
import * as geometry from '../geometry.js';
import type { HostTensor } from '../types.js';
import { resizeGeometry, resizeTaps, transposedGeometry, windowGeometry } from '../windows.js';
import {
  axisOf,
  broadcastShape,
  elementwise,
  expandTo,
  need,
  reshaped,
  restride,
  strides,
  tensor,
  transposed,
} from './kernel.js';
import { reduce, reducers } from './reduce.js';
import type { HostContext, HostInputs, HostKernel } from './kernel.js';

const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);

/** Calls `visit` with each pair of an input pixel and a kernel tap that meet at output pixel `index`. */
function taps(
  index: number,
  output: readonly number[],
  window: ReturnType<typeof windowGeometry>,
  spatial: readonly number[],
  visit: (pixel: number, tap: number) => void,
): void {
  const rank = output.length;
  const at = output.map((_, axis) => Math.floor(index / product(output.slice(axis + 1))) % output[axis]!);
  const total = product(window.kernel);
  for (let tap = 0; tap < total; tap++) {
    let pixel = 0;
    let rest = tap;
    let inside = true;
    let step = 1;
    for (let axis = rank - 1; axis >= 0 && inside; axis--) {
      const k = rest % window.kernel[axis]!;
      rest = Math.floor(rest / window.kernel[axis]!);
      const i = at[axis]! * window.stride[axis]! - window.before[axis]! + k * window.dilation[axis]!;
      inside = i >= 0 && i < spatial[axis]!;
      pixel += i * step;
      step *= spatial[axis]!;
    }
    if (inside) visit(pixel, tap);
  }
}

function conv(inputs: HostInputs, context: HostContext): HostTensor[] {
  const [x, w] = [need(inputs, 0), need(inputs, 1)];
  const bias = inputs[2];
  const groups = context.attributes.int('group', 1);
  checkConv(x.shape, w.shape, groups);
  const window = windowGeometry(x.shape, w.shape.slice(2), context);
  const spatial = x.shape.slice(2);
  const [pixels, area, inner] = [product(spatial), product(window.kernel), w.shape[1]!];
  const outputs = w.shape[0]!;
  const result = tensor(x.type, [x.shape[0]!, outputs, ...window.output]);
  const places = product(window.output);
  const sums = new Float64Array(outputs);
  for (let n = 0; n < x.shape[0]!; n++)
    for (let place = 0; place < places; place++) {
      for (let o = 0; o < outputs; o++) sums[o] = bias?.data[o] ?? 0;
      taps(place, window.output, window, spatial, (pixel, tap) => {
        for (let o = 0; o < outputs; o++) {
          const first = n * x.shape[1]! + Math.floor((o * groups) / outputs) * inner;
          let sum = 0;
          for (let c = 0; c < inner; c++)
            sum += x.data[(first + c) * pixels + pixel]! * w.data[(o * inner + c) * area + tap]!;
          sums[o]! += sum;
        }
      });
      for (let o = 0; o < outputs; o++) result.data[(n * outputs + o) * places + place] = sums[o]!;
    }
  return [result];
}

/** Throws `bad-shape` where a convolution's weight does not fit its input. */
export function checkConv(x: readonly number[], w: readonly number[], groups: number): void {
  const fits = x.length === w.length && x[1] === w[1]! * groups && w[0]! % groups === 0 && groups > 0;
  check(
    fits,
    'bad-shape',
    `a weight [${w.join(', ')}] with ${groups} group${groups === 1 ? '' : 's'} does not fit an input [${x.join(', ')}]`,
  );
}

function convTranspose(inputs: HostInputs, context: HostContext): HostTensor[] {
  const [x, w] = [need(inputs, 0), need(inputs, 1)];
  const groups = context.attributes.int('group', 1);
  check(x.shape[1] === w.shape[0], 'bad-shape', `a weight [${w.shape.join(', ')}] for [${x.shape.join(', ')}]`);
  const window = transposedGeometry(x.shape, w.shape.slice(2), context);
  const [per, inner] = [w.shape[1]!, x.shape[1]! / groups];
  const result = tensor(x.type, [x.shape[0]!, per * groups, ...window.output]);
  const [pixels, places, area] = [product(x.shape.slice(2)), product(window.output), product(window.kernel)];
  for (let n = 0; n < x.shape[0]!; n++)
    for (let pixel = 0; pixel < pixels; pixel++)
      taps(pixel, x.shape.slice(2), window, window.output, (place, tap) => {
        for (let o = 0; o < per * groups; o++) {
          const first = Math.floor(o / per) * inner;
          let sum = 0;
          for (let c = first; c < first + inner; c++)
            sum += x.data[(n * x.shape[1]! + c) * pixels + pixel]! * w.data[(c * per + (o % per)) * area + tap]!;
          result.data[(n * per * groups + o) * places + place]! += sum;
        }
      });
  const bias = inputs[2];
  if (bias !== undefined)
    for (let i = 0; i < result.data.length; i++)
      result.data[i]! += bias.data[Math.floor(i / places) % bias.data.length]!;
  return [result];
}

function pool(kind: 'max' | 'average', whole: boolean): HostKernel {
  return (inputs, context) => {
    const x = need(inputs, 0);
    const spatial = x.shape.slice(2);
    const window = whole
      ? {
          kernel: spatial,
          stride: spatial.map(() => 1),
          dilation: spatial.map(() => 1),
          before: spatial.map(() => 0),
          after: spatial.map(() => 0),
          ceilMode: false,
          output: spatial.map(() => 1),
        }
      : windowGeometry(x.shape, [], context);
    const includePad = context.attributes.int('count_include_pad', 0) === 1;
    const result = tensor(x.type, [...x.shape.slice(0, 2), ...window.output]);
    const [pixels, places] = [product(spatial), product(window.output)];
    // Padding counts as far as it was asked for; what ceil_mode adds behind it does not.
    const padded = spatial.map((size, axis) => size + window.before[axis]! + window.after[axis]!);
    for (let place = 0; place < places; place++) {
      let count = 0;
      if (includePad)
        taps(place, window.output, { ...window, before: spatial.map(() => 0) }, padded, () => (count += 1));
      else taps(place, window.output, window, spatial, () => (count += 1));
      for (let plane = 0; plane < x.shape[0]! * x.shape[1]!; plane++) {
        let value = kind === 'max' ? -Infinity : 0;
        taps(place, window.output, window, spatial, (pixel) => {
          const each = x.data[plane * pixels + pixel]!;
          value = kind === 'max' ? Math.max(value, each) : value + each;
        });
        result.data[plane * places + place] = kind === 'max' ? value : value / count;
      }
    }
    return [result];
  };
}

function matMul(inputs: HostInputs, _context?: HostContext): HostTensor[] {
  let [a, b] = [need(inputs, 0), need(inputs, 1)];
  const [left, right] = [a.shape.length === 1, b.shape.length === 1];
  if (left) a = reshaped(a, [1, ...a.shape]);
  if (right) b = reshaped(b, [...b.shape, 1]);
  const [m, k] = a.shape.slice(-2) as [number, number];
  const [k2, n] = b.shape.slice(-2) as [number, number];
  check(k === k2, 'bad-shape', `[${a.shape.join(', ')}] times [${b.shape.join(', ')}]`);
  const batch = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const p = expandTo(a, [...batch, m, k]);
  const q = expandTo(b, [...batch, k, n]);
  const result = tensor(a.type, [...batch, m, n]);
  for (let each = 0; each < product(batch); each++)
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let c = 0; c < k; c++) sum += p.data[(each * m + i) * k + c]! * q.data[(each * k + c) * n + j]!;
        result.data[(each * m + i) * n + j] = sum;
      }
  const shape = [...batch, ...(left ? [] : [m]), ...(right ? [] : [n])];
  return [reshaped(result, shape)];
}

function gemm(inputs: HostInputs, context: HostContext): HostTensor[] {
  const { attributes } = context;
  const flip = (x: HostTensor, name: string): HostTensor => (attributes.int(name, 0) === 1 ? transposed(x, [1, 0]) : x);
  const y = matMul([flip(need(inputs, 0), 'transA'), flip(need(inputs, 1), 'transB')])[0]!;
  const [alpha, beta] = [attributes.float('alpha', 1), attributes.float('beta', 1)];
  const c = inputs[2];
  if (c === undefined) return [elementwise([y], y.type, (v) => alpha * v)];
  return [elementwise([y, expandTo(c, y.shape)], y.type, (v, w) => alpha * v + beta * w)];
}

const reduceKernel =
  (op: string): HostKernel =>
  (inputs, context) => {
    const x = need(inputs, 0);
    const { axes, keep } = geometry.reduceOperands(inputs, context, x.shape.length);
    return [axes.length === 0 ? x : reduce(op, x, axes, keep)];
  };

/** Mean and variance over some axes, kept as ones. */
function moments(
  x: HostTensor,
  axes: readonly number[],
): { centered: HostTensor; mean: HostTensor; variance: HostTensor } {
  const mean = reduce('ReduceMean', x, axes, true);
  const centered = elementwise([x, mean], x.type, (a, b) => a - b);
  const variance = reduce(
    'ReduceMean',
    elementwise([centered], x.type, (a) => a * a),
    axes,
    true,
  );
  return { centered, mean, variance };
}

function normalizeOver(x: HostTensor, axes: readonly number[], epsilon: number): HostTensor {
  const { centered, variance } = moments(x, axes);
  return elementwise([centered, variance], x.type, (a, v) => a / Math.sqrt(v + epsilon));
}

/** y * scale + shift; both per channel or as they broadcast. */
function affine(y: HostTensor, scale: HostTensor | undefined, shift: HostTensor | undefined): HostTensor {
  const scaled = scale === undefined ? y : elementwise([y, scale], y.type, (a, b) => a * b);
  return shift === undefined ? scaled : elementwise([scaled, shift], y.type, (a, b) => a + b);
}

const perChannel = (v: HostTensor, rank: number): HostTensor =>
  reshaped(v, [v.data.length, ...new Array<number>(Math.max(rank - 2, 0)).fill(1)]);

function softmaxKernel(log: boolean): HostKernel {
  return (inputs, context) => {
    const x = need(inputs, 0);
    const rank = x.shape.length;
    const old = context.node.opset < 13;
    const axis = axisOf(context.attributes.int('axis', old ? 1 : -1), rank);
    // Before opset 13 all axes from the given one on are one.
    const axes = old ? Array.from({ length: rank - axis }, (_, i) => axis + i) : [axis];
    const top = reduce('ReduceMax', x, axes, true);
    const shifted = elementwise([x, top], x.type, (a, b) => a - b);
    const sum = reduce('ReduceSum', elementwise([shifted], x.type, Math.exp), axes, true);
    return [elementwise([shifted, sum], x.type, log ? (a, s) => a - Math.log(s) : (a, s) => Math.exp(a) / s)];
  };
}

function groupNorm(inputs: HostInputs, { attributes, node }: HostContext): HostTensor[] {
  const [x, scale, shift] = [need(inputs, 0), need(inputs, 1), need(inputs, 2)];
  const groups = attributes.int('num_groups', 1);
  const rank = x.shape.length;
  const [n, c, ...rest] = x.shape as [number, number, ...number[]];
  check(c % groups === 0, 'bad-shape', `${groups} groups of ${c} channels`);
  const grouped = reshaped(x, [n, groups, (c / groups) * product(rest)]);
  const y = reshaped(normalizeOver(grouped, [2], attributes.float('epsilon', 1e-5)), x.shape);
  const spread = (v: HostTensor): HostTensor =>
    node.opset >= 21 || v.data.length === c
      ? perChannel(v, rank)
      : perChannel(restride(v, [groups, c / groups], [1, 0]), rank);
  return [affine(y, spread(scale), spread(shift))];
}

function lrn(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const x = need(inputs, 0);
  const size = attributes.int('size', 1);
  const [alpha, beta, bias] = [
    attributes.float('alpha', 1e-4),
    attributes.float('beta', 0.75),
    attributes.float('bias', 1),
  ];
  const [, channels] = x.shape as [number, number];
  const pixels = product(x.shape.slice(2));
  const result = tensor(x.type, x.shape);
  for (let i = 0; i < x.data.length; i++) {
    const c = Math.floor(i / pixels) % channels;
    let sum = 0;
    const last = Math.min(channels - 1, c + Math.ceil((size - 1) / 2));
    for (let k = Math.max(0, c - Math.floor((size - 1) / 2)); k <= last; k++) sum += x.data[i + (k - c) * pixels]! ** 2;
    result.data[i] = x.data[i]! / (bias + (alpha / size) * sum) ** beta;
  }
  return [result];
}

function resize(inputs: HostInputs, context: HostContext): HostTensor[] {
  const x = need(inputs, 0);
  const how = resizeGeometry(inputs, context, x.shape);
  let current = x;
  how.axes.forEach((axis, i) => {
    const size = current.shape[i]!;
    if (axis.output === size && axis.scale === 1) return;
    const next = tensor(
      x.type,
      current.shape.map((each, k) => (k === i ? axis.output : each)),
    );
    const step = strides(current.shape)[i]!;
    for (let at = 0; at < next.data.length; at++) {
      const position = Math.floor(at / step) % axis.output;
      const base = Math.floor(at / (step * axis.output)) * size * step + (at % step);
      for (const [from, weight] of resizeTaps(position, size, axis, how))
        next.data[at]! += weight * current.data[base + from * step]!;
    }
    current = next;
  });
  return [current];
}

function einsum(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const ranks = inputs.map((_, i) => need(inputs, i).shape.length);
  const { terms, result: out } = geometry.einsumTerms(attributes.text('equation', ''), ranks);
  const sizes = new Map<string, number>();
  terms.forEach((term, t) => [...term].forEach((letter, axis) => sizes.set(letter, need(inputs, t).shape[axis] ?? 0)));
  const letters = [...out, ...[...sizes.keys()].filter((letter) => !out.includes(letter))];
  const full = letters.map((letter) => sizes.get(letter) ?? 0);
  const factors = terms.map((term, t) => {
    const own = strides(need(inputs, t).shape);
    const steps = letters.map((letter) =>
      [...term].reduce((sum, each, axis) => (each === letter ? sum + own[axis]! : sum), 0),
    );
    return restride(need(inputs, t), full, steps);
  });
  const all =
    factors.length === 1 ? factors[0]! : elementwise(factors, factors[0]!.type, (...v) => v.reduce((p, x) => p * x, 1));
  const summed = letters.map((_, axis) => axis).slice(out.length);
  return [summed.length === 0 ? all : reduce('ReduceSum', all, summed, false)];
}

/** Layers of networks. */
export const layerKernels: Readonly<Record<string, HostKernel>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  MaxPool: pool('max', false),
  AveragePool: pool('average', false),
  GlobalMaxPool: pool('max', true),
  GlobalAveragePool: pool('average', true),
  MatMul: matMul,
  Gemm: gemm,
  Einsum: einsum,
  LRN: lrn,
  Resize: resize,
  Upsample: resize,
  Softmax: softmaxKernel(false),
  LogSoftmax: softmaxKernel(true),
  GroupNormalization: groupNorm,
  ...Object.fromEntries(Object.keys(reducers).map((op) => [op, reduceKernel(op)])),
  BatchNormalization: (inputs, { attributes }) => {
    const x = need(inputs, 0);
    const rank = x.shape.length;
    if (attributes.int('training_mode', 0) === 1) throw new LinbpError('unsupported', 'batch norm in training mode');
    const [scale, shift, mean, variance] = [1, 2, 3, 4].map((i) => perChannel(need(inputs, i), rank));
    const epsilon = attributes.float('epsilon', 1e-5);
    const y = elementwise([x, mean!, variance!], x.type, (...v) => (v[0]! - v[1]!) / Math.sqrt(v[2]! + epsilon));
    return [affine(y, scale, shift)];
  },
  InstanceNormalization: (inputs, { attributes }) => {
    const x = need(inputs, 0);
    const axes = x.shape.map((_, axis) => axis).slice(2);
    const y = normalizeOver(x, axes, attributes.float('epsilon', 1e-5));
    return [affine(y, perChannel(need(inputs, 1), x.shape.length), perChannel(need(inputs, 2), x.shape.length))];
  },
  LayerNormalization: (inputs, { attributes }) => {
    const x = need(inputs, 0);
    const axis = axisOf(attributes.int('axis', -1), x.shape.length);
    const axes = x.shape.map((_, i) => i).slice(axis);
    const epsilon = attributes.float('epsilon', 1e-5);
    const { mean, variance } = moments(x, axes);
    const inverse = elementwise([variance], x.type, (v) => 1 / Math.sqrt(v + epsilon));
    return [affine(normalizeOver(x, axes, epsilon), need(inputs, 1), inputs[2]), mean, inverse];
  },
  RMSNormalization: (inputs, { attributes }) => {
    const x = need(inputs, 0);
    const axis = axisOf(attributes.int('axis', -1), x.shape.length);
    const axes = x.shape.map((_, i) => i).slice(axis);
    const epsilon = attributes.float('epsilon', 1e-5);
    const square = reduce(
      'ReduceMean',
      elementwise([x], x.type, (a) => a * a),
      axes,
      true,
    );
    const y = elementwise([x, square], x.type, (a, s) => a / Math.sqrt(s + epsilon));
    return [affine(y, need(inputs, 1), undefined)];
  },
  MeanVarianceNormalization: (inputs, { attributes }) => {
    const x = need(inputs, 0);
    return [normalizeOver(x, attributes.ints('axes') ?? [0, 2, 3], 0)];
  },
};
