import { expect } from 'chai';
import { fromArrays } from '../../src/data/dataset.js';
import type { Dataset } from '../../src/data/dataset.js';
import { LinbpError } from '../../src/errors.js';
import { Model } from '../../src/nn/model.js';
import { mlp } from '../../src/nn/zoo/mnist.js';
import { randomStreams, normals, uniforms } from '../../src/random/philox.js';
import { sgd } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';
import { sharedDevice } from '../support/device.js';

/** Ten class means with clipped Gaussian noise, 784 pixels. */
function noisyMeans(count: number, seed: number): Dataset {
  const means = uniforms(seed, randomStreams.user, 0, 0, 10 * 784);
  const images = new Float32Array(count * 784);
  for (let n = 0; n < count; n++) {
    const noise = normals(seed, randomStreams.user, n + 1, 0, 784);
    for (let i = 0; i < 784; i++)
      images[n * 784 + i] = Math.min(1, Math.max(0, means[(n % 10) * 784 + i]! + 0.5 * noise[i]!));
  }
  return fromArrays({
    name: 'noisy means',
    shape: [count, 1, 28, 28],
    classes: 10,
    images,
    labels: Int32Array.from({ length: count }, (_, n) => n % 10),
  });
}

describe('training: behavior of the rules', () => {
  const dataset = noisyMeans(640, Math.floor(Math.random() * 2 ** 31));

  async function run(rules: string, lr: number, epochs: number): Promise<number[]> {
    using model = Model.create(mlp, { device: await sharedDevice() });
    using trainer = await Trainer.create({ model, dataset, rules, optimizer: sgd({ lr }), batch: 16 });
    return (await trainer.fit({ epochs })).epochs.map(({ trainLoss }) => trainLoss);
  }

  // The theory paper's code shows the same on MNIST-like data: LinBP is faster at small rates, and its usable range
  // of rates ends earlier.
  it('at a small learning rate LinBP lowers the loss of the MLP faster than BP', async () => {
    const [bp, linbp] = [await run('bp', 0.05, 4), await run('linbp', 0.05, 4)];
    expect(linbp.at(-1)!).to.be.below(bp.at(-1)!);
  });

  it('at a large learning rate BP trains and LinBP diverges, which is reported', async () => {
    // for 24 seeds out of 24, BP by 0.28 or more; at 0.2 BP itself becomes erratic
    const bp = await run('bp', 0.15, 2);
    expect(bp.at(-1)!).to.be.below(bp[0]! - 0.1);
    let error: unknown;
    await run('linbp', 0.15, 4).catch((reason: unknown) => (error = reason));
    expect(error).to.be.instanceOf(LinbpError);
    expect((error as LinbpError).code).to.equal('diverged');
    expect((error as LinbpError).message)
      .to.match(/linbp/)
      .and.match(/0\.15/);
  });
});
