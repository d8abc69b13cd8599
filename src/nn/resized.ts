import { check } from '../errors.js';
import { matrixTensors } from '../ops/layout.js';
import type { SparseRows } from '../ops/layout.js';
import type { ModelDefinition } from './definition.js';

/**
 * Bilinear resizing of one axis as a matrix, pixels at half-integer places; where it shrinks, each pixel is the mean of
 * those it covers, weighted by a triangle, as image libraries do it.
 *
 * @param from and `to` are lengths in pixels
 */
export function bilinearRows(from: number, to: number): SparseRows {
  const scale = from / to;
  const reach = Math.max(1, scale);
  const rows: { readonly first: number[]; readonly index: number[]; readonly weight: number[] } = {
    ...{ first: [0], index: [], weight: [] },
  };
  for (let j = 0; j < to; j++) {
    const center = (j + 0.5) * scale - 0.5;
    const places = Array.from({ length: from }, (_, i) => ({ i, weight: 1 - Math.abs(i - center) / reach }));
    const near = places.filter(({ weight }) => weight > 0);
    const total = near.reduce((sum, { weight }) => sum + weight, 0);
    for (const { i, weight } of near) {
      rows.index.push(i);
      rows.weight.push(weight / total);
    }
    rows.first.push(rows.index.length);
  }
  return rows;
}

/**
 * The same network for images of another size: they are resized (bilinear) in front of it, as part of every program
 * made of it, and gradients go back through that. Pixels stay [0, 1].
 *
 * @param size height and width of the images
 * @throws LinbpError `bad-range`
 */
export function resized(definition: ModelDefinition, size: readonly [height: number, width: number]): ModelDefinition {
  const [channels, ...own] = definition.input;
  const valid = size.every((side) => Number.isSafeInteger(side) && side > 0);
  check(valid, 'bad-range', `images need positive whole sizes, got ${size.join(' x ')}`, 'size');
  if (own.join() === size.join()) return definition;
  return {
    ...definition,
    input: [channels, ...size],
    build(net, images) {
      const { graph } = net;
      let x = images;
      for (const [k, axis] of [2, 3].entries()) {
        const [from, to] = [size[k]!, own[k]!];
        if (from === to) continue;
        const rows = bilinearRows(from, to);
        x = graph.scope({ layer: `resize.${axis === 2 ? 'height' : 'width'}` }, () =>
          graph.one('axisMatrix', [x, ...matrixTensors(graph, rows)], { axis, size: to }),
        );
      }
      return definition.build(net, x);
    },
  };
}
