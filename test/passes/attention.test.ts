import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { byteLength, elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { attentionRegions } from '../../src/passes/attention.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { checkPlan } from '../../src/plan/check.js';
import { plan } from '../../src/plan/plan.js';
import { schedule } from '../../src/plan/schedule.js';
import { runPoisoned } from '../../src/program/debug.js';
import { Program } from '../../src/program/program.js';
import type { CompileOptions } from '../../src/program/program.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { bp } from '../../src/rules/builtin.js';
import { relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { randomValues } from '../support/dispatch.js';
import { plainDevice } from '../support/plainDevice.js';

interface Shape {
  readonly front: readonly number[];
  readonly places: number;
  readonly size: number;
}

interface Attention {
  readonly graph: Graph;
  /** Queries, keys, values and the gradient of the result. */
  readonly inputs: readonly Tensor[];
  readonly map: Tensor;
  readonly mixed: Tensor;
}

interface How {
  readonly backward?: boolean;
  /** No gradient passes through the map. */
  readonly fixed?: boolean;
  readonly axis?: number;
  /** A position bias for each head, and a mask for each of so many windows of an image, as Swin has them. */
  readonly windows?: number;
}

/** softmax(limit(q k^T)) v, with bounded scores (a tanh and a factor), in front of its gradient by q, k and v. */
function attention({ front, places, size }: Shape, how: How = {}): Attention {
  const graph = new Graph();
  const matrix = [...front, places, size];
  const [q, k, v] = ['q', 'k', 'v'].map((name) => graph.input(name, matrix)) as [Tensor, Tensor, Tensor];
  const product = graph.one('matmul', [q, k], { transposeA: false, transposeB: true });
  const bounded = graph.one('unary', [product], { kind: 'tanh' });
  let scores = graph.one('unary', [bounded], { kind: 'affine', values: [3, 0] });
  if (how.windows !== undefined) {
    const [count = 1, heads = 1] = front;
    const constant = (name: string, of: readonly number[]): Tensor =>
      graph.constant(name, [...numbers[3]!.subarray(0, elementCount(of))], of);
    const bias = constant('bias', [1, heads, places, places]);
    scores = graph.one('binary', [scores, bias], { kind: 'add' });
    const split = [count / how.windows, how.windows, heads, places, places];
    const mask = constant('mask', [1, how.windows, 1, places, places]);
    const masked = graph.one('binary', [graph.one('reshape', [scores], { shape: split }), mask], { kind: 'mul' });
    scores = graph.one('reshape', [masked], { shape: scores.shape });
  }
  const map = graph.one('softmax', [scores], { axis: how.axis ?? front.length + 1 });
  const mixed = graph.one('matmul', [map, v], { transposeA: false, transposeB: false });
  graph.output('mixed', mixed);
  const inputs = [q, k, v];
  if (how.backward === true) {
    const seed = graph.input('g', matrix);
    inputs.push(seed);
    const rules = Object.assign(() => ({ kind: 'pointwise', use: bp }) as const, {
      fixedAttention: how.fixed === true,
    });
    const targets = how.fixed === true ? [v] : [q, k, v];
    const found = gradients(graph, { loss: mixed, seed: { at: mixed, gradient: seed }, scale: 1, targets, rules });
    for (const target of targets) graph.output(`gradient ${target.name}`, found.get(target)!);
  }
  return { graph, inputs, map, mixed };
}

function planned(graph: Graph, cut: boolean, limit = plainDevice.maxBindingBytes) {
  const groups = groupNodes(graph, true);
  const regions = cut ? attentionRegions(graph, groups) : [];
  const work = schedule(graph, groups, { ...plainDevice, maxBindingBytes: limit }, () => 0, new Map(), regions);
  const made = plan(work);
  checkPlan(work, made);
  return { work, made, regions };
}

/** Bytes of the largest value that is no output. */
const largest = (graph: Graph, values: Iterable<Tensor>): number =>
  Math.max(...[...values].filter((tensor) => ![...graph.outputs.values()].includes(tensor)).map(byteLength));

async function run({ graph, inputs }: Attention, options: Partial<CompileOptions>, poisoned = false) {
  using program = await Program.compile(graph, { device: await sharedDevice(), ...options });
  for (const [index, input] of inputs.entries())
    program.write(input, numbers[index]!.subarray(0, elementCount(input.shape)));
  await (poisoned ? runPoisoned(program, [{ segment: 'main' }]) : program.run([{ segment: 'main' }]));
  const results = new Map<string, Float32Array>();
  for (const name of graph.outputs.keys()) results.set(name, await program.read(name));
  return { results, dispatches: program.dispatches.length };
}

const shape = { front: [2, 23], places: 40, size: 8 };
const matrix = 4 * 40 * 40;
const numbers = Array.from({ length: 4 }, () => randomValues(2 * 23 * 40 * 8));

describe('attention', function () {
  this.timeout(60_000);

  it('no value holds more than a slice of the maps, and the backward keeps none', () => {
    for (const backward of [false, true]) {
      const { graph } = attention({ front: [4, 12], places: 197, size: 16 }, { backward });
      const total = 4 * 12 * 4 * 197 ** 2;
      const [whole, cut] = [planned(graph, false), planned(graph, true)];
      expect(largest(graph, whole.made.placements.keys())).to.equal(total);
      expect(largest(graph, cut.made.placements.keys())).to.be.at.most(4 * 2 ** 20);
      // what the tanh read and what the softmax made
      if (backward) expect(whole.made.savedForBackwardBytes - cut.made.savedForBackwardBytes).to.equal(2 * total);
    }
  });

  for (const [name, how, front = shape.front, maps = 7.5] of [
    ['forward', {}],
    ['forward and backward', { backward: true }],
    ['a map that passes no gradient', { backward: true, fixed: true }],
    // 5 images of 2 windows with 4 heads, in slices of 2 images
    ['position biases and masks', { windows: 2 }, [10, 4], 17],
    ['position biases and masks, backward', { windows: 2, backward: true }, [10, 4], 17],
  ] as readonly (readonly [string, How, (readonly number[])?, number?])[])
    it(`${name}: the bits of whole maps and the reference's numbers, in slices of unequal size`, async () => {
      const build = (): Attention => attention({ ...shape, front }, how);
      const limit = { maxBindingBytes: maps * matrix };
      const whole = await run(build(), { aliasing: false });
      const problem = build();
      const sliced = await run(problem, limit);
      expect(sliced.dispatches).to.be.above(whole.dispatches * 2);
      const poisoned = await run(build(), limit, true);
      const reference = new ReferenceRun(problem.graph);
      problem.inputs.forEach((input, index) =>
        reference.set(input, numbers[index]!.subarray(0, elementCount(input.shape))),
      );
      reference.run('main');
      for (const [output, tensor] of problem.graph.outputs) {
        expect(relativeError(sliced.results.get(output)!, reference.get(tensor)), output).to.be.below(1e-6);
        expect(sliced.results.get(output), output).to.deep.equal(whole.results.get(output));
        expect(poisoned.results.get(output), output).to.deep.equal(whole.results.get(output));
      }
    });

  it('stays whole where the map is wanted, read otherwise, changed along columns, or read before its time', () => {
    const regions = ({ graph }: Attention): number => attentionRegions(graph, groupNodes(graph, true)).length;
    expect(regions(attention(shape))).to.equal(1);
    expect(regions(attention(shape, { backward: true }))).to.equal(2);
    const wanted = attention(shape);
    wanted.graph.output('map', wanted.map);
    expect(regions(wanted)).to.equal(0);
    const read = attention(shape);
    read.graph.output('mean', read.graph.one('reduce', [read.map], { kind: 'mean', axes: [2] }));
    expect(regions(read)).to.equal(0);
    expect(regions(attention(shape, { axis: 2 }))).to.equal(0);
    const biased = attention({ ...shape, front: [10, 4] }, { windows: 2, backward: true });
    expect(regions(biased)).to.equal(2);
    // a second product whose operand is made of the first one's result
    const { graph, map, mixed } = attention(shape);
    const next = graph.one('unary', [graph.one('reduce', [mixed], { kind: 'sum', axes: [2] })], { kind: 'tanh' });
    const operand = graph.one('expand', [next], { shape: mixed.shape });
    graph.output('again', graph.one('matmul', [map, operand], { transposeA: false, transposeB: false }));
    expect(attentionRegions(graph, groupNodes(graph, true))).to.deep.equal([]);
  });
});
