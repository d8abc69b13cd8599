// The installed package trains, saves, and loads what it saved.
import assert from 'node:assert/strict';
import { Device, loadDataset, Model, modelDefinition, sgd, Trainer } from 'linbp';

const dataset = await loadDataset({ dataset: 'digits', split: 'train', limit: 256 });
const device = await Device.open();
const model = Model.create(modelDefinition('mlp'), { device });
const trainer = await Trainer.create({
  model,
  dataset,
  rules: 'linbp',
  optimizer: sgd({ lr: 0.01, momentum: 0.9 }),
  batch: 32,
});
const { epochs, steps } = await trainer.fit({ epochs: 3 });
assert.equal(steps, 24);
assert.ok(epochs[2].trainLoss < epochs[0].trainLoss);
await model.save('mlp.safetensors');
const again = await Model.load(modelDefinition('mlp'), 'mlp.safetensors', { device });
const image = new Float32Array(28 * 28).fill(0.5);
assert.deepEqual(await again.logits(image), await model.logits(image));
trainer.destroy();
device.destroy();
