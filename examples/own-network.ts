// A network of one's own out of PyTorch-named layers: trained, saved, and attacked from its second stage on.
import { adamw, Attack, cosine, Device, loadDataset, Model, Trainer } from 'linbp';
import type { ModelDefinition } from 'linbp';

const definition: ModelDefinition = {
  name: 'tiny',
  input: [1, 28, 28],
  classes: 10,
  build(net, images) {
    let x = images;
    for (const [stage, channels] of [8, 16].entries()) {
      x = net.at({ stage: `stage${stage}` }, () => {
        const y = net.conv(`stage${stage}.conv`, x, channels, 3, { padding: 1 });
        return net.maxPool(`stage${stage}.pool`, net.relu(`stage${stage}.relu`, y), 2);
      });
    }
    return net.linear('head', net.flatten(x), 10);
  },
  presets: { default: ['stage1.relu'] },
};

const train = await loadDataset({ dataset: 'digits', split: 'train', limit: 1500 });
const test = await loadDataset({ dataset: 'digits', split: 'test', limit: 64 });
using device = await Device.open();
using model = Model.create(definition, { device });
using trainer = await Trainer.create({
  model,
  dataset: train,
  testDataset: test,
  optimizer: adamw(),
  schedule: cosine(3),
  batch: 32,
});
const { epochs } = await trainer.fit({ epochs: 3 });
console.log(`${model.description.parameterCount} parameters, test accuracy ${epochs.at(-1)?.testAccuracy}`);
await model.save('linbp-out/tiny.safetensors');

using attack = await Attack.compile({ model, rules: 'linbp:from=stage1', eps: 0.03 });
console.log(`accuracy under attack ${(await attack.run({ images: test })).robustAccuracy}`);
