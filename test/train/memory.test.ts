import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { initialState, Model } from '../../src/nn/model.js';
import { sgd } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';
import { sharedDevice } from '../support/device.js';
import { squares, tiny } from './support.js';

/** Steps after the warm-up; LINBP_MEMORY_STEPS asks for more. */
const steps = Number(process.env['LINBP_MEMORY_STEPS'] ?? 2000);

/** Lets go of what nobody holds. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Resident bytes without garbage, which V8 lets grow to tens of megabytes before it collects. */
function resident(): number {
  collectGarbage();
  return process.memoryUsage.rss();
}

describe('training: memory', () => {
  it(`stays flat over ${steps} steps with evaluations and read-backs @slow`, async () => {
    const device = await sharedDevice();
    using model = Model.create(tiny, { device });
    const dataset = squares(320);
    using trainer = await Trainer.create({
      model,
      dataset,
      testDataset: squares(64),
      optimizer: sgd({ lr: 0.01 }),
      batch: 16,
      logEvery: 20,
    });
    await trainer.fit({ epochs: 30 });
    const before = { resident: resident(), live: device.memory().live };
    await trainer.fit({ epochs: 30 + Math.ceil(steps / 20) });
    expect(trainer.steps).to.be.at.least(600 + steps);
    expect(device.memory().live).to.equal(before.live);
    expect((resident() - before.resident) / 2 ** 20).to.be.below(20);
  });

  it('the reference keeps nothing of the data sets that it has evaluated', async () => {
    const model = { definition: tiny, weights: initialState(tiny, 1) };
    const optimizer = sgd({ lr: 0.01 });
    using trainer = await Trainer.create({ model, device: 'reference', dataset: squares(20), optimizer });
    const evaluated = async (count: number): Promise<WeakRef<object>> => {
      const dataset = squares(count);
      await trainer.evaluate(dataset);
      return new WeakRef(dataset);
    };
    const seen = [await evaluated(20), await evaluated(21), await evaluated(22)];
    // A weak reference holds its object until the turn of the event loop ends.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    expect(seen.map((dataset) => dataset.deref())).to.deep.equal([undefined, undefined, undefined]);
  });

  it('gives every buffer back', async () => {
    const device = await sharedDevice();
    const before = device.memory();
    for (let round = 0; round < 2; round++) {
      using model = Model.create(tiny, { device });
      using trainer = await Trainer.create({
        model,
        dataset: squares(40),
        testDataset: squares(20),
        optimizer: sgd({ lr: 0.01 }),
        batch: 16,
      });
      await trainer.fit({ epochs: 1 });
      trainer.destroy();
      model.destroy();
      await device.idle();
    }
    expect(device.memory().live).to.equal(before.live);
    expect(device.memory().planned).to.equal(before.planned);
  });
});
