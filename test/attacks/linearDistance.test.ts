import { expect } from 'chai';
import { attack } from '../../src/attacks/index.js';
import type { AttackName, AttackNorm } from '../../src/attacks/index.js';
import { describeModel } from '../../src/nn/definition.js';
import type { StateDict } from '../../src/nn/model.js';
import { linearModel, modelWith, numbers } from './support.js';

const [count, size] = [6, 36] as const;
const linear = linearModel([1, 6, 6], 2);
const weights: StateDict = new Map(
  describeModel(linear).layout.specs.map(({ name, shape }, index) => {
    const values = shape.reduce((product, each) => product * each, 1);
    return [name, { shape, data: numbers(30 + index, values, -0.5, 0.5) }];
  }),
);
// far enough from 0 and 1 that the box plays no part
const images = numbers(4, count * size, 0.45, 0.55);
const w = Array.from({ length: size }, (_, i) => {
  const { data } = weights.get('fc.weight')!;
  return data[i]! - data[size + i]!;
});
const bias = weights.get('fc.bias')!.data[0]! - weights.get('fc.bias')!.data[1]!;
const leads = Array.from({ length: count }, (_, n) =>
  w.reduce((sum, each, i) => sum + each * images[n * size + i]!, bias),
);
const labels = leads.map((lead) => (lead > 0 ? 0 : 1));
const dual = { linf: w.reduce((a, b) => a + Math.abs(b), 0), l2: Math.hypot(...w), l1: Math.max(...w.map(Math.abs)) };

/** How much longer than the closest point's the perturbation may be: attacks overshoot, or come in steps. */
const cases: readonly (readonly [AttackName, AttackNorm, number, object])[] = [
  ['deepfool', 'l2', 2e-2, { steps: 5, parameters: { overshoot: 1e-4 } }],
  ['deepfool', 'linf', 2e-2, { steps: 5, parameters: { overshoot: 1e-4 } }],
  ['ddn', 'l2', 2e-2, { steps: 300, parameters: { gamma: 0.02 } }],
  ['cw', 'l2', 2e-2, { steps: 150, parameters: { rounds: 9, initialConstant: 0.01, rate: 0.005 } }],
  ['fab', 'l2', 1e-2, { steps: 20 }],
  ['ead', 'l1', 1e-1, { steps: 300, parameters: { initialConstant: 0.01, byL1: 1 } }],
];

describe('attacks for the smallest perturbation on a linear model', () => {
  it('distances are the lead over the dual norm of the weights, on the device @slow', async () => {
    const model = await modelWith(linear, weights);
    try {
      for (const [name, norm, most, options] of cases) {
        const result = await attack({ model, attack: name, norm, images, labels, ...options });
        for (let n = 0; n < count; n++) {
          const moved = Array.from({ length: size }, (_, i) => result.images[n * size + i]! - images[n * size + i]!);
          const sizes = moved.map(Math.abs);
          const found = { linf: Math.max(...sizes), l2: Math.hypot(...moved), l1: sizes.reduce((a, b) => a + b, 0) }[
            norm
          ];
          const shortest = Math.abs(leads[n]!) / dual[norm];
          const message = `${name} ${norm}, image ${n}`;
          expect(result.samples[n]!.robustCorrect, message).to.equal(false);
          // deepfool adds 1e-4 to each step
          expect(found, message).to.be.within(shortest * (1 - 1e-4), shortest * (1 + most) + 3e-4);
        }
      }
    } finally {
      model.destroy();
    }
  });

  it('constants stay in float32 however many rounds never succeed', async () => {
    const model = await modelWith(linear, weights);
    const common = { model, images, labels, steps: 1, batch: count, parameters: { rounds: 50 } } as const;
    for (const [attackName, norm, still] of [
      ['cw', 'l2', { rate: 0 }],
      ['ead', 'l1', { firstStep: 0 }],
    ] as const) {
      const options = { ...common, attack: attackName, norm, parameters: { ...common.parameters, ...still } };
      const { samples } = await attack(options);
      for (const sample of samples) expect(sample.success).to.equal(false);
    }
    model.destroy();
  });

  it('the nearest of all images that fool is kept: more steps are never farther', async () => {
    const model = await modelWith(linear, weights);
    try {
      // DDN goes straight along w here, to radii that jump below and above the boundary.
      const parameters = { gamma: 0.6, initialRadius: 0.3 };
      let before = Array.from({ length: count }, () => Infinity);
      const fell = new Set<number>();
      for (let steps = 2; steps <= 9; steps++) {
        const result = await attack({ model, attack: 'ddn', norm: 'l2', images, labels, steps, parameters });
        const found = result.samples.map(({ robustCorrect, l2 }) => (robustCorrect ? Infinity : l2));
        for (const [n, distance] of found.entries()) {
          expect(distance, `image ${n}, ${steps} steps`).to.be.at.most(before[n]! * (1 + 1e-6));
          if (distance < before[n]! * 0.999 && before[n]! < Infinity) fell.add(n);
        }
        before = found;
      }
      expect(before.every((distance) => distance < Infinity)).to.equal(true);
      expect(fell.size).to.be.above(0);
    } finally {
      model.destroy();
    }
  });

  it('EAD inside a ball keeps what lies inside, not the smallest elastic net of all', async () => {
    const [image, label] = [images.subarray(size, 2 * size), labels.slice(1, 2)];
    const host = { model: { definition: linear, weights }, device: 'reference', images: image, labels: label } as const;
    const made = async (byL1: number, eps?: number) => {
      const parameters = { initialConstant: 1, rounds: 4, firstStep: 0.02, byL1 };
      const ball = eps === undefined ? {} : { eps };
      const result = await attack({ ...host, ...ball, attack: 'ead', steps: 40, parameters });
      const moved = result.images.reduce((sum, pixel, i) => sum + Math.abs(pixel - image[i]!), 0);
      return { moved, fooled: !result.samples[0]!.robustCorrect };
    };
    const [free, shortest] = [await made(0), await made(1)];
    expect(shortest.moved).to.be.below(0.98 * free.moved);
    // between the smallest L1 norm and that of the smallest elastic net
    const eps = (free.moved + shortest.moved) / 2;
    const inside = await made(0, eps);
    expect(inside.fooled).to.equal(true);
    expect(inside.moved).to.be.at.most(eps * (1 + 1e-6));
  });
});
