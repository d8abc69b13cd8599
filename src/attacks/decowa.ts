import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { copiesOf, map, sampled } from './transformParts.js';
import type { StageContext, Transform } from './stages.js';

/**
 * Weights of the thin-plate spline that is 1 at the middle of 3 x 3 points on [-1, 1]^2 and 0 at the others: what a
 * warp with fixed edges is linear in.
 */
export function splineValues(): number[] {
  const points = Array.from({ length: 9 }, (_, k) => [Math.floor(k / 3) - 1, (k % 3) - 1] as const);
  const kernel = (square: number): number => square * Math.log(square + 1e-9);
  const rows = points.map(([y, x], i) => [
    ...points.map(([v, u]) => kernel((y - v) ** 2 + (x - u) ** 2)),
    ...[1, y, x, i === 4 ? 1 : 0],
  ]);
  const sides = [0, 1, 2].map((k) => [...points.map((point) => [1, ...point][k]!), 0, 0, 0, 0]);
  return solved([...rows, ...sides]);
}

/** Solves a linear system given as rows with the right side last, by elimination with pivots. */
function solved(rows: readonly (readonly number[])[]): number[] {
  const size = rows.length;
  const left = rows.map((row) => [...row]);
  for (let k = 0; k < size; k++) {
    const pivot = left
      .slice(k)
      .reduce((best, row, i) => (Math.abs(row[k]!) > Math.abs(left[best]![k]!) ? i + k : best), k);
    [left[k], left[pivot]] = [left[pivot]!, left[k]!];
    for (const [i, row] of left.entries()) {
      if (i === k) continue;
      const factor = row[k]! / left[k]![k]!;
      for (let j = k; j <= size; j++) row[j]! -= factor * left[k]![j]!;
    }
  }
  return left.map((row, k) => row[size]! / row[k]!);
}

const warpReach: ElementwiseFunction = {
  name: 'warpReach',
  inputs: ['u'],
  scalars: ['scale'],
  results: ['(u - 0.5) * scale'],
  reference: (u, scale) => [(u! - 0.5) * scale!],
};

const against: ElementwiseFunction = {
  name: 'against',
  inputs: ['warp', 'slope'],
  scalars: ['rate', 'direction'],
  results: ['warp - direction * rate * slope'],
  reference: (warp, slope, rate, direction) => [warp! - direction! * rate! * slope!],
};

const tapAt = (name: string, part: string, reference: (at: number) => number): ElementwiseFunction => ({
  ...{ name, inputs: ['at', 'plane'], scalars: ['wanted'] },
  results: [`select(at, ${part}, plane == wanted)`],
  reference: (at, plane, wanted) => [plane === wanted ? reference(at!) : at!],
});
const tapBelow = tapAt('tapBelow', 'floor(at)', Math.floor);
const tapAbove = tapAt('tapAbove', 'floor(at) + 1.0', (at) => Math.floor(at) + 1);

const slope: ElementwiseFunction = {
  name: 'warpSlope',
  inputs: ['g', 'above', 'below', 'spread'],
  scalars: [],
  results: ['g * (above - below) * spread'],
  reference: (g, above, below, spread) => [g! * (above! - below!) * spread!],
};

/** Places and, with numbers 1, what they move by. */
function warped(stage: StageContext, numbers: Tensor, x: Tensor): Tensor {
  const size = x.shape.slice(2) as [number, number];
  return stage.graph.one('sampleField', [numbers], { kind: 'warp', planes: 2, size, values: splineValues() });
}

/**
 * How the objective changes with the two numbers of a warp, [N, 2]: a bilinear read's slope along an axis is the
 * difference of the reads at the pixels above and below, and places are linear in the numbers.
 */
function warpSlopes(stage: StageContext, x: Tensor, places: Tensor, g: Tensor): Tensor {
  const { graph } = stage;
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const planes = graph.constant(
    'planes of places',
    Array.from({ length: batch * 2 * height * width }, (_, i) => Math.floor(i / (height * width)) % 2),
    places.shape,
  );
  const ones = graph.constant(
    'whole warps',
    Array.from({ length: batch * 2 }, () => 1),
    [batch, 2],
  );
  const still = graph.constant(
    'no warps',
    Array.from({ length: batch * 2 }, () => 0),
    [batch, 2],
  );
  const moves = graph.one('binary', [warped(stage, ones, x), warped(stage, still, x)], { kind: 'sub' });
  const along = [0, 1].map((plane) => {
    const at = (fn: ElementwiseFunction): Tensor =>
      sampled(stage, x, map(stage, fn, [places, planes], [plane]), 'bilinear');
    const own = graph.one('slice', [moves], {
      start: [0, plane, 0, 0],
      step: [1, 1, 1, 1],
      size: [batch, 1, height, width],
    });
    const spread = graph.one('expand', [own], { shape: [batch, channels, height, width] });
    const parts = map(stage, slope, [g, at(tapAbove), at(tapBelow), spread]);
    return graph.one('reshape', [graph.one('sampleNorm', [parts], { norm: 'sum' })], { shape: [batch, 1, 1, 1] });
  });
  const both = graph.one('concat', along, {});
  return graph.one('reshape', [both], { shape: [batch, 2] });
}

/**
 * DeCoWA: warps whose middle moves at random and then against the gradient, so that the warped image is still like
 * itself (Q. Lin et al., "Boosting adversarial transferability across model genus by deformation-constrained warping",
 * 2024). A warp by 0 is the identity here; its code also shrinks the image by half a pixel.
 */
export const decowa: Transform = {
  name: 'decowa',
  copies: ({ warps }) => warps!,
  prepare(stage, point, draw) {
    const { graph, parameters, direction } = stage;
    const batch = point.shape[0]!;
    const numbers = map(stage, warpReach, [draw([batch, 2])], [parameters['warpScale']!]);
    const places = warped(stage, numbers, point);
    const { gradient } = stage.gradientAt(sampled(stage, point, places, 'bilinear'));
    const slopes = warpSlopes(stage, point, places, gradient);
    const next = map(stage, against, [numbers, slopes], [parameters['warpRate']!, direction]);
    graph.add('assign', [next, stage.state('warp', [batch, 2])], {});
  },
  apply: (stage, x) => sampled(stage, x, warped(stage, stage.state('warp', [x.shape[0]!, 2]), x), 'bilinear'),
  parameters: {
    warps: copiesOf(20),
    warpScale: { byDefault: 2, least: 0, most: 4, help: 'width of the interval of random moves, in half images' },
    warpRate: { byDefault: 0.01, least: 0, most: 10, help: 'step against the gradient' },
  },
};
