import { LinbpError, check } from '../../errors.js';
import * as geometry from '../geometry.js';
import { axisOf } from '../host/kernel.js';
import { checkConv } from '../host/layers.js';
import { fixedPrefix } from '../types.js';
import type { HostTensor } from '../types.js';
import { resizeGeometry, transposedGeometry, windowGeometry } from '../windows.js';
import type { WindowGeometry } from '../windows.js';
import { constant } from './builder.js';
import { constantAt, dataAt } from './context.js';
import type { NodeContext, NodeLowering } from './context.js';
import type { ConstantValue, DataValue, Value } from './steps.js';

/** Signals of one axis are images of one row. */
function asImage({ build }: NodeContext, x: DataValue): DataValue {
  if (x.shape.length === 4) return x;
  if (x.shape.length !== 3)
    throw new LinbpError(
      'unsupported',
      `a window over ${x.shape.length - 2} axes (${x.shape.length}-dimensional input); images have two`,
    );
  return build.reshape(x, [x.shape[0]!, x.shape[1]!, 1, x.shape[2]!], x.batch);
}

/** The same window with one row more. */
function asImageWindow(window: WindowGeometry): WindowGeometry {
  if (window.kernel.length === 2) return window;
  const first = (values: readonly number[], value: number): number[] => [value, ...values];
  return {
    kernel: first(window.kernel, 1),
    stride: first(window.stride, 1),
    dilation: first(window.dilation, 1),
    before: first(window.before, 0),
    after: first(window.after, 0),
    ceilMode: window.ceilMode,
    output: first(window.output, 1),
  };
}

const asImageWeight = (w: HostTensor): HostTensor =>
  w.shape.length === 3 ? { ...w, shape: [w.shape[0]!, w.shape[1]!, 1, w.shape[2]!] } : w;

/** Gives a result of {@link asImage} its own rank again. */
const back = ({ build }: NodeContext, y: DataValue, rank: number): DataValue =>
  rank === 4 ? y : build.reshape(y, [y.shape[0]!, y.shape[1]!, y.shape[3]!], y.batch);

function conv(context: NodeContext): readonly Value[] {
  const { build, attributes } = context;
  const x = dataAt(context, 0);
  const weight = constantAt(context, 1, 'a weight');
  const groups = attributes.int('group', 1);
  const image = asImage(context, x);
  checkConv(x.shape, weight.shape, groups);
  const window = asImageWindow(windowGeometry(x.shape, weight.shape.slice(2), context));
  const bias = context.values[2] === undefined ? [] : [constant(constantAt(context, 2, 'a bias'))];
  const operands = [constant(asImageWeight(weight)), ...bias];
  const shape = [image.shape[0]!, weight.shape[0]!, ...window.output];
  return [back(context, build.image('conv', image, operands, { window, groups }, shape), x.shape.length)];
}

function convTranspose(context: NodeContext): readonly Value[] {
  const { build, attributes } = context;
  const x = dataAt(context, 0);
  const weight = constantAt(context, 1, 'a weight');
  const groups = attributes.int('group', 1);
  const image = asImage(context, x);
  check(
    x.shape[1] === weight.shape[0] && weight.shape.length === x.shape.length,
    'bad-shape',
    `a weight [${weight.shape.join(', ')}] does not fit an input [${x.shape.join(', ')}]`,
  );
  const window = asImageWindow(transposedGeometry(x.shape, weight.shape.slice(2), context));
  const bias = context.values[2] === undefined ? [] : [constant(constantAt(context, 2, 'a bias'))];
  const operands = [constant(asImageWeight(weight)), ...bias];
  const shape = [image.shape[0]!, weight.shape[1]! * groups, ...window.output];
  return [back(context, build.image('convTranspose', image, operands, { window, groups }, shape), x.shape.length)];
}

function pool(op: 'maxPool' | 'averagePool'): NodeLowering {
  return (context) => {
    const { build, attributes, node } = context;
    const x = dataAt(context, 0);
    if (node.outputs[1] !== undefined && node.outputs[1] !== '')
      throw new LinbpError('unsupported', 'the indices of a max-pool');
    const image = asImage(context, x);
    const window = asImageWindow(windowGeometry(x.shape, [], context));
    const shape = [...image.shape.slice(0, 2), ...window.output];
    const includePad = attributes.int('count_include_pad', 0) === 1;
    const whole = window.kernel.every((size, i) => size === image.shape[i + 2] && window.output[i] === 1);
    const plain = [...window.before, ...window.after].every((size) => size === 0);
    if (whole && plain && window.dilation.every((each) => each === 1))
      return [back(context, build.reduce(image, op === 'maxPool' ? 'max' : 'mean', [2, 3], true), x.shape.length)];
    const y =
      op === 'maxPool'
        ? build.image('maxPool', image, [], { window }, shape)
        : build.image('averagePool', image, [], { window, includePad }, shape);
    return [back(context, y, x.shape.length)];
  };
}

function globalPool(kind: 'max' | 'mean'): NodeLowering {
  return (context) => {
    const x = dataAt(context, 0);
    return [context.build.reduce(x, kind, x.shape.map((_, axis) => axis).slice(2), true)];
  };
}

function batchNorm(context: NodeContext): readonly Value[] {
  const { build, attributes, node } = context;
  const x = dataAt(context, 0);
  const operands = ['a scale', 'a shift', 'a mean', 'a variance'].map((what, i) => {
    const tensor = constantAt(context, i + 1, what);
    check(
      tensor.data.length === x.shape[1],
      'bad-shape',
      `${what} of ${tensor.data.length} numbers for ${x.shape[1]} channels`,
    );
    return constant({ ...tensor, shape: [tensor.data.length] });
  });
  if (
    attributes.int('training_mode', 0) === 1 ||
    (node.opset < 7 && attributes.int('is_test', 1) === 0 && node.outputs.length > 1)
  )
    throw new LinbpError('unsupported', 'batch norm in training mode; export the model in evaluation mode');
  return [build.image('batchNorm', x, operands, { epsilon: attributes.float('epsilon', 1e-5) }, x.shape)];
}

/** A per-channel constant as one that broadcasts from axis 1 of `rank` on. */
const perChannel = (tensor: HostTensor, rank: number): HostTensor => ({
  ...tensor,
  shape: [tensor.data.length, ...new Array<number>(Math.max(rank - 2, 0)).fill(1)],
});

/** Normalizes groups of channels, then scales and shifts channels. */
function normalizeGroups(context: NodeContext, groups: number): readonly Value[] {
  const { build, attributes, node } = context;
  const x = dataAt(context, 0);
  const [n, c, ...rest] = x.shape as [number, number, ...number[]];
  const [scale, shift] = [constantAt(context, 1, 'a scale'), constantAt(context, 2, 'a shift')];
  check(c % groups === 0, 'bad-shape', `${groups} groups of ${c} channels`);
  const inner = rest.reduce((product, size) => product * size, 1) * (c / groups);
  const flat = build.reshape(x, [n, groups, inner], x.batch);
  const normal = build.layerNorm(flat, [2], attributes.float('epsilon', 1e-5));
  const spread = (tensor: HostTensor): HostTensor =>
    tensor.data.length === c || node.op === 'InstanceNormalization'
      ? tensor
      : {
          type: tensor.type,
          shape: [c],
          data: Float64Array.from({ length: c }, (_, i) => tensor.data[Math.floor((i * groups) / c)]!),
        };
  const [factor, offset] = [spread(scale), spread(shift)];
  check(
    factor.data.length === c && offset.data.length === c,
    'bad-shape',
    `scales of ${factor.data.length} for ${c} channels`,
  );
  let y: DataValue = build.reshape(normal, x.shape, x.batch);
  if (factor.data.some((value) => value !== 1))
    y = build.binary('mul', y, constant(perChannel(factor, x.shape.length)));
  if (offset.data.some((value) => value !== 0))
    y = build.binary('add', y, constant(perChannel(offset, x.shape.length)));
  return [y];
}

function layerNorm(rms: boolean): NodeLowering {
  return (context) => {
    const { build, attributes, node } = context;
    const x = dataAt(context, 0);
    const first = axisOf(attributes.int('axis', -1), x.shape.length);
    const axes = x.shape.map((_, axis) => axis).slice(first);
    const epsilon = attributes.float('epsilon', 1e-5);
    const optional = (index: number): ConstantValue | undefined =>
      context.values[index] === undefined ? undefined : constant(constantAt(context, index, 'a scale'));
    const [scale, shift] = [optional(1), optional(2)];
    // The operator has no form without a scale; ones that nothing learns are left out.
    const fixed =
      scale?.tensor.origin?.startsWith(fixedPrefix) === true && scale.tensor.data.every((each) => each === 1);
    const y = build.layerNorm(x, axes, epsilon, fixed && shift === undefined ? undefined : scale, shift, rms);
    if (node.outputs.slice(1).every((name) => name === '')) return [y];
    const mean = build.reduce(x, 'mean', axes, true);
    const squares = build.unary(rms ? x : build.binary('sub', x, mean), 'square');
    const variance = build.unary(build.reduce(squares, 'mean', axes, true), 'affine', 1, epsilon);
    return [y, mean, build.unary(variance, 'power', -0.5)];
  };
}

function meanVariance(context: NodeContext): readonly Value[] {
  const { build, attributes } = context;
  const x = dataAt(context, 0);
  const axes = (attributes.ints('axes') ?? [0, 2, 3]).map((axis) => axisOf(axis, x.shape.length));
  return [build.layerNorm(x, axes, 0)];
}

function blocks(mode: string | undefined): NodeLowering {
  return (context) => {
    const { build, attributes } = context;
    const x = dataAt(context, 0);
    const moves = geometry.blockMoves(x.shape, attributes.int('blocksize', 1), mode ?? attributes.text('mode', 'DCR'));
    const split = build.reshape(x, moves.split, x.batch);
    return [build.reshape(build.transpose(split, moves.perm), moves.shape, x.batch)];
  };
}

function resize(context: NodeContext): readonly Value[] {
  const x = dataAt(context, 0);
  for (const index of [1, 2, 3])
    if (context.values[index]?.kind === 'data')
      throw new LinbpError('unsupported', 'a size that depends on the pixels');
  return [context.build.resize(x, resizeGeometry(context.constants, context, x.shape))];
}

/** Operators over images. */
export const imageNodes: Readonly<Record<string, NodeLowering>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  MaxPool: pool('maxPool'),
  AveragePool: pool('averagePool'),
  GlobalAveragePool: globalPool('mean'),
  GlobalMaxPool: globalPool('max'),
  BatchNormalization: batchNorm,
  InstanceNormalization: (context) => normalizeGroups(context, dataAt(context, 0).shape[1]!),
  GroupNormalization: (context) => normalizeGroups(context, context.attributes.int('num_groups', 1)),
  LayerNormalization: layerNorm(false),
  RMSNormalization: layerNorm(true),
  MeanVarianceNormalization: meanVariance,
  DepthToSpace: blocks(undefined),
  SpaceToDepth: blocks('space'),
  Resize: resize,
  Upsample: resize,
  LRN: (context) => {
    const { build, attributes } = context;
    const x = dataAt(context, 0);
    const how = {
      size: attributes.int('size', 1),
      alpha: attributes.float('alpha', 1e-4),
      beta: attributes.float('beta', 0.75),
      bias: attributes.float('bias', 1),
    };
    return [build.image('lrn', x, [], how, x.shape)];
  },
};
