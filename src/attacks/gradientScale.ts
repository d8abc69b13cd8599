import { gradients, lossSeed } from '../autodiff/gradients.js';
import type { GradientOptions } from '../autodiff/gradients.js';
import type { Graph } from '../graph/graph.js';
import type { ElementwiseFunction, Node, Tensor } from '../graph/types.js';

/**
 * The scale that every image begins with: the largest entry of the gradient at its logits becomes this. Going back
 * through a network f16 then has 2^8 upwards and 2^32 downwards, of which gradients need the most.
 */
export const initialScale = 2 ** 8;

/**
 * What an overflow divides an image's scale by: linear backward rules let gradients grow by orders of magnitude, and
 * each overflow costs a step.
 */
const backOff = 2 ** 6;

const finite = (name: string): string => `isFinite(${name})`;

const scaleSeed: ElementwiseFunction = {
  name: 'scaleSeed',
  inputs: ['g', 'largest', 'scale'],
  scalars: [],
  results: ['select(0.0, g / largest * scale, largest > 0.0)'],
  reference: (g, largest, scale) => [largest! > 0 ? (g! / largest!) * scale! : 0],
};

const unscale: ElementwiseFunction = {
  name: 'unscale',
  inputs: ['g', 'length', 'largest', 'scale'],
  scalars: [],
  results: [`select(0.0, g / scale * largest, ${finite('length')})`],
  reference: (g, length, largest, scale) => [Number.isFinite(length) ? (g! / scale!) * largest! : 0],
};

const reduceScale: ElementwiseFunction = {
  name: 'reduceScale',
  inputs: ['scale', 'overflows', 'length'],
  scalars: ['backOff'],
  results: [
    `select(scale / backOff, scale, ${finite('length')})`,
    `select(overflows + 1.0, overflows, ${finite('length')})`,
  ],
  reference: (scale, overflows, length, factor) =>
    Number.isFinite(length) ? [scale!, overflows!] : [scale! / factor!, overflows! + 1],
};

/**
 * Where the gradient of an attack's objective begins. Its scale is 1, without any cost, but for images that the
 * network is certain of: their gradient is scaled up so far that it does not end as denormal numbers, which many GPUs
 * take for zero. The direction stays, and images that the network is less certain of keep their bits.
 */
export function attackSeed(graph: Graph, loss: Tensor): NonNullable<GradientOptions['seed']> {
  const { kind } = (loss.producer as Node<'loss'>).attrs;
  return lossSeed(graph, { loss, scale: 1, raised: kind === 'crossEntropy' });
}

/** States of a batch's gradient scales, f32 [N] each. */
export interface GradientScales {
  /** Largest entry of the gradient at the logits with which the backward pass begins. */
  readonly scale: Tensor;
  /** Steps lost to overflows so far. */
  readonly overflows: Tensor;
}

/** Adds the states; `scale` must be set to {@link initialScale} and `overflows` to 0 before the first step. */
export const addScales = (graph: Graph, batch: number): GradientScales => ({
  scale: graph.state('gradientScale', [batch]),
  overflows: graph.state('overflows', [batch]),
});

type Seeded = GradientOptions & Required<Pick<GradientOptions, 'seed'>>;

/**
 * The gradient of each image's loss with respect to the one target, for programs that store gradients as f16. A
 * confident network's gradients are far below what f16 holds, so each image's backward pass begins at a gradient of a
 * set size and ends, in f32, with what it was divided by. Where an image's gradient is not finite it counts as zero,
 * so that the image keeps its place, and the image's scale is reduced for good: the rule of `torch.amp.GradScaler`,
 * per image and without growth.
 */
export function scaledGradient(graph: Graph, wanted: Seeded, { scale, overflows }: GradientScales): Tensor {
  const [target] = wanted.targets as [Tensor];
  const { at, gradient: plain } = wanted.seed;
  const largest = graph.one('sampleNorm', [plain], { norm: 'linf' });
  const seed = {
    at,
    gradient: graph.one('map', [plain, largest, scale], { fn: scaleSeed, scalars: [], targets: ['new'] }),
  };
  const scaled = gradients(graph, { ...wanted, seed }).get(target)!;
  // a sum, because a largest value may pass over NaN
  const length = graph.one('sampleNorm', [scaled], { norm: 'l1' });
  const gradient = graph.one('map', [scaled, length, largest, scale], { fn: unscale, scalars: [], targets: ['new'] });
  graph.add('map', [scale, overflows, length], { fn: reduceScale, scalars: [backOff], targets: [0, 1] });
  return gradient;
}
