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
 * Skip gradient method (D. Wu, Y. Wang, S.-T. Xia, J. Bailey, X. Ma, "Skip connections matter: on the transferability
 * of adversarial examples generated with ResNets", ICLR 2020). The gradient that a residual branch passes to its input
 * is scaled: g_in = g_skip + gamma J^T g, where g is the gradient at the branch's output, J the branch's Jacobian and
 * g_skip the gradient that reaches the input through the shortcut. Parameters inside this branch get unscaled
 * gradients.
 *
 * @param gamma from 0 (the branch passes nothing on) to 1 (the true gradient)
 * @throws LinbpError `bad-range`
 */
export function scaledEdge(gamma: number): EdgeBackward {
  check(gamma >= 0 && gamma <= 1, 'bad-range', `sgm: gamma must be from 0 to 1, got ${gamma}`, 'gamma');
  return {
    name: 'sgm',
    emit: (graph, _region, g) =>
      gamma === 1 ? g : graph.one('map', [g], { fn: scale, scalars: [gamma], targets: ['new'] }),
  };
}
