import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { uniforms } from '../../src/random/philox.js';
import { checkGraph, keep, randomInt, randomValues, randomWords, runGraph } from '../support/dispatch.js';

describe('source kernels', () => {
  for (const distribution of ['uniform', 'normal'] as const) {
    it(`random ${distribution} numbers are those of the reference`, async () => {
      for (const shape of [[1], [7], [7, 3], [64, 5, 3], [2, 3, 17, 5]]) {
        const ids = randomWords(shape[0]!, 2 ** 32);
        for (const fromStep of [false, true]) {
          const graph = new Graph();
          const sampleIds = graph.input('ids', [shape[0]!], 'u32');
          const [seed, step] = [randomInt(0, 2 ** 32 - 1), randomInt(0, 1000)];
          const attrs = fromStep ? { seed: { step: 'seed' }, step: { step: 'step' } } : { seed, step };
          const y = graph.one('random', [sampleIds], { shape, distribution, stream: 4, ...attrs });
          keep(graph, y);
          const results = await checkGraph(graph, {
            data: new Map([[sampleIds, ids]]),
            steps: { step: { type: 'u32', value: step }, seed: { type: 'u32', value: seed } },
          });
          if (distribution === 'normal') continue;
          const size = results(y).length / shape[0]!;
          expect([...results(y)]).to.deep.equal([...ids].flatMap((id) => [...uniforms(seed, 4, id, step, size)]));
        }
      }
    });
  }

  const images = (
    packed: boolean,
    start: number | { step: string },
    sampleShape: readonly number[],
  ): { graph: Graph; data: Tensor; indices: Tensor } => {
    const graph = new Graph();
    const size = sampleShape.reduce((a, b) => a * b, 1);
    const data = graph.input('data', [200, packed ? size / 4 : size], packed ? 'u32' : 'f32');
    const indices = graph.input('indices', [60], 'u32');
    const labels = graph.input('labels', [200], 'u32');
    keep(graph, graph.one('gatherImages', [data, indices], { count: 7, sampleShape, packed, start }));
    keep(graph, graph.one('gatherLabels', [labels, indices], { count: 7, start }));
    return { graph, data, indices };
  };

  for (const packed of [true, false]) {
    for (const start of [3, { step: 'start' }]) {
      it(`gathers ${packed ? 'packed' : 'float'} images and labels from a ${typeof start === 'number' ? 'fixed' : 'per-step'} start`, async () => {
        for (const sampleShape of [
          [1, 2, 2],
          [3, 4, 5],
        ]) {
          const { graph, data, indices } = images(packed, start, sampleShape);
          const labels = graph.tensors.find(({ name }) => name === 'labels')!;
          const count = data.shape[0]! * data.shape[1]!;
          const inputs = new Map<Tensor, Float32Array | Uint32Array>([
            [data, packed ? randomWords(count, 2 ** 32) : randomValues(count)],
            [indices, randomWords(60, 200)],
            [labels, randomWords(200, 10)],
          ]);
          const steps = { start: { type: 'u32', value: 50 } } as const;
          await checkGraph(graph, { data: inputs, steps });
          // a data set that does not fit a binding
          const device = { maxBindingBytes: 8192 };
          const { dispatches } = await runGraph(graph, { data: inputs, steps, device });
          if (count * 4 > 8192) expect(dispatches.length).to.be.greaterThan(2);
          await checkGraph(graph, { data: inputs, steps, device });
        }
      });
    }
  }

  it('scales bytes to [0, 1] with 0 and 255 exact', async () => {
    const graph = new Graph();
    const data = graph.input('data', [1, 64], 'u32');
    const indices = graph.input('indices', [1], 'u32');
    const y = graph.one('gatherImages', [data, indices], { count: 1, sampleShape: [256], packed: true, start: 0 });
    keep(graph, y);
    const words = new Uint32Array(Uint8Array.from({ length: 256 }, (_, i) => i).buffer);
    const results = await checkGraph(graph, {
      data: new Map([
        [data, words],
        [indices, new Uint32Array(1)],
      ]),
      tolerance: 1e-7,
    });
    expect([results(y)[0], results(y)[255]]).to.deep.equal([0, 1]);
  });
});
