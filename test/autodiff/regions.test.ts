import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { blockMatched } from '../../src/rules/blockMatched.js';
import { bp, linbp } from '../../src/rules/builtin.js';
import { scaledEdge } from '../../src/rules/scaledEdge.js';
import type { BackwardSelection } from '../../src/graph/backward.js';
import { errorOf, evaluate, noise, relativeError } from '../reference/support.js';

type Matrix = number[][];
const batch = 3;
const size = 5;

const rows = (values: ArrayLike<number>, width: number): Matrix =>
  Array.from({ length: values.length / width }, (_, n) => Array.from(values).slice(n * width, (n + 1) * width));
/** W v and W^T v. */
const times = (w: Matrix, v: number[]): number[] =>
  w.map((row) => row.reduce((sum, value, i) => sum + value * v[i]!, 0));
const transposed = (w: Matrix, v: number[]): number[] =>
  w[0]!.map((_, i) => w.reduce((sum, row, o) => sum + row[i]! * v[o]!, 0));
const relu = (v: number[]): number[] => v.map((value) => Math.max(value, 0));
const masked = (g: number[], z: number[]): number[] => g.map((value, i) => (z[i]! > 0 ? value : 0));

/** Two blocks h + W2 relu(W1 h), each followed by a ReLU, and the loss; the branches are marked as regions. */
function residualMlp() {
  const graph = new Graph();
  const x = graph.input('x', [batch, size]);
  const labels = graph.input('labels', [batch], 'u32');
  const w = ['a1', 'a2', 'b1', 'b2'].map((name) => graph.parameter(name, [size, size]));
  let h = x;
  for (const block of [0, 1]) {
    const input = h;
    const inner = graph.one('linear', [input, w[2 * block]!], {});
    const y = graph.scope({ layer: `block${block}.inner` }, () =>
      graph.one('activation', [inner], { kind: 'relu', mask: false }),
    );
    const branch = graph.one('linear', [y, w[2 * block + 1]!], {});
    graph.regions.push({ name: `block${block}`, input, output: branch });
    const sum = graph.one('add', [branch, input], {});
    h = graph.scope({ layer: `block${block}.outer` }, () =>
      graph.one('activation', [sum], { kind: 'relu', mask: false }),
    );
  }
  const loss = graph.one('loss', [h, labels], { kind: 'crossEntropy' });
  return { graph, x, labels, w, logits: h, loss };
}

/** LinBP inside the branches, the truth outside. */
const innerLinear: BackwardSelection = ({ layer }) => ({
  kind: 'pointwise',
  use: layer.endsWith('inner') ? linbp : bp,
});
const truth: BackwardSelection = () => ({ kind: 'pointwise', use: bp });
const withRules = (
  base: BackwardSelection,
  rules: Omit<BackwardSelection, keyof CallableFunction>,
): BackwardSelection => Object.assign((node: Parameters<BackwardSelection>[0]) => base(node), rules);

/**
 * The input gradient of one sample by hand: each branch's gradient is what `branch` makes of its true and its linear
 * one.
 */
function byHand(
  w: Matrix[],
  x: number[],
  seed: number[],
  branch: (truth: number[], linear: number[], block: number) => number[],
): number[] {
  const blocks: { inner: number[]; sum: number[] }[] = [];
  let h = x;
  for (const block of [0, 1]) {
    const inner = times(w[2 * block]!, h);
    const result = times(w[2 * block + 1]!, relu(inner));
    const sum = h.map((value, i) => value + result[i]!);
    blocks.push({ inner, sum });
    h = relu(sum);
  }
  let g = seed;
  for (const block of [1, 0]) {
    const { inner, sum } = blocks[block]!;
    g = masked(g, sum);
    const back = transposed(w[2 * block + 1]!, g);
    const part = branch(transposed(w[2 * block]!, masked(back, inner)), transposed(w[2 * block]!, back), block);
    g = g.map((value, i) => value + part[i]!);
  }
  return g;
}

describe('region rules', () => {
  it('block matching is the formula computed by hand, alphas included, with lambda and an edge scale on top', () => {
    for (const [lambda, gamma] of [
      [1, 1],
      [0.5, 1],
      [2, 0.3],
    ] as const) {
      const { graph, x, labels, w, logits, loss } = residualMlp();
      const observed = new Map<string, Tensor>();
      const observe = (name: string, value: Tensor): void => void observed.set(name, value);
      const rules = withRules(innerLinear, {
        region: () => blockMatched(lambda),
        ...(gamma < 1 && { edge: ({ name }) => (name === 'block1' ? scaledEdge(gamma) : undefined) }),
      });
      const found = gradients(graph, { loss, scale: 1, targets: [x, logits], rules, observe });
      const run = evaluate(graph, [
        [x, noise(batch * size)],
        [labels, [0, 1, 2]],
        ...w.map((weight): [Tensor, Float64Array] => [weight, noise(size * size)]),
      ]);
      const weights = w.map((weight) => rows(run.get(weight), size));
      const [inputs, seeds] = [rows(run.get(x), size), rows(run.get(found.get(logits)!), size)];
      for (let n = 0; n < batch; n++) {
        const expected = byHand(weights, inputs[n]!, seeds[n]!, (real, linear, block) => {
          const alpha = Math.hypot(...linear) > 0 ? Math.hypot(...real) / Math.hypot(...linear) : 1;
          expect(run.get(observed.get(`alpha.block${block}`)!)[n]).to.be.closeTo(alpha, 1e-12);
          return linear.map((value) => value * alpha * lambda * (block === 1 ? gamma : 1));
        });
        expect(relativeError(rows(run.get(found.get(x)!), size)[n]!, expected)).to.be.below(1e-12);
      }
    }
  });

  it('a matched branch costs one more walk, without the part in front of its first ReLU', () => {
    const count = (rules: BackwardSelection): number => {
      const net = residualMlp();
      const before = net.graph.nodes.length;
      gradients(net.graph, { loss: net.loss, scale: 1, targets: [net.x], rules });
      return net.graph.nodes.slice(before).filter((node) => node.op === 'linearInputGradient').length;
    };
    expect(count(truth)).to.equal(4);
    expect(count(withRules(truth, { edge: () => scaledEdge(0.5) }))).to.equal(4);
    expect(count(withRules(innerLinear, { region: () => blockMatched() }))).to.equal(6);
  });

  it('a vanishing linear gradient gives zeros and no NaN', () => {
    const { graph, x, labels, w, loss } = residualMlp();
    const observed: Tensor[] = [];
    const rules = withRules(innerLinear, { region: () => blockMatched() });
    const found = gradients(graph, {
      loss,
      scale: 1,
      targets: [x],
      rules,
      observe: (_name, value) => void observed.push(value),
    });
    const values = w.map((weight, i): [Tensor, Float64Array] => [
      weight,
      i % 2 === 1 ? new Float64Array(size * size) : noise(size * size),
    ]);
    const run = evaluate(graph, [[x, noise(batch * size, 0.1, 1)], [labels, [0, 1, 2]], ...values]);
    expect(run.get(found.get(x)!).every(Number.isFinite)).to.equal(true);
    for (const alpha of observed) expect(Array.from(run.get(alpha))).to.deep.equal([1, 1, 1]);
  });

  it('an edge rule keeps the gradients of parameters, a region rule refuses them by name', () => {
    const at = (rules: BackwardSelection) => {
      const net = residualMlp();
      return { net, found: gradients(net.graph, { loss: net.loss, scale: 1, targets: [net.x, ...net.w], rules }) };
    };
    const plain = at(truth);
    const scaled = at(withRules(truth, { edge: () => scaledEdge(0.25) }));
    const data = [noise(batch * size), new Float64Array([0, 1, 2]), ...plain.net.w.map(() => noise(size * size))];
    const [first, second] = [plain, scaled].map(({ net, found }) => {
      const run = evaluate(
        net.graph,
        [net.x, net.labels, ...net.w].map((tensor, i): [Tensor, Float64Array] => [tensor, data[i]!]),
      );
      return net.w.map((weight) => Array.from(run.get(found.get(weight)!)));
    });
    // The last block's own weights are in front of every scaled edge, those of the first are behind one.
    expect(second!.slice(2)).to.deep.equal(first!.slice(2));
    expect(relativeError(second![0]!, first![0]!)).to.be.above(1e-6);
    const error = errorOf(() => at(withRules(innerLinear, { region: () => blockMatched() })));
    expect(error.code).to.equal('bad-argument');
    expect(error.message).to.match(/block-matched.*block0.*input only.*a1/);
  });

  it('a branch whose inside is used elsewhere is refused', () => {
    const graph = new Graph();
    const [x, labels] = [graph.input('x', [1, 4]), graph.input('labels', [1], 'u32')];
    const inner = graph.one('activation', [x], { kind: 'relu', mask: false });
    const output = graph.one('add', [inner, inner], {});
    graph.regions.push({ name: 'leaky', input: x, output });
    const loss = graph.one('loss', [graph.one('add', [output, inner], {}), labels], { kind: 'crossEntropy' });
    const rules = withRules(truth, { edge: () => scaledEdge(0.5) });
    expect(errorOf(() => gradients(graph, { loss, scale: 1, targets: [x], rules })).message).to.contain(
      'leaky has more than one output',
    );
  });

  it('in dense blocks the edge of what is appended is scaled', () => {
    const gradient = (gamma: number | undefined): number[] => {
      const graph = new Graph();
      const [x, labels] = [graph.input('x', [1, 2]), graph.input('labels', [1], 'u32')];
      const w = graph.parameter('w', [1, 2]);
      const output = graph.one('linear', [x, w], {});
      graph.regions.push({ name: 'dense', input: x, output });
      const loss = graph.one('loss', [graph.one('concat', [x, output], {}), labels], { kind: 'logit' });
      const rules = gamma === undefined ? truth : withRules(truth, { edge: () => scaledEdge(gamma) });
      const dx = gradients(graph, { loss, scale: 1, targets: [x], rules }).get(x)!;
      const run = evaluate(graph, [
        [x, [1, 2]],
        [w, [3, 5]],
        [labels, [2]],
      ]);
      return Array.from(run.get(dx));
    };
    expect(gradient(undefined)).to.deep.equal(gradient(1));
    expect(gradient(0.5)).to.deep.equal(gradient(1).map((value) => value / 2));
    expect(gradient(0).map(Math.abs)).to.deep.equal([0, 0]);
  });
});
