import { expect } from 'chai';
import { lenet5, mlp } from '../../src/nn/zoo/mnist.js';
import { debugGraph, runPoisoned } from '../../src/program/debug.js';
import { Program } from '../../src/program/program.js';
import { sharedDevice } from '../support/device.js';
import { gradientGraph } from '../support/networks.js';

describe('debug mode', () => {
  for (const [definition, rule] of [
    [lenet5, 'bp'],
    [lenet5, 'linbp'],
    [mlp, 'softplus:beta=0.5'],
    [mlp, 'linbp:match=activation,scope=sample'],
  ] as const) {
    it(`${definition.name}, ${rule}: every dispatch equals the reference on its inputs, fused or not`, async () => {
      const device = await sharedDevice();
      for (const fuse of [true, false]) {
        const { graph, feeds } = gradientGraph(definition, { batch: 3, rule, what: 'train' });
        const entries = await debugGraph(graph, feeds, { device, fuse });
        expect(entries.length).to.be.above(10);
        for (const entry of entries) {
          expect(entry.error, `${entry.kernel} ${entry.layer} ${entry.tensor}`).to.be.below(1e-5);
          expect(entry.nonFinite).to.equal(0);
        }
      }
    });
  }

  it('production, one submit per dispatch with poisoned memory, and unaliased memory give the same bits', async () => {
    const device = await sharedDevice();
    const results: Map<string, Float32Array>[] = [];
    for (const mode of ['production', 'poisoned', 'unaliased'] as const) {
      const { graph, feeds } = gradientGraph(lenet5, { batch: 4, rule: 'bp', what: 'train' });
      using program = await Program.compile(graph, { device, aliasing: mode !== 'unaliased' });
      for (const [tensor, data] of feeds) program.write(tensor, data);
      if (mode === 'poisoned') await runPoisoned(program, [{ segment: 'main' }]);
      else await program.run([{ segment: 'main' }]);
      const read = new Map<string, Float32Array>();
      for (const name of graph.outputs.keys()) read.set(name, await program.read(name));
      results.push(read);
    }
    for (const [name, expected] of results[0]!) {
      for (const other of results.slice(1))
        expect(Buffer.from(other.get(name)!.buffer).equals(Buffer.from(expected.buffer)), name).to.equal(true);
    }
  });
});

describe('running a program', () => {
  it('refuses more steps than its step table has rows, before any work', async () => {
    const device = await sharedDevice();
    const { graph } = gradientGraph(mlp, { batch: 1, rule: 'bp', what: 'attack' });
    using program = await Program.compile(graph, { device, steps: { fields: {}, rows: 2 } });
    const submits = device.counters.submits;
    const error = await program.run([{ segment: 'main', repeat: 2, row: 1 }]).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.have.property('code', 'bad-range');
    expect(device.counters.submits).to.equal(submits);
  });
});
