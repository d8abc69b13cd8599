// Trains LeNet-5 twice from the same start, once with the true gradient and once with the linear one.
import { adam, Device, loadDataset, Model, modelDefinition, Trainer } from 'linbp';

const train = await loadDataset({ dataset: 'digits', split: 'train', limit: 2000 });
const test = await loadDataset({ dataset: 'digits', split: 'test', limit: 300 });

using device = await Device.open();
for (const rules of ['bp', 'linbp']) {
  using model = Model.create(modelDefinition('lenet5'), { device, seed: 1 });
  using trainer = await Trainer.create({
    model,
    dataset: train,
    testDataset: test,
    rules,
    optimizer: adam({ lr: 2e-3 }),
    batch: 32,
  });
  await trainer.fit({
    epochs: 3,
    onEpoch: ({ epoch, trainLoss, testAccuracy }) =>
      console.log(`${rules} epoch ${epoch}: loss ${trainLoss.toFixed(3)}, test accuracy ${testAccuracy}`),
  });
}
