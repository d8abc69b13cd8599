import { expect } from 'chai';
import { opener } from '../../src/cli/demo/open.js';
import type { Leaderboard } from '../../src/cli/demo/leaderboard.js';
import { raceRules, raceSettings, raceSizes } from '../../src/cli/demo/race.js';
import { chooseSamples, seedsText } from '../../src/cli/demo/report.js';
import { wilson } from '../../src/experiments/statistics.js';

type Board = Pick<Leaderboard, 'rows' | 'clean' | 'images'>;

describe('demo', () => {
  it('sizes the training by the measured rate, images before seeds', () => {
    const { batch, epochs, rates } = raceSettings;
    for (const rate of [100, 2000, 10_000, 1e6]) {
      const { images, seeds, otherSeeds } = raceSizes(rate, 60, 12_000);
      expect(images % batch).to.equal(0);
      expect(images).to.be.within(8 * batch, raceSettings.images);
      const runs = (seeds + (rates.length - 1) * otherSeeds) * raceRules.length;
      const seconds = (runs * epochs * images) / rate;
      expect(seconds < 60 || images === 8 * batch, `${rate} images/s`).to.equal(true);
    }
    expect(raceSizes(1e6, 60, 1000)).to.include({ images: 960 });
  });

  it('shows samples that were right before, and that rules differ on, of different classes first', () => {
    const victim = (right: number[]) => ({ right }) as unknown as Board['clean'][number];
    const found = {
      images: { labels: [0, 1, 2, 1, 3] },
      clean: [victim([1, 1, 0, 1, 1])],
      rows: [{ victims: [victim([1, 1, 1, 1, 1])] }, { victims: [victim([1, 0, 0, 0, 0])] }],
    } as unknown as Board;
    expect(chooseSamples(found, 2)).to.deep.equal([1, 4]);
    expect(chooseSamples(found, 9)).to.have.members([0, 1, 3, 4]);
  });

  it('says how many seeds there are at each learning rate', () => {
    const runs = [0.05, 0.1, 0.2].flatMap((lr) => (lr === 0.1 ? [0, 1, 2] : [0]).map((seed) => ({ lr, seed })));
    expect(seedsText([...runs, ...runs])).to.equal(
      '3 seeds at learning rate 0.1; 1 seed at learning rates 0.05 and 0.2',
    );
  });

  it('opens a report only where a person with a desktop is watching', () => {
    expect(opener('linux', { DISPLAY: ':0' }, true)).to.deep.equal(['xdg-open']);
    expect(opener('linux', {}, true)).to.equal(undefined);
    expect(opener('linux', { DISPLAY: ':0', CI: 'true' }, true)).to.equal(undefined);
    expect(opener('linux', { DISPLAY: ':0', SSH_CONNECTION: '1' }, true)).to.equal(undefined);
    expect(opener('darwin', {}, true)).to.deep.equal(['open']);
    expect(opener('darwin', {}, false)).to.equal(undefined);
  });
});

describe("Wilson's interval", () => {
  it('solves |p - share| = z sqrt(p (1 - p) / n) at its ends, inside [0, 1]', () => {
    const z = 1.959963984540054;
    for (const [successes, count] of [
      [0, 10],
      [3, 64],
      [32, 64],
      [64, 64],
    ] as const) {
      const { mean, low, high } = wilson(successes, count);
      expect(mean).to.equal(successes / count);
      for (const end of [low, high]) {
        expect(end).to.be.within(0, 1);
        expect(Math.abs(end - mean)).to.be.closeTo(z * Math.sqrt((end * (1 - end)) / count), 1e-9);
      }
    }
  });
});
