import { expect } from 'chai';
import { opener } from '../../src/cli/demo/open.js';
import { raceRules, raceSettings, raceSizes } from '../../src/cli/demo/race.js';
import type { RaceRun } from '../../src/cli/demo/race.js';
import { chooseSamples } from '../../src/cli/demo/report.js';
import { attackVerdicts, namedRules } from '../../src/cli/demo/verdicts.js';
import { lowerLosses, ratesOf, trainingVerdicts } from '../../src/experiments/trainingVerdicts.js';
import { wilson } from '../../src/experiments/statistics.js';

type Board = Parameters<typeof attackVerdicts>[0];

/** A leaderboard of rules with the accuracy left and the interval of the difference to the true gradient. */
function board(
  rows: readonly (readonly [rule: string, name: string, left: number, low: number, high: number])[],
): Board {
  return {
    steps: 10,
    images: { count: 64 },
    rows: rows.map(([rule, name, accuracy, low, high]) => ({
      rule,
      name,
      victims: [{ model: 'resnet56', accuracy, low: 0, high: 1, right: [], predictions: [] }],
      difference: { mean: (low + high) / 2, low, high },
    })),
  } as unknown as Board;
}

const run = (
  rule: string,
  lr: number,
  seed: number,
  losses: number[],
  outcome: RaceRun['outcome'] = 'trains',
): RaceRun =>
  ({
    rule,
    lr,
    seed,
    outcome,
    losses: [],
    epochs: losses.map((trainLoss, i) => ({ epoch: i + 1, trainLoss })),
  }) as unknown as RaceRun;

describe('verdicts of the demo', () => {
  it('name the strongest gradient with the figures, and say when LinBP makes no clear difference', () => {
    const said = attackVerdicts(
      board([
        ['bp', 'BP', 0.203, 0, 0],
        ['bpa', 'BPA', 0.047, -0.2, -0.1],
        ['linbp:from=3_1', 'LinBP', 0.172, -0.06, 0.02],
      ]),
    );
    expect(said).to.have.length(2);
    expect(said[0]).to.match(/true gradient leaves 20 % of the images right on resnet56, the gradient of BPA 5 %/);
    expect(said[1]).to.match(/LinBP makes no clear difference/);
  });

  it('say when LinBP is stronger, and when it is weaker', () => {
    const others = (low: number, high: number): string =>
      attackVerdicts(
        board([
          ['bp', 'BP', 0.5, 0, 0],
          ['bpa', 'BPA', 0.1, -0.5, -0.3],
          ['linbp', 'LinBP', 0.4, low, high],
        ]),
      )[1]!;
    expect(others(-0.2, -0.1)).to.match(/stronger than the true one as well, by 15 points/);
    expect(others(0.1, 0.2)).to.match(/weaker than the true one here, by 15 points/);
    expect(others(0.004, 0.038), 'an interval beside zero does not read as if it held zero').to.match(
      /0\.4 to 3\.8 points/,
    );
  });

  it('name no strongest gradient where the interval holds zero', () => {
    const [said] = attackVerdicts(
      board([
        ['bp', 'BP', 0.5, 0, 0],
        ['bpa', 'BPA', 0.48, -0.1, 0.05],
      ]),
    );
    expect(said).to.match(/no other gradient here is clearly stronger/);
  });

  it('count pairs of epoch and seed at rates where all runs train, and failures at large rates', () => {
    const runs = [0, 1].flatMap((seed) => [
      run('bp', 0.1, seed, [2, 1.5]),
      run('linbp', 0.1, seed, [1.9, 1.2]),
      run('bp', 0.4, seed, [1, 0.5]),
      run('linbp', 0.4, seed, [], 'not finite'),
    ]);
    expect(lowerLosses(runs, [0.1])).to.deep.equal({ lower: 4, pairs: 4 });
    expect(ratesOf(runs, 'linbp')).to.deep.equal({ train: [0.1], fail: [0.4] });
    const [small, large] = trainingVerdicts(runs, namedRules, 0.1);
    expect(small).to.match(/learning rate 0.1, LinBP has the lower training loss after every epoch \(4 of 4/);
    expect(large).to.match(/BP tolerates larger learning rates: .* LinBP fails in 2 of 2 runs at 0.4/);
    const mixed = [run('bp', 0.1, 0, [2, 1]), run('linbp', 0.1, 0, [1.9, 1.2])];
    expect(trainingVerdicts(mixed, namedRules, 0.1)[0]).to.match(
      /in 1 of 2 pairs of epoch and seed: neither is always ahead/,
    );
  });
});

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
