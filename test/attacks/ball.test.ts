import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import type { AttackOptions, AttackResult } from '../../src/attacks/index.js';
import { readPng, writePng } from '../../src/io/png.js';
import type { Model } from '../../src/nn/model.js';
import { lenet5 } from '../../src/nn/zoo/mnist.js';
import { eightBitImages, modelWith, randomLabels } from './support.js';

const pixels = 784;
const count = 12;

describe('attacks: inside the ball and the box', () => {
  let model: Model;
  let folder: string;
  const seed = Math.floor(Math.random() * 1e6);
  const images = eightBitImages(seed, count * pixels);
  // the borders of the box must be met
  for (let i = 0; i < images.length; i += 3) images[i] = i % 2;
  const labels = randomLabels(seed, count, 10);
  before(async () => {
    model = await modelWith(lenet5);
    folder = mkdtempSync(join(tmpdir(), 'linbp-ball-'));
  });
  after(() => {
    model.destroy();
    rmSync(folder, { recursive: true });
  });

  /**
   * Pixels of the adversarial image `n` outside the box, and outside the ball as floats and in 8 bits; the norm with
   * the L2 ball.
   */
  function breaches({ images: adversarial, images8 }: AttackResult, n: number, eps: number, norm: 'linf' | 'l2') {
    const found = { box: 0, float: 0, saved: 0 };
    let [float2, saved2] = [0, 0];
    for (let i = n * pixels; i < (n + 1) * pixels; i++) {
      const pixel = adversarial[i]!;
      const levels = images8[i]! - Math.round(images[i]! * 255);
      if (!(pixel >= 0 && pixel <= 1)) found.box++;
      float2 += (pixel - images[i]!) ** 2;
      saved2 += (levels / 255) ** 2;
      if (norm === 'linf' && Math.abs(pixel - images[i]!) > eps) found.float++;
      if (norm === 'linf' && Math.abs(levels) > Math.floor(255 * eps + 1e-9)) found.saved++;
    }
    if (norm === 'l2' && Math.sqrt(float2) > eps) found.float++;
    if (norm === 'l2' && Math.sqrt(saved2) > eps) found.saved++;
    return { found, l2: Math.sqrt(saved2) };
  }

  const cases: Omit<AttackOptions, 'model' | 'eps'>[] = [
    { attack: 'fgsm' },
    { attack: 'pgd', steps: 3, restarts: 2, keep: 'last' },
    { attack: 'mifgsm', steps: 3 },
    { attack: 'pgd', norm: 'l2', steps: 3 },
    { attack: 'fgsm', norm: 'l2', keep: 'last' },
    { attack: 'apgd', steps: 4, keep: 'last' },
    { attack: 'apgd', norm: 'l2', steps: 4, loss: 'dlr' },
  ];
  for (const options of cases) {
    const norm = options.norm === 'l2' ? 'l2' : 'linf';
    it(`${String(options.attack)} ${norm}, any eps, one program`, async () => {
      using attack = await Attack.compile({ model, batch: count, seed, rules: 'linbp', eps: 0, ...options });
      for (const radius of [0.5 / 255, 1 / 255, 8 / 255, 0.1, 0.3, Math.random(), 1]) {
        const eps = norm === 'l2' ? 5 * radius : radius;
        const result = await attack.run({ images, labels, eps });
        for (let n = 0; n < count; n++) {
          const { found, l2 } = breaches(result, n, eps, norm);
          expect(found, `sample ${n}, eps ${eps}, seed ${seed}`).to.deep.equal({ box: 0, float: 0, saved: 0 });
          expect(result.samples[n]!.l2).to.be.closeTo(l2, 1e-5);
          const data = result.images8.subarray(n * pixels, (n + 1) * pixels);
          const path = join(folder, `${n}.png`);
          await writePng(path, { channels: 1, height: 28, width: 28, data });
          expect(Buffer.from((await readPng(path)).data).equals(Buffer.from(data)), 'reloaded bytes').to.equal(true);
        }
        expect(result.linf.largest).to.equal(Math.max(...result.samples.map((sample) => sample.linf)));
        expect(result.l2.mean).to.be.at.most(result.l2.largest);
        // rounding towards the clean pixel undoes small L2 perturbations altogether
        if (radius >= (norm === 'l2' ? 0.3 : 1 / 255))
          expect(result.linf.largest, `eps ${eps} does something`).to.be.greaterThan(0);
      }
    });
  }

  for (const norm of ['linf', 'l2'] as const) {
    for (const attackName of ['fgsm', 'pgd', 'mifgsm', 'apgd'] as const) {
      it(`${attackName} ${norm}: eps 0 returns the image`, async () => {
        using attack = await Attack.compile({
          model,
          attack: attackName,
          norm,
          eps: 0,
          alpha: 0.1,
          batch: count,
          keep: 'last',
        });
        const result = await attack.run({ images, labels });
        expect(Buffer.from(result.images.buffer).equals(Buffer.from(images.buffer))).to.equal(true);
        expect(result.robustCorrect).to.equal(result.cleanCorrect);
        expect(result.saved.robustCorrect).to.equal(result.cleanCorrect);
        expect(result.linf.largest).to.equal(0);
      });
    }
  }
});
