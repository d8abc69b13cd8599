import type { Graph } from '../graph/graph.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { batchLabels, batchPixels } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import type { AttackArrays, AttackInput } from './input.js';
import type { Draw } from './definition.js';

/*
 * Images of other classes, for attacks that mix them in (Admix). They are the first images of a run, sorted by class,
 * so a class is one stretch of them, and which one an image gets depends on its own draw only, never on the batch.
 */

/** Images of the run that may be mixed in. */
export const poolSize = 64;

/** Inputs: images [65, C, H, W], the last of zeros; per image where the stretch of its class begins, and its length. */
export interface ImagePool {
  readonly images: Tensor;
  readonly first: Tensor;
  readonly own: Tensor;
  /** How many there are, [1]. */
  readonly count: Tensor;
}

/** The images of a data set that may be mixed into others, for runs on parts of it. */
export function partnersIn(dataset: Dataset): NonNullable<AttackInput['partners']> {
  const first = Uint32Array.from({ length: Math.min(poolSize, dataset.count) }, (_, n) => n);
  return { images: batchPixels(dataset, first), labels: batchLabels(dataset, first) };
}

/** The inputs that hold a pool for images [N, C, H, W]. */
export function addPool(graph: Graph, [batch, ...image]: readonly number[]): ImagePool {
  return {
    images: graph.input('pool', [poolSize + 1, ...image]),
    first: graph.input('poolFirst', [batch!]),
    own: graph.input('poolOwn', [batch!]),
    count: graph.input('poolCount', [1]),
  };
}

const other: ElementwiseFunction = {
  name: 'otherImage',
  inputs: ['u', 'first', 'own', 'count'],
  scalars: ['none'],
  prelude: `  let free = count - own;
  let j = min(floor(u * free), free - 1.0);`,
  results: ['select(select(j, j + own, j >= first), none, free < 0.5)'],
  reference: (u, first, own, count, none) => {
    const free = count! - own!;
    const j = Math.min(Math.floor(u! * free), free - 1);
    return [free < 0.5 ? none! : j >= first! ? j + own! : j];
  },
};

/** One image of another class for each, [N, C, H, W]. */
export function partnerOf(graph: Graph, { images, first, own, count }: ImagePool, draw: Draw): Tensor {
  const batch = first.shape[0]!;
  const u = draw([batch], 'uniform');
  const place = graph.one('map', [u, first, own, count], { fn: other, scalars: [poolSize], targets: ['new'] });
  const numbers = graph.one('reshape', [place], { shape: [batch, 1] });
  const indices = graph.one('sampleField', [numbers], { kind: 'index', planes: 1, size: [1, 1], values: [] });
  const sampleShape = images.shape.slice(1);
  return graph.one('gatherImages', [images, indices], { packed: false, sampleShape, count: batch, start: 0 });
}

/** What the pool's inputs hold. */
export interface PoolValues {
  readonly images: Float32Array;
  readonly first: Float32Array;
  readonly own: Float32Array;
  readonly count: number;
}

/** What the pool's inputs hold for images of these indices of a run. */
export function poolOf(
  { labels, partners }: Pick<AttackArrays, 'labels' | 'partners'>,
  indices: readonly number[],
): PoolValues {
  const { images, count } = partners;
  const classes = Array.from({ length: Math.min(poolSize, count) }, (_, n) => partners.labels[n]!);
  const pixels = images.length / count;
  const chosen = classes.map((_, n) => n);
  chosen.sort((a, b) => classes[a]! - classes[b]! || a - b);
  const pool = new Float32Array((poolSize + 1) * pixels);
  for (const [k, n] of chosen.entries()) pool.set(images.subarray(n * pixels, (n + 1) * pixels), k * pixels);
  const labelsOf = indices.map((index) => labels[index]!);
  return {
    images: pool,
    first: Float32Array.from(labelsOf, (label) => classes.filter((each) => each < label).length),
    own: Float32Array.from(labelsOf, (label) => classes.filter((each) => each === label).length),
    count: chosen.length,
  };
}
