import { expect } from 'chai';
import { Attack } from '../../src/attacks/attack.js';
import { officialAttacks } from '../../src/experiments/officialConventions.js';
import { describeModel } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { cifar10Statistics } from '../../src/nn/normalize.js';
import type { StateDict } from '../../src/nn/model.js';

/** Two logits, linear in 3 channels of 2 x 2 pixels. */
const linear: ModelDefinition = {
  name: 'linear',
  input: [3, 2, 2],
  classes: 2,
  build: (net, images) => net.linear('fc', net.flatten(images), 2),
};
const pixels = 12;
const count = 3;
const random = (size: number, low: number, high: number): Float32Array =>
  Float32Array.from({ length: size }, () => low + (high - low) * Math.random());
const weights: StateDict = new Map(
  describeModel(linear).layout.specs.map(({ name, shape }) => [
    name,
    {
      shape,
      data: random(
        shape.reduce((a, b) => a * b, 1),
        -1,
        1,
      ),
    },
  ]),
);
const w = weights.get('fc.weight')!.data;
const images = random(count * pixels, 0.3, 0.7);
const labels = Array.from({ length: count }, () => Math.floor(2 * Math.random()));
const deviation = (i: number): number => cifar10Statistics.deviations[Math.floor((i % pixels) / 4)]!;

/** What an attack adds to each value after normalization. */
async function added(name: 'fgsm' | 'ifgsm' | 'pgd', eps: number, steps: number): Promise<number[]> {
  const model = { definition: linear, weights };
  using attack = await Attack.compile({
    model,
    device: 'reference',
    attack: officialAttacks[name],
    eps,
    steps,
    batch: count,
    keep: 'last',
  });
  const result = await attack.run({ images, labels, eps });
  return Array.from(result.images, (value, i) => (value - images[i]!) / deviation(i));
}

/** Direction in which a value raises the objective: away from the label, towards the other class for cross entropy. */
const direction = (i: number, crossEntropy: boolean): number => {
  const [label, pixel] = [labels[Math.floor(i / pixels)]!, i % pixels];
  return Math.sign((crossEntropy ? w[(1 - label) * pixels + pixel]! : 0) - w[label * pixels + pixel]!);
};

describe("conventions of the theory paper's attack code", () => {
  const eps = 8 / 255;

  it('FGSM goes 2 eps in normalized values against the true logit', async () => {
    (await added('fgsm', eps, 1)).forEach((value, i) =>
      expect(value).to.be.closeTo(2 * eps * direction(i, false), 1e-6),
    );
  });

  it('I-FGSM goes 2/255 a step, as far as 2 eps', async () => {
    for (const [steps, reach] of [
      [5, 10 / 255],
      [12, 16 / 255],
    ] as const) {
      (await added('ifgsm', eps, steps)).forEach((value, i) =>
        expect(value).to.be.closeTo(reach * direction(i, false), 1e-6),
      );
    }
  });

  it('PGD climbs the cross entropy from a start inside eps, and pixels may leave [0, 1]', async () => {
    const start = await added('pgd', eps, 1);
    start.forEach((value, i) => {
      const before = value - (2 / 255) * direction(i, true);
      expect(Math.abs(before)).to.be.at.most(eps + 1e-6);
    });
    expect(new Set(start).size).to.be.above(count * pixels - 3);
    (await added('pgd', eps, 20)).forEach((value, i) =>
      expect(value).to.be.closeTo(2 * eps * direction(i, true), 1e-6),
    );
    const wide = await added('pgd', 1, 1000);
    expect(wide.some((value, i) => Math.abs(images[i]! + deviation(i) * value - 0.5) > 0.5)).to.equal(true);
  });
});
