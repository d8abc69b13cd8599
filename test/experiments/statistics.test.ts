import { expect } from 'chai';
import {
  deviation,
  crossedBootstrap,
  interval,
  mean,
  pairedBootstrap,
  pairedInterval,
  quantile,
  trailingMean,
  verdictOf,
} from '../../src/experiments/statistics.js';
import { philox4x32 } from '../../src/random/philox.js';
import { LinbpError } from '../../src/errors.js';

describe('statistics of experiments', () => {
  it('mean, deviation and quantiles of known values', () => {
    expect(mean([1, 2, 3, 4])).to.equal(2.5);
    expect(deviation([1, 2, 3, 4])).to.be.closeTo(Math.sqrt(5 / 3), 1e-12);
    expect(deviation([7])).to.equal(0);
    expect(quantile([0, 1, 2, 3], 0)).to.equal(0);
    expect(quantile([0, 1, 2, 3], 1)).to.equal(3);
    expect(quantile([0, 1, 2, 3], 0.5)).to.equal(1.5);
    expect(() => mean([])).to.throw(LinbpError);
    expect(() => quantile([1], 1.5)).to.throw(LinbpError);
  });

  it('the interval over seeds is Student’s', () => {
    // t(0.975, 4) = 2.776445; the deviation of 1..5 is sqrt(2.5).
    const found = interval([1, 2, 3, 4, 5]);
    expect(found.mean).to.equal(3);
    expect(found.high - found.mean).to.be.closeTo((2.776445 * Math.sqrt(2.5)) / Math.sqrt(5), 1e-3);
    expect(found.mean - found.low).to.be.closeTo(found.high - found.mean, 1e-12);
    expect(interval([4])).to.deep.equal({ mean: 4, low: 4, high: 4 });
  });

  it('what is not finite has no mean and no interval', () => {
    for (const bad of [NaN, Infinity])
      for (const of of [
        () => mean([1, bad]),
        () => interval([1, bad, 2]),
        () => pairedBootstrap([1, 2], [1, bad], 1),
        () => pairedInterval([1, bad], [1, 2]),
      ])
        expect(of).to.throw(LinbpError).with.property('code', 'diverged');
  });

  it('a constant difference has a bootstrap interval without width', () => {
    const a = [1, 5, 2, 8];
    const found = pairedBootstrap(
      a,
      a.map((value) => value + 0.25),
      3,
    );
    expect(found).to.deep.equal({ mean: 0.25, low: 0.25, high: 0.25 });
  });

  it('the bootstrap interval of coin flips has the width of the normal law', () => {
    // Half of 400 differences are 1: the mean has the deviation sqrt(0.25 / 400) = 0.025.
    const zeros = new Float64Array(400);
    const flips = Float64Array.from({ length: 400 }, (_, i) => i % 2);
    const found = pairedBootstrap(zeros, flips, 1);
    expect(found.mean).to.equal(0.5);
    expect(found.low).to.be.closeTo(0.5 - 1.96 * 0.025, 0.006);
    expect(found.high).to.be.closeTo(0.5 + 1.96 * 0.025, 0.006);
    expect(pairedBootstrap(zeros, flips, 1)).to.deep.equal(found);
    expect(pairedBootstrap(zeros, flips, 2)).not.to.deep.equal(found);
  });

  it('pairs of different lengths are refused', () => {
    expect(() => pairedBootstrap([1], [1, 2])).to.throw(LinbpError);
    expect(() => pairedBootstrap([], [])).to.throw(LinbpError);
  });

  it('the interval over few pairs is Student’s of their differences', () => {
    const found = pairedInterval([10, 20, 30], [11, 22, 33]);
    expect(found.mean).to.equal(2);
    // t(0.975, 2) = 4.302653, the deviation of 1, 2, 3 is 1.
    expect(found.high - found.mean).to.be.closeTo(4.302653 / Math.sqrt(3), 1e-3);
    expect(verdictOf(pairedInterval([1], [0]))).to.equal('open');
    expect(() => pairedInterval([1], [1, 2])).to.throw(LinbpError);
  });

  it('the bootstrap over groups of the same pairs covers other groups and other pairs', () => {
    const groups = (count: number, pairs: number, value: (g: number, i: number) => number): number[][] =>
      Array.from({ length: count }, (_, g) => Array.from({ length: pairs }, (_value, i) => value(g, i)));
    const zeros = groups(5, 100, () => 0);
    // Every pair of a group differs by the group's own number: only the choice of groups varies, with deviation
    // sqrt(2 / 5).
    const spread = groups(5, 100, (g) => g);
    const found = crossedBootstrap(zeros, spread, 1);
    expect(found.mean).to.equal(2);
    expect(found.high - found.low).to.be.within(2, 2.8);
    expect(crossedBootstrap(zeros, spread, 1)).to.deep.equal(found);
    // Equal groups are one group, however often they are repeated.
    for (const count of [1, 3, 10]) {
      const flips = groups(count, 400, (_, i) => i % 2);
      const flat = crossedBootstrap(
        groups(count, 400, () => 0),
        flips,
        1,
      );
      expect(flat.mean).to.equal(0.5);
      expect(flat.high - flat.low, `${count} groups`).to.be.closeTo(2 * 1.96 * 0.025, 0.012);
    }
    // Effects of groups and of pairs add up: variances 2 / 5 and 8.25 / 100.
    const sums = crossedBootstrap(
      zeros,
      groups(5, 100, (g, i) => g + (i % 10)),
      1,
    );
    expect(sums.mean).to.equal(6.5);
    expect(
      crossedBootstrap(
        zeros,
        groups(5, 100, (g, i) => g + (i % 10)),
        2,
      ),
    ).not.to.deep.equal(sums);
    expect(sums.high - sums.low).to.be.closeTo(2 * 1.96 * Math.sqrt(2 / 5 + 8.25 / 100), 0.3);
    expect(() => crossedBootstrap([[1]], [[1, 2]])).to.throw(LinbpError);
    expect(() => crossedBootstrap([[1], [1, 2]], [[1], [1, 2]])).to.throw(LinbpError);
    expect(() => crossedBootstrap([], [])).to.throw(LinbpError);
    expect(() => crossedBootstrap([[]], [[]])).to.throw(LinbpError);
  });

  it('holds the true mean about as often as it says where groups and pairs both have effects', () => {
    const [trials, groups, pairs] = [200, 8, 50];
    const normals = (seed: number, count: number): number[] =>
      Array.from({ length: count }, (_, n) => {
        const words = philox4x32([n, 0, 0, 0], [seed, 77]).map((word) => (word + 0.5) / 2 ** 32);
        return Math.sqrt(-2 * Math.log(words[0]!)) * Math.cos(2 * Math.PI * words[1]!);
      });
    let held = 0;
    for (let trial = 0; trial < trials; trial++) {
      const ofPair = normals(3 * trial, pairs);
      const ofGroup = normals(3 * trial + 1, groups);
      const noise = normals(3 * trial + 2, groups * pairs);
      const values = ofGroup.map((effect, g) =>
        ofPair.map((own, i) => 0.1 * effect + own + 0.5 * noise[g * pairs + i]!),
      );
      const zeros = values.map((group) => group.map(() => 0));
      const { low, high } = crossedBootstrap(zeros, values, trial, 300);
      held += low <= 0 && high >= 0 ? 1 : 0;
    }
    // Pairs drawn inside each group, as if every seed had images of its own, would hold it in 0.65 of the trials.
    expect(held / trials).to.be.within(0.91, 0.99);
  });

  it('verdicts and trailing means', () => {
    expect(verdictOf({ mean: 1, low: 0.5, high: 2 })).to.equal('above');
    expect(verdictOf({ mean: -1, low: -2, high: -0.5 })).to.equal('below');
    expect(verdictOf({ mean: 0, low: -1, high: 1 })).to.equal('open');
    expect(trailingMean([4, 2, 0, 6], 2)).to.deep.equal([4, 3, 1, 3]);
  });
});
