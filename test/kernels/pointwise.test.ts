import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { Program } from '../../src/program/program.js';
import { sharedDevice } from '../support/device.js';

describe('pointwise kernels beyond 65,535 workgroups an axis', () => {
  for (const [name, shape] of [
    ['channels', [1, 4_194_304]],
    ['pixels', [1, 1, 2049, 2049]],
  ] as const) {
    it(`many ${name}: [${shape.join(', ')}]`, async () => {
      const device = await sharedDevice();
      const graph = new Graph();
      const [x, y] = [graph.input('x', shape), graph.input('y', shape)];
      graph.output('sum', graph.one('add', [x, y], {}));
      using program = await Program.compile(graph, { device });
      const count = shape.reduce((all: number, size) => all * size, 1);
      // Sums below 2^24 are exact.
      const left = Float32Array.from({ length: count }, (_, i) => i);
      const right = Float32Array.from({ length: count }, (_, i) => 7 * (i % 1001));
      program.write(x, left);
      program.write(y, right);
      await program.run([{ segment: 'main' }]);
      const sum = await program.read('sum');
      let wrong = 0;
      for (let i = 0; i < count; i++) if (sum[i] !== left[i]! + right[i]!) wrong += 1;
      expect(wrong).to.equal(0);
      const [dispatch] = program.dispatches;
      expect(dispatch!.source.workgroups[2], 'folded into z').to.be.above(1);
    });
  }
});
