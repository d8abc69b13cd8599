import type { ElementwiseFunction, StepValue, Tensor } from '../graph/types.js';
import { elementwiseMap } from './stages.js';
import type { Parameter, StageContext } from './stages.js';

/* What transforms and gradients of attacks that transfer share. */

/** One new elementwise result. */
export const map = (
  { graph }: StageContext,
  fn: ElementwiseFunction,
  inputs: readonly Tensor[],
  scalars: readonly StepValue[] = [],
): Tensor => elementwiseMap(graph, fn, inputs, scalars);

/** The option of how many copies there are. */
export const copiesOf = (byDefault: number): Parameter => ({
  byDefault,
  least: 1,
  most: 1000,
  whole: true,
  help: 'transformed copies a gradient is the mean of',
});

/** Where a field of places reads images. */
export function sampled({ graph }: StageContext, x: Tensor, places: Tensor, mode: 'nearest' | 'bilinear'): Tensor {
  const [height, width] = x.shape.slice(2) as [number, number];
  return graph.one('gridSample', [x, places], { mode, transposed: false, size: [height, width] });
}

/** The option of how many samples a step has. */
export const samplesOf = (byDefault: number): Parameter => ({
  byDefault,
  least: 1,
  most: 1000,
  whole: true,
  help: 'samples a step',
});

/** An option in units of the ball's radius. */
export const radiusOf = (byDefault: number): Parameter => ({
  byDefault,
  least: 0,
  most: 100,
  help: 'radius that samples are drawn from, in units of eps',
});

export const sum: ElementwiseFunction = {
  name: 'sum',
  inputs: ['a', 'b'],
  scalars: [],
  results: ['a + b'],
  reference: (a, b) => [a! + b!],
};

export const product: ElementwiseFunction = {
  name: 'product',
  inputs: ['a', 'b'],
  scalars: [],
  results: ['a * b'],
  reference: (a, b) => [a! * b!],
};
