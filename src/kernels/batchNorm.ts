import { imagePitch, pixelCount } from '../graph/types.js';
import type { ElementwiseFunction, Node, Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import { shaderFragment } from './fragment.js';
import { link } from '../wgsl/link.js';
import { lowerMap } from './map.js';
import { imagesOf, sliceLength } from './slice.js';
import { inFours } from './staging.js';
import { bindingBase } from './types.js';
import type { Dispatch, KernelDevice, Lowering, Operand, UniformParameter } from './types.js';

const scaleShiftFunction: ElementwiseFunction = {
  name: 'batchNormScaleShift',
  inputs: ['gamma', 'beta', 'mean', 'variance'],
  scalars: ['epsilon'],
  prelude: '  let scale = gamma / sqrt(variance + epsilon);',
  results: ['scale', 'beta - mean * scale'],
  reference: (gamma = 0, beta = 0, mean = 0, variance = 0, epsilon = 0) => {
    const scale = gamma / Math.sqrt(variance + epsilon);
    return [scale, beta - mean * scale];
  },
};

/** Derived weights: an elementwise function over [C]. */
export const lowerBatchNormScaleShift: Lowering<'batchNormScaleShift'> = (node, group, context) => {
  const asMap: Node<'map'> = {
    ...node,
    op: 'map',
    attrs: { fn: scaleShiftFunction, scalars: [node.attrs.epsilon], targets: ['new', 'new'] },
  };
  return lowerMap(asMap, group, context);
};

/** Images of a batch that one dispatch reduces, and how it shares each channel among workgroups. */
interface ChannelSlice {
  readonly first: number;
  readonly count: number;
  /** Workgroups of a channel, and values of each but the last. */
  readonly splits: number;
  readonly perSplit: number;
  /** Number of the slice's first part among all parts of a channel. */
  readonly firstSplit: number;
}

/** Values below which a workgroup is not worth its start. */
const leastPerSplit = 4096;
/** Workgroups that keep a GPU busy; a few where the processor is the device. */
const wantedWorkgroups = (device: KernelDevice): number => (device.software ? 16 : 512);

/**
 * Parts of each channel of [N, C, ...]: several workgroups where there are few channels and many values, and no part
 * across the images that one binding holds. The parts are fixed ranges that are combined in order, so results do not
 * depend on scheduling.
 */
function channelSlices(tensors: readonly Tensor[], device: KernelDevice): ChannelSlice[] {
  const shape = tensors[0]!.shape;
  const [batch, channels] = shape as [number, number];
  const pixels = pixelCount(shape);
  const length = sliceLength(tensors, batch, device.maxBindingBytes) || 1;
  const wanted = Math.max(1, Math.ceil(wantedWorkgroups(device) / channels));
  const slices: ChannelSlice[] = [];
  let firstSplit = 0;
  for (let first = 0; first < batch; first += length) {
    const count = Math.min(length, batch - first);
    const splits = Math.max(1, Math.min(wanted, Math.floor((count * pixels) / leastPerSplit)));
    // whole fours, in which lanes may read
    const perSplit = 4 * Math.ceil((count * pixels) / splits / 4);
    slices.push({ first, count, splits: Math.ceil((count * pixels) / perSplit), perSplit, firstSplit });
    firstSplit += slices.at(-1)!.splits;
  }
  return slices;
}

const partsOf = (slices: readonly ChannelSlice[]): number => slices.at(-1)!.firstSplit + slices.at(-1)!.splits;

/** Invocations of a workgroup: few where there is little to sum. */
const lanesFor = ({ perSplit }: ChannelSlice, fours: boolean): number => (perSplit > (fours ? 4096 : 1024) ? 256 : 64);

/** Whether lanes can read the planes of these tensors four values at a time. */
const readsFours = (tensors: readonly Tensor[]): boolean =>
  tensors.every((tensor) => inFours(pixelCount(tensor.shape), imagePitch(tensor), bindingBase(tensor)));

/** The shader region that says what a lane reads at a time. */
const numberRegion = (fours: boolean): Record<string, string> =>
  fours ? { number: shaderFragment('reduce/numberFours') } : {};

/** Words of which those that count values count fours instead. */
const counted = (parameters: readonly UniformParameter[], fours: boolean): UniformParameter[] =>
  parameters.map((word) =>
    fours && /^(pixels|perSplit|[gx](Batch|Base))$/.test(word.name) ? { ...word, value: word.value / 4 } : word,
  );

const sliceOf = (tensor: Tensor, { first, count }: ChannelSlice): Tensor =>
  count === tensor.shape[0] ? tensor : imagesOf(tensor, first, count);

/** Uniform words that the two reductions begin with. */
const sliceWords = (
  shape: readonly number[],
  { count, splits, perSplit, firstSplit }: ChannelSlice,
): UniformParameter[] =>
  words({ batch: count, channels: shape[1]!, pixels: pixelCount(shape), splits, perSplit, firstSplit });

export const lowerBatchNormStatistics: Lowering<'batchNormStatistics'> = (node, _group, context) => {
  const [x, gamma] = node.inputs as [Tensor, Tensor];
  const channels = x.shape[1]!;
  const epsilon: UniformParameter = { name: 'epsilon', type: 'f32', value: node.attrs.epsilon };
  const slices = channelSlices([x], context.device);
  const parts = partsOf(slices);
  const names = ['mean', 'variance', 'scale'] as const;
  const results = names.map((name, index) =>
    parts === 1 ? node.outputs[index]! : context.scratch(`${node.outputs[index]!.name}.${name}`, [parts, channels]),
  );
  const reduce = slices.map((slice): Dispatch => {
    const written = results.map((tensor, index) => writes(names[index]!, tensor, slice.firstSplit > 0));
    const input = sliceOf(x, slice);
    const operands: Operand[] = [reads('x', input), reads('gamma', gamma), ...written];
    const fours = readsFours([input]);
    return {
      kernel: 'reduce/channelStatistics',
      variant: variantOf(fours, parts),
      code: link('reduce/channelStatistics', {
        constants: { LANES: lanesFor(slice, fours), PARTIAL: parts > 1 },
        regions: numberRegion(fours),
      }),
      operands,
      parameters: counted(
        [...sliceWords(x.shape, slice), ...words({ xBatch: imagePitch(x) }), epsilon, ...bases(operands)],
        fours,
      ),
      workgroups: foldGrid(channels * slice.splits),
      flops: (opTable.batchNormStatistics.flops(node) * slice.count) / x.shape[0]!,
      bytes: operandBytes(operands),
    };
  });
  if (parts === 1) return reduce;
  const operands = [
    ...results.map((tensor, index) => reads(['means', 'squares', 'counts'][index]!, tensor)),
    reads('gamma', gamma),
    ...node.outputs.map((tensor, index) => writes(names[index]!, tensor)),
  ];
  const merge: Dispatch = {
    kernel: 'reduce/mergeStatistics',
    variant: '',
    code: link('reduce/mergeStatistics'),
    operands,
    parameters: [...words({ channels, splits: parts }), epsilon, ...bases(operands)],
    workgroups: foldGrid(Math.ceil(channels / mergeWidth)),
    flops: 10 * parts * channels,
    bytes: operandBytes(operands),
  };
  return [...reduce, merge];
};

const variantOf = (fours: boolean, parts: number): string =>
  [fours ? 'vec4' : '', parts > 1 ? 'partial' : ''].filter((part) => part !== '').join(' ');

/** WX of reduce/mergeStatistics and reduce/mergeSums. */
const mergeWidth = 64;

const uncentered = 'fn centerOf(channel: u32) -> f32 { return 0.0; }\n';

export const lowerChannelSums: Lowering<'channelSums'> = (node, _group, context) => {
  const [g, x, center] = node.inputs as [Tensor, Tensor, Tensor | undefined];
  const [batch, channels] = g.shape as [number, number];
  const slices = channelSlices([g, x], context.device);
  const parts = partsOf(slices);
  const names = ['products', 'sums'] as const;
  const results = names.map((name, index) =>
    parts === 1 ? node.outputs[index]! : context.scratch(`${node.outputs[index]!.name}.${name}`, [parts, channels]),
  );
  const reduce = slices.map((slice): Dispatch => {
    const inputs = [sliceOf(g, slice), sliceOf(x, slice)] as const;
    const fours = readsFours(inputs);
    const operands: Operand[] = [
      reads('g', inputs[0]),
      reads('x', inputs[1]),
      ...results.map((tensor, index) => writes(names[index]!, tensor, slice.firstSplit > 0)),
      ...(center === undefined ? [] : [reads('center', center)]),
    ];
    return {
      kernel: 'reduce/channelSums',
      variant: [center === undefined ? '' : 'centered', variantOf(fours, parts)]
        .filter((part) => part !== '')
        .join(' '),
      code: link('reduce/channelSums', {
        constants: { LANES: lanesFor(slice, fours) },
        regions: { ...numberRegion(fours), ...(center === undefined ? { center: uncentered } : {}) },
      }),
      operands,
      parameters: counted(
        [
          ...sliceWords(g.shape, slice),
          ...words({ gBatch: imagePitch(g), xBatch: imagePitch(x) }),
          ...bases(operands),
          ...(center === undefined ? words({ centerBase: 0 }) : []),
        ],
        fours,
      ),
      workgroups: foldGrid(channels * slice.splits),
      flops: (opTable.channelSums.flops(node) * slice.count) / batch,
      bytes: operandBytes(operands),
    };
  });
  if (parts === 1) return reduce;
  const operands = [
    ...results.map((tensor, index) => reads(['partialProducts', 'partialSums'][index]!, tensor)),
    ...node.outputs.map((tensor, index) => writes(names[index]!, tensor)),
  ];
  const merge: Dispatch = {
    kernel: 'reduce/mergeSums',
    variant: '',
    code: link('reduce/mergeSums'),
    operands,
    parameters: [...words({ channels, splits: parts }), ...bases(operands)],
    workgroups: foldGrid(Math.ceil(channels / mergeWidth)),
    flops: 2 * parts * channels,
    bytes: operandBytes(operands),
  };
  return [...reduce, merge];
};
