import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { uniforms } from '../../src/random/philox.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { relativeError } from '../support/compare.js';

const table = { model: 'attention', positions: [], presets: {} };
const [count, tokens, width] = [2, 3, 4];
const tokensOf = uniforms(1, 0, 0, 0, count * tokens * width).map((u) => 4 * u - 2);

/** Self-attention, its map computed or given, and the gradient of the tokens under a rule. */
function gradient(rule: string, map?: ArrayLike<number>): { map: ArrayLike<number>; gradient: ArrayLike<number> } {
  const graph = new Graph();
  const x = graph.input('x', [count, tokens, width]);
  const scores = graph.one('matmul', [x, x], { transposeA: false, transposeB: true });
  const given = graph.input('map', [count, tokens, tokens]);
  const attention: Tensor = map === undefined ? graph.one('softmax', [scores], { axis: 2 }) : given;
  const mixed = graph.one('matmul', [attention, x], { transposeA: false, transposeB: false });
  const logits = graph.one('reshape', [mixed], { shape: [count, tokens * width] });
  const labels = graph.input('labels', [count], 'u32');
  const loss = graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
  const found = gradients(graph, { loss, scale: 1, targets: [x], rules: resolveRules(parseRules(rule), table) }).get(
    x,
  )!;
  for (const [name, tensor] of [
    ['map', attention],
    ['gradient', found],
  ] as const)
    if (tensor.kind === 'value') graph.output(name, tensor);
  const run = new ReferenceRun(graph);
  run.set(x, tokensOf);
  run.set(labels, [1, 5]);
  run.set(given, map ?? new Float64Array(count * tokens * tokens));
  run.run();
  return { map: [...run.get(attention)], gradient: [...run.get(found)] };
}

describe('pna: no gradient through attention maps', () => {
  it('is the gradient with the map as a constant', () => {
    const { map, gradient: without } = gradient('pna');
    expect(relativeError(without, gradient('bp', map).gradient)).to.be.below(1e-6);
    expect(relativeError(without, gradient('bp').gradient)).to.be.above(0.01);
  });

  it('takes no place, and needs attention', () => {
    expect(() => resolveRules(parseRules('pna:from=all'), table)).to.throw(/takes no from=/);
    const graph = new Graph();
    const x = graph.input('x', [1, 4]);
    const loss = graph.one('loss', [graph.one('softmax', [x], {}), graph.input('y', [1], 'u32')], {
      kind: 'crossEntropy',
    });
    const rules = resolveRules(parseRules('pna'), table);
    expect(() => gradients(graph, { loss, scale: 1, targets: [x], rules })).to.throw(/the network has none/);
  });
});
