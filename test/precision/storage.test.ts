import { expect } from 'chai';
import { byteLength, elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { lenet5, mlp } from '../../src/nn/zoo/mnist.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { rootOf } from '../../src/plan/schedule.js';
import { debugGraph, runPoisoned } from '../../src/program/debug.js';
import { Program } from '../../src/program/program.js';
import { Device } from '../../src/runtime/device.js';
import { eightBitImages, modelWith } from '../attacks/support.js';
import { sharedDevice } from '../support/device.js';
import { gradientGraph } from '../support/networks.js';
import { hasHalf, itInHalf, refusal } from './support.js';

/** A layer of every kind that the zoo's networks have, on sizes that are odd wherever they may be. */
const everything: ModelDefinition = {
  name: 'everything',
  input: [3, 9, 9],
  classes: 10,
  build(net, images) {
    const wide = net.relu('relu1', net.batchNorm('bn1', net.conv('conv1', images, 7, 3, { padding: 1, bias: false })));
    const narrow = net.relu('relu2', net.conv('depthwise', wide, 7, 3, { padding: 1, stride: 2, groups: 7 }), {
      kind: 'relu6',
    });
    const sum = net.add(
      'sum',
      net.batchNorm('bn2', net.conv('pointwise', narrow, 11, 1)),
      net.zeroPadShortcut('shortcut', wide, 11, 2),
    );
    const options = { stride: 1, padding: 1 };
    const both = net.concat('both', [net.maxPool('maxPool', sum, 3, options), net.avgPool('avgPool', sum, 3, options)]);
    const grouped = net.relu('relu3', net.conv('grouped', both, 22, 3, { padding: 1, groups: 2 }));
    return net.linear('fc', net.flatten(net.adaptiveAvgPool('pool', net.maxPool('tiles', grouped, 2), 1)), 10);
  },
};

/** Gradients lifted into the middle of what f16 holds. */
const scale = 64;

describe('half precision: storage', () => {
  for (const [definition, rule, training] of [
    [lenet5, 'bp', false],
    [everything, 'bpa', true],
    [everything, 'bp', true],
  ] as const) {
    itInHalf(
      `${definition.name}, ${rule}: every dispatch is within 1e-3 of the float64 reference on inputs rounded alike` +
        (definition === lenet5 ? '' : ' @slow'),
      async () => {
        const device = await sharedDevice();
        const { graph, feeds } = gradientGraph(definition, { batch: 3, rule, what: 'train', training, scale });
        const entries = await debugGraph(graph, feeds, { device, precision: 'f16' });
        expect(graph.tensors.filter((tensor) => tensor.dtype === 'f16').length).to.be.above(10);
        for (const entry of entries) {
          expect(entry.error, `${entry.kernel} ${entry.variant} ${entry.layer} ${entry.tensor}`).to.be.below(1e-3);
          expect(entry.nonFinite).to.equal(0);
        }
      },
    );
  }

  itInHalf(
    'slices of a batch that begin inside a word, and poisoned memory, give the bits of the plain program @slow',
    async () => {
      const device = await sharedDevice();
      const results: Map<string, Float32Array>[] = [];
      for (const mode of ['plain', 'sliced', 'poisoned'] as const) {
        const { graph, feeds, network } = gradientGraph(everything, { batch: 5, rule: 'bp', what: 'attack', scale });
        // The first layers have 567 half numbers an image, so that image 3 begins inside a word.
        using program = await Program.compile(graph, {
          device,
          precision: 'f16',
          ...(mode === 'sliced' && { maxBindingBytes: 5200 }),
        });
        for (const [tensor, data] of feeds) program.write(tensor, data);
        program.write(network.buffers!, new Float32Array(elementCount(network.buffers!.shape)).fill(1));
        if (mode === 'poisoned') await runPoisoned(program, [{ segment: 'main' }]);
        else await program.run([{ segment: 'main' }]);
        const read = new Map<string, Float32Array>();
        for (const name of ['logits', 'grad.input']) read.set(name, await program.read(name));
        results.push(read);
      }
      for (const [name, expected] of results[0]!) {
        expect(expected.every(Number.isFinite), name).to.equal(true);
        for (const other of results.slice(1)) expect(other.get(name), name).to.deep.equal(expected);
      }
    },
  );

  itInHalf(
    'activations, their gradients and copies of weights are f16; ' +
      'parameters, logits, losses and gradients of weights are not',
    async () => {
      const device = await sharedDevice();
      const { graph, network, feeds } = gradientGraph(lenet5, { batch: 2, rule: 'bp', what: 'train' });
      using half = await Program.compile(graph, { device, precision: 'f16' });
      const full = gradientGraph(lenet5, { batch: 2, rule: 'bp', what: 'train' });
      using plain = await Program.compile(full.graph, { device });
      const wide: Tensor[] = [network.parameters, ...graph.outputs.values(), ...feeds.keys()];
      for (const tensor of wide) expect(rootOf(tensor).dtype, tensor.name).to.not.equal('f16');
      for (const node of graph.nodes) {
        if (['activation', 'maxPool2d'].includes(node.op)) expect(node.outputs[0]!.dtype, node.layer).to.equal('f16');
        if (['conv2d', 'linear'].includes(node.op)) expect(node.inputs[1]!.dtype, node.layer).to.equal('f16');
        if (node.direction === 'weightGradient')
          for (const output of node.outputs) expect(output.dtype, node.layer).to.equal('f32');
      }
      const masks = (program: Program): number =>
        program.schedule.graph.tensors
          .filter(({ dtype, kind }) => dtype === 'u32' && kind === 'value')
          .reduce((sum, tensor) => sum + byteLength(tensor), 0);
      expect(masks(half)).to.equal(masks(plain));
      // All else that crosses to the backward pass is halved but for the logits.
      const logits = byteLength(network.logits);
      const crossing = (program: Program): number => program.plan.savedForBackwardBytes - masks(program) - logits;
      expect(crossing(half)).to.be.within(0.5 * crossing(plain), 0.5 * crossing(plain) + 64);
    },
  );

  for (const [definition, pixels, tag] of [
    [lenet5, 784, ''],
    [modelDefinition('resnet20'), 3072, ' @slow'],
  ] as const) {
    itInHalf(`logits of ${definition.name} are within 1e-2 of those in f32${tag}`, async () => {
      const model = await modelWith(definition);
      const images = eightBitImages(Math.floor(Math.random() * 1e6), 4 * pixels);
      const [full, half] = [await model.logits(images), await model.logits(images, { precision: 'f16' })];
      const length = Math.hypot(...full);
      const distance = Math.hypot(...full.map((value, i) => value - half[i]!));
      expect(distance / length, definition.name).to.be.within(1e-7, 1e-2);
      model.destroy();
    });
  }

  it('is refused on a device without it, and for a graph that was compiled in f32', async () => {
    using bare = await Device.open({ features: [] });
    expect(await refusal(bare)).to.include({ code: 'unsupported', field: 'precision' });
    const built = gradientGraph(mlp, { batch: 1, rule: 'bp', what: 'attack' });
    const device = await sharedDevice();
    using _plain = await Program.compile(built.graph, { device });
    expect(await refusal(device, built)).to.include({
      code: (await hasHalf()) ? 'bad-argument' : 'unsupported',
      field: 'precision',
    });
  });
});
