import { expect } from 'chai';
import { attack } from '../../src/attacks/index.js';
import type { AttackedSample, AttackOptions } from '../../src/attacks/index.js';
import type { Model } from '../../src/nn/model.js';
import { eightBitImages, linearModel, modelWith, numbers, predicted } from './support.js';

describe('attacks: what is said about each image', () => {
  const [seed, count, classes] = [41, 12, 4];
  const images = eightBitImages(seed, count * 36);
  let model: Model;
  let labels: number[];
  before(async () => {
    const weights = new Map([
      ['fc.weight', { shape: [classes, 36], data: numbers(seed + 1, classes * 36, -1, 1) }],
      ['fc.bias', { shape: [classes], data: new Float32Array(classes) }],
    ]);
    model = await modelWith(linearModel([1, 6, 6], classes), weights);
    labels = await predicted(model, images);
  });
  after(() => model.destroy());

  const samples = async (options: Partial<AttackOptions>): Promise<readonly AttackedSample[]> => {
    const targets = labels.map((label) => (label + 1) % classes);
    const more = options.targeted === true ? { targets } : {};
    const given = { model, images, labels, eps: 0.3, alpha: 0.015, attack: 'ifgsm', keep: 'last', ...options } as const;
    return (await attack({ ...given, ...more })).samples;
  };

  for (const targeted of [false, true])
    it(`firstStep is the number of steps to the first success${targeted ? ', targeted' : ''}`, async () => {
      const full = await samples({ steps: 8, targeted });
      const byLength: (readonly AttackedSample[])[] = [];
      for (let steps = 1; steps <= 8; steps++) byLength.push(await samples({ steps, targeted }));
      for (const [n, { firstStep, cleanClass, finalClass, label, target, success }] of full.entries()) {
        const first = byLength.findIndex((each) => each[n]!.success);
        expect(firstStep, `image ${n}`).to.equal(first < 0 ? null : first + 1);
        expect(cleanClass).to.equal(label);
        expect(success).to.equal(targeted ? finalClass === target : finalClass !== label);
      }
      const found = full.map(({ firstStep }) => firstStep);
      expect(new Set(found).size, found.join(' ')).to.be.above(2);
    });

  it('an image that is wrong from the start is fooled before any gradient', async () => {
    labels[0] = (labels[0]! + 1) % classes;
    const [first] = await samples({ steps: 2 });
    labels[0] = (labels[0] + classes - 1) % classes;
    expect(first).to.include({ firstStep: 0, cleanCorrect: false, success: false });
    expect(first!.cleanClass).to.not.equal(first!.label);
  });
});
