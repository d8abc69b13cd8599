import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { randomStreams } from '../random/philox.js';
import { elementwiseMap, pointInBall } from './stages.js';
import type { GradientStage, RandomDraw, StageContext, TransformStage } from './stages.js';

/*
 * Stages of the attacks that transfer: what the network is queried at, and how its gradient is smoothed. Random
 * numbers are drawn for each sample and step, so results do not depend on the batch.
 */

const uniformNoise: ElementwiseFunction = {
  name: 'uniformNoise',
  inputs: ['u'],
  scalars: ['radius'],
  results: ['(2.0 * u - 1.0) * radius'],
  reference: (u, radius) => [(2 * u! - 1) * radius!],
};

/**
 * The gradient is taken at x + U(-eps, eps), not clipped and not kept: what the NeurIPS paper's code calls PGD. With an
 * L2 or L1 ball it is taken at a uniform point of the ball of that radius around x.
 */
export const noisyQuery: TransformStage = (stage, iterate) => {
  const { graph, sampleIds, seed, query, radius, norm } = stage;
  const stream = randomStreams.inputTransform;
  if (norm !== 'linf')
    return pointInBall(stage, iterate, [
      { stream, step: query },
      { stream: randomStreams.queryLength, step: query },
    ]);
  const uniform = graph.one('random', [sampleIds], {
    shape: iterate.shape,
    distribution: 'uniform',
    stream,
    seed,
    step: query,
  });
  return graph.one('add', [iterate, elementwiseMap(graph, uniformNoise, [uniform], [radius])], {});
};

/**
 * Side of the padded image for a side of the input: 40 for 32 and 256 for 224 as in the NeurIPS paper's code, else a
 * tenth more.
 */
export const paddedSide = (side: number): number => ({ 32: 40, 224: 256 })[side] ?? Math.floor(1.1 * side);

/**
 * Input diversity (C. Xie et al., "Improving transferability of adversarial examples with input diversity", 2019): in
 * half of the cases the network sees the image scaled to a random larger side, put at a random place of a frame of
 * zeros, and scaled back, each pixel the nearest. The gradient goes back through that.
 */
export function diverseInputs(
  { graph, sampleIds, seed, query }: StageContext,
  iterate: Tensor,
  key: RandomDraw = { stream: randomStreams.inputTransform, step: query },
): Tensor {
  const [, , height, width] = iterate.shape as [number, number, number, number];
  const attrs = {
    largest: [paddedSide(height), paddedSide(width)],
    probability: 0.5,
    transposed: false,
    seed,
    ...key,
  } as const;
  return graph.one('randomResizePad', [iterate, sampleIds], attrs);
}

/**
 * The kernel of {@link smoothedGradient}, row by row: products of normal densities at `size` places from -3 to 3,
 * with sum 1.
 */
export function gaussianKernel(size: number): number[] {
  const densities = Array.from({ length: size }, (_, i) => Math.exp(-0.5 * ((6 * i) / (size - 1) - 3) ** 2));
  const total = densities.reduce((sum, density) => sum + density, 0);
  return densities.flatMap((row) => densities.map((column) => (row * column) / (total * total)));
}

/**
 * Translation invariance (Y. Dong et al., "Evading defenses to transferable adversarial examples by
 * translation-invariant attacks", 2019): the gradient is smoothed by a Gaussian kernel of 5x5 pixels, or of 15x15
 * from 100 pixels a side on, with zeros around the image.
 */
export const smoothedGradient: GradientStage = ({ graph }, gradient) => {
  const [, channels, side] = gradient.shape as [number, number, number, number];
  const size = side < 100 ? 5 : 15;
  const kernel = gaussianKernel(size);
  const weight = graph.constant('smoothing', Array.from({ length: channels }, () => kernel).flat(), [
    channels,
    1,
    size,
    size,
  ]);
  const margin = (size - 1) / 2;
  return graph.one('conv2d', [gradient, weight], {
    stride: [1, 1],
    padding: [margin, margin, margin, margin],
    dilation: [1, 1],
    groups: channels,
  });
};
