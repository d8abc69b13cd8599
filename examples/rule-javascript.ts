// A backward rule of one's own as a JavaScript function: it is translated to WGSL and linked into the kernels.
import { adam, Attack, Device, jsRule, loadDataset, Model, modelDefinition, parseRules, Trainer } from 'linbp';

// dL/dz from g = dL/dy and the ReLU's derivative d: what the ReLU held back leaks through, but only where it would
// raise z.
const hopeful = await jsRule({
  name: 'hopeful',
  saves: 'mask',
  parameters: ['share'],
  rule: (g, d, _z, share) => (d > 0 ? g : share * Math.max(g, 0)),
});

const dataset = await loadDataset({ dataset: 'digits', split: 'train', limit: 1500 });
const test = await loadDataset({ dataset: 'digits', split: 'test', limit: 64 });
using device = await Device.open();
using model = Model.create(modelDefinition('mlp'), { device });
using trainer = await Trainer.create({ model, dataset, optimizer: adam(), batch: 32 });
await trainer.fit({ epochs: 3 });

for (const text of ['bp', 'hopeful:share=0.5', 'hopeful:from=layer1.5,share=1']) {
  // The parameter is data: another share compiles no other shader.
  using attack = await Attack.compile({ model, rules: parseRules(text, [hopeful]), attack: 'ifgsm', eps: 0.03 });
  const { robustAccuracy } = await attack.run({ images: test });
  console.log(`${text}: accuracy under attack ${robustAccuracy}`);
}
