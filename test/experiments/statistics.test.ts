import { expect } from 'chai';
import {
  deviation,
  groupedBootstrap,
  interval,
  mean,
  pairedBootstrap,
  pairedInterval,
  quantile,
  trailingMean,
  verdictOf,
} from '../../src/experiments/statistics.js';
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

  it('the bootstrap over groups covers the spread between them', () => {
    const zeros = Array.from({ length: 5 }, () => new Array<number>(100).fill(0));
    // Every pair of a group differs by the group's own number: only the choice of groups varies, with deviation
    // sqrt(2 / 5).
    const spread = Array.from({ length: 5 }, (_, g) => new Array<number>(100).fill(g));
    const found = groupedBootstrap(zeros, spread, 1);
    expect(found.mean).to.equal(2);
    expect(found.high - found.low).to.be.within(2, 2.8);
    expect(groupedBootstrap(zeros, spread, 1)).to.deep.equal(found);
    // Equal groups: as the plain bootstrap of all pairs, within the noise of the resamples.
    const flips = zeros.map((group) => group.map((_, i) => i % 2));
    const flat = groupedBootstrap(zeros, flips, 1);
    expect(flat.mean).to.equal(0.5);
    expect(flat.high - flat.low).to.be.closeTo(2 * 1.96 * Math.sqrt(0.25 / 500), 0.02);
    expect(() => groupedBootstrap([[1]], [[1, 2]])).to.throw(LinbpError);
    expect(() => groupedBootstrap([], [])).to.throw(LinbpError);
  });

  it('verdicts and trailing means', () => {
    expect(verdictOf({ mean: 1, low: 0.5, high: 2 })).to.equal('above');
    expect(verdictOf({ mean: -1, low: -2, high: -0.5 })).to.equal('below');
    expect(verdictOf({ mean: 0, low: -1, high: 1 })).to.equal('open');
    expect(trailingMean([4, 2, 0, 6], 2)).to.deep.equal([4, 3, 1, 3]);
  });
});
