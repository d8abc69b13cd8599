// A number instead of a class: the first output is the digit's value, by the squared error.
import { adam, Device, loadDataset, Model, Trainer } from 'linbp';
import type { ModelDefinition, Objective } from 'linbp';

const definition: ModelDefinition = {
  name: 'value',
  input: [1, 28, 28],
  classes: 10,
  build: (net, images) => net.linear('head', net.relu('relu', net.linear('hidden', net.flatten(images), 64)), 10),
};

/** (z_0 - value)^2; the other outputs have no part in it. */
const objective: Objective = (graph, logits, labels, scale) => {
  // The gradient of minus the label's logit is minus a one-hot row; the table turns it into (value, 0, 0, ...).
  const oneHot = graph.one('lossBackward', [logits, labels], { kind: 'logit', scale: -1 });
  const values = Array.from({ length: 100 }, (_, i) => (i < 10 ? i / 10 : 0));
  const targets = graph.one('linear', [oneHot, graph.constant('values', values, [10, 10])], {});
  const first = graph.constant('first', [1, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 10]);
  const used = graph.one('binary', [logits, first], { kind: 'mul' });
  const error = graph.one('binary', [used, targets], { kind: 'sub' });
  const loss = graph.one('sampleNorm', [graph.one('unary', [error], { kind: 'square' })], { norm: 'sum' });
  return { loss, gradient: graph.one('unary', [error], { kind: 'affine', values: [2 * scale, 0] }) };
};

const dataset = await loadDataset({ dataset: 'digits', split: 'train', limit: 1500 });
using device = await Device.open();
using model = Model.create(definition, { device });
using trainer = await Trainer.create({ model, dataset, objective, optimizer: adam(), batch: 50 });
const { epochs } = await trainer.fit({ epochs: 3 });
console.log(`squared error of a tenth of the digit ${epochs.map(({ trainLoss }) => trainLoss.toFixed(3)).join(', ')}`);
