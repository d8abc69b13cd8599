import { LinbpError, check } from '../../errors.js';
import { countOf } from '../tensors.js';
import type { HostTensor } from '../types.js';
import {
  axisOf,
  broadcastShape,
  expandTo,
  list,
  need,
  reshaped,
  restride,
  scalarOf,
  strides,
  tensor,
  transposed,
  walk,
} from './kernel.js';
import type { HostContext, HostInputs, HostKernel } from './kernel.js';
import * as geometry from '../geometry.js';

const int64s = (values: readonly number[], shape: readonly number[] = [values.length]): HostTensor => ({
  type: 'int64',
  shape,
  data: Float64Array.from(values),
});

function pad(inputs: HostInputs, context: HostContext): HostTensor[] {
  const x = need(inputs, 0);
  const rank = x.shape.length;
  const { pads, mode, value } = geometry.padOperands(inputs, context, rank);
  const begins = pads.slice(0, rank);
  const shape = x.shape.map((size, axis) => size + pads[axis]! + pads[axis + rank]!);
  const result = tensor(x.type, shape);
  const own = strides(x.shape);
  const sources = shape.map((size, axis) =>
    Array.from({ length: size }, (_, i) => geometry.padSource(i - begins[axis]!, x.shape[axis]!, mode)),
  );
  const place = strides(shape);
  walk(shape, place, (_, i) => {
    let offset = 0;
    for (let axis = 0; axis < rank; axis++) {
      const source = sources[axis]![Math.floor(i / place[axis]!) % shape[axis]!]!;
      if (source < 0) {
        result.data[i] = value;
        return;
      }
      offset += source * own[axis]!;
    }
    result.data[i] = x.data[offset]!;
  });
  return [result];
}

function slice(inputs: HostInputs, context: HostContext): HostTensor[] {
  const x = need(inputs, 0);
  const cut = geometry.sliceOperands(inputs, context, x.shape);
  const own = strides(x.shape);
  const start = cut.reduce((sum, { start: first }, axis) => sum + first * own[axis]!, 0);
  return [
    restride(
      x,
      cut.map(({ size }) => size),
      cut.map(({ step }, axis) => step * own[axis]!),
      start,
    ),
  ];
}

function concat(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const parts = inputs.map((_, i) => need(inputs, i));
  const first = parts[0]!;
  const axis = axisOf(attributes.int('axis', 1), first.shape.length);
  for (const part of parts)
    check(
      part.shape.length === first.shape.length && part.shape.every((size, i) => i === axis || size === first.shape[i]),
      'bad-shape',
      `[${part.shape.join(', ')}] and [${first.shape.join(', ')}] do not fit along axis ${axis}`,
    );
  const shape = first.shape.map((size, i) =>
    i === axis ? parts.reduce((sum, part) => sum + part.shape[i]!, 0) : size,
  );
  const result = tensor(first.type, shape);
  const outer = first.shape.slice(0, axis).reduce((product, size) => product * size, 1);
  const row = result.data.length / Math.max(outer, 1);
  let at = 0;
  for (const part of parts) {
    const width = part.data.length / Math.max(outer, 1);
    for (let i = 0; i < outer; i++) result.data.set(part.data.subarray(i * width, (i + 1) * width), i * row + at);
    at += width;
  }
  return [result];
}

function gather(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const [x, indices] = [need(inputs, 0), need(inputs, 1)];
  const axis = axisOf(attributes.int('axis', 0), x.shape.length);
  const size = x.shape[axis]!;
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  const result = tensor(x.type, shape);
  const inner = x.shape.slice(axis + 1).reduce((product, each) => product * each, 1);
  const outer = x.shape.slice(0, axis).reduce((product, each) => product * each, 1);
  let at = 0;
  for (let o = 0; o < outer; o++)
    for (const raw of indices.data) {
      const index = raw < 0 ? raw + size : raw;
      check(index >= 0 && index < size, 'bad-file', `index ${raw} of ${size}`);
      const from = (o * size + index) * inner;
      result.data.set(x.data.subarray(from, from + inner), at);
      at += inner;
    }
  return [result];
}

function gatherElements(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const [x, indices] = [need(inputs, 0), need(inputs, 1)];
  const axis = axisOf(attributes.int('axis', 0), x.shape.length);
  const own = strides(x.shape);
  const result = tensor(x.type, indices.shape);
  const steps = own.map((step, i) => (i === axis ? 0 : step));
  walk(indices.shape, steps, (offset, i) => {
    const raw = indices.data[i]!;
    const index = raw < 0 ? raw + x.shape[axis]! : raw;
    check(index >= 0 && index < x.shape[axis]!, 'bad-file', `index ${raw} of ${x.shape[axis]}`);
    result.data[i] = x.data[offset + index * own[axis]!]!;
  });
  return [result];
}

/** Elements of a tensor that rows of indices name, as GatherND and ScatterND see them. */
function rowsOf(x: HostTensor, indices: HostTensor): { offsets: number[]; inner: number } {
  const depth = indices.shape.at(-1) ?? 1;
  check(depth >= 1 && depth <= x.shape.length, 'bad-file', `indices of depth ${depth} for [${x.shape.join(', ')}]`);
  const own = strides(x.shape);
  const inner = x.shape.slice(depth).reduce((product, size) => product * size, 1);
  const offsets: number[] = [];
  for (let i = 0; i < indices.data.length; i += depth) {
    let offset = 0;
    for (let axis = 0; axis < depth; axis++) {
      const raw = indices.data[i + axis]!;
      const index = raw < 0 ? raw + x.shape[axis]! : raw;
      check(index >= 0 && index < x.shape[axis]!, 'bad-file', `index ${raw} of ${x.shape[axis]}`);
      offset += index * own[axis]!;
    }
    offsets.push(offset);
  }
  return { offsets, inner };
}

function scatterNd(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const [x, indices, updates] = [need(inputs, 0), need(inputs, 1), need(inputs, 2)];
  const reduction = attributes.text('reduction', 'none');
  check(reduction === 'none' || reduction === 'add', 'unsupported', `ScatterND with the reduction ${reduction}`);
  const { offsets, inner } = rowsOf(x, indices);
  const data = x.data.slice();
  offsets.forEach((offset, row) => {
    for (let i = 0; i < inner; i++)
      data[offset + i] = updates.data[row * inner + i]! + (reduction === 'add' ? data[offset + i]! : 0);
  });
  return [{ type: x.type, shape: x.shape, data }];
}

function gatherNd(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const [x, indices] = [need(inputs, 0), need(inputs, 1)];
  check(attributes.int('batch_dims', 0) === 0, 'unsupported', 'GatherND with batch_dims');
  const { offsets, inner } = rowsOf(x, indices);
  const result = tensor(x.type, [...indices.shape.slice(0, -1), ...x.shape.slice(indices.shape.at(-1)!)]);
  offsets.forEach((offset, row) => result.data.set(x.data.subarray(offset, offset + inner), row * inner));
  return [result];
}

function tile(inputs: HostInputs, _context: HostContext): HostTensor[] {
  const [x, repeats] = [need(inputs, 0), list(need(inputs, 1))];
  check(repeats.length === x.shape.length, 'bad-file', `${repeats.length} repeats for ${x.shape.length} axes`);
  const shape = x.shape.map((size, axis) => size * repeats[axis]!);
  countOf(shape, 'a tiled tensor');
  const split = x.shape.flatMap((size, axis) => [repeats[axis]!, size]);
  const own = strides(x.shape);
  return [
    reshaped(
      restride(
        x,
        split,
        own.flatMap((step) => [0, step]),
      ),
      shape,
    ),
  ];
}

function topK(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const x = need(inputs, 0);
  const k = inputs[1] === undefined ? attributes.int('k', 1) : scalarOf(inputs[1]);
  const axis = axisOf(attributes.int('axis', -1), x.shape.length);
  const largest = attributes.int('largest', 1) === 1;
  check(k >= 0 && k <= x.shape[axis]!, 'bad-file', `k = ${k} of ${x.shape[axis]}`);
  const shape = x.shape.map((size, i) => (i === axis ? k : size));
  const [values, places] = [tensor(x.type, shape), tensor('int64', shape)];
  const step = strides(x.shape)[axis]!;
  const outer = x.shape.slice(0, axis).reduce((product, size) => product * size, 1);
  for (let o = 0; o < outer; o++)
    for (let inner = 0; inner < step; inner++) {
      const base = o * x.shape[axis]! * step + inner;
      const order = Array.from({ length: x.shape[axis]! }, (_, i) => i).sort((p, q) => {
        const difference = x.data[base + p * step]! - x.data[base + q * step]!;
        return (largest ? -difference : difference) || p - q;
      });
      for (let i = 0; i < k; i++) {
        const at = (o * k + i) * step + inner;
        values.data[at] = x.data[base + order[i]! * step]!;
        places.data[at] = order[i]!;
      }
    }
  return [values, places];
}

function argExtreme(largest: boolean): HostKernel {
  return (inputs, { attributes }) => {
    const x = need(inputs, 0);
    const axis = axisOf(attributes.int('axis', 0), x.shape.length);
    const keep = attributes.int('keepdims', 1) === 1;
    const last = attributes.int('select_last_index', 0) === 1;
    const step = strides(x.shape)[axis]!;
    const size = x.shape[axis]!;
    const kept = tensor(
      'int64',
      x.shape.map((each, i) => (i === axis ? 1 : each)),
    );
    for (let i = 0; i < kept.data.length; i++) {
      const base = Math.floor(i / step) * size * step + (i % step);
      let best = 0;
      for (let k = 1; k < size; k++) {
        const difference = x.data[base + k * step]! - x.data[base + best * step]!;
        const better = largest ? difference > 0 : difference < 0;
        if (better || (last && difference === 0)) best = k;
      }
      kept.data[i] = best;
    }
    return [
      keep
        ? kept
        : reshaped(
            kept,
            x.shape.filter((_, i) => i !== axis),
          ),
    ];
  };
}

function range(inputs: HostInputs): HostTensor[] {
  const [start, limit, delta] = [0, 1, 2].map((i) => scalarOf(need(inputs, i))) as [number, number, number];
  const count = Math.max(0, Math.ceil((limit - start) / delta));
  check(delta !== 0, 'bad-file', `delta is 0, so that a range from ${start} to ${limit} has no end`);
  check(Number.isFinite(count), 'bad-file', `start, limit and delta must be finite, got ${start}, ${limit}, ${delta}`);
  const result = tensor(need(inputs, 0).type, [count]);
  for (let i = 0; i < count; i++) result.data[i] = start + i * delta;
  return [result];
}

function constant(_inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const value = attributes.tensor('value');
  if (value !== undefined) return [value];
  for (const [name, type, single] of [
    ['value_float', 'float32', true],
    ['value_floats', 'float32', false],
    ['value_int', 'int64', true],
    ['value_ints', 'int64', false],
  ] as const) {
    if (!attributes.has(name)) continue;
    const values = single
      ? [type === 'int64' ? attributes.int(name, 0) : attributes.float(name, 0)]
      : ((type === 'int64' ? attributes.ints(name) : attributes.floats(name)) ?? []);
    return [{ type, shape: single ? [] : [values.length], data: Float64Array.from(values) }];
  }
  throw new LinbpError('unsupported', 'a constant of strings or sparse values');
}

function trilu(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const x = need(inputs, 0);
  const k = inputs[1] === undefined ? 0 : scalarOf(inputs[1]);
  const upper = attributes.int('upper', 1) === 1;
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  const data = x.data.slice();
  for (let i = 0; i < data.length; i++) {
    const distance = (i % columns) - (Math.floor(i / columns) % rows) - k;
    if (upper ? distance < 0 : distance > 0) data[i] = 0;
  }
  return [{ type: x.type, shape: x.shape, data }];
}

function cumSum(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const x = need(inputs, 0);
  const axis = axisOf(scalarOf(need(inputs, 1)), x.shape.length);
  const size = x.shape[axis] ?? 1;
  const step = strides(x.shape)[axis] ?? 1;
  const exclusive = attributes.int('exclusive', 0) === 1;
  const reverse = attributes.int('reverse', 0) === 1;
  const data = x.data.slice();
  for (let line = 0; line < data.length / size; line++) {
    const first = Math.floor(line / step) * step * size + (line % step);
    let sum = 0;
    for (let k = 0; k < size; k++) {
      const at = first + step * (reverse ? size - 1 - k : k);
      const before = sum;
      sum += x.data[at]!;
      data[at] = exclusive ? before : sum;
    }
  }
  return [{ type: x.type, shape: x.shape, data }];
}

function dequantize(inputs: HostInputs, { attributes }: HostContext): HostTensor[] {
  const [x, scale] = [need(inputs, 0), need(inputs, 1)];
  const zero = inputs[2];
  check(attributes.int('block_size', 0) === 0, 'unsupported', 'DequantizeLinear in blocks');
  const result = tensor('float32', x.shape);
  const perAxis = scale.data.length > 1 || scale.shape.length === 1;
  const axis = perAxis && x.shape.length > 0 ? axisOf(attributes.int('axis', 1), x.shape.length) : 0;
  const step = strides(x.shape)[axis] ?? 1;
  const size = scale.data.length === 1 ? 1 : scale.data.length;
  check(size === 1 || size === x.shape[axis], 'bad-shape', `${size} scales for [${x.shape.join(', ')}]`);
  for (let i = 0; i < result.data.length; i++) {
    const channel = size === 1 ? 0 : Math.floor(i / step) % size;
    result.data[i] = (x.data[i]! - (zero?.data[channel] ?? 0)) * scale.data[channel]!;
  }
  return [{ ...result, ...(x.origin !== undefined && { origin: x.origin }) }];
}

const viewed: HostKernel = (inputs, context) => {
  const x = need(inputs, 0);
  return [reshaped(x, geometry.viewShape(x.shape, inputs, context))];
};

/** Kernels that move elements, and those that make tensors. */
export const structureKernels: Readonly<Record<string, HostKernel>> = {
  Reshape: viewed,
  Flatten: viewed,
  Squeeze: viewed,
  Unsqueeze: viewed,
  Pad: pad,
  Slice: slice,
  Concat: concat,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherNd,
  ScatterND: scatterNd,
  Tile: tile,
  TopK: topK,
  ArgMax: argExtreme(true),
  ArgMin: argExtreme(false),
  Range: range,
  Constant: constant,
  Trilu: trilu,
  CumSum: cumSum,
  DequantizeLinear: dequantize,
  Transpose: (inputs, { attributes }) => {
    const x = need(inputs, 0);
    return [transposed(x, geometry.transposeAxes(attributes.ints('perm'), x.shape.length))];
  },
  Shape: (inputs, { attributes }) => [int64s(geometry.shapeSlice(need(inputs, 0).shape, attributes))],
  Size: (inputs) => [int64s([need(inputs, 0).data.length], [])],
  Expand: (inputs) => {
    const x = need(inputs, 0);
    const shape = broadcastShape(x.shape, list(need(inputs, 1)));
    countOf(shape, 'an expanded tensor');
    return [expandTo(x, shape)];
  },
  ConstantOfShape: (inputs, { attributes }) => {
    const value = attributes.tensor('value');
    const result = tensor(value?.type ?? 'float32', list(need(inputs, 0)));
    result.data.fill(value?.data[0] ?? 0);
    return [result];
  },
  Split: (inputs, context) => {
    const x = need(inputs, 0);
    const { axis, sizes } = geometry.splitOperands(inputs, context, x.shape);
    const own = strides(x.shape);
    let start = 0;
    return sizes.map((size) => {
      const part = restride(
        x,
        x.shape.map((each, i) => (i === axis ? size : each)),
        own,
        start * own[axis]!,
      );
      start += size;
      return part;
    });
  },
  DepthToSpace: (inputs, { attributes }) => [
    rearranged(need(inputs, 0), attributes.int('blocksize', 1), attributes.text('mode', 'DCR')),
  ],
  SpaceToDepth: (inputs, { attributes }) => [rearranged(need(inputs, 0), attributes.int('blocksize', 1), 'space')],
};

function rearranged(x: HostTensor, block: number, mode: string): HostTensor {
  const { split, perm, shape } = geometry.blockMoves(x.shape, block, mode);
  return reshaped(transposed(reshaped(x, split), perm), shape);
}
