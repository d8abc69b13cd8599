import { expectMembers, expectObject } from '../arguments.js';
import type { GraphBuilder } from '../graph/builder.js';
import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { bp, linbp } from './builtin.js';
import type { EmittingRule } from '../graph/backward.js';
import type { BoundRule } from '../graph/rule.js';

/**
 * Over what the norms are taken: each sample by itself, or the whole batch, which makes results depend on its
 * composition.
 */
export type MatchScope = 'sample' | 'batch';

/** What {@link activationMatched} rescales, and over what. */
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
 * Activation-matched LinBP: dL/dz = g ||g d|| / ||g||, the linear direction with the length of the true gradient
 * (TA-Bench; with a softplus base its ConBP). Norms are Euclidean, per sample or over the batch.
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
