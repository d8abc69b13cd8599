import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import { drawDigits } from '../../src/data/digits.js';
import { subset } from '../../src/data/dataset.js';
import { LinbpError } from '../../src/errors.js';
import type { ParameterSpec } from '../../src/nn/builder.js';
import { describeModel } from '../../src/nn/definition.js';
import { Model } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { Device } from '../../src/runtime/device.js';
import { keepRecent } from '../../src/runtime/recent.js';
import { adam } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';

const definition = modelDefinition('mlp');
const digits = drawDigits({ split: 'test', count: 40 });

/** Bytes of a device that are in use, after each call of `use` with 1, 2, 3, ... */
async function growing(device: Device, calls: number, use: (n: number) => Promise<unknown>): Promise<number[]> {
  const bytes: number[] = [];
  for (let n = 1; n <= calls; n++) {
    await use(n);
    bytes.push(device.memory().live);
  }
  return bytes;
}

describe('what is kept on a device has a bound', () => {
  let device: Device;
  let model: Model;
  before(async () => {
    device = await Device.open();
    model = Model.create(definition, { device, seed: 1 });
  });
  after(() => device.destroy());

  /** The last programs take no more than as many earlier ones of at least their size would. */
  const expectBounded = (bytes: readonly number[], largest: number): void => {
    const [early, late] = [bytes[bytes.length / 2 - 1]!, bytes.at(-1)!];
    expect(late - early, bytes.join(' ')).to.be.at.most(largest);
  };

  it('nothing of a network whose own weights do not fit', async () => {
    const [first] = describeModel(definition).layout.specs as [ParameterSpec];
    const bad = { ...definition, weights: new Map([[first.name, { shape: [1], data: new Float32Array(1) }]]) };
    const before = device.memory().live;
    const bytes = await growing(device, 2, () => {
      expect(() => Model.create(bad, { device })).to.throw(LinbpError, first.name);
      return Promise.resolve();
    });
    expect(bytes).to.deep.equal([before, before]);
  });

  it('logits of ever other numbers of images', async () => {
    const images = (n: number): Float32Array => new Float32Array(784 * n).fill(0.5);
    const bytes = await growing(device, 20, (n) => model.logits(images(21 - n)));
    expectBounded(bytes, 0);
  });

  it('attacks on ever other numbers of images, with the same results as before @slow', async () => {
    using attack = await Attack.compile({ model, eps: 0.1, steps: 1, batch: 40, seed: 2 });
    const first = await attack.run({ images: subset(digits, 30) });
    const bytes = await growing(device, 28, (n) => attack.run({ images: subset(digits, 31 - n) }));
    expectBounded(bytes, 0);
    const again = await attack.run({ images: subset(digits, 30) });
    expect([...again.images8]).to.deep.equal([...first.images8]);
    expect((await attack.run({ images: digits })).count).to.equal(40);
  });

  it('evaluations of ever other data sets, with the same figures as before', async () => {
    using trainer = await Trainer.create({ model, dataset: digits, optimizer: adam(), batch: 8 });
    const first = await trainer.evaluate(digits);
    const bytes = await growing(device, 12, () => trainer.evaluate(subset(digits, 20)));
    expectBounded(bytes, 0);
    expect(await trainer.evaluate(digits)).to.deep.equal(first);
  });

  it('the oldest goes first, and what is used again stays', () => {
    const [all, dropped] = [new Map<string, number>(), [] as number[]];
    for (const [key, value] of [
      ['a', 1],
      ['b', 2],
      ['a', 1],
      ['c', 3],
      ['d', 4],
    ] as const)
      keepRecent(all, key, value, 2, (each) => dropped.push(each));
    expect([...all.keys()]).to.deep.equal(['c', 'd']);
    expect(dropped).to.deep.equal([2, 1]);
  });
});
