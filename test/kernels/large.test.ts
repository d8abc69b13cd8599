import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { byteLength, elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import { addModel, positionTable } from '../../src/nn/definition.js';
import type { ModelDefinition, ModelInGraph } from '../../src/nn/definition.js';
import { Program } from '../../src/program/program.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { sgd } from '../../src/train/optimizers.js';
import { relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { slowly } from '../support/slow.js';

/** Two convolutions with batch norm; the first one's output has 128 KiB an image. */
const network: ModelDefinition = {
  name: 'large batch',
  input: [1, 32, 32],
  classes: 10,
  build(net, images) {
    let x = net.relu('relu1', net.batchNorm('bn1', net.conv('conv1', images, 32, 3, { padding: 1, bias: false })));
    x = net.relu(
      'relu2',
      net.batchNorm('bn2', net.conv('conv2', net.maxPool('pool', x, 4), 8, 3, { padding: 1, bias: false })),
    );
    return net.linear('fc', net.globalAvgPool('average', x), 10);
  },
};

interface Step {
  readonly graph: Graph;
  readonly images: Tensor;
  readonly labels: Tensor;
  readonly model: ModelInGraph;
}

function step(batch: number): Step {
  const graph = new Graph();
  const images = graph.input('images', [batch, ...network.input]);
  const labels = graph.input('labels', [batch], 'u32');
  const model = addModel(graph, network, images, { training: true });
  const loss = graph.one('loss', [model.logits, labels], { kind: 'crossEntropy' });
  const parameters = [...model.tensors].filter(([, tensor]) => tensor.kind === 'parameter');
  const rules = resolveRules(parseRules('bp'), positionTable(network));
  const found = gradients(graph, { loss, scale: 1 / batch, targets: parameters.map(([, tensor]) => tensor), rules });
  graph.output('logits', model.logits);
  for (const [name, tensor] of parameters) graph.output(name, found.get(tensor)!);
  return { graph, images, labels, model };
}

/**
 * Runs the step on `copies` of the same images, and returns the logits of the first and last copy and the gradients.
 */
async function runCopies(
  images: Float32Array,
  batch: number,
  copies: number,
): Promise<{ values: Map<string, Float32Array>; largest: number }> {
  const built = step(batch * copies);
  using program = await Program.compile(built.graph, { device: await sharedDevice() });
  const repeated = new Float32Array(images.length * copies);
  for (let copy = 0; copy < copies; copy++) repeated.set(images, copy * images.length);
  program.write(built.images, repeated);
  program.write(
    built.labels,
    Uint32Array.from({ length: batch * copies }, (_, n) => (n % batch) % 10),
  );
  for (const tensor of built.model.tensors.values()) {
    const kind = !tensor.name.startsWith('bn')
      ? 'weight'
      : tensor.name.endsWith('running_var')
        ? 'bn.running_var'
        : tensor.name.endsWith('weight')
          ? 'bn.weight'
          : 'bn.bias';
    program.write(tensor, formulaTensor(tensor.name, tensor.shape, kind));
  }
  await program.run([{ segment: 'main' }]);
  const values = new Map<string, Float32Array>();
  for (const name of built.graph.outputs.keys()) values.set(name, await program.read(name));
  const logits = values.get('logits')!;
  values.set('logits', logits.slice(0, 10 * batch)).set('last logits', logits.slice(-10 * batch));
  return { values, largest: Math.max(...[...program.plan.placements.keys()].map(byteLength)) };
}

describe('tensors beyond the real binding limit of the device', () => {
  slowly(true, 'a training step with batch norm on a batch whose activations exceed a binding', 600_000, async () => {
    const device = await sharedDevice();
    const limit = device.limits.maxStorageBufferBindingSize;
    const batch = 8;
    const copies = Math.ceil((limit * 1.01) / (batch * 32 * 1024 * 4));
    // batch statistics, mean loss and gradients of copies are those of the images themselves
    const images = formulaTensor('input', [batch, ...network.input], 'input');
    const small = await runCopies(images, batch, 1);
    const large = await runCopies(images, batch, copies);
    expect(large.largest).to.be.above(limit);
    small.values.set('last logits', small.values.get('logits')!);
    for (const [name, expected] of small.values)
      expect(relativeError(large.values.get(name)!, expected), name).to.be.below(name.includes('logits') ? 1e-5 : 1e-3);
  });

  slowly(true, "VGG-16's linear layer of 392 MiB: forward, gradients, update", 600_000, async () => {
    const device = await sharedDevice();
    const [batch, inputs, outputs, lr] = [2, 25088, 4096, 0.5];
    const graph = new Graph();
    const x = graph.input('x', [batch, inputs]);
    const g = graph.input('g', [batch, outputs]);
    const w = graph.parameter('w', [outputs, inputs]);
    graph.output('y', graph.one('linear', [x, w], {}));
    graph.output('dx', graph.one('linearInputGradient', [g, w], {}));
    const dw = graph.one('linearWeightGradient', [g, x], { bias: false });
    expect(byteLength(w)).to.equal(392 * 2 ** 20);
    graph.scope({ direction: 'update' }, () => sgd({ lr }).emit(graph, { parameters: w, gradients: dw, states: [] }));
    using program = await Program.compile(graph, { device, steps: { fields: { lr: 'f32' }, rows: 1 } });
    program.steps.set(0, { lr });
    program.uploadSteps();
    // rank one weights: w[o, i] = p[o] q[i], so every result has a closed form
    const wave = (count: number, k: number): Float32Array =>
      Float32Array.from({ length: count }, (_, i) => Math.sin(k * (i + 1)));
    const [p, q] = [wave(outputs, 0.37), wave(inputs, 0.11)];
    const weights = new Float32Array(elementCount(w.shape));
    for (let o = 0; o < outputs; o++) for (let i = 0; i < inputs; i++) weights[o * inputs + i] = p[o]! * q[i]!;
    const [xs, gs] = [wave(batch * inputs, 0.53), wave(batch * outputs, 0.71)];
    program.write(w, weights);
    program.write(x, xs);
    program.write(g, gs);
    await program.run([{ segment: 'main' }]);
    const dot = (a: Float32Array, b: Float32Array, first: number): number =>
      b.reduce((sum, value, i) => sum + value * a[first + i]!, 0);
    const alongQ = [0, 1].map((n) => dot(xs, q, n * inputs));
    const alongP = [0, 1].map((n) => dot(gs, p, n * outputs));
    const y = Array.from({ length: batch * outputs }, (_, k) => p[k % outputs]! * alongQ[Math.floor(k / outputs)]!);
    const dx = Array.from({ length: batch * inputs }, (_, k) => q[k % inputs]! * alongP[Math.floor(k / inputs)]!);
    expect(relativeError(await program.read('y'), y)).to.be.below(1e-5);
    expect(relativeError(await program.read('dx'), dx)).to.be.below(1e-5);
    const after = await program.read(w);
    for (let k = 0; k < 20_000; k++) {
      const at = (k * 5153) % after.length;
      const [o, i] = [Math.floor(at / inputs), at % inputs];
      const gradient = gs[o]! * xs[i]! + gs[outputs + o]! * xs[inputs + i]!;
      expect(after[at], `weight ${o}, ${i}`).to.be.closeTo(weights[at]! - lr * gradient, 1e-5);
    }
  });
});
