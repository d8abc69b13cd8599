import { expect } from 'chai';
import { comparisonChart, markdownTable, shown, shownRows, spread } from '../../src/bench/present.js';
import { overhead } from '../../src/bench/barriers.js';
import { fittedExponent, median, row } from '../../src/bench/rows.js';
import { agreement, difference } from '../../src/bench/compare.js';

describe('benchmark rows', () => {
  it('takes the middle value whatever the order, and the mean of two', () => {
    expect(median([5, 1, 9])).to.equal(5);
    expect(median([4, 1, 9, 2])).to.equal(3);
  });

  it('recovers the exponent of a power law', () => {
    for (const exponent of [0.5, 1, 2.7]) {
      const points = [1, 3, 8, 20].map((x): [number, number] => [x, 0.3 * x ** exponent]);
      expect(fittedExponent(points)).to.be.closeTo(exponent, 1e-9);
    }
  });

  it('keeps the spread of the values', () => {
    expect(row('a', 'linbp', 'ms', [3, 1, 2], { ratio: 1 })).to.deep.equal({
      name: 'a',
      subject: 'linbp',
      unit: 'ms',
      median: 2,
      min: 1,
      max: 3,
      rounds: 3,
      ratio: 1,
    });
  });

  it('a cost that measures below zero is said to be below what can be measured', () => {
    expect(overhead('barrier', [3, 5, 4], [1, 2, 2])).to.include({ median: 2, min: 2, max: 3, rounds: 3 });
    const none = overhead('barrier', [3, 5, 4], [4, 5.5, 2]);
    expect(none.median).to.be.NaN;
    expect(none.note).to.match(/smaller than the differences/);
    expect(shownRows([none], 200)[0])
      .to.match(/n\/a us/)
      .and.not.to.match(/-\d/);
  });

  it('compares results relative to their largest value and refuses those of other lengths', () => {
    expect(difference([1, -4], [1, -3])).to.equal(0.25);
    expect(difference([1], [1, 2])).to.be.NaN;
    expect(difference([], [])).to.be.NaN;
  });

  it('judges attacks by the middle sample, everything else by the largest difference', () => {
    const [own, stray, other] = [
      [1, 2, 4],
      [1, 2, 3],
      [2, 3, 4],
    ];
    expect(agreement('forward', own!, stray!, 1e-3)).to.deep.equal({
      agrees: false,
      note: 'results DIFFER (2.5e-1 apart)',
    });
    const halves = 'results agree (half of the samples 0.0e+0 apart or less, the worst 2.5e-1)';
    expect(agreement('attack', own!, stray!, 1e-3)).to.deep.equal({ agrees: true, note: halves });
    expect(agreement('attack', own!, other!, 1e-3).agrees).to.equal(false);
    expect(agreement('attack', own!, other!, 1e-3).note).to.match(/^results DIFFER \(half/);
    expect(agreement('attack', own!, [1, 2], 1e-3).agrees).to.equal(false);
  });

  it('takes two lines where a terminal is narrow, one elsewhere', () => {
    const rows = ['linbp', 'onnxruntime'].map((who) => row('a training step of ResNet-20', who, 'ms', [1234, 1100]));
    const narrow = shownRows(rows, 80);
    expect(narrow).to.have.length(3);
    expect(narrow[0]).to.equal('a training step of ResNet-20');
    for (const line of narrow) expect(line.length).to.be.at.most(80);
    expect(shownRows(rows, Infinity)).to.have.length(2);
  });

  it('shows three digits', () => {
    expect([1234.5, 12.34, 0.01234, 0, NaN].map(shown)).to.deep.equal(['1235', '12.3', '0.0123', '0', 'n/a']);
  });

  it('says how far rounds lie apart and how many there are', () => {
    const of = (...values: number[]): string => spread(row('a', 'linbp', 'ms', values));
    const unknown = { name: 'a', subject: 'linbp', unit: 'ms', median: 1, min: 1, max: 2, ratio: null };
    expect([of(3, 1, 2.5), of(7), spread(unknown)]).to.deep.equal([' (1.00 to 3.00, 3 rounds)', ' (1 round)', '']);
  });

  it('makes a table with a line per row and a chart that names the peers', () => {
    const rows = [row('step | a', 'linbp', 'ms', [1], { ratio: 1 }), row('step | a', 'other', 'ms', [8], { ratio: 8 })];
    expect(markdownTable(rows).split('\n')).to.have.length(4);
    expect(markdownTable(rows)).to.include('step \\| a');
    const svg = comparisonChart(rows, 'an adapter');
    expect(svg).to.match(/^<svg/).and.to.include('other').and.to.include('an adapter');
  });

  it('shows no ratio where the results are wrong, and of how many rounds every figure is', () => {
    const peer = (agrees: boolean) =>
      row('step', agrees ? 'right' : 'wrong', 'ms', [31, 32, 33], { ratio: 15.25, agrees });
    expect(markdownTable([peer(true)])).to.match(/\| 3 \| 15\.3 \|/);
    expect(markdownTable([peer(false)]))
      .to.match(/\| 3 \| wrong results \|/)
      .and.not.to.contain('15.3');
    expect(comparisonChart([peer(true)], ''))
      .to.contain('15.3')
      .and.not.to.contain('wrong results');
    expect(comparisonChart([peer(false)], ''))
      .to.contain('wrong results')
      .and.not.to.contain('15.3');
  });
});
