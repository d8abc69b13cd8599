import { Graph } from '../../src/graph/graph.js';
import type { ConvAttrs, Tensor } from '../../src/graph/types.js';
import { convOutputShape } from '../../src/ops/convolution.js';

/** A convolution with its three directions as outputs `y`, `dx`, `dw` and, with a bias, `db`. */
export function convGraph(
  xShape: readonly number[],
  wShape: readonly number[],
  attrs: ConvAttrs,
  bias: boolean,
): Graph {
  const graph = new Graph();
  const x = graph.input('x', xShape);
  const w = graph.parameter('w', wShape);
  const b: Tensor[] = bias ? [graph.parameter('b', [wShape[0]!])] : [];
  const g = graph.input('g', convOutputShape(xShape, wShape, attrs));
  graph.output('y', graph.one('conv2d', [x, w, ...b], attrs));
  graph.output('dx', graph.one('conv2dInputGradient', [g, w], { ...attrs, inputShape: xShape }));
  const [dw, db] = graph.add('conv2dWeightGradient', [g, x], { ...attrs, weightShape: wShape, bias });
  graph.output('dw', dw!);
  if (db !== undefined) graph.output('db', db);
  return graph;
}
