import { expect } from 'chai';
import { settle } from '../../src/attacks/options.js';
import { layOut } from '../../src/attacks/schedule.js';
import type { Victim } from '../../src/experiments/crafting.js';
import { budgeted, fooledShare, transferGap, transferred } from '../../src/experiments/transferMatrix.js';
import type { MatrixRow } from '../../src/experiments/transferMatrix.js';
import { budgetAt, reportTwelve, twelve } from '../../src/experiments/twelveAttacks.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';

const count = 40;

/** A row whose images fool victim `v` where `fools` says so; victim `b` gets image 0 wrong clean. */
const row = (attack: string, rule: string, fools: (n: number, seed: number) => boolean, seeds = 1): MatrixRow => {
  const wrong = (all: boolean): number[][] =>
    Array.from({ length: seeds }, (_, s) => Array.from({ length: count }, (_value, n) => (all || fools(n, s) ? 1 : 0)));
  return {
    ...{ source: 'a', attack, rule, steps: 20, alpha: 1 / 255, gradients: 20, random: seeds > 1 },
    wrong: new Map([
      ['a', wrong(true)],
      ['b', wrong(false)],
    ]),
  };
};
const clean = new Map([
  ['a', Array.from({ length: count }, () => 1)],
  ['b', Array.from({ length: count }, (_, n) => (n === 0 ? 0 : 1))],
]);

describe('twelve attacks at equal budgets', () => {
  it('each spends the budget exactly, at every size', () => {
    const model = { definition: modelDefinition('resnet20'), weights: new Map() } as unknown as Victim['model'];
    expect(twelve).to.have.length(12);
    expect(new Set(twelve.map(({ name }) => name)).size).to.equal(12);
    for (const gradients of [budgetAt(0.005), budgetAt(0.15), budgetAt(0.4), budgetAt(1)]) {
      expect(gradients % 20).to.equal(0);
      for (const attack of twelve) {
        const options = budgeted({ norm: 'linf', eps: 8 / 255, gradients, batch: 8 }, attack, model, 'bp');
        expect(layOut(settle(options)).gradients, `${attack.name} at ${gradients}`).to.equal(gradients);
        expect(options.alpha, attack.name).to.be.at.least(1 / 255 - 1e-12);
      }
    }
    expect([budgetAt(0.005), budgetAt(1)]).to.deep.equal([20, 100]);
  });

  it('shares and gaps count the images that a victim gets right clean, without the source', () => {
    const half = row('x', 'bp', (n) => n % 2 === 0);
    // Of the images 1 to 39, 19 are even.
    expect(transferred(half, clean)).to.be.closeTo(19 / 39, 1e-12);
    const share = fooledShare(half, clean, 'b')!;
    expect(share.mean).to.be.closeTo(19 / 39, 1e-12);
    expect(share.low).to.be.within(0.2, 19 / 39);
    expect(share.high).to.be.within(19 / 39, 0.8);
    expect(fooledShare(half, new Map([['b', clean.get('b')!.map(() => 0)]]), 'b')).to.equal(undefined);
    // Seeds that change nothing say nothing new, also where all images are fooled.
    for (const fooled of [(n: number) => n % 2 === 0, () => true])
      for (const seeds of [2, 5])
        expect(fooledShare(row('x', 'bp', fooled, seeds), clean, 'b'), `${seeds} seeds`).to.deep.equal(
          fooledShare(row('x', 'bp', fooled), clean, 'b'),
        );
    const apart = fooledShare(
      row('x', 'bp', (n, s) => n % 2 === 0 && (n > 2 || s > 0), 5),
      clean,
      'b',
    )!;
    expect(apart.high - apart.low, 'as wide as the images make it').to.be.above(0.9 * (share.high - share.low));
    const more = row('x', 'linbp', (n, s) => n % 2 === 0 || s === 1, 2);
    const gap = transferGap(half, more, clean)!;
    expect(gap.mean).to.be.closeTo((0 + 20 / 39) / 2, 1e-12);
    expect(gap.low).to.equal(0);
  });

  it('says in words what holds, made of the numbers', () => {
    const pairs = [
      { bp: row('ifgsm', 'bp', () => false), linbp: row('ifgsm', 'linbp:from=s', (n) => n % 2 === 1) },
      { bp: row('mi', 'bp', () => true), linbp: row('mi', 'linbp:from=s', (n) => n % 2 === 0) },
      { bp: row('di', 'bp', (n) => n < 20), linbp: row('di', 'linbp:from=s', (n) => n < 20) },
    ];
    const { table, statements } = reportTwelve({ pairs, clean, gradients: 20, count }, 0);
    expect(table.rows.map((cells) => cells[1])).to.deep.equal(['ifgsm', 'mi', 'di']);
    const texts = statements.map(({ text }) => text);
    expect(texts[1]).to.contain('helps 1 of 3 attacks (ifgsm), harms 1 (mi), and leaves 1 open (di)');
    expect(texts[2]).to.contain('mi under bp transfers best with 100.0 %; the best attack under BP is mi with 100.0 %');
    expect(statements[0]!.verdict).to.equal('open');
    const better = reportTwelve({ pairs: pairs.slice(0, 1), clean, gradients: 20, count }, 0).statements[0]!;
    expect(better.verdict).to.equal('holds');
    expect(better.text).to.contain('+51.3 points');
  });
});
