import { expect } from 'chai';
import type { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { lenet5, mlp } from '../../src/nn/zoo/mnist.js';
import { Program } from '../../src/program/program.js';
import { goldenValues, relativeError } from '../reference/support.js';
import { sharedDevice } from '../support/device.js';
import { loadGolden } from '../support/golden.js';
import { checkedRows, goldenCheck } from '../support/goldenRows.js';
import type { Results, Runner } from '../support/goldenRows.js';
import { gradientGraph } from '../support/networks.js';

/** Runs a graph on the device, keeping every result. */
async function runOnDevice(graph: Graph, feeds: readonly (readonly [Tensor, ArrayLike<number>])[]): Promise<Results> {
  const device = await sharedDevice();
  for (const node of graph.nodes) for (const output of node.outputs) graph.output(`${node.id}.${output.id}`, output);
  using program = await Program.compile(graph, { device });
  for (const [tensor, data] of feeds)
    program.write(tensor, tensor.dtype === 'u32' ? Uint32Array.from(data) : Float32Array.from(data));
  await program.run([{ segment: 'main' }]);
  const read = new Map<Tensor, ArrayLike<number>>();
  for (const tensor of graph.outputs.values())
    read.set(tensor, tensor.dtype === 'u32' ? await program.readU32(tensor) : await program.read(tensor));
  return { get: (tensor) => read.get(tensor)! };
}

const onDevice: Runner = { bound: 1e-5, run: runOnDevice };

describe('device: golden operations @swiftshader', () => {
  for (const row of checkedRows) it(row.name, () => goldenCheck(row)!(onDevice));
});

describe('device: golden networks', () => {
  for (const definition of [mlp, lenet5]) {
    for (const rule of ['bp', 'linbp']) {
      it(`${definition.name}, ${rule}: logits 1e-5, gradients 1e-3`, async () => {
        const device = await sharedDevice();
        const file = loadGolden(`${definition.name}.eval`);
        const expected = (key: string): ArrayLike<number> => goldenValues(file, key);
        const { graph, images, labels, feeds } = gradientGraph(definition, { batch: 8, rule, what: 'train' });
        using program = await Program.compile(graph, { device });
        for (const [tensor, data] of feeds) program.write(tensor, data);
        program.write(images, Float32Array.from(expected('input')));
        program.write(labels, Uint32Array.from(expected('labels')));
        await program.run([{ segment: 'main' }]);
        const losses = await program.read('loss');
        expect(relativeError(await program.read('logits'), expected(`${rule}.logits`)), 'logits').to.be.below(1e-5);
        expect(
          relativeError([losses.reduce((sum, value) => sum + value, 0) / 8], expected(`${rule}.loss`)),
          'loss',
        ).to.be.below(1e-5);
        expect(
          relativeError(await program.read('grad.input'), expected(`${rule}.grad.input`)),
          'grad.input',
        ).to.be.below(1e-3);
        const parameters = [...graph.outputs.keys()].filter(
          (name) => name.startsWith('grad.') && name !== 'grad.input',
        );
        expect(parameters.length).to.be.above(7);
        for (const name of parameters) {
          const gradient = await program.read(name);
          expect(relativeError(gradient.slice(0, 32), expected(`${rule}.${name}.head`)), `${name} head`).to.be.below(
            1e-3,
          );
          const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
          expect(relativeError([norm], expected(`${rule}.${name}.norm`)), `${name} norm`).to.be.below(1e-3);
        }
      });
    }
  }
});
