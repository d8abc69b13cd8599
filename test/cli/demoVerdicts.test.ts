import { expect } from 'chai';
import { cifarRules, digitRules } from '../../src/cli/demo/contenders.js';
import type { RaceRun } from '../../src/cli/demo/race.js';
import { leaderboardWords } from '../../src/cli/demo/report.js';
import { attackVerdicts, namedRules, raceVerdicts } from '../../src/cli/demo/verdicts.js';
import { rateChart, rateTable, rateWords } from '../../src/cli/trainingCharts.js';
import {
  bestRate,
  bestRatesVerdict,
  guessingVerdict,
  lowerLosses,
  ratesOf,
  trainingVerdicts,
} from '../../src/experiments/trainingVerdicts.js';

type Board = Parameters<typeof attackVerdicts>[0];

/** A leaderboard of rules with the accuracy left and the interval of the difference to the true gradient. */
function board(
  rows: readonly (readonly [rule: string, name: string, left: number, low: number, high: number])[],
): Board {
  return {
    steps: 10,
    source: 'resnet20',
    images: { count: 64 },
    rows: rows.map(([rule, name, accuracy, low, high]) => ({
      rule,
      name,
      mask: `${name}'s own`,
      victims: [{ model: 'resnet56', accuracy, low: 0, high: 1, right: [], predictions: [] }],
      difference: { mean: (low + high) / 2, low, high },
    })),
  } as unknown as Board;
}

interface Fate {
  readonly outcome?: RaceRun['outcome'];
  readonly accuracy?: number;
}

const run = (rule: string, lr: number, seed: number, losses: number[], fate: Fate = {}): RaceRun =>
  ({
    ...{ rule, lr, seed, outcome: fate.outcome ?? 'trains', losses: [] },
    epochs: losses.map((trainLoss, i) => ({
      epoch: i + 1,
      trainLoss,
      ...(fate.accuracy !== undefined && { testAccuracy: fate.accuracy }),
    })),
  }) as unknown as RaceRun;

const failed = (rule: string, lr: number, seed: number): RaceRun => run(rule, lr, seed, [], { outcome: 'not finite' });

describe('verdicts of the demo: attack', () => {
  it('name the strongest gradient with figures, source and budget, and a LinBP that makes no clear difference', () => {
    const said = attackVerdicts(
      board([
        ['bp', 'BP', 0.203, 0, 0],
        ['bpa', 'BPA', 0.047, -0.2, -0.1],
        ['linbp:from=3_1', 'LinBP', 0.172, -0.06, 0.02],
      ]),
    );
    expect(said).to.have.length(2);
    expect(said[0]).to.match(
      /^Attack on resnet20, tried on another network \(64 images, the same 10 steps for every rule\): BPA \(/,
    );
    expect(said[0]).to.match(/It leaves 5 % of the images right on resnet56, the true gradient 20 %\.$/);
    expect(said[1]).to.match(
      /makes no clear difference to this attack: .* 2 points less right .*\(95 % interval -6\.0 to 2\.0 points\)/,
    );
  });

  it('explain each rule where it is named first, with what it puts in the place of the mask', () => {
    const rows = board([
      ['bp', 'BP', 0.5, 0, 0],
      ['bpa', 'BPA', 0.1, -0.5, -0.3],
      ['linbp', 'LinBP', 0.4, -0.2, -0.1],
    ]);
    const said = attackVerdicts(rows);
    expect(said[0]).to.contain("BPA (BPA's own in place of the ReLU's mask, at chosen ReLUs)");
    expect(said[1]).to.contain("LinBP (LinBP's own in place of the ReLU's mask, at chosen ReLUs)");
    for (const { mask, means, where, name } of [...cifarRules, ...digitRules])
      for (const words of [mask, means, where]) expect(words, name).to.match(/\w/);
  });

  it('say when LinBP is stronger, when it is weaker, and when it is the strongest of all', () => {
    const others = (low: number, high: number): string =>
      attackVerdicts(
        board([
          ['bp', 'BP', 0.5, 0, 0],
          ['bpa', 'BPA', 0.1, -0.5, -0.3],
          ['linbp', 'LinBP', 0.4, low, high],
        ]),
      )[1]!;
    expect(others(-0.2, -0.1)).to.match(/stronger than the true gradient as well: it leaves 15 points less right/);
    expect(others(0.1, 0.2)).to.match(/weaker than the true gradient here: it leaves 15 points more right/);
    expect(others(0.004, 0.038), 'an interval beside zero does not read as if it held zero').to.match(
      /0\.4 to 3\.8 points/,
    );
    const said = attackVerdicts(
      board([
        ['bp', 'BP', 0.5, 0, 0],
        ['linbp', 'LinBP', 0.1, -0.5, -0.3],
        ['bpa', 'BPA', 0.2, -0.4, -0.2],
      ]),
    );
    expect(said).to.have.length(1);
    expect(said[0]).to.match(/LinBP \(.*is stronger than the true gradient\. It leaves 10 % of the images right/);
  });

  it('name no strongest gradient where the interval holds zero, or where there is no other rule', () => {
    const rows = [
      ['bp', 'BP', 0.5, 0, 0],
      ['bpa', 'BPA', 0.48, -0.1, 0.05],
    ] as const;
    const leaves = 'the true gradient leaves 50 % of the images right on resnet56';
    const [said, ...more] = attackVerdicts(board(rows));
    expect(said).to.contain(`${leaves}; no other gradient is clearly stronger`);
    expect(more).to.deep.equal([]);
    expect(attackVerdicts(board(rows.slice(0, 1))).join()).to.contain(`${leaves}; those of all other rules diverged`);
  });

  it('say before any number which way is stronger, and that every rule has the same budget', () => {
    const words = leaderboardWords({ source: 'resnet20', steps: 7 }).join(' ');
    expect(words).to.contain('lower is stronger').and.to.contain('Every rule has the same budget of 7 steps');
    expect(words).to.contain('a gradient of resnet20').and.to.contain('its mask: 1 where the input was positive');
  });
});

/** BP trains everywhere and is best at 0.4; LinBP is ahead at 0.1, trains once at 0.2 and never at 0.4. */
const usual = [0, 1].flatMap((seed) => [
  run('bp', 0.1, seed, [2, 1.5], { accuracy: 0.5 }),
  run('linbp', 0.1, seed, [1.9, 1.2], { accuracy: 0.6 }),
  run('bp', 0.2, seed, [1.8, 1], { accuracy: 0.7 }),
  seed === 0 ? run('linbp', 0.2, seed, [1.5, 0.9], { accuracy: 0.75 }) : failed('linbp', 0.2, seed),
  run('bp', 0.4, seed, [1, 0.5], { accuracy: 0.9 }),
  failed('linbp', 0.4, seed),
]);

describe('verdicts of the demo: training', () => {
  it('count pairs of epoch and seed at rates where all runs train, and say what the pairs are', () => {
    expect(lowerLosses(usual, [0.1])).to.deep.equal({ lower: 4, pairs: 4 });
    expect(ratesOf(usual, 'linbp')).to.deep.equal({ train: [0.1], fail: [0.2, 0.4] });
    const runs = [
      ...usual,
      ...[0, 1, 2].flatMap((seed) => [run('bp', 0.05, seed, [2.2, 2]), run('linbp', 0.05, seed, [2.1, 1.9])]),
    ];
    expect(trainingVerdicts(runs, namedRules, 0.1)[0]).to.equal(
      'At learning rates 0.05 and 0.1, LinBP has the lower training loss after every epoch ' +
        '(10 of 10 pairs of epoch and seed: 2 epochs, 3 seeds at 0.05 and 2 seeds at 0.1).',
    );
    const mixed = [run('bp', 0.1, 0, [2, 1]), run('linbp', 0.1, 0, [1.9, 1.2])];
    expect(trainingVerdicts(mixed, namedRules, 0.1)[0]).to.equal(
      'At learning rate 0.1, LinBP has the lower training loss in 1 of 2 pairs of epoch and seed: ' +
        '2 epochs, 1 seed at 0.1; neither is always ahead.',
    );
    const behind = [run('bp', 0.1, 0, [1]), run('linbp', 0.1, 0, [2])];
    expect(trainingVerdicts(behind, namedRules)[0]).to.match(
      /^At learning rate 0.1, BP has the lower .* \(1 of 1 pairs of epoch and seed: 1 epoch, 1 seed at 0.1\)\.$/,
    );
  });

  it('say at which rates how many runs fail: some, all of one rule, all, none', () => {
    const large = (runs: readonly RaceRun[]): string => trainingVerdicts(runs, namedRules, 0.1).at(-1)!;
    expect(large(usual)).to.equal(
      'BP tolerates larger learning rates: it trains at all of them up to 0.4; ' +
        'LinBP fails in 1 of 2 runs at 0.2 and 2 of 2 at 0.4.',
    );
    const swapped = usual.map((each) => ({ ...each, rule: each.rule === 'bp' ? 'linbp' : 'bp' }));
    expect(large(swapped)).to.match(/^LinBP tolerates larger .*; BP fails in 1 of 2 runs at 0.2 and 2 of 2 at 0.4\.$/);
    expect(large(usual.filter(({ lr }) => lr === 0.1))).to.equal(
      'BP and LinBP train at every learning rate tried, up to 0.1.',
    );
    const none = usual.map(({ rule, lr, seed }) => failed(rule, lr, seed));
    expect(large(none)).to.equal('BP and LinBP fail in every run, at all learning rates tried, 0.1 to 0.4.');
    expect(large([...usual, failed('bp', 0.8, 0), failed('linbp', 0.8, 0)])).to.match(
      /^Both rules fail at some learning rates: BP in 1 of 1 run at 0.8, LinBP in 1 of 2 runs at 0.2 and /,
    );
  });

  it('say which rule gets further when each has its best rate, and of which runs the figure is', () => {
    expect(bestRate(usual, 'linbp')).to.include({ lr: 0.2, runs: 2, failed: 1, loss: 0.9 });
    expect(bestRatesVerdict(usual, namedRules)).to.deep.equal([
      'With the best of the rates tried for each, BP has the lower last training loss, 0.500 at 0.4 (test accuracy ' +
        '90 %); LinBP has 0.900 at 0.2 (test accuracy 75 %, in the 1 of 2 runs that trained).',
    ]);
    const linbpBest = usual.filter(({ lr }) => lr === 0.1);
    expect(bestRatesVerdict(linbpBest, namedRules)[0]).to.match(
      /LinBP has the lower last training loss, 1\.20 at 0\.1 \(test accuracy 60 %\); BP has 1\.50 at 0\.1/,
    );
    const equal = [run('bp', 0.1, 0, [1]), run('linbp', 0.2, 0, [1])];
    expect(bestRatesVerdict(equal, namedRules)[0]).to.match(
      /the last training losses are equal: BP has 1\.00 at 0\.1; LinBP has 1/,
    );
    const one = usual.filter(({ rule, outcome }) => rule === 'bp' || outcome !== 'trains');
    expect(bestRatesVerdict(one, namedRules)[0]).to.match(/^Only BP trains: .* 0\.500 at 0\.4/);
    const none = usual.map(({ rule, lr, seed }) => failed(rule, lr, seed));
    expect(bestRatesVerdict(none, namedRules)).to.deep.equal([]);
  });

  it('say where loss or test accuracy is near guessing, of one rule or both, and nothing where neither is', () => {
    expect(guessingVerdict(usual, namedRules, 10)).to.deep.equal([]);
    const low = [
      run('bp', 0.05, 0, [2.275], { accuracy: 0.276 }),
      run('linbp', 0.05, 0, [2.26], { accuracy: 0.21 }),
      run('bp', 0.1, 0, [2], { accuracy: 0.19 }),
      run('linbp', 0.1, 0, [1], { accuracy: 0.6 }),
      failed('bp', 0.2, 0),
      run('linbp', 0.2, 0, [2.2]),
      run('linbp', 0.4, 0, [1]),
    ];
    expect(guessingVerdict(low, namedRules, 10)).to.deep.equal([
      'At 0.05 both rules have hardly learned yet: BP has loss 2.27, test accuracy 28 %; ' +
        'LinBP has loss 2.26, test accuracy 21 %. Guessing has loss 2.30, test accuracy 10 %.',
      'At 0.1 BP has hardly learned yet: BP has loss 2.00, test accuracy 19 %; ' +
        'LinBP has loss 1.00, test accuracy 60 %. Guessing has loss 2.30, test accuracy 10 %.',
      'At 0.2 LinBP has hardly learned yet: LinBP has loss 2.20. Guessing has loss 2.30, test accuracy 10 %.',
    ]);
    expect(guessingVerdict(low, namedRules, 100), 'of more classes it is much').to.deep.equal([]);
  });

  it('begin with the network, another one than the attacked, whatever comes first', () => {
    for (const runs of [usual, usual.map(({ rule, lr, seed }) => failed(rule, lr, seed))]) {
      const said = raceVerdicts(runs, 10);
      expect(said[0]).to.match(/^Training another network, an MLP, with BP \(the true gradient\) and LinBP: (at|BP) /);
      expect(said.slice(1).join(' ')).to.not.contain('another network');
    }
    expect(raceVerdicts(usual, 10)).to.have.length(3);
  });
});

describe('losses against learning rates', () => {
  const rules = ['bp', 'linbp'];
  const option = (runs: readonly RaceRun[]) =>
    (
      JSON.parse(rateChart(runs, rules).live!) as {
        readonly option: {
          readonly grid: readonly object[];
          readonly series: readonly {
            readonly name: string;
            readonly type: string;
            readonly xAxisIndex: number;
            readonly data: readonly (
              | readonly (number | null)[]
              | { readonly value: readonly unknown[]; readonly label: { readonly formatter: string } }
            )[];
          }[];
        };
      }
    ).option;
  const dataOf = (runs: readonly RaceRun[], name: string, type: string, axis: number) =>
    option(runs).series.find((each) => each.name === name && each.type === type && each.xAxisIndex === axis)?.data;

  it('draw no line through rates with failures; who trained there is a point, who failed a count in the band', () => {
    expect(dataOf(usual, 'BP', 'line', 0)).to.deep.equal([
      [0.1, 1.5],
      [0.2, 1],
      [0.4, 0.5],
    ]);
    expect(dataOf(usual, 'LinBP', 'line', 0)).to.deep.equal([
      [0.1, 1.2],
      [0.2, null],
      [0.4, null],
    ]);
    expect(dataOf(usual, 'LinBP', 'scatter', 0)).to.deep.equal([[0.2, 0.9]]);
    expect(dataOf(usual, 'LinBP', 'scatter', 1)).to.deep.equal([
      { value: [0.2, 0, '1 of 2 failed'], label: { formatter: '1 of 2' } },
      { value: [0.4, 0, '2 of 2 failed'], label: { formatter: '2 of 2' } },
    ]);
    expect(dataOf(usual, 'BP', 'scatter', 1), 'BP never fails').to.equal(undefined);
    const { svg } = rateChart(usual, rules);
    for (const words of ['runs that failed', '1 of 2', '2 of 2']) expect(svg).to.contain(`>${words}</text>`);
    expect(rateWords(usual)).to.contain('A cross counts runs that failed').and.to.contain('a hollow point');
    const whole = usual.filter(({ lr }) => lr !== 0.2);
    expect(rateWords(whole), 'no rate has both').to.contain('A cross counts').and.to.not.contain('hollow');
  });

  it('have no band where no run fails, and no value where all fail', () => {
    const fine = usual.filter(({ lr }) => lr === 0.1);
    expect(option(fine).grid).to.have.length(1);
    expect(rateChart(fine, rules).svg).to.not.contain('failed</text>');
    expect(rateWords(fine)).to.equal('');
    const none = usual.map(({ rule, lr, seed }) => failed(rule, lr, seed));
    expect(dataOf(none, 'BP', 'line', 0)!.every((each) => (each as readonly unknown[])[1] === null)).to.equal(true);
    expect(dataOf(none, 'BP', 'scatter', 1)).to.have.length(3);
    expect(rateChart(none, rules).svg).to.not.match(/NaN|Infinity/);
  });

  it('are told in the table, with the figures of those that trained', () => {
    const cells = [...rateTable(usual, rules).matchAll(/<td[^>]*>([^<]*)<\/td>/g)].map(([, text]) => text);
    expect(cells).to.deep.equal([
      ...['0.1', '1.500, 50.0 %', '1.200, 60.0 %'],
      ...['0.2', '1.000, 70.0 %', '1 of 2 failed; trained: 0.900, 75.0 %'],
      ...['0.4', '0.500, 90.0 %', '2 of 2 failed'],
    ]);
  });
});
