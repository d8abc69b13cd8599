import { join } from 'node:path';
import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import type { AttackOptions, AttackResult } from '../../src/attacks/index.js';
import type { Dataset } from '../../src/data/dataset.js';
import { loadDataset } from '../../src/data/load.js';
import { Model } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { sharedDevice } from '../support/device.js';
import { pending } from '../support/pending.js';

describe('attacks: trained networks on MNIST', function () {
  const data = process.env['LINBP_DATA'];
  const models = new Map<string, Model>();
  let images: Dataset;

  before(async function () {
    if (data === undefined || data === '') return pending(this, 'LINBP_DATA');
    const device = await sharedDevice();
    images = await loadDataset({ dataset: 'mnist', split: 'test', dataFolder: data, limit: 48 });
    for (const name of ['lenet5-clntrained', 'lenet5-advtrained']) {
      models.set(
        name,
        await Model.load(modelDefinition(name), join(data, 'models', 'mnist', `${name}.safetensors`), { device }),
      );
    }
  });
  after(() => models.forEach((model) => model.destroy()));

  async function attacked(name: string, options: Partial<AttackOptions> = {}): Promise<AttackResult> {
    using attack = await Attack.compile({
      model: models.get(name)!,
      eps: 0.3,
      alpha: 0.03,
      steps: 20,
      batch: 24,
      ...options,
    });
    return await attack.run({ images });
  }

  it('PGD at eps 0.3 fools the plainly trained network, with either rule, also once saved @slow', async () => {
    for (const rules of ['bp', 'linbp:from=all']) {
      const result = await attacked('lenet5-clntrained', { rules });
      expect(result.cleanAccuracy).to.be.at.least(0.95);
      expect(result.robustAccuracy, rules).to.be.at.most(0.05);
      expect(result.saved.robustAccuracy, rules).to.be.at.most(0.05);
      expect(result.linf.largest).to.be.at.most(0.3 + 1e-6);
    }
  });

  it('an adversarially trained network withstands it @slow', async () => {
    const result = await attacked('lenet5-advtrained');
    expect(result.cleanAccuracy).to.be.at.least(0.95);
    expect(result.robustAccuracy).to.be.within(0.85, 0.99);
  });

  it('random noise of the same size fools neither @slow', async () => {
    const result = await attacked('lenet5-clntrained', { steps: 1, alpha: 0, keep: 'last' });
    expect(result.robustAccuracy).to.be.at.least(0.8);
  });
});
