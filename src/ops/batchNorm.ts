import { expectFloat32Number } from '../arguments.js';
import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, Node, Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';

/*
 * Batch norm (S. Ioffe, C. Szegedy, 2015): y = gamma (x - mean) / sqrt(variance + epsilon) + beta per channel.
 *
 * With running statistics it is a per-channel line: `batchNormScaleShift` derives its two numbers from the weights,
 * and the pointwise `scaleShift` that uses them joins the epilogue of the convolution before it.
 *
 * With batch statistics, `batchNormStatistics` reads x once and `batchNormApply`, which is pointwise too, uses the
 * result. The gradient treats both as one function: with m values per channel and d = sum of g (x - mean),
 *   dbeta = sum of g,   dgamma = d / sqrt(variance + epsilon),
 *   dx = scale (g - dbeta / m - (x - mean) d / (m (variance + epsilon))),   scale = gamma / sqrt(variance + epsilon).
 */

function expectChannels(inputs: readonly Tensor[], first: number, names: readonly string[], channels: number): void {
  for (const [index, name] of names.entries()) expectInput(inputs, first + index, name, 'f32', [channels]);
}

/** Throws `bad-range` unless what is added to variances is a number from 0 in float32. */
const expectEpsilon = (epsilon: unknown): void =>
  expectFloat32Number(epsilon, 'epsilon', (value) => value >= 0, 'a finite number of at least 0');

export const batchNormScaleShift: OpDefinition<'batchNormScaleShift'> = {
  infer(inputs, { epsilon }) {
    expectEpsilon(epsilon);
    const gamma = expectInput(inputs, 0, 'weight', 'f32', 1);
    expectChannels(inputs, 1, ['bias', 'running_mean', 'running_var'], gamma.shape[0]!);
    return [f32(gamma.shape), f32(gamma.shape)];
  },
  flops: (node) => 5 * elementCount(node.outputs[0]!.shape),
  backward(ctx, node, scaleGradient) {
    const shiftGradient = ctx.outputGradient(1);
    check(
      shiftGradient !== undefined && !ctx.needs(2) && !ctx.needs(3),
      'bad-argument',
      'running statistics have no gradient',
      'running_mean',
    );
    const [, , mean, variance] = node.inputs as [Tensor, Tensor, Tensor, Tensor];
    const dgamma = ctx.graph.scope({ direction: 'weightGradient' }, () => {
      const inputs = [scaleGradient, shiftGradient, mean, variance];
      return ctx.graph.one('map', inputs, { fn: evalWeightGradient, scalars: [node.attrs.epsilon], targets: ['new'] });
    });
    return [dgamma, shiftGradient];
  },
};

const evalWeightGradient: ElementwiseFunction = {
  name: 'batchNormWeightGradient',
  inputs: ['scaleGradient', 'shiftGradient', 'mean', 'variance'],
  scalars: ['epsilon'],
  results: ['(scaleGradient - mean * shiftGradient) / sqrt(variance + epsilon)'],
  reference: (scaleGradient = 0, shiftGradient = 0, mean = 0, variance = 0, epsilon = 0) => [
    (scaleGradient - mean * shiftGradient) / Math.sqrt(variance + epsilon),
  ],
};

export const batchNormStatistics: OpDefinition<'batchNormStatistics'> = {
  infer(inputs, { epsilon }) {
    expectEpsilon(epsilon);
    const x = expectInput(inputs, 0, 'input', 'f32');
    const channels = x.shape[1]!;
    expectInput(inputs, 1, 'weight', 'f32', [channels]);
    check(
      elementCount(x.shape) > channels,
      'bad-shape',
      `batch statistics need more than one value per channel, got [${x.shape.join(', ')}]`,
      'input',
    );
    return [f32([channels]), f32([channels]), f32([channels])];
  },
  flops: (node) => 4 * elementCount(node.inputs[0]!.shape),
};

export const batchNormApply: OpDefinition<'batchNormApply'> = {
  infer(inputs) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    expectChannels(inputs, 1, ['mean', 'scale', 'bias', 'weight'], x.shape[1]!);
    check(
      inputs[1]!.producer?.op === 'batchNormStatistics',
      'bad-argument',
      'the mean must come from batchNormStatistics',
      'mean',
    );
    return [f32(x.shape)];
  },
  flops: (node) => 3 * elementCount(node.outputs[0]!.shape),
  backward(ctx, node, gradient) {
    const { graph } = ctx;
    const [x, mean, scale] = node.inputs as [Tensor, Tensor, Tensor];
    const statistics = mean.producer as unknown as Node<'batchNormStatistics'>;
    const variance = statistics.outputs[1]!;
    const { sumOfGradient, dgamma, slope, offset } = graph.scope({ direction: 'weightGradient' }, () => {
      const [centered, sumOfGradient] = graph.add('channelSums', [gradient, x, mean], {}) as [Tensor, Tensor];
      const [dgamma, slope, offset] = graph.add('map', [centered, sumOfGradient, scale, variance], {
        fn: trainCoefficients,
        scalars: [statistics.attrs.epsilon, elementCount(x.shape) / x.shape[1]!],
        targets: ['new', 'new', 'new'],
      }) as [Tensor, Tensor, Tensor];
      return { sumOfGradient, dgamma, slope, offset };
    });
    const dx = ctx.needs(0)
      ? graph.scope({ direction: 'inputGradient' }, () =>
          graph.one('batchNormInputGradient', [gradient, x, mean, scale, slope, offset], {}),
        )
      : undefined;
    // The statistics' share is in dx already, so nothing flows back through them.
    return [dx, undefined, undefined, ctx.needs(3) ? sumOfGradient : undefined, ctx.needs(4) ? dgamma : undefined];
  },
};

const trainCoefficients: ElementwiseFunction = {
  name: 'batchNormCoefficients',
  inputs: ['centered', 'sumOfGradient', 'scale', 'variance'],
  scalars: ['epsilon', 'count'],
  results: [
    'centered / sqrt(variance + epsilon)',
    '-scale * centered / ((variance + epsilon) * count)',
    '-scale * sumOfGradient / count',
  ],
  reference: (centered = 0, sumOfGradient = 0, scale = 0, variance = 0, epsilon = 0, count = 0) => [
    centered / Math.sqrt(variance + epsilon),
    (-scale * centered) / ((variance + epsilon) * count),
    (-scale * sumOfGradient) / count,
  ],
};

export const batchNormInputGradient: OpDefinition<'batchNormInputGradient'> = {
  infer(inputs) {
    const g = expectInput(inputs, 0, 'gradient', 'f32');
    expectInput(inputs, 1, 'input', 'f32', g.shape);
    expectChannels(inputs, 2, ['mean', 'scale', 'slope', 'offset'], g.shape[1]!);
    return [f32(g.shape)];
  },
  flops: (node) => 5 * elementCount(node.outputs[0]!.shape),
};

export const channelSums: OpDefinition<'channelSums'> = {
  infer(inputs) {
    const g = expectInput(inputs, 0, 'gradient', 'f32');
    const channels = g.shape[1]!;
    expectInput(inputs, 1, 'input', 'f32', g.shape);
    if (inputs.length > 2) expectInput(inputs, 2, 'center', 'f32', [channels]);
    return [f32([channels]), f32([channels])];
  },
  flops: (node) => 4 * elementCount(node.inputs[0]!.shape),
};
