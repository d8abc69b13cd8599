import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import { linearModel, modelWith, numbers } from './support.js';

/** Points drawn by the random start: no step moves them, and the box is far away. */
async function draws(
  norm: 'linf' | 'l2',
  eps: number,
  input: readonly [number, number, number],
  count: number,
  restarts = 1,
  seed = Math.floor(Math.random() * 2 ** 32),
): Promise<Float32Array> {
  const pixels = input[0] * input[1] * input[2];
  const weights = new Map([
    ['fc.weight', { shape: [2, pixels], data: numbers(1, 2 * pixels, -1, 1) }],
    ['fc.bias', { shape: [2], data: new Float32Array(2) }],
  ]);
  using model = await modelWith(linearModel(input, 2), weights);
  using attack = await Attack.compile({
    model,
    norm,
    eps,
    alpha: 0,
    steps: 1,
    restarts,
    seed,
    keep: 'last',
    batch: count,
  });
  const { images } = await attack.run({
    images: new Float32Array(count * pixels).fill(0.5),
    labels: new Int32Array(count),
  });
  return images.map((pixel) => pixel - 0.5);
}

/**
 * Largest distance between the sample's distribution and the uniform one on [0, 1], times sqrt(n) (Kolmogorov's
 * statistic).
 */
function kolmogorov(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const n = sorted.length;
  return (
    Math.sqrt(n) *
    sorted.reduce((most, value, i) => Math.max(most, Math.abs(value - i / n), Math.abs(value - (i + 1) / n)), 0)
  );
}
/** P(statistic > 2.5) = 7e-6. */
const critical = 2.5;
const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

describe('attacks: random start', () => {
  const count = 1500;

  it('is uniform in [-eps, eps] per pixel for L-infinity', async () => {
    const eps = 0.3;
    const deltas = await draws('linf', eps, [1, 2, 3], count);
    for (let pixel = 0; pixel < 6; pixel++) {
      const column = Array.from({ length: count }, (_, n) => (deltas[6 * n + pixel]! / eps + 1) / 2);
      expect(kolmogorov(column), `pixel ${pixel}`).to.be.below(critical);
    }
    const products = Array.from({ length: count }, (_, n) => (deltas[6 * n]! / eps) * (deltas[6 * n + 1]! / eps));
    expect(Math.abs(mean(products)), 'independent pixels').to.be.below(5 / 3 / Math.sqrt(count));
  });

  for (const input of [
    [1, 1, 2],
    [1, 1, 5],
    [3, 4, 4],
  ] as const) {
    const n = input[0] * input[1] * input[2];
    it(`L2, ${n} pixels: (radius / eps)^n is uniform, mean radius eps n / (n + 1), directions alike`, async () => {
      const eps = 0.4;
      const deltas = await draws('l2', eps, input, count);
      const radii = Array.from({ length: count }, (_, i) => Math.hypot(...deltas.subarray(i * n, (i + 1) * n)) / eps);
      expect(kolmogorov(radii.map((radius) => radius ** n))).to.be.below(critical);
      const deviation = Math.sqrt(n / (n + 2) - (n / (n + 1)) ** 2);
      expect(Math.abs(mean(radii) - n / (n + 1))).to.be.below((5 * deviation) / Math.sqrt(count));
      for (let pixel = 0; pixel < n; pixel++) {
        const column = Array.from({ length: count }, (_, i) => deltas[n * i + pixel]! / eps / radii[i]!);
        expect(Math.abs(mean(column)), `direction ${pixel}`).to.be.below(5 / Math.sqrt(n * count));
        expect(mean(column.map((value) => value * value)), `energy ${pixel}`).to.be.closeTo(
          1 / n,
          10 / n / Math.sqrt(count),
        );
      }
    });
  }

  it('each restart begins elsewhere', async () => {
    const [one, two] = [await draws('linf', 0.3, [1, 2, 3], 50, 1, 7), await draws('linf', 0.3, [1, 2, 3], 50, 2, 7)];
    expect(one.some((value, i) => value === two[i]!)).to.equal(false);
    expect(Math.abs(mean(one.map((value, i) => value * two[i]!)))).to.be.below(0.01);
  });
});
