import { lossSeed } from '../autodiff/gradients.js';
import type { Dataset } from '../data/dataset.js';
import { expectDataset, expectFloat32Number } from '../arguments.js';
import { check } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import type { ObjectiveTensors } from './objective.js';

/** A sample's share of the batch's weight, times the number of samples; 0 where nothing in the batch has any. */
const sampleFactor: ElementwiseFunction = {
  name: 'sampleFactor',
  inputs: ['minusWeight', 'minusSum'],
  scalars: ['count'],
  results: ['select(count * minusWeight / minusSum, 0.0, minusSum == 0.0)'],
  reference: (weight, sum, count) => [sum === 0 ? 0 : (count! * weight!) / sum!],
};

const scaledBy: ElementwiseFunction = {
  name: 'weighted',
  inputs: ['value', 'factor'],
  scalars: [],
  results: ['value * factor'],
  reference: (value, factor) => [value! * factor!],
};

/**
 * Cross entropy with a weight for each class, as PyTorch's `CrossEntropyLoss(weight)`: the batch mean of the losses is
 * sum w[y] loss / sum w[y].
 *
 * @param logits f32 [N, K]
 * @param labels u32 [N]
 * @param weights K numbers
 * @param scale factor of the gradient, 1/N in training
 */
export function weightedCrossEntropy(
  graph: Graph,
  logits: Tensor,
  labels: Tensor,
  weights: readonly number[],
  scale: number,
): ObjectiveTensors {
  const [count = 1, classes = 1] = logits.shape;
  const table = graph.constant('classWeights', weights, [1, classes]);
  const rows = graph.one('expand', [table], { shape: [count, classes] });
  // This loss is minus the entry of the label.
  const minusWeight = graph.one('loss', [rows, labels], { kind: 'logit' });
  const sum = graph.one('reduce', [minusWeight], { kind: 'sum', axes: [0] });
  const minusSum = sum.shape.length === 0 ? graph.one('reshape', [sum], { shape: [1] }) : sum;
  const factor = graph.one('map', [minusWeight, minusSum], { fn: sampleFactor, scalars: [count], targets: ['new'] });
  const hard = graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
  const attrs = { fn: scaledBy, scalars: [], targets: ['new'] } as const;
  return {
    loss: graph.one('map', [hard, factor], attrs),
    gradient: graph.one('map', [lossSeed(graph, { loss: hard, scale }).gradient, factor], attrs),
  };
}

/** Checks weights of classes. Throws `bad-shape` for another number than there are classes, `bad-range`. */
export function checkClassWeights(weights: readonly number[], classes: number): void {
  check(
    Array.isArray(weights) && weights.length === classes,
    'bad-shape',
    `classWeights must hold ${classes} numbers, one a class, got ${weights.length}`,
    'classWeights',
  );
  for (const [index, weight] of weights.entries())
    expectFloat32Number(weight, `classWeights[${index}]`, (value) => value >= 0, 'a finite number from 0');
  // Smaller numbers are zero on many devices.
  const some = weights.some((weight) => weight >= 2 ** -126);
  check(
    some,
    'bad-range',
    'classWeights must not all be 0, which smaller numbers than 1.2e-38 count as',
    'classWeights',
  );
}

/**
 * Weights of the classes in the loss that give every class the same share: N / (K n_k), with n_k images of class k of
 * K; 0 for classes without images.
 */
export function balancedClassWeights(dataset: Dataset): number[] {
  expectDataset(dataset);
  const counts = new Array<number>(dataset.classes).fill(0);
  for (const label of dataset.labels) counts[label]! += 1;
  return counts.map((count) => (count === 0 ? 0 : dataset.count / (dataset.classes * count)));
}
