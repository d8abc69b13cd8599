import { lossSeed } from '../autodiff/gradients.js';
import type { Graph } from '../graph/graph.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import type { ObjectiveTensors } from './objective.js';

const smoothLoss: ElementwiseFunction = {
  name: 'smoothedLoss',
  inputs: ['hard', 'sum'],
  scalars: ['smoothing', 'classes'],
  results: ['(1.0 - smoothing) * hard - smoothing / classes * sum'],
  reference: (hard, sum, smoothing, classes) => [(1 - smoothing!) * hard! - (smoothing! / classes!) * sum!],
};

const smoothGradient: ElementwiseFunction = {
  name: 'smoothedGradient',
  inputs: ['g', 'y'],
  scalars: ['smoothing', 'classes', 'scale'],
  results: ['(1.0 - smoothing) * g + smoothing * scale * (exp(y) - 1.0 / classes)'],
  reference: (g, y, smoothing, classes, scale) => [
    (1 - smoothing!) * g! + smoothing! * scale! * (Math.exp(y!) - 1 / classes!),
  ],
};

/**
 * Cross entropy against smoothed labels (C. Szegedy et al., CVPR 2016, section 7; PyTorch's `label_smoothing`): the
 * true class has the probability 1 - s + s / K, every other one s / K.
 *
 * @param logits f32 [N, K]
 * @param labels u32 [N]
 * @param smoothing s, above 0 and below 1
 * @param scale factor of the gradient, 1/N in training
 */
export function smoothedCrossEntropy(
  graph: Graph,
  logits: Tensor,
  labels: Tensor,
  smoothing: number,
  scale: number,
): ObjectiveTensors {
  const classes = logits.shape[1]!;
  const hard = graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
  const logProbabilities = graph.one('logSoftmax', [logits], {});
  const sum = graph.one('sampleNorm', [logProbabilities], { norm: 'sum' });
  const loss = graph.one('map', [hard, sum], { fn: smoothLoss, scalars: [smoothing, classes], targets: ['new'] });
  const { gradient } = lossSeed(graph, { loss: hard, scale });
  const attrs = { fn: smoothGradient, scalars: [smoothing, classes, scale], targets: ['new'] } as const;
  return { loss, gradient: graph.one('map', [gradient, logProbabilities], attrs) };
}

const clipFactor: ElementwiseFunction = {
  name: 'clipFactor',
  inputs: ['norm', 'scale'],
  scalars: ['most'],
  results: ['select(1.0, most * scale / norm, norm > most * scale)'],
  reference: (norm, scale, most) => [norm! > most! * scale! ? (most! * scale!) / norm! : 1],
};

const scaleInPlace: ElementwiseFunction = {
  name: 'clip',
  inputs: ['g', 'factor'],
  scalars: [],
  results: ['g * factor'],
  reference: (g, factor) => [g! * factor!],
};

/**
 * Shortens the gradients of all parameters together to a length of at most `most` (R. Pascanu et al., ICML 2013;
 * PyTorch's `clip_grad_norm_`, without its 1e-6 beside the norm). Shorter ones keep their bits.
 *
 * @param gradients f32 [P], overwritten
 * @param scale f32 [1], what the gradients are multiplied by, where their loss was scaled
 */
export function clipGradients(graph: Graph, gradients: Tensor, most: number, scale: Tensor | undefined): void {
  const whole = graph.window(gradients, 0, [1, gradients.shape[0]!], 'gradients');
  const norm = graph.one('sampleNorm', [whole], { norm: 'l2' });
  const factor =
    scale === undefined
      ? graph.one('map', [norm], { fn: withoutScale(clipFactor), scalars: [most], targets: ['new'] })
      : graph.one('map', [norm, scale], { fn: clipFactor, scalars: [most], targets: ['new'] });
  graph.add('map', [gradients, factor], { fn: scaleInPlace, scalars: [], targets: [0] });
}

const withoutScale = ({ name, reference }: ElementwiseFunction): ElementwiseFunction => ({
  name,
  inputs: ['norm'],
  scalars: ['most'],
  results: ['select(1.0, most / norm, norm > most)'],
  reference: (norm, most) => reference(norm!, 1, most!),
});
