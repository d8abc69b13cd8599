import type { ElementwiseFunction } from '../graph/types.js';
import { orNaN } from './numbers.js';
import type { Sampling, StepStage } from './stages.js';

const amplified: ElementwiseFunction = {
  name: 'amplified',
  inputs: ['a', 'g'],
  scalars: ['alpha', 'beta', 'radius'],
  prelude: '  let all = a + alpha * beta * sign(g);',
  results: ['all', 'sign(all) * max(abs(all) - radius, 0.0)'],
  reference: (a, g, alpha, beta, radius) => {
    const all = a! + alpha! * beta! * Math.sign(g!);
    return [all, Math.sign(all) * Math.max(Math.abs(all) - radius!, 0)];
  },
};

const patchStep: ElementwiseFunction = {
  name: 'patchStep',
  inputs: ['a', 'x', 'g', 'spread'],
  scalars: ['alpha', 'beta', 'gamma', 'direction'],
  prelude: '  let ring = gamma * sign(spread);',
  results: ['a + ring', 'orNaN(x + direction * (alpha * beta * sign(g) + ring), g)'],
  reference: (a, x, g, spread, alpha, beta, gamma, direction) => {
    const patch = gamma! * Math.sign(spread!);
    return [a! + patch, orNaN(x! + direction! * (alpha! * beta! * Math.sign(g!) + patch), g!)];
  },
};

/**
 * PI's step: amplified by beta; what goes beyond the ball is spread over the pixels around (L. Gao et al., "Patch-wise
 * attack for fooling deep neural network", 2020).
 */
const patchwiseStep: StepStage = (stage, iterate, g) => {
  const { graph, alpha, radius, direction, parameters } = stage;
  const [, channels] = iterate.shape as [number, number];
  const a = stage.memory('amplification', iterate.shape);
  const beta = parameters['amplification']!;
  const [cut] = graph.add('map', [a, g], { fn: amplified, scalars: [alpha, beta, radius], targets: [0, 'new'] });
  const ring = Array.from({ length: 9 }, (_, k) => (k === 4 ? 0 : 1 / 8));
  const weight = graph.constant('ring', Array.from({ length: channels }, () => ring).flat(), [channels, 1, 3, 3]);
  const attrs = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: channels } as const;
  const spread = graph.one('conv2d', [cut!, weight], attrs);
  const scalars = [alpha, beta, parameters['patch']!, direction];
  return graph.add('map', [a, iterate, g, spread], { fn: patchStep, scalars, targets: [0, 'new'] })[0]!;
};

/** PI: the gradient as it is, and a step of its own. */
export const pi: Sampling = {
  base: true,
  count: () => 0,
  points: [],
  collect: (_stage, gradients) => gradients[0]!,
  combine: (_stage, { base }) => base!,
  step: patchwiseStep,
  norms: ['linf'],
  parameters: {
    amplification: { byDefault: 10, least: 0, most: 1000, help: 'factor of the step size' },
    patch: { byDefault: 16 / 255, least: 0, most: 1, help: 'step of the pixels around, in pixels' },
  },
};
