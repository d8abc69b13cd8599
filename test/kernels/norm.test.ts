import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { checkGraph, keep, randomInt, randomValues, randomWords, runGraph } from '../support/dispatch.js';

const norms = ['l1', 'l2', 'linf'] as const;

describe('reductions', () => {
  for (const norm of norms) {
    it(`${norm} norm of samples of any size and magnitude`, async () => {
      for (const [batch, size] of [
        [1, 1],
        [7, 63],
        [64, 64],
        [3, randomInt(65, 1000)],
        [2, 16384],
      ] as const) {
        const graph = new Graph();
        const x = graph.input('x', [batch, size]);
        keep(graph, graph.one('sampleNorm', [x], { norm }));
        for (const scale of [1, 1e-28, 1e28])
          await checkGraph(graph, { data: new Map([[x, randomValues(batch * size, scale)]]) });
        const zero = await checkGraph(graph, { data: new Map([[x, new Float32Array(batch * size)]]) });
        expect([...zero([...graph.outputs.values()][0]!)].every((value) => value === 0)).to.equal(true);
      }
    });

    it(`${norm} norm of a sample does not depend on its batch`, async () => {
      const size = 777;
      const values = randomValues(5 * size);
      const run = async (first: number, batch: number): Promise<number[]> => {
        const graph = new Graph();
        const x = graph.input('x', [batch, size]);
        const y = graph.one('sampleNorm', [x], { norm });
        keep(graph, y);
        const { results } = await runGraph(graph, {
          data: new Map([[x, values.subarray(first * size, (first + batch) * size)]]),
        });
        return [...results(y)];
      };
      expect([...(await run(0, 1)), ...(await run(1, 3)), ...(await run(4, 1))]).to.deep.equal(await run(0, 5));
    });
  }

  it('record writes one row, named by a constant or by the step, and drops rows outside the log', async () => {
    for (const batch of [1, 7, 64, 300]) {
      for (const row of [2, { step: 'row' }]) {
        const graph = new Graph();
        const loss = graph.input('loss', [batch]);
        const correct = graph.input('correct', [batch], 'u32');
        const log = graph.state('log', [5, 2]);
        graph.add('record', [loss, correct, log], { row });
        const data = new Map<typeof loss, Float32Array | Uint32Array>([
          [loss, randomValues(batch).map(Math.abs)],
          [correct, randomWords(batch, 2)],
          [log, randomValues(10)],
        ]);
        await checkGraph(graph, { data, steps: { row: { type: 'u32', value: 4 } } });
        if (typeof row === 'number') continue;
        const { results } = await runGraph(graph, { data, steps: { row: { type: 'u32', value: 5 } } });
        expect([...results(log)]).to.deep.equal([...data.get(log)!]);
      }
    }
  });
});
