import { expect } from 'chai';
import { lenet5, mlp } from '../../src/nn/zoo/mnist.js';
import { Program } from '../../src/program/program.js';
import { maskShape, elementCount } from '../../src/graph/types.js';
import { sharedDevice } from '../support/device.js';
import { gradientGraph } from '../support/networks.js';

const linearized = { mlp: ['layer1.3', 'layer1.5'], lenet5: ['fc.1', 'fc.3'] };

describe('a linear rule is free', () => {
  for (const definition of [mlp, lenet5]) {
    for (const what of ['train', 'attack'] as const) {
      it(`${definition.name}, ${what}: no more dispatches, no larger plan, just masks' bytes saved`, async () => {
        const device = await sharedDevice();
        const compile = async (rule: string, fuse: boolean) => {
          const { graph } = gradientGraph(definition, { batch: 9, rule, what });
          return Program.compile(graph, { device, fuse });
        };
        for (const fuse of [true, false]) {
          using bp = await compile('bp', fuse);
          using linbp = await compile('linbp', fuse);
          const names = linearized[definition.name as keyof typeof linearized];
          if (fuse) expect(linbp.dispatches.length).to.be.at.most(bp.dispatches.length);
          else expect(linbp.dispatches.length).to.equal(bp.dispatches.length - names.length);
          expect(linbp.plan.bytes).to.be.at.most(bp.plan.bytes);
          const masks = bp.schedule.graph.nodes
            .filter((node) => node.op === 'activation' && names.includes(node.layer))
            .reduce((sum, node) => sum + 4 * elementCount(maskShape(node.outputs[0]!.shape)), 0);
          expect(masks).to.be.above(0);
          expect(bp.plan.savedForBackwardBytes - linbp.plan.savedForBackwardBytes).to.equal(masks);
        }
      });
    }
  }

  it('LeNet-5 needs at most 12 register-tiled pipelines for training and attack under both rules', async () => {
    const device = await sharedDevice();
    const tiled = new Set<string>();
    for (const rule of ['bp', 'linbp']) {
      for (const what of ['train', 'attack'] as const) {
        const { graph } = gradientGraph(lenet5, { batch: 64, rule, what });
        using program = await Program.compile(graph, { device });
        for (const { source } of program.dispatches) {
          if (['gemm/conv', 'gemm/convRows', 'gemm/weightGradient'].includes(source.kernel)) tiled.add(source.code);
        }
      }
    }
    expect(tiled.size).to.be.within(6, 12);
  });

  it('forward logits are the same bits under every rule @slow', async () => {
    const device = await sharedDevice();
    const rules = [
      'bp',
      'linbp',
      'linbp:from=all',
      'leaky:a=0.25',
      'softplus:beta=0.5',
      'silu',
      'guided',
      'deconvnet',
      'linbp:match=activation,scope=sample',
    ];
    for (const definition of [mlp, lenet5]) {
      let first: Float32Array | undefined;
      for (const rule of rules) {
        const { graph, feeds } = gradientGraph(definition, { batch: 5, rule, what: 'attack' });
        using program = await Program.compile(graph, { device });
        for (const [tensor, data] of feeds) program.write(tensor, data);
        await program.run([{ segment: 'main' }]);
        const logits = await program.read('logits');
        first ??= logits;
        expect(Buffer.from(logits.buffer).equals(Buffer.from(first.buffer)), `${definition.name} ${rule}`).to.equal(
          true,
        );
      }
    }
  });
});
