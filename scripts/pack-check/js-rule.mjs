// The installed package translates a JavaScript rule and runs it on the GPU and on the CPU.
import assert from 'node:assert/strict';
import { Attack, Device, initialState, jsRule, loadDataset, Model, modelDefinition, parseRules } from 'linbp';

const half = await jsRule({
  name: 'half',
  saves: 'mask',
  parameters: ['share'],
  rule: (g, d, z, share) => (d > 0 ? g : share * g),
});
const images = await loadDataset({ dataset: 'digits', split: 'test', limit: 4 });
const definition = modelDefinition('mlp');
const device = await Device.open();
const model = Model.create(definition, { device });
const settings = { rules: parseRules('half:share=0.5', [half]), attack: 'ifgsm', eps: 0.1, steps: 3 };
const gpu = await (await Attack.compile({ model, ...settings })).run({ images });
const cpu = await (
  await Attack.compile({ model: { definition, weights: initialState(definition) }, device: 'reference', ...settings })
).run({ images });
const apart = gpu.images.filter((pixel, i) => Math.abs(pixel - cpu.images[i]) > 1e-4).length;
assert.ok(apart <= gpu.images.length / 100, `${apart} pixels apart`);
device.destroy();
