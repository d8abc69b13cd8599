import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, StepValue, Tensor } from '../graph/types.js';
import type { Graph } from '../graph/graph.js';
import { orNaN } from './numbers.js';

/** What is used of an attack's stage. */
interface Stage {
  readonly graph: Graph;
  readonly clean: Tensor;
}

/*
 * What attacks with L1 norms need of each image: largest entries, and the projection on the ball inside the box. Both
 * are found by bisection, so neither sorts and both work for images of any size.
 */

const above: ElementwiseFunction = {
  name: 'countAbove',
  inputs: ['g', 't'],
  scalars: [],
  results: ['select(0.0, 1.0, abs(g) > t)'],
  reference: (g, t) => [Number(Math.abs(g!) > t!)],
};

const kept: ElementwiseFunction = {
  name: 'keptEntries',
  inputs: ['share'],
  scalars: ['pixels'],
  results: ['pixels - clamp(floor((1.0 - share) * pixels), 0.0, pixels - 1.0) - 0.5'],
  reference: (share, pixels) => [
    pixels! - Math.min(Math.max(Math.floor((1 - share!) * pixels!), 0), pixels! - 1) - 0.5,
  ],
};

const constant: ElementwiseFunction = {
  name: 'constant',
  inputs: ['x'],
  scalars: ['value'],
  // the input must appear, or its binding would be dropped
  results: ['select(value, x, false)'],
  reference: (_x, value) => [value!],
};

const signsFrom: ElementwiseFunction = {
  name: 'signsFrom',
  inputs: ['g', 'least'],
  scalars: [],
  results: ['orNaN(select(0.0, sign(g), abs(g) >= least), g)'],
  reference: (g, least) => [orNaN(Math.abs(g!) >= least! ? Math.sign(g!) : 0, g!)],
};

const map = (stage: Stage, fn: ElementwiseFunction, inputs: readonly Tensor[], scalars: readonly StepValue[] = []) =>
  stage.graph.one('map', inputs, { fn, scalars, targets: ['new'] }, fn.name);

/** A number of the step table as a value of every image, [N]. */
export const perImage = (stage: Stage, like: Tensor, value: StepValue): Tensor => map(stage, constant, [like], [value]);

/**
 * Signs of the largest `share` of an image's entries, zeros elsewhere; entries that equal the last one count, too. With
 * n pixels these are n - floor((1 - share) n), at least one.
 *
 * @param share a number for all images, or one of each image [N]
 */
export function sparseSigns(stage: Stage, g: Tensor, { share }: { readonly share: number | Tensor }): Tensor {
  const { graph } = stage;
  const largest = graph.one('sampleNorm', [g], { norm: 'linf' });
  const shares = typeof share === 'number' ? perImage(stage, largest, share) : share;
  const goal = map(stage, kept, [shares], [elementCount(g.shape.slice(1))]);
  const [, least] = graph.add('sampleRoot', [g, largest, goal], { fn: above, rising: false });
  return map(stage, signsFrom, [g, least!]);
}

const shrunk: ElementwiseFunction = {
  name: 'shrunkLength',
  inputs: ['d', 'x', 't'],
  scalars: [],
  results: ['abs(clamp(sign(d) * max(abs(d) - t, 0.0), -x, 1.0 - x))'],
  reference: (d, x, t) => [Math.abs(Math.min(Math.max(Math.sign(d!) * Math.max(Math.abs(d!) - t!, 0), -x!), 1 - x!))],
};

const shrink: ElementwiseFunction = {
  name: 'shrink',
  inputs: ['d', 'x', 'far', 'nearSum'],
  scalars: ['radius'],
  prelude: '  let t = select(far, 0.0, nearSum <= radius);',
  results: ['orNaN(x + clamp(sign(d) * max(abs(d) - t, 0.0), -x, 1.0 - x), d)'],
  reference: (d, x, far, nearSum, radius) => {
    const t = nearSum! <= radius! ? 0 : far!;
    return [orNaN(x! + Math.min(Math.max(Math.sign(d!) * Math.max(Math.abs(d!) - t, 0), -x!), 1 - x!), d!)];
  },
};

const minus: ElementwiseFunction = {
  name: 'fromClean',
  inputs: ['v', 'x'],
  scalars: [],
  results: ['v - x'],
  reference: (v, x) => [v! - x!],
};

/**
 * The nearest point of the L1 ball inside the box: each entry of the difference is shrunk by one t of its image and
 * clipped, min ||z - d||_2 with ||z||_1 <= radius and 0 <= x + z <= 1 (the conditions of optimality give exactly this
 * form). t is 0 where the clipped point lies inside.
 */
export function projectOnL1(stage: Stage, point: Tensor, radius: StepValue): Tensor {
  const { graph, clean } = stage;
  const delta = map(stage, minus, [point, clean]);
  const largest = graph.one('sampleNorm', [delta], { norm: 'linf' });
  const goal = perImage(stage, largest, radius);
  const [, far, nearSum] = graph.add('sampleRoot', [delta, clean, largest, goal], { fn: shrunk, rising: false });
  return map(stage, shrink, [delta, clean, far!, nearSum!], [radius]);
}

const shrunkFreely: ElementwiseFunction = {
  name: 'shrunkFreely',
  inputs: ['d', 't'],
  scalars: [],
  results: ['max(abs(d) - t, 0.0)'],
  reference: (d, t) => [Math.max(Math.abs(d!) - t!, 0)],
};

const shrinkFreely: ElementwiseFunction = {
  name: 'shrinkFreely',
  inputs: ['d', 'far', 'length', 'radius'],
  scalars: [],
  results: ['orNaN(sign(d) * max(abs(d) - select(far, 0.0, length <= radius), 0.0), d)'],
  reference: (d, far, length, radius) => [
    orNaN(Math.sign(d!) * Math.max(Math.abs(d!) - (length! <= radius! ? 0 : far!), 0), d!),
  ],
};

/** The nearest point of the L1 ball of each image's radius [N] to `d`, without a box. */
export function projectOnL1Ball(stage: Pick<Stage, 'graph'>, d: Tensor, radius: Tensor): Tensor {
  const { graph } = stage;
  const largest = graph.one('sampleNorm', [d], { norm: 'linf' });
  const length = graph.one('sampleNorm', [d], { norm: 'l1' });
  const [, far] = graph.add('sampleRoot', [d, largest, radius], { fn: shrunkFreely, rising: false });
  return graph.one('map', [d, far!, length, radius], { fn: shrinkFreely, scalars: [], targets: ['new'] });
}
