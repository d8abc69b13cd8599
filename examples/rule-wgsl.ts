// A backward rule of one's own as WGSL text, run on the GPU and by the float64 reference, which agree.
import { adam, Attack, Device, loadDataset, Model, modelDefinition, parseRules, Trainer, wgslRule } from 'linbp';

// A window around the kink: the gradient passes where |z| < width, as a straight-through estimator does.
const around = wgslRule({
  name: 'around',
  saves: 'input',
  parameters: ['width'],
  wgsl: 'fn rule(g: f32, d: f32, z: f32, p: RuleParams) -> f32 { return select(g * d, g, abs(z) < p.x); }',
  reference: (g, d, z, [width = 0]) => (Math.abs(z) < width ? g : g * d),
});
const rules = parseRules('around:width=0.25', [around]);

const dataset = await loadDataset({ dataset: 'digits', split: 'train', limit: 1500 });
const images = await loadDataset({ dataset: 'digits', split: 'test', limit: 16 });
using device = await Device.open();
using model = Model.create(modelDefinition('mlp'), { device });
using trainer = await Trainer.create({ model, dataset, rules, optimizer: adam(), batch: 32 });
await trainer.fit({ epochs: 3 });

for (const where of ['gpu', 'reference'] as const) {
  using attack = await Attack.compile({ model, rules, attack: 'fgsm', eps: 0.03, device: where });
  const { cleanAccuracy, robustAccuracy } = await attack.run({ images });
  console.log(`${where}: accuracy ${cleanAccuracy} clean, ${robustAccuracy} under attack`);
}
