import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { monteCarlo } from '../../src/theory/monteCarlo.js';
import type { MonteCarloSettings } from '../../src/theory/monteCarlo.js';
import { sharedDevice } from '../support/device.js';

const freshSeed = (): number => Math.floor(Math.random() * 2 ** 32);
const between = (count: number, low: number, high: number): number[] =>
  Array.from({ length: count }, () => low + (high - low) * Math.random());

/** Points far apart, so that the largest entry is large beside the sampling error. */
const apart = (d: number): { point: number[]; target: number[] } => ({
  point: between(d, 0.6, 1),
  target: between(d, -1, -0.6),
});

const oneLayer = (draws: number, d = 3): MonteCarloSettings => ({
  layers: 'one',
  ...apart(d),
  draws,
  seed: freshSeed(),
});
const twoLayers = (draws: number, d1 = 3, d2 = 3, d3 = 2): MonteCarloSettings => ({
  layers: 'two',
  ...apart(d1),
  hidden: { d2, d3 },
  draws,
  seed: freshSeed(),
});

describe('sampled expected gradients', () => {
  // Two rules and 3 entries: that one of 6 normal variables exceeds 7 standard errors has probability 6 * 2.6e-12.
  // The standard errors here stay below 0.15 % of the largest entry, so that 1 % is 6.7 of them or more: probability
  // 6 * 2.1e-11.
  for (const [name, settings] of [
    ['one layer', oneLayer(6_000_000)],
    ['two layers, with the factor d2 d3', twoLayers(6_000_000)],
  ] as const) {
    it(`agree with the closed form: ${name}`, async () => {
      const { estimates } = await monteCarlo(await sharedDevice(), settings);
      for (const estimate of estimates) {
        const largest = Math.max(...estimate.expected.map(Math.abs));
        const note = `${estimate.rule}, ${JSON.stringify(settings)}`;
        expect(Math.max(...estimate.standardError) / largest, note).to.be.below(0.0015);
        expect(estimate.relativeError, note).to.be.below(0.01);
        expect(estimate.largestDeviation, note).to.be.below(7);
      }
    });
  }

  it('agree with plain float64 loops over the same draws @slow', async () => {
    const device = await sharedDevice();
    // A cold pipeline takes a software driver seconds, so there are few of them.
    for (const settings of [oneLayer(3001, 5), twoLayers(2003, 3, 2, 3)]) {
      const { estimates } = await monteCarlo(device, settings);
      (await monteCarlo('reference', settings)).estimates.forEach((expected, r) => {
        const actual = estimates[r]!;
        const largest = Math.max(...expected.mean.map(Math.abs), ...expected.standardError);
        expected.mean.forEach((value, j) => expect(actual.mean[j]).to.be.closeTo(value, 1e-4 * largest));
        expected.standardError.forEach((value, j) =>
          expect(actual.standardError[j]).to.be.closeTo(value, 1e-3 * value),
        );
      });
    }
  });

  it('give the same bits for the same seed, in whatever dispatches', async () => {
    const device = await sharedDevice();
    const settings = oneLayer(100_000);
    const [first, second] = [await monteCarlo(device, settings), await monteCarlo(device, settings)];
    expect(first.estimates).to.deep.equal(second.estimates);
  });

  it('refuse bad input', async () => {
    const device = await sharedDevice();
    const good = twoLayers(10);
    for (const [code, settings] of [
      ['bad-range', { ...good, draws: 1 }],
      ['bad-range', { ...good, draws: 2.5 }],
      ['bad-range', { ...good, seed: -1 }],
      ['bad-shape', { ...good, target: [1] }],
      ['bad-range', { ...good, hidden: { d2: 0, d3: 1 } }],
      ['bad-range', { ...good, hidden: { d2: 1000, d3: 1 } }],
      ['bad-argument', { ...good, layers: 'three' as 'two' }],
    ] as const) {
      const error = await monteCarlo(device, settings).catch((cause: unknown) => cause);
      expect(error, JSON.stringify(settings)).to.be.instanceOf(LinbpError).with.property('code', code);
    }
  });
});
