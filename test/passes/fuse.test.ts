import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { groupNodes } from '../../src/passes/fuse.js';

const shape = [2, 4, 3, 3];

/** A product and what a test puts behind it. */
function behindProduct(more: (graph: Graph, product: Tensor, other: Tensor) => void): Graph {
  const graph = new Graph();
  const x = graph.input('x', shape);
  const other = graph.input('other', shape);
  const w = graph.parameter('w', [4, 4, 1, 1]);
  const attrs = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 } as const;
  more(graph, graph.one('conv2d', [x, w], attrs), other);
  return graph;
}

const relu = (graph: Graph, x: Tensor): Tensor => graph.one('activation', [x], { kind: 'relu', mask: false });
const add = (graph: Graph, a: Tensor, b: Tensor): Tensor => graph.one('add', [a, b], {});

/** Ops by group, what is stored besides the last result in parentheses. */
const groupsOf = (graph: Graph, fuse = true): string[] =>
  groupNodes(graph, fuse).map(({ anchor, followers, kept }) => {
    const ops = [anchor, ...followers].map(({ op }) => op).join(' ');
    return kept.length === 0 ? ops : `${ops} (${kept.map(({ producer }) => producer?.op).join(' ')})`;
  });

describe('fusion', () => {
  it('a chain of pointwise nodes joins the product in front of it, or none of it without fusion', () => {
    const graph = behindProduct((g, y, other) => g.output('o', relu(g, add(g, y, other))));
    expect(groupsOf(graph)).to.deep.equal(['conv2d add activation']);
    expect(groupsOf(graph, false)).to.deep.equal(['conv2d', 'add', 'activation']);
  });

  it('what others read is stored beside the last result; what only the group reads is not', () => {
    const read = behindProduct((g, y) => {
      const z = relu(g, y);
      g.output('z', z);
      g.output('o', relu(g, z));
    });
    expect(groupsOf(read)).to.deep.equal(['conv2d activation activation (activation)']);
    const inner = behindProduct((g, y) => g.output('o', add(g, relu(g, y), y)));
    expect(groupsOf(inner)).to.deep.equal(['conv2d activation add']);
  });

  it('a sum takes the chain on either side, another op as its first input only', () => {
    const either = behindProduct((g, y, other) => g.output('o', add(g, other, y)));
    expect(groupsOf(either)).to.deep.equal(['conv2d add']);
    const first = behindProduct((g, y, other) => g.output('o', g.one('unaryBackward', [other, y], { kind: 'exp' })));
    expect(groupsOf(first)).to.deep.equal(['conv2d', 'unaryBackward']);
  });

  it('a chain does not wait for a node that reads its results first', () => {
    // the sum needs the pooled product, which needs the product: as one group neither could begin
    const graph = behindProduct((g, y) => {
      const attrs = { kernel: [3, 3], stride: [1, 1], padding: [1, 1, 1, 1], ceilMode: false } as const;
      const [pooled] = g.add('maxPool2d', [y], attrs);
      g.output('o', add(g, y, pooled!));
    });
    const [first] = groupsOf(graph);
    expect(first, groupsOf(graph).join('; ')).to.match(/^conv2d( \(.*\))?$/);
  });

  it('a chain does not wait until something that it reads was overwritten', () => {
    const graph = behindProduct((g, y, other) => {
      const state = g.parameter('state', shape);
      const sum = add(g, y, state);
      g.add('assign', [other, state], {});
      g.output('o', relu(g, sum));
    });
    expect(groupsOf(graph)).to.deep.equal(['conv2d add', 'assign', 'activation']);
  });
});
