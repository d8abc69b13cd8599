import { expect } from 'chai';
import { addScaled } from '../../src/attacks/steps.js';
import { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { openExecutor } from '../../src/program/executor.js';
import type { Executor } from '../../src/program/executor.js';
import { openStore } from '../../src/program/store.js';
import type { Store } from '../../src/program/store.js';
import type { Device } from '../../src/runtime/device.js';
import { sharedDevice } from '../support/device.js';

/** A state to which each iteration adds `factor` times the input; `twice` does so in two nodes. */
function summing(twice = false): { graph: Graph; x: Tensor; sum: Tensor } {
  const graph = new Graph();
  const [x, sum] = [graph.input('x', [2, 4]), graph.state('sum', [2, 4])];
  for (let node = 0; node < (twice ? 2 : 1); node++)
    graph.add('map', [sum, x], { fn: addScaled, scalars: [{ step: 'factor' }], targets: [0] });
  return { graph, x, sum };
}

const x = Float32Array.from({ length: 8 }, (_, i) => i - 3);

for (const where of ['device', 'reference'] as const)
  describe(`an executor: ${where}`, () => {
    const place = async (): Promise<Device | 'reference'> => (where === 'device' ? sharedDevice() : where);
    const open = async ({ graph }: { graph: Graph }, stores?: ReadonlyMap<Tensor, Store>): Promise<Executor> =>
      openExecutor(graph, {
        device: await place(),
        steps: { fields: { factor: 'f32' }, rows: 4 },
        ...(stores && { stores }),
      });

    it('runs each iteration on its row of the step table, from the row that is asked for', async () => {
      const built = summing();
      using executor = await open(built);
      executor.write(built.x, x);
      executor.setSteps([{ factor: 1 }, { factor: 10 }, { factor: 100 }, { factor: 1000 }]);
      const shares: number[] = [];
      await executor.run([{ segment: 'main' }, { segment: 'main', row: 2, repeat: 2 }], {
        onChunk: (share) => shares.push(share),
      });
      expect(await executor.read(built.sum)).to.deep.equal(x.map((value) => 1101 * value));
      expect(shares.at(-1)).to.equal(1);
      executor.setSteps([{ factor: -1101 }]);
      await executor.run([{ segment: 'main' }]);
      expect([...(await executor.read(built.sum))].every((value) => value === 0)).to.equal(true);
    });

    it('several share a store: each goes on where another has stopped, and what it writes is seen', async () => {
      const store = openStore(await place(), { elements: 8, kind: 'state', label: 'sum' });
      const [one, two] = [summing(), summing(true)];
      using first = await open(one, new Map([[one.sum, store]]));
      using second = await open(two, new Map([[two.sum, store]]));
      store.write(Float64Array.from(x, (value) => 1000 * value));
      for (const [executor, built] of [
        [first, one],
        [second, two],
      ] as const) {
        executor.write(built.x, x);
        executor.setSteps([{ factor: 1 }]);
      }
      await first.run([{ segment: 'main' }]);
      await second.run([{ segment: 'main' }]);
      expect([...(await store.read())]).to.deep.equal([...x.map((value) => 1003 * value)]);
      expect([...(await first.read(one.sum))]).to.deep.equal([...(await store.read())]);
      expect(await store.read(3)).to.have.length(3);
      // What was read is a copy.
      const before = await store.read();
      await first.run([{ segment: 'main' }]);
      expect([...before]).to.deep.equal([...x.map((value) => 1003 * value)]);
      store.destroy();
    });

    it('does nothing once its signal has fired', async () => {
      const built = summing();
      using executor = await open(built);
      executor.write(built.x, x);
      executor.setSteps([{ factor: 1 }]);
      const error = await executor.run([{ segment: 'main' }], { signal: AbortSignal.abort() }).catch((e: unknown) => e);
      expect(error).to.be.instanceOf(LinbpError).with.property('code', 'aborted');
      expect([...(await executor.read(built.sum))].every((value) => value === 0)).to.equal(true);
    });

    it('gives values as they were computed, and words as words', async () => {
      const graph = new Graph();
      const [a, labels] = [graph.input('a', [2, 3]), graph.input('labels', [2], 'u32')];
      const [y, correct] = [
        graph.one('unary', [a], { kind: 'affine', values: [1 / 3, 0] }),
        graph.one('correct', [a, labels], {}),
      ];
      graph.output('y', y);
      graph.output('correct', correct);
      using executor: Executor = await openExecutor(graph, { device: await place() });
      executor.write(a, Float64Array.of(1, 2, 3, 4, 5, 6));
      executor.write(labels, Uint32Array.of(2, 0));
      await executor.run([{ segment: 'main' }]);
      const exact = await executor.exact(y);
      expect(exact).to.be.instanceOf(where === 'device' ? Float32Array : Float64Array);
      expect(exact[0]).to.be.closeTo(1 / 3, where === 'device' ? 1e-7 : 1e-16);
      expect([...(await executor.read(y))]).to.deep.equal([...exact].map(Math.fround));
      expect(await executor.readU32(correct)).to.deep.equal(Uint32Array.of(1, 0));
      expect(executor.kernels.length > 0).to.equal(where === 'device');
    });
  });

describe('the reference in shared arrays', () => {
  it('aborts between two iterations and keeps what was done', async () => {
    const built = summing();
    using executor = await openExecutor(built.graph, { device: 'reference' });
    const abort = new AbortController();
    executor.write(built.x, x);
    executor.setSteps(Array.from({ length: 4 }, () => ({ factor: 1 })));
    const onChunk = (share: number): void => {
      if (share === 0.5) abort.abort();
    };
    const run = executor.run([{ segment: 'main', repeat: 4 }], { signal: abort.signal, onChunk });
    expect(await run.catch((e: unknown) => (e as LinbpError).code)).to.equal('aborted');
    expect([...(await executor.exact(built.sum))]).to.deep.equal([...x.map((value) => 2 * value)]);
  });

  it('takes the values of the step table unrounded', async () => {
    const built = summing();
    using executor = await openExecutor(built.graph, { device: 'reference' });
    executor.write(built.x, new Float32Array(8).fill(1));
    executor.setSteps([{ factor: 0.1 }]);
    await executor.run([{ segment: 'main' }]);
    expect((await executor.exact(built.sum))[0]).to.equal(0.1);
  });
});
