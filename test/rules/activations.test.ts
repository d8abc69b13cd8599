import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { scalarFunction } from '../../src/graph/functions.js';
import type { ScalarFunctionName } from '../../src/graph/functions.js';
import { Graph } from '../../src/graph/graph.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { formatRules, parseRules } from '../../src/rules/parse.js';
import type { PositionTable } from '../../src/rules/positions.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { selectPositions } from '../../src/rules/select.js';
import { compareGraph, relativeError } from '../support/compare.js';
import { errorOf } from '../reference/support.js';

const kinds = ['relu', 'gelu', 'silu', 'relu6', 'hardSwish'] as const;
const table: PositionTable = {
  model: 'mixed',
  positions: kinds.map((activation, index) => ({ name: `act${index}`, index, kind: 'conv', activation })),
  branches: [
    { name: 'attention', activations: [] },
    { name: 'mlp', activations: ['act1'] },
  ],
  presets: { default: ['act1', 'act2'] },
};

const chosen = (text: string): string =>
  selectPositions(parseRules(text)[0]!, table)
    .map(({ activation }) => activation)
    .join(' ');

describe('rules beyond ReLU: which activations take part', () => {
  it('ranges select ReLU and ReLU6, on= adds others, presets and names stand for themselves', () => {
    expect(chosen('linbp:from=all')).to.equal('relu relu6');
    expect(chosen('leaky:a=0.5')).to.equal('relu relu6');
    expect(chosen('linbp:from=1')).to.equal('relu6');
    expect(chosen('linbp:from=all,on=gelu,silu')).to.equal('relu gelu silu relu6');
    expect(chosen('linbp:from=1,on=all')).to.equal('gelu silu relu6 hardSwish');
    expect(chosen('linbp')).to.equal('gelu silu');
    expect(chosen('linbp:only=act1')).to.equal('gelu');
  });

  it('what selects nothing says what there is', () => {
    expect(errorOf(() => chosen('linbp:from=4')).message).to.match(/hardSwish.*on=hardSwish or on=all/);
    expect(errorOf(() => parseRules('linbp:from=all,on=swish')).message).to.contain('gelu');
  });

  it('on= is written as it is read', () => {
    const specs = parseRules('linbp:from=all,on=gelu,silu');
    expect(parseRules(formatRules(specs))).to.deep.equal(specs);
  });

  it('sgm reaches branches without activations', () => {
    const { edge } = resolveRules(parseRules('sgm'), table);
    const region = (name: string) => edge?.({ name } as Parameters<NonNullable<typeof edge>>[0]);
    expect(region('attention')).to.not.equal(undefined);
    expect(region('mlp')).to.not.equal(undefined);
  });
});

/** Two linear layers with an activation between, differentiated under a rule. */
function network(kind: ScalarFunctionName, rules: string) {
  const graph = new Graph();
  const x = graph.input('x', [3, 6]);
  const labels = graph.input('labels', [3], 'u32');
  const [w, v] = [graph.parameter('w', [20, 6]), graph.parameter('v', [5, 20])];
  const z = graph.one('linear', [x, w], {});
  const y = graph.scope({ layer: 'act' }, () => graph.one('activation', [z], { kind, mask: false }));
  const logits = graph.one('linear', [y, v], {});
  const loss = graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
  const positions: PositionTable = {
    model: 'one',
    positions: [{ name: 'act', index: 0, kind: 'conv', activation: kind }],
    presets: {},
  };
  const found = gradients(graph, { loss, scale: 1, targets: [x], rules: resolveRules(parseRules(rules), positions) });
  graph.output('dx', found.get(x)!);
  return { graph, x, labels, w, v, z, logits, dx: found.get(x)! };
}

describe('rules beyond ReLU: gradients', () => {
  const smooth = ['gelu', 'geluTanh', 'silu', 'hardSwish', 'elu', 'mish', 'softplus', 'tanh', 'leakyRelu'] as const;
  for (const kind of smooth) {
    const tag = kind === 'gelu' || kind === 'leakyRelu' ? '' : ' @slow';
    it(`${kind}: bp takes the derivative, linbp passes the gradient, matching has its length${tag}`, async () => {
      const random = (count: number): Float64Array => Float64Array.from({ length: count }, () => 2 * Math.random() - 1);
      const values = { x: random(18), w: random(120), v: random(100), labels: [0, 3, 1] };
      const results = ['bp', 'linbp:from=all,on=all', 'linbp:from=all,on=all,match=activation,scope=batch'].map(
        (rules) => {
          const net = network(kind, rules);
          const run = new ReferenceRun(net.graph);
          for (const name of ['x', 'w', 'v', 'labels'] as const) run.set(net[name], values[name]);
          run.run();
          return { net, run, dx: run.get(net.dx) };
        },
      );
      const [{ net, run, dx: bp }, { dx: linear }, { dx: matched }] = results as [
        (typeof results)[0],
        (typeof results)[0],
        (typeof results)[0],
      ];
      // by hand: dL/dz = d (g v), g the softmax less the label
      const logits = run.get(net.logits);
      const g = Float64Array.from({ length: 60 }, (_, i) => {
        const [n, c] = [Math.floor(i / 20), i % 20];
        const row = Float64Array.from(logits.subarray(5 * n, 5 * n + 5));
        const total = row.reduce((sum, each) => sum + Math.exp(each), 0);
        return row.reduce(
          (sum, each, k) => sum + (Math.exp(each) / total - Number(values.labels[n] === k)) * values.v[20 * k + c]!,
          0,
        );
      });
      const fn = scalarFunction(kind);
      const [a = 0, b = 0] = Object.values(fn.parameters);
      const exact = g.map((value, i) => value * fn.slope(run.get(net.z)[i]!, a, b));
      const back = (dz: Float64Array): Float64Array =>
        Float64Array.from({ length: 18 }, (_, i) =>
          dz
            .subarray(20 * Math.floor(i / 6), 20 * Math.floor(i / 6) + 20)
            .reduce((sum, d, c) => sum + d * values.w[6 * c + (i % 6)]!, 0),
        );
      const length = (list: Float64Array): number => Math.hypot(...list);
      expect(relativeError(bp, back(exact)), 'bp').to.be.below(1e-12);
      expect(relativeError(linear, back(g)), 'linbp').to.be.below(1e-12);
      const scale = length(exact) / length(g);
      expect(relativeError(matched, back(g.map((value) => value * scale))), 'matched').to.be.below(1e-6);
      for (const { net: each } of results)
        for (const { error } of await compareGraph(
          each.graph,
          new Map([[each.labels, Uint32Array.from(values.labels)]]),
        ))
          expect(error).to.be.below(1e-5);
    });
  }

  it('a linear rule runs no kernel and saves nothing of a GELU', () => {
    const ops = (rules: string): string[] => network('gelu', rules).graph.nodes.map(({ op }) => op);
    expect(ops('bp').filter((op) => op === 'activationBackward')).to.have.length(1);
    expect(ops('linbp:from=all,on=all')).to.not.include('activationBackward');
  });
});
