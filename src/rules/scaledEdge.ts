import { check } from '../errors.js';
import type { ElementwiseFunction } from '../graph/types.js';
import type { EdgeBackward } from '../graph/backward.js';

const scale: ElementwiseFunction = {
  name: 'scaleGradient',
  inputs: ['gradient'],
  scalars: ['gamma'],
  results: ['gamma * gradient'],
  reference: (gradient, gamma) => [gamma! * gradient!],
};

/**
 * Skip gradient method (D. Wu et al., 2020): what a residual branch passes to its input is scaled, g_in = g_skip +
 * gamma J^T g. Parameters inside the branch get their own gradients unscaled by it. Throws `bad-range` unless `gamma`
 * is from 0 to 1.
 */
export function scaledEdge(gamma: number): EdgeBackward {
  check(gamma >= 0 && gamma <= 1, 'bad-range', `sgm: gamma must be from 0 to 1, got ${gamma}`, 'gamma');
  return {
    name: 'sgm',
    emit: (graph, _region, g) =>
      gamma === 1 ? g : graph.one('map', [g], { fn: scale, scalars: [gamma], targets: ['new'] }),
  };
}
