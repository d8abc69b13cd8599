import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import type { KernelChoice, ProductKernel } from '../../src/kernels/problem.js';
import { debugGraph, runPoisoned } from '../../src/program/debug.js';
import { Program } from '../../src/program/program.js';
import { bp } from '../../src/rules/builtin.js';
import type { Device } from '../../src/runtime/device.js';
import { onlyChoice } from '../../src/choices/table.js';
import { randomArray, relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';

const conv = { stride: [1, 1], padding: [1, 0, 2, 1], dilation: [1, 1], groups: 1 } as const;
const choiceOf = (kernel: ProductKernel, columns = 4): KernelChoice => ({
  kernel,
  rows: 8,
  columns,
  lanes: 8,
  share: 1,
});

/**
 * Two convolutions with the same weights, with all that can be fused behind them, and the input gradient through the
 * mask.
 */
function layerGraph(batch: number): { graph: Graph; weight: Tensor } {
  const graph = new Graph();
  const [x, weight, bias] = [
    graph.input('x', [batch, 6, 9, 7]),
    graph.parameter('w', [19, 6, 3, 3]),
    graph.parameter('b', [19]),
  ];
  const scaled = graph.one(
    'scaleShift',
    [graph.one('conv2d', [x, weight, bias], conv), graph.input('scale', [19]), graph.input('shift', [19])],
    {},
  );
  const [y, mask] = graph.add('activation', [graph.one('add', [scaled, graph.input('other', scaled.shape)], {})], {
    kind: 'relu',
    mask: true,
  });
  const plain = graph.one('conv2d', [graph.input('x2', [batch, 6, 9, 7]), weight], conv);
  const g = graph.one('activationBackward', [graph.input('g', y!.shape), mask!], { kind: 'relu', rule: bp });
  const before = graph.input('mask', [batch, 1, 63], 'u32');
  const gradient = graph.one('conv2dInputGradient', [g, weight], { ...conv, inputShape: x.shape });
  graph.output('y', y!);
  graph.output('plain', plain);
  graph.output('dx', graph.one('activationBackward', [gradient, before], { kind: 'relu', rule: bp }));
  return { graph, weight };
}

const feedsOf = (graph: Graph): Map<Tensor, Float32Array | Uint32Array> =>
  new Map(
    graph.tensors
      .filter((tensor) => tensor.kind !== 'value' && tensor.view === undefined)
      .map((tensor) => {
        const values = randomArray(elementCount(tensor.shape));
        return [
          tensor,
          tensor.dtype === 'u32' ? Uint32Array.from(values, (value) => Math.floor((value + 1) * 2 ** 15)) : values,
        ];
      }),
  );

const bits = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

for (const [kernel, multiplications] of [
  ['gemm/winogradF2', 16],
  ['gemm/winogradF4', 36],
] as const) {
  describe(kernel, () => {
    let device: Device;
    before(async () => {
      device = await sharedDevice();
    });

    it('equals the float64 reference, forward and input gradient, fused and unfused', async () => {
      for (const fuse of [true, false]) {
        const { graph } = layerGraph(3);
        const entries = await debugGraph(graph, feedsOf(graph), {
          device,
          fuse,
          choices: onlyChoice(choiceOf(kernel)),
        });
        expect(entries.filter((entry) => entry.kernel === 'gemm/winogradInput').length).to.be.at.least(3);
        for (const { tensor, error, nonFinite } of entries) {
          // a sum next to zero may fall to either side in a mask: one bit of some hundred words
          const packed = graph.tensors.find(({ name }) => name === tensor)?.dtype === 'u32';
          expect(error, tensor).to.be.below(packed ? 0.1 : 1e-5);
          expect(nonFinite, tensor).to.equal(0);
        }
      }
    });

    it('gives an image the same bits in every batch and tile', async () => {
      const run = async (
        batch: number,
        columns: number,
        feeds: (tensor: Tensor) => Float32Array | Uint32Array,
      ): Promise<Float32Array[]> => {
        const { graph } = layerGraph(batch);
        using program = await Program.compile(graph, { device, choices: onlyChoice(choiceOf(kernel, columns)) });
        for (const tensor of feedsOf(graph).keys()) program.write(tensor, feeds(tensor));
        await program.run([{ segment: 'main' }]);
        const results: Float32Array[] = [];
        for (const output of graph.outputs.values())
          results.push((await program.read(output)).slice(0, elementCount(output.shape) / batch));
        return results;
      };
      const all = new Map([...feedsOf(layerGraph(5).graph)].map(([tensor, data]) => [tensor.name, data]));
      const many = await run(5, 8, ({ name }) => all.get(name)!);
      const one = await run(1, 4, ({ name, shape }) => all.get(name)!.slice(0, elementCount(shape)));
      for (const [index, values] of one.entries())
        expect(bits(values).equals(bits(many[index]!)), `output ${index}`).to.equal(true);
    });

    it('transforms weights once for all that use them, anew in each run', async () => {
      const { graph, weight } = layerGraph(2);
      using program = await Program.compile(graph, { device, choices: onlyChoice(choiceOf(kernel)) });
      const transforms = program.dispatches.filter(({ source }) => source.kernel === 'gemm/winogradWeights');
      expect(transforms.length, 'one for both convolutions, one for the gradient').to.equal(2);
      expect(program.dispatches.slice(0, 2), 'before everything else').to.deep.equal(transforms);
      const products = program.dispatches.find(({ source }) => source.kernel === 'gemm/winogradProducts')!;
      const tiles = kernel === 'gemm/winogradF2' ? 5 * 3 : 3 * 2;
      expect(products.source.flops).to.equal(2 * multiplications * 19 * 6 * 2 * tiles);
      const feeds = feedsOf(graph);
      for (const [tensor, data] of feeds) program.write(tensor, data);
      await program.run([{ segment: 'main' }]);
      const first = await program.read(graph.outputs.get('plain')!);
      program.write(
        weight,
        (feeds.get(weight) as Float32Array).map((value) => 2 * value),
      );
      await program.run([{ segment: 'main' }]);
      const second = await program.read(graph.outputs.get('plain')!);
      expect(
        relativeError(
          second,
          first.map((value) => 2 * value),
        ),
      ).to.be.below(1e-6);
    });

    it('follows weights that change while the program runs', async () => {
      const graph = new Graph();
      const [x, next, weight] = [
        graph.input('x', [2, 3, 6, 6]),
        graph.input('next', [5, 3, 3, 3]),
        graph.parameter('w', [5, 3, 3, 3]),
      ];
      const attrs = { ...conv, padding: [1, 1, 1, 1] } as const;
      graph.output('before', graph.one('conv2d', [x, weight], attrs));
      graph.add('assign', [next, weight], {});
      graph.output('after', graph.one('conv2d', [x, weight], attrs));
      const feeds = feedsOf(graph);
      for (const mode of ['production', 'poisoned'] as const) {
        using program = await Program.compile(graph, { device, choices: onlyChoice(choiceOf(kernel)) });
        for (const [tensor, data] of feeds) program.write(tensor, data);
        program.write(
          next,
          (feeds.get(weight) as Float32Array).map((value) => 3 * value),
        );
        await (mode === 'production'
          ? program.run([{ segment: 'main' }])
          : runPoisoned(program, [{ segment: 'main' }]));
        const [old, fresh] = [
          await program.read(graph.outputs.get('before')!),
          await program.read(graph.outputs.get('after')!),
        ];
        expect(
          relativeError(
            fresh,
            old.map((value) => 3 * value),
          ),
          mode,
        ).to.be.below(1e-5);
      }
    });
  });
}
