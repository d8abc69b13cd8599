import { elementCount, pixelCount } from '../graph/types.js';
import type { ElementwiseFunction, Node, Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import { link } from './link.js';
import { lowerMap } from './map.js';
import type { Lowering, Operand } from './types.js';

/** Invocations of a workgroup that reduces a channel: few where there is little to sum. */
const lanesFor = (shape: readonly number[]): number => (shape[0]! * pixelCount(shape) > 1024 ? 256 : 64);

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
  const asMap: Node<'map'> = { ...node, op: 'map', attrs: { fn: scaleShiftFunction, scalars: [node.attrs.epsilon], targets: ['new', 'new'] } };
  return lowerMap(asMap, group, context);
};

export const lowerBatchNormStatistics: Lowering<'batchNormStatistics'> = (node) => {
  const [x, gamma] = node.inputs as [Tensor, Tensor];
  const [mean, variance, scale] = node.outputs as [Tensor, Tensor, Tensor];
  const [batch, channels] = x.shape as [number, number];
  const operands: Operand[] = [reads('x', x), reads('gamma', gamma), writes('mean', mean), writes('variance', variance), writes('scale', scale)];
  return [
    {
      kernel: 'reduce/channelStatistics',
      variant: '',
      code: link('reduce/channelStatistics', { constants: { LANES: lanesFor(x.shape) } }),
      operands,
      parameters: [
        ...words({ batch, channels, pixels: pixelCount(x.shape) }),
        ...bases(operands),
        { name: 'epsilon', type: 'f32', value: node.attrs.epsilon },
      ],
      workgroups: foldGrid(channels),
      flops: opTable.batchNormStatistics.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};

const uncentred = 'fn centreOf(channel: u32) -> f32 { return 0.0; }\n';

export const lowerChannelSums: Lowering<'channelSums'> = (node) => {
  const [g, x, centre] = node.inputs as [Tensor, Tensor, Tensor | undefined];
  const [batch, channels] = g.shape as [number, number];
  const operands: Operand[] = [
    reads('g', g),
    reads('x', x),
    writes('products', node.outputs[0]!),
    writes('sums', node.outputs[1]!),
    ...(centre === undefined ? [] : [reads('centre', centre)]),
  ];
  return [
    {
      kernel: 'reduce/channelSums',
      variant: centre === undefined ? '' : 'centred',
      code: link('reduce/channelSums', {
        constants: { LANES: lanesFor(g.shape) },
        regions: centre === undefined ? { centre: uncentred } : {},
      }),
      operands,
      parameters: [
        ...words({ batch, channels, pixels: elementCount(g.shape) / (batch * channels) }),
        ...bases(operands),
        ...(centre === undefined ? words({ centreBase: 0 }) : []),
      ],
      workgroups: foldGrid(channels),
      flops: opTable.channelSums.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};
