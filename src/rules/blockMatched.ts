import { check } from '../errors.js';
import type { ElementwiseFunction } from '../graph/types.js';
import { bp } from './builtin.js';
import type { RegionBackward, BackwardSelection } from '../graph/backward.js';

const truth: BackwardSelection = () => ({ kind: 'pointwise', use: bp });

// A vanishing norm means a vanishing gradient: there is no length to give it, and the quotient would be NaN.
const alpha: ElementwiseFunction = {
  name: 'alpha',
  inputs: ['wanted', 'present'],
  scalars: [],
  results: ['select(1.0, wanted / present, present > 0.0)'],
  reference: (wanted, present) => [present! > 0 ? wanted! / present! : 1],
};

const rescale: ElementwiseFunction = {
  name: 'rescaleBranch',
  inputs: ['gradient', 'wanted', 'present'],
  scalars: ['lambda'],
  results: ['lambda * gradient * select(1.0, wanted / present, present > 0.0)'],
  reference: (gradient, wanted, present, lambda) => [lambda! * gradient! * (present! > 0 ? wanted! / present! : 1)],
};

/**
 * Block-matched backward of a residual branch (Y. Guo, Q. Li, H. Chen, 2020, for LinBP): the gradient under the rules
 * selected inside the branch gets, per sample, `lambda` times the Euclidean length of the branch's true gradient,
 *
 *     g_branch = lambda alpha g_rules,   alpha = ||g_true|| / ||g_rules||,
 *
 * both computed from the same incoming gradient. Where ||g_rules|| = 0, alpha is 1. Observed as `alpha`, [N].
 *
 * @param lambda at least 0; below 1 it also weakens branches as the skip gradient method does
 * @throws LinbpError `bad-range`
 */
export function blockMatched(lambda = 1): RegionBackward {
  check(
    Number.isFinite(Math.fround(lambda)) && lambda >= 0,
    'bad-range',
    `match=block: lambda must be at least 0, got ${lambda}`,
    'lambda',
  );
  return {
    name: 'block-matched',
    emit({ graph, differentiate, observe }, _region, g) {
      const changed = differentiate(g);
      const wanted = graph.one('sampleNorm', [differentiate(g, truth)], { norm: 'l2' });
      const present = graph.one('sampleNorm', [changed], { norm: 'l2' });
      observe('alpha', () => graph.one('map', [wanted, present], { fn: alpha, scalars: [], targets: ['new'] }));
      return graph.one('map', [changed, wanted, present], { fn: rescale, scalars: [lambda], targets: ['new'] });
    },
  };
}
