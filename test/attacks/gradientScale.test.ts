import { expect } from 'chai';
import { gradients, lossSeed } from '../../src/autodiff/gradients.js';
import { Attack } from '../../src/attacks/index.js';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import type { StateDict } from '../../src/nn/model.js';
import { mostLead } from '../../src/ops/loss.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { bp } from '../../src/rules/builtin.js';
import { everywhere } from '../../src/rules/resolve.js';
import { checkGraph, keep, runGraph } from '../support/dispatch.js';
import { linearModel, modelWith, numbers } from './support.js';

const least = 2 ** -126;

/** Runs a graph as a device does that computes in float32 and takes denormal numbers for zero. */
function runFlushing(graph: Graph, data: ReadonlyMap<Tensor, ArrayLike<number>>): ReferenceRun {
  const run = new ReferenceRun(graph);
  for (const [tensor, values] of data) run.set(tensor, values);
  for (const node of graph.nodes) {
    run.runNode(node);
    for (const output of node.outputs) {
      const values = run.get(output);
      for (const [i, value] of values.entries()) values[i] = Math.abs(value) < least ? 0 : Math.fround(value);
    }
  }
  return run;
}

/** Two linear layers, of which the first reduces gradients, and a loss. */
function faintNetwork(raised: boolean) {
  const graph = new Graph();
  const x = graph.input('x', [2, 12]);
  const [first, last] = [graph.parameter('first', [8, 12]), graph.parameter('last', [4, 8])];
  const bias = graph.parameter('bias', [4]);
  const labels = graph.input('labels', [2], 'u32');
  const logits = graph.one('linear', [graph.one('linear', [x, first], {}), last, bias], {});
  const loss = graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
  const seed = lossSeed(graph, { loss, scale: 1, raised });
  const gradient = gradients(graph, { loss, scale: 1, targets: [x], rules: everywhere(bp), seed }).get(x)!;
  const data = new Map<Tensor, ArrayLike<number>>([
    [x, numbers(1, 24)],
    [first, numbers(2, 96, -1e-9, 1e-9)],
    [last, numbers(3, 32, -1, 1)],
    // the lead of the label, the same for both images
    [bias, [70, 0, 0, 0]],
    [labels, [0, 0]],
  ]);
  return { graph, gradient, data };
}

describe('Gradients of images that the network is certain of', () => {
  it('are zero in f32 where denormals are, and with the scale of attacks keep the signs of float64', () => {
    const truth = faintNetwork(false);
    const exact = new ReferenceRun(truth.graph);
    for (const [tensor, values] of truth.data) exact.set(tensor, values);
    exact.run();
    const signs = Array.from(exact.get(truth.gradient), Math.sign);
    expect(signs.every((sign) => sign !== 0)).to.equal(true);
    const plain = runFlushing(truth.graph, truth.data).get(truth.gradient);
    expect(plain.every((value) => value === 0)).to.equal(true);
    const scaled = faintNetwork(true);
    expect(Array.from(runFlushing(scaled.graph, scaled.data).get(scaled.gradient), Math.sign)).to.deep.equal(signs);
  });

  it('have the same bits with and without where the lead is smaller, and stay as large beyond', async () => {
    for (const classes of [2, 10, 100]) {
      const leads = [0, 1, 20, 26.5, 28, 60, 200, 1000];
      const graph = new Graph();
      const logits = graph.input('logits', [leads.length, classes]);
      const labels = graph.input('labels', [leads.length], 'u32');
      const both = [false, true].map((raised) =>
        graph.one('lossBackward', [logits, labels], { kind: 'crossEntropy', scale: 1, raised }),
      ) as [Tensor, Tensor];
      keep(graph, ...both);
      const values = numbers(classes, leads.length * classes, -1, 0);
      for (const [n, lead] of leads.entries()) values[n * classes + (n % classes)] = lead;
      const data = new Map<Tensor, Float32Array | Uint32Array>([
        [logits, values],
        [labels, Uint32Array.from(leads, (_, n) => n % classes)],
      ]);
      await checkGraph(graph, { data, floor: 1e-8 });
      const { results } = await runGraph(graph, { data });
      const [plain, raised] = both.map(results) as [Float32Array, Float32Array];
      for (const [n, lead] of leads.entries()) {
        const row = (all: Float32Array): Float32Array => all.subarray(n * classes, (n + 1) * classes);
        const largest = Math.max(...row(raised).map(Math.abs));
        if (lead + 1 < mostLead) expect(row(raised), `lead ${lead}`).to.deep.equal(row(plain));
        else if (lead > mostLead) expect(largest, `lead ${lead}`).to.be.above(0.99 * Math.exp(-mostLead));
      }
    }
  });

  it('move images whose label leads by 200, where p is 0 in f32', async () => {
    const state: StateDict = new Map([
      ['fc.weight', { shape: [3, 16], data: numbers(7, 48, -1, 1) }],
      ['fc.bias', { shape: [3], data: Float32Array.from([200, 0, 0]) }],
    ]);
    using model = await modelWith(linearModel([1, 4, 4], 3), state);
    const images = numbers(8, 32, 0.3, 0.7);
    using attack = await Attack.compile({ model, attack: 'ifgsm', eps: 0.1, steps: 2, keep: 'last', batch: 2 });
    const result = await attack.run({ images, labels: Int32Array.of(0, 0) });
    for (const [i, value] of result.images.entries()) expect(Math.abs(value - images[i]!)).to.be.closeTo(0.1, 1e-6);
  });
});
