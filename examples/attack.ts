// Trains an MLP, then attacks it with the true gradient and with the linear one, and writes an adversarial image.
import { adam, Attack, Device, loadDataset, Model, modelDefinition, Trainer } from 'linbp';
import { writePng } from 'linbp/io';

const train = await loadDataset({ dataset: 'digits', split: 'train', limit: 2000 });
const test = await loadDataset({ dataset: 'digits', split: 'test', limit: 100 });

using device = await Device.open();
using model = Model.create(modelDefinition('mlp'), { device });
using trainer = await Trainer.create({ model, dataset: train, optimizer: adam(), batch: 32 });
await trainer.fit({ epochs: 4 });

for (const rules of ['bp', 'linbp']) {
  using attack = await Attack.compile({ model, rules, attack: 'pgd', eps: 0.03, steps: 10 });
  const result = await attack.run({ images: test });
  console.log(`${rules}: accuracy ${result.cleanAccuracy} clean, ${result.robustAccuracy} under attack`);
  console.log(`largest change of a pixel ${(255 * result.linf.largest).toFixed(0)}/255, ${result.submits} submits`);
  const { channels, height, width } = test;
  await writePng(`linbp-out/example-${rules}.png`, {
    channels,
    height,
    width,
    data: result.images8.slice(0, height * width),
  });
}
