import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import type { AttackOptions } from '../../src/attacks/index.js';
import { tensorAsFloat32 } from '../../src/io/safetensors.js';
import type { Model } from '../../src/nn/model.js';
import { lenet5 } from '../../src/nn/zoo/mnist.js';
import { relativeError } from '../support/compare.js';
import { loadGolden } from '../support/golden.js';
import { formulaWeights, modelWith } from './support.js';

const golden = loadGolden('attacks_lenet5');
const values = (key: string): Float32Array => tensorAsFloat32(golden.tensors.get(key)!);
const images = values('input');
const labels = Int32Array.from(values('labels'));
const targets = Int32Array.from(values('targets'));
const noise = values('start_noise');

interface Row {
  readonly name: string;
  readonly options: Omit<AttackOptions, 'model'>;
  readonly start?: Float32Array;
}

const iterative = { attack: 'ifgsm', eps: 0.1, alpha: 0.02, steps: 10 } as const;
const rows: Row[] = [
  { name: 'fgsm', options: { attack: 'fgsm', eps: 0.1 } },
  { name: 'ifgsm', options: iterative },
  {
    name: 'pgd_start',
    options: { ...iterative, attack: 'pgd', randomStart: false },
    start: images.map((x, i) => x + 0.1 * noise[i]!),
  },
  { name: 'pgd_l2', options: { ...iterative, attack: 'pgd', randomStart: false, norm: 'l2', eps: 1.5, alpha: 0.3 } },
  { name: 'mifgsm', options: { ...iterative, attack: 'mifgsm', alpha: 0.01 } },
  { name: 'ifgsm_targeted', options: { ...iterative, targeted: true } },
];

describe('attacks: golden values on LeNet-5', () => {
  let model: Model;
  before(async () => {
    model = await modelWith(lenet5);
  });
  after(() => model.destroy());

  for (const { name, options, start } of rows) {
    for (const rules of ['bp', 'linbp']) {
      const input = {
        images,
        labels,
        ...(options.targeted ? { targets } : {}),
        ...(start === undefined ? {} : { start }),
      };
      const expectedImages = values(`${name}.${rules}.x`);
      const expectedLosses = values(`${name}.${rules}.losses`);
      it(`${name}, ${rules}, on the device`, async () => {
        using attack = await Attack.compile({ model, ...options, rules, batch: 8, keep: 'last' });
        const result = await attack.run(input);
        const apart = result.images.filter((pixel, i) => Math.abs(pixel - expectedImages[i]!) > 1e-4).length;
        expect(apart / expectedImages.length, 'pixels apart').to.be.at.most(0.005);
        expect(relativeError(result.losses, expectedLosses), 'losses').to.be.below(1e-3);
      });
      it(`${name}, ${rules}, on the reference${rules === 'bp' ? ' @slow' : ''}`, async () => {
        using attack = await Attack.compile({
          model: { definition: lenet5, weights: formulaWeights(lenet5) },
          device: 'reference',
          ...options,
          rules,
          batch: 8,
          keep: 'last',
        });
        const result = await attack.run(input);
        expect(relativeError(result.images, expectedImages), 'images').to.be.below(1e-6);
        expect(relativeError(result.losses, expectedLosses), 'losses').to.be.below(1e-6);
      });
    }
  }
});
