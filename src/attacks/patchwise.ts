import type { ElementwiseFunction } from '../graph/types.js';
import { orNaN } from './numbers.js';
import type { Sampling, StepStage } from './stages.js';

/*
 * With the paper's numbers sums of steps are whole radii, and neighbors cancel. Only signs count, so what rounding
 * leaves there would decide the projection: less than a share of the radius and the rounding of a pixel counts as none.
 */
const [share, pixel] = [1e-4, 2 ** -22] as const;
const beyond = `${share} * radius + ${pixel}`;

const amplified: ElementwiseFunction = {
  name: 'amplified',
  inputs: ['a', 'g'],
  scalars: ['alpha', 'beta', 'radius'],
  prelude: `  let all = a + alpha * beta * sign(g);
  let cut = abs(all) - radius;`,
  results: ['all', `select(0.0, sign(all) * cut, cut > ${beyond})`],
  reference: (a, g, alpha, beta, radius) => {
    const all = a! + alpha! * beta! * Math.sign(g!);
    const cut = Math.abs(all) - radius!;
    return [all, cut > share * radius! + pixel ? Math.sign(all) * cut : 0];
  },
};

const patchStep: ElementwiseFunction = {
  name: 'patchStep',
  inputs: ['a', 'x', 'g', 'spread'],
  scalars: ['alpha', 'beta', 'gamma', 'direction', 'radius'],
  prelude: `  let ring = gamma * select(0.0, sign(spread), abs(spread) > ${beyond});`,
  results: ['a + ring', 'orNaN(x + direction * (alpha * beta * sign(g) + ring), g)'],
  reference: (a, x, g, spread, alpha, beta, gamma, direction, radius) => {
    const patch = Math.abs(spread!) > share * radius! + pixel ? gamma! * Math.sign(spread!) : 0;
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
  const scalars = [alpha, beta, parameters['patch']!, direction, radius];
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
