// Several yes-or-no answers an image: which bars of a seven-segment display the digit lights, and three properties.
import { adam, Device, loadDataset, Model, Trainer } from 'linbp';
import type { ModelDefinition, Objective } from 'linbp';

// Each row: the seven bars, then even, prime, above 4.
const answers =
  '1110111100 0010010000 1011101110 1011011010 0111010100 1101011011 1101111101 1010010011 1111111101 1111011001';

const definition: ModelDefinition = {
  name: 'segments',
  input: [1, 28, 28],
  classes: 10,
  build: (net, images) => net.linear('head', net.relu('relu', net.linear('hidden', net.flatten(images), 64)), 10),
};

/** Binary cross entropy of every answer, log(1 + e^z) - t z, summed over the answers. */
const objective: Objective = (graph, z, labels, scale) => {
  // The gradient of minus the label's logit is minus a one-hot row; times the table it is the row of answers.
  const oneHot = graph.one('lossBackward', [z, labels], { kind: 'logit', scale: -1 });
  const rows = answers.split(' ');
  const table = rows.flatMap((_, k) => rows.map((row) => Number(row[k])));
  const t = graph.one('linear', [oneHot, graph.constant('answers', table, [10, 10])], {});
  const tz = graph.one('binary', [t, z], { kind: 'mul' });
  const losses = graph.one('binary', [graph.one('unary', [z], { kind: 'softplus' }), tz], { kind: 'sub' });
  const error = graph.one('binary', [graph.one('unary', [z], { kind: 'sigmoid' }), t], { kind: 'sub' });
  return {
    loss: graph.one('sampleNorm', [losses], { norm: 'sum' }),
    gradient: graph.one('unary', [error], { kind: 'affine', values: [scale, 0] }),
  };
};

const dataset = await loadDataset({ dataset: 'digits', split: 'train', limit: 1500 });
using device = await Device.open();
using model = Model.create(definition, { device });
using trainer = await Trainer.create({ model, dataset, objective, optimizer: adam(), batch: 50 });
const { epochs } = await trainer.fit({ epochs: 3 });
console.log(`binary cross entropy ${epochs.map(({ trainLoss }) => trainLoss.toFixed(3)).join(', ')}`);
