import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { evaluateTheorem, mapTheorem, theoremDefaults } from '../../src/theory/theorems.js';

/** Any seed but the default one. */
const freshSeed = (): number => 1 + Math.floor(Math.random() * 1e9);

describe('theorems 1 and 2 as programs', () => {
  // Distances of 300 draws by an independent program; draws differ, so that intervals are sampling errors: the
  // standard error of a mean over 300 draws is 0.8 at the start of the attack and 0.5 at the start of training.
  it('holds for every draw with a clip, at the official setting', async () => {
    const result = await evaluateTheorem(theoremDefaults[1]);
    expect(result.verdict).to.equal('every draw');
    expect(result.drawsViolating).to.equal(0);
    for (const [curve, t, expected] of [
      [result.bp, 0, 195.46],
      [result.bp, 50, 174.6],
      [result.bp, 100, 174.49],
      [result.linbp, 50, 171.89],
      [result.linbp, 100, 171.58],
    ] as const) {
      expect(curve[t]).to.be.closeTo(expected, 4);
    }
  });

  it('holds for every draw without a clip and in training', async () => {
    const free = await evaluateTheorem({ ...theoremDefaults[1], eps: undefined, steps: 200 });
    expect(free.verdict).to.equal('every draw');
    expect(free.bp[100]).to.be.closeTo(22.38, 1);
    expect(free.linbp[200]).to.be.closeTo(1.236, 0.05);
    const training = await evaluateTheorem(theoremDefaults[2]);
    expect(training.verdict).to.equal('every draw');
    expect(training.bp[750]).to.be.closeTo(0.808, 0.1);
    expect(training.linbp[1500]).to.be.closeTo(0.0141, 0.0015);
    expect((await evaluateTheorem({ ...theoremDefaults[2], eta: 1, steps: 30 })).verdict).to.equal('every draw');
  });

  it('holds on average for fresh draws, and the sampled LinBP side is its exact expectation', async () => {
    const seed = freshSeed();
    for (const settings of [
      theoremDefaults[1],
      { ...theoremDefaults[2], steps: 300 },
      { ...theoremDefaults[2], eta: 1, steps: 30 },
    ]) {
      const result = await evaluateTheorem({ ...settings, seed });
      expect(result.stepsViolating, `seed ${seed}`).to.equal(0);
      // Half-width of a 95 % interval of the start's distance, from its exact variance: 7 standard errors come once
      // in 10^11.
      const perCoordinate = settings.targetDeviation ** 2 + settings.startDeviation ** 2 + settings.targetMean ** 2;
      const standardError = Math.sqrt((settings.dimension * perCoordinate) / settings.draws);
      result.linbp.forEach((distance, t) => {
        expect(Math.abs(distance - result.linbpExpected[t]!), `step ${t}, seed ${seed}`).to.be.below(7 * standardError);
      });
    }
  });

  it('reports a violation at eta = 3, beyond the bound', async () => {
    const result = await evaluateTheorem({ ...theoremDefaults[2], eta: 3, steps: 30, seed: freshSeed() });
    expect(result.verdict).to.equal('fails');
    expect(result.stepSize.monotone).to.equal(false);
    expect(result.drawsViolating).to.be.within(0.9, 1);
    expect(result.margin[5]).to.be.below(0);
    expect(result.violating[0]).to.equal(0);
  });

  it('maps where it holds over eta and time', async () => {
    const map = await mapTheorem({ ...theoremDefaults[2], steps: 30 }, 'eta', [0.5, 2.5, 3.5], { times: [1, 5, 30] });
    expect(map.rows.map((row) => row.verdict)).to.deep.equal(['every draw', 'on average', 'fails']);
    expect(map.margin.map((row) => row.length)).to.deep.equal([3, 3, 3]);
    expect(map.margin[0]!.every((margin) => margin > 0)).to.equal(true);
    expect(map.margin[2]!.every((margin) => margin < 0)).to.equal(true);
    expect(map.violating[1]![1]).to.be.within(0.1, 0.9);
    const clipped = await mapTheorem({ ...theoremDefaults[1], draws: 40 }, 'eps', [0.1, 1]);
    expect(clipped.rows.every((row) => row.verdict === 'every draw')).to.equal(true);
  });

  it('gives the same figures for the same seed', async () => {
    const settings = { ...theoremDefaults[2], draws: 10, steps: 20, seed: freshSeed() };
    const [one, same, other] = [
      await evaluateTheorem(settings),
      await evaluateTheorem(settings),
      await evaluateTheorem({ ...settings, seed: settings.seed + 1 }),
    ];
    expect(one.bp).to.deep.equal(same.bp);
    expect(one.bp).to.not.deep.equal(other.bp);
  });

  it('refuses bad input', async () => {
    for (const [code, change] of [
      ['bad-range', { eta: 0 }],
      ['bad-range', { eta: NaN }],
      ['bad-range', { draws: 0 }],
      ['bad-range', { steps: 0.5 }],
      ['bad-range', { dimension: -1 }],
      ['bad-range', { seed: -1 }],
      ['bad-range', { dimension: 2 ** 53 - 1 }],
      ['bad-range', { steps: 2 ** 53 - 1 }],
      ['bad-range', { dimension: 1e4, steps: 1e5 }],
      ['bad-argument', { eps: 0.25 }],
    ] as const) {
      const error = await evaluateTheorem({ ...theoremDefaults[2], ...change }).catch((reason: unknown) => reason);
      expect(error, JSON.stringify(change)).to.be.instanceOf(LinbpError).with.property('code', code);
    }
  });

  it('stops when its signal fires, before and in the midst', async () => {
    const settings = { ...theoremDefaults[2], draws: 1_000_000 };
    for (const work of [
      (signal: AbortSignal) => evaluateTheorem(settings, { signal }),
      (signal: AbortSignal) => mapTheorem(settings, 'eta', [1, 2], { signal }),
    ]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 100);
      for (const signal of [AbortSignal.abort(), controller.signal])
        expect(await work(signal).catch((error: unknown) => error)).to.include({ code: 'aborted' });
    }
  });
});
