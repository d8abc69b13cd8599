import { LinbpError, check } from '../errors.js';
import { poolOutput } from '../ops/pooling.js';
import { noAxis } from './host/kernel.js';
import type { HostContext, HostInputs } from './host/kernel.js';

/*
 * Geometry of convolutions, poolings and resizing: attributes of every opset in one form.
 */

/** A window over the spatial axes of [N, C, ...]. */
export interface WindowGeometry {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  /** Before and after, per spatial axis. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly ceilMode: boolean;
  readonly output: readonly number[];
}

/** What `auto_pad` or `pads` mean for a window. */
function padding(
  spatial: readonly number[],
  kernel: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
  { attributes }: HostContext,
): { before: number[]; after: number[] } {
  const mode = attributes.text('auto_pad', 'NOTSET');
  if (mode === 'SAME_UPPER' || mode === 'SAME_LOWER') {
    const total = spatial.map((size, i) => {
      const out = Math.ceil(size / stride[i]!);
      return Math.max(0, (out - 1) * stride[i]! + dilation[i]! * (kernel[i]! - 1) + 1 - size);
    });
    const small = total.map((pad) => Math.floor(pad / 2));
    const large = total.map((pad) => Math.ceil(pad / 2));
    return mode === 'SAME_UPPER' ? { before: small, after: large } : { before: large, after: small };
  }
  const pads = mode === 'VALID' ? undefined : attributes.ints('pads');
  const rank = spatial.length;
  const all = pads ?? new Array<number>(2 * rank).fill(0);
  check(all.length === 2 * rank, 'bad-file', `${all.length} pads for ${rank} axes`);
  return { before: all.slice(0, rank), after: all.slice(rank) };
}

/** The geometry of a convolution's or a pooling's window over `shape`. Throws `bad-shape` where it does not fit. */
export function windowGeometry(
  shape: readonly number[],
  kernelShape: readonly number[],
  context: HostContext,
): WindowGeometry {
  const { attributes } = context;
  const spatial = shape.slice(2);
  const rank = spatial.length;
  const kernel = attributes.ints('kernel_shape') ?? kernelShape;
  const stride = attributes.ints('strides') ?? new Array<number>(rank).fill(1);
  const dilation = attributes.ints('dilations') ?? new Array<number>(rank).fill(1);
  check(
    [kernel, stride, dilation].every((values) => values.length === rank && values.every((value) => value >= 1)),
    'bad-shape',
    `a window of ${kernel.join('x')} (strides ${stride.join(', ')}) over [${shape.join(', ')}]`,
  );
  const { before, after } = padding(spatial, kernel, stride, dilation, context);
  const ceilMode = attributes.int('ceil_mode', 0) === 1;
  const output = spatial.map((size, i) =>
    poolOutput(size, dilation[i]! * (kernel[i]! - 1) + 1, stride[i]!, before[i]!, after[i]!, ceilMode),
  );
  check(
    output.every((size) => size > 0),
    'bad-shape',
    `a window of ${kernel.join('x')} does not fit [${shape.join(', ')}]`,
  );
  return { kernel, stride, dilation, before, after, ceilMode, output };
}

/** Geometry of a transposed convolution: what the convolution that it transposes would have. */
export function transposedGeometry(
  shape: readonly number[],
  kernelShape: readonly number[],
  context: HostContext,
): WindowGeometry {
  const { attributes } = context;
  const spatial = shape.slice(2);
  const rank = spatial.length;
  const ones = new Array<number>(rank).fill(1);
  const kernel = attributes.ints('kernel_shape') ?? kernelShape;
  const stride = attributes.ints('strides') ?? ones;
  const dilation = attributes.ints('dilations') ?? ones;
  const extra = attributes.ints('output_padding') ?? new Array<number>(rank).fill(0);
  const mode = attributes.text('auto_pad', 'NOTSET');
  const wanted =
    attributes.ints('output_shape')?.slice(-rank) ??
    (mode.startsWith('SAME') ? spatial.map((size, i) => size * stride[i]!) : undefined);
  const natural = spatial.map((size, i) => stride[i]! * (size - 1) + extra[i]! + (kernel[i]! - 1) * dilation[i]! + 1);
  const pads = attributes.ints('pads') ?? new Array<number>(2 * rank).fill(0);
  const total = wanted?.map((size, i) => Math.max(0, natural[i]! - size));
  const small = total?.map((pad) => Math.floor(pad / 2));
  const large = total?.map((pad) => Math.ceil(pad / 2));
  const upper = mode === 'SAME_UPPER';
  const before = (upper ? small : large) ?? pads.slice(0, rank);
  const after = (upper ? large : small) ?? pads.slice(rank);
  const output = wanted ?? natural.map((size, i) => size - before[i]! - after[i]!);
  check(
    output.every((size) => size > 0),
    'bad-shape',
    `a transposed window of ${kernel.join('x')} does not fit [${shape.join(', ')}]`,
  );
  return { kernel, stride, dilation, before, after, ceilMode: false, output };
}

/** One axis of a resize. */
export interface AxisResize {
  readonly output: number;
  /** Output size over input size, as the coordinates use it. */
  readonly scale: number;
}

/** How a Resize or Upsample node maps coordinates. */
export interface ResizeGeometry {
  readonly axes: readonly AxisResize[];
  readonly mode: string;
  readonly coordinates: string;
  readonly nearest: string;
}

/** Reads a Resize (opset 10 on) or Upsample node. Throws `unsupported` for cubic interpolation and cropping. */
export function resizeGeometry(inputs: HostInputs, context: HostContext, shape: readonly number[]): ResizeGeometry {
  const { node, attributes } = context;
  const old = node.op === 'Upsample' || node.opset < 11;
  const at = old ? 1 : 2;
  const scalesInput = inputs[at];
  const scales =
    scalesInput !== undefined && scalesInput.data.length > 0 ? [...scalesInput.data] : attributes.floats('scales');
  const sizes = old || inputs[3] === undefined ? undefined : [...inputs[3].data];
  const mode = attributes.text('mode', 'nearest').replace('bilinear', 'linear');
  const coordinates = old ? 'asymmetric' : attributes.text('coordinate_transformation_mode', 'half_pixel');
  check(mode === 'nearest' || mode === 'linear', 'unsupported', `resizing with the mode ${mode}`);
  check(coordinates !== 'tf_crop_and_resize', 'unsupported', 'resizing with tf_crop_and_resize');
  check(attributes.int('antialias', 0) === 0, 'unsupported', 'resizing with antialias');
  const policy = attributes.text('keep_aspect_ratio_policy', 'stretch');
  const which = attributes.ints('axes') ?? shape.map((_, axis) => axis);
  check(scales !== undefined || sizes !== undefined, 'unsupported', 'a size that depends on the pixels');
  const axes = shape.map((size): AxisResize => ({ output: size, scale: 1 }));
  const ratios = sizes?.map((wanted, i) => wanted / (shape.at(which[i] ?? 0) ?? 1)) ?? [];
  const common = policy === 'stretch' ? undefined : policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
  which.forEach((raw, i) => {
    const axis = raw < 0 ? raw + shape.length : raw;
    const size = shape[axis];
    const scale = sizes === undefined ? scales?.[i] : common;
    const exact = (size ?? 0) * (scale ?? 0);
    const output =
      scale === undefined ? sizes?.[i] : common === undefined ? Math.floor(exact + 1e-6) : Math.floor(exact + 0.5);
    if (size === undefined) throw new LinbpError('bad-file', noAxis(raw, shape.length));
    check(output !== undefined, 'bad-file', `there is neither a scale nor a size for axis ${axis}`);
    check(output > 0, 'bad-shape', `axis ${axis} of size ${size} would be resized to ${output}; sizes must be above 0`);
    axes[axis] = { output, scale: scale ?? output / size };
  });
  const nearest = old ? 'floor' : attributes.text('nearest_mode', 'round_prefer_floor');
  return { axes, mode, coordinates, nearest };
}

/** Where output position `i` lies in the input, in pixels. */
export function sourceCoordinate(i: number, size: number, { output, scale }: AxisResize, coordinates: string): number {
  switch (coordinates) {
    case 'half_pixel':
      return (i + 0.5) / scale - 0.5;
    case 'half_pixel_symmetric': {
      const adjustment = output / (scale * size);
      return (size / 2) * (1 - adjustment) + (i + 0.5) / scale - 0.5;
    }
    case 'pytorch_half_pixel':
      return output > 1 ? (i + 0.5) / scale - 0.5 : 0;
    case 'align_corners':
      return scale * size === 1 ? 0 : (i * (size - 1)) / (scale * size - 1);
    case 'asymmetric':
      return i / scale;
    default:
      throw new LinbpError('unsupported', `resizing with the coordinates ${coordinates}`);
  }
}

/** The input positions that an output position is made of, with their weights. */
export function resizeTaps(
  i: number,
  size: number,
  axis: AxisResize,
  { mode, coordinates, nearest }: ResizeGeometry,
): readonly (readonly [position: number, weight: number])[] {
  const x = sourceCoordinate(i, size, axis, coordinates);
  const inside = (position: number): number => Math.min(Math.max(position, 0), size - 1);
  if (axis.output === size && axis.scale === 1) return [[i, 1]];
  if (mode === 'nearest') {
    const rounded =
      nearest === 'floor'
        ? Math.floor(x)
        : nearest === 'ceil'
          ? Math.ceil(x)
          : nearest === 'round_prefer_ceil'
            ? Math.floor(x + 0.5)
            : Math.ceil(x - 0.5);
    return [[inside(rounded), 1]];
  }
  const low = Math.floor(x);
  const share = x - low;
  return [
    [inside(low), 1 - share],
    [inside(low + 1), share],
  ];
}
