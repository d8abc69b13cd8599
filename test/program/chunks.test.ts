import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import { Program } from '../../src/program/program.js';
import { uniforms } from '../../src/random/philox.js';
import { sharedDevice } from '../support/device.js';

/** A chain of convolutions whose last result is also a state that each iteration replaces. */
function chain(layers: number): Graph {
  const graph = new Graph();
  const attrs = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 } as const;
  const state = graph.state('state', [2, 8, 6, 6]);
  let x = state;
  for (let layer = 0; layer < layers; layer++)
    x = graph.one('conv2d', [x, graph.parameter(`w${layer}`, [8, 8, 3, 3])], attrs);
  graph.add('assign', [x, state], {});
  return graph;
}

describe('Submits', () => {
  for (const chunkMilliseconds of [1e-6, 1e6]) {
    it(`of ${chunkMilliseconds} ms give the same bits, with work cut inside long iterations`, async () => {
      const device = await sharedDevice();
      const graph = chain(6);
      using program = await Program.compile(graph, { device, steps: { fields: {}, rows: 3 } });
      const fill = (): void => {
        for (const tensor of graph.tensors)
          if (tensor.kind === 'parameter' || tensor.kind === 'state') {
            const values = uniforms(5, tensor.id, 0, 0, elementCount(tensor.shape));
            program.write(
              tensor,
              values.map((value) => (value - 0.5) / 4),
            );
          }
      };
      const state = graph.tensors.find(({ kind }) => kind === 'state')!;
      fill();
      await program.run([{ segment: 'main', repeat: 3 }]);
      const expected = await program.read(state);
      expect(expected.some((value) => value !== 0)).to.equal(true);
      fill();
      const before = device.counters.submits;
      const durations: number[] = [];
      const runs = [{ segment: 'main', repeat: 3 }];
      await program.run(runs, { chunkMilliseconds, onSubmitted: (took) => durations.push(took) });
      const submits = device.counters.submits - before;
      expect(await program.read(state)).to.deep.equal(expected);
      const dispatches = program.dispatches.length;
      expect(dispatches).to.be.at.least(6);
      expect(submits).to.equal(chunkMilliseconds < 1 ? 3 * dispatches : 1);
      expect(durations).to.have.length(submits);
    });
  }

  it('a run that is aborted inside an iteration finishes the iteration', async () => {
    const device = await sharedDevice();
    const graph = chain(6);
    using program = await Program.compile(graph, { device, steps: { fields: {}, rows: 3 } });
    const controller = new AbortController();
    const options = { chunkMilliseconds: 1e-6, signal: controller.signal, onSubmitted: () => controller.abort() };
    const before = device.counters.dispatches;
    const error: unknown = await program
      .run([{ segment: 'main', repeat: 3 }], options)
      .catch((cause: unknown) => cause);
    expect(error).to.have.property('code', 'aborted');
    expect((device.counters.dispatches - before) % program.dispatches.length).to.equal(0);
    expect(device.counters.dispatches - before).to.be.below(3 * program.dispatches.length);
  });
});
