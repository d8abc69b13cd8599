import { expectMembers, expectObject } from '../arguments.js';
import type { GraphBuilder } from '../graph/builder.js';
import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { bp, linbp } from './builtin.js';
import type { EmittingRule } from '../graph/backward.js';
import type { BoundRule } from '../graph/rule.js';

/**
 * What the norms are taken over: each sample by itself, or the whole batch, which makes results depend on its
 * composition.
 */
export type MatchScope = 'sample' | 'batch';

/** What {@link activationMatched} rescales, and what its norms are taken over. */
export interface ActivationMatchedOptions {
  readonly scope: MatchScope;
  /** The rule that is rescaled; LinBP by default. */
  readonly base?: BoundRule;
}

const rescale: ElementwiseFunction = {
  name: 'rescale',
  inputs: ['gradient', 'wanted', 'present'],
  scalars: [],
  // A vanishing norm means a vanishing gradient, or one whose square is below the smallest number: it stays as it is.
  results: ['gradient * select(1.0, wanted / present, present > 0.0)'],
  reference: (gradient, wanted, present) => [present! > 0 ? (gradient! * wanted!) / present! : gradient!],
};

function norm(graph: GraphBuilder, x: Tensor, scope: MatchScope): Tensor {
  // One sample that holds the whole batch has the batch's norm.
  const samples = scope === 'sample' ? x : graph.one('reshape', [x], { shape: [1, elementCount(x.shape)] });
  return graph.one('sampleNorm', [samples], { norm: 'l2' });
}

/**
 * Activation-matched LinBP: dL/dz = g ||g d|| / ||g||, the linear direction with the length of the true gradient. Here
 * z is the pre-activation [N, ...], g = dL/dy the gradient that arrives and d the true derivative dy/dz, both in the
 * shape of z. With another `base` (TA-Bench's ConBP has a softplus) its gradient takes the place of g. Norms are
 * Euclidean, over each sample or the whole batch. Where ||g|| is 0, the gradient stays as it is.
 *
 * Source: Q. Li, Y. Guo, W. Zuo, H. Chen, "Towards evaluating transfer-based attacks systematically, practically, and
 * fairly" (TA-Bench), NeurIPS 2023, and its code.
 *
 * @throws LinbpError `bad-argument` for options that are no object and a base that is no bound rule
 */
export function activationMatched(options: ActivationMatchedOptions): EmittingRule {
  expectObject(options, 'options');
  const { scope, base = linbp } = options;
  expectMembers(base, 'base', { rule: 'object', values: 'list' });
  return {
    name: `${base.rule.name}-matched`,
    mixesBatch: scope === 'batch',
    emit({ graph, pointwise }, node, g) {
      const direction = pointwise(base, node, g);
      const wanted = norm(graph, pointwise(bp, node, g), scope);
      const present = norm(graph, direction, scope);
      return graph.one('map', [direction, wanted, present], { fn: rescale, scalars: [], targets: ['new'] });
    },
  };
}
