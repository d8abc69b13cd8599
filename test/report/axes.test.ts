import { expect } from 'chai';
import { shareRange } from '../../src/report/intervalChart.js';
import { imageGrid, intervalChart, lineChart, logRange, palette, percentAxis } from '../../src/report/index.js';
import { expectNumbers, expectWellFormed } from './support.js';

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
const estimate = (value: number, half = 0.05) => ({ value, low: Math.max(0, value - half), high: value + half });

/** Where the bars of a color end, and both ends of the intervals, in drawing order. */
function drawn(svg: string, color: string): { bars: number[]; whiskers: number[] } {
  const bars = [...svg.matchAll(/<path d="M([\d.]+) [\d.]+l([\d.]+) 0l[^"]*" fill="([^"]*)"/g)];
  const whiskers = [
    ...svg.matchAll(/<path d="M([\d.]+) [\d.]+L([\d.]+) [\d.]+"[^>]*stroke="var\(--ink,[^>]*stroke-width="1\.25"/g),
  ];
  return {
    bars: bars.filter(([, , , fill]) => fill!.includes(color)).map(([, from, length]) => Number(from) + Number(length)),
    // Of the three lines of an interval the first is the long one.
    whiskers: whiskers.filter((_, i) => i % 3 === 0).flatMap(([, from, to]) => [Number(from), Number(to)]),
  };
}

describe('axes that fit the values', () => {
  it('the smallest numbers have a unit, which the axis names', () => {
    for (const exponent of [-320, -300, -45, -21, -16]) {
      const [across, up] = [0, 1, 2].map((at) => Number(`${3 * at}e${exponent}`)) as [number, number, number];
      const points = [[0, 0] as const, [across, up] as const, [Number(`9e${exponent}`), across] as const];
      const line = { name: 'a', color: palette.bp, points, band: points.map(([, at]) => [at, at] as const) };
      const { svg } = lineChart({ title: 't', x: { title: 'radius', min: 0 }, y: { title: 'loss' }, lines: [line] });
      expectWellFormed(svg);
      expect(svg).to.contain(`radius, in 1e${exponent}`).and.to.contain(`loss, in 1e${exponent}`);
      expect(svg).to.match(/>8<\/text>/);
    }
    // The smallest number of all, and shares on an axis whose ends are given.
    const least = { name: 'a', color: palette.bp, points: [[0, 0] as const, [Number.MIN_VALUE, 1e-20] as const] };
    const shares = { ...percentAxis('share'), ticks: [0, 0.5, 1] };
    const { svg } = lineChart({ title: 't', x: { title: 'radius' }, y: shares, lines: [least] });
    expectWellFormed(svg);
    expect(svg).to.contain('radius, in 1e-323').and.to.contain('>100 %<').and.not.to.contain('share, in');
    const ends = { title: 'radius', min: 0, max: 4e-20, ticks: [0, 2e-20, 4e-20] };
    const few = { ...least, points: [[0, 0] as const, [3e-20, 1] as const] };
    expect(lineChart({ title: 't', x: ends, y: { title: 'y' }, lines: [few] }).svg).to.match(/>2<\/text>/);
    const plain = { name: 'a', color: palette.bp, points: [[0, 1e-15] as const, [1, 3e-15] as const] };
    expect(lineChart({ title: 't', x: { title: 'x' }, y: { title: 'y' }, lines: [plain] }).svg).to.not.contain('in 1e');
  });

  it('a logarithmic axis ends a little outside the values and has three ticks or more', () => {
    for (const low of [1e-4, 0.03, 0.9, 2.21, 7, 450])
      for (const factor of [1.001, 1.05, 1.3, 2, 8, 100, 1e6]) {
        const { min, max, ticks } = logRange([low * factor, low, low * Math.sqrt(factor)]);
        const what = `${low} to ${low * factor}`;
        expect(min, what).to.be.below(low);
        expect(max, what).to.be.above(low * factor);
        // The values take at least three quarters of it, where they differ at all.
        if (factor >= 1.3) expect(Math.log(factor) / Math.log(max / min), what).to.be.above(0.75);
        expect(ticks.length, what).to.be.within(3, 20);
        for (const tick of ticks) expect(tick, what).to.be.within(min, max);
        expect(new Set(ticks).size).to.equal(ticks.length);
      }
    for (const values of [[], [0, -1, NaN], [3]]) {
      const { min, max } = logRange(values);
      expect(min).to.be.above(0).and.below(max);
    }
  });

  it('a line chart with a logarithmic axis takes its ends from lines and bands', () => {
    const points = [[1, 2.2] as const, [2, 1.7] as const, [3, 1.1] as const];
    const { live } = lineChart({
      title: 't',
      x: { title: 'epoch' },
      y: { title: 'loss', scale: 'log' },
      lines: [{ name: 'BP', color: palette.bp, points, band: points.map(([, y]) => [0.9 * y, 1.2 * y] as const) }],
    });
    const { yAxis } = (JSON.parse(live!) as { option: { yAxis: Record<string, number> } }).option;
    expect(yAxis['min']).to.be.within(0.9, 0.99);
    expect(yAxis['max']).to.be.within(2.64, 2.9);
  });

  it('an axis of shares ends at the first tick after the values, with two to seven ticks', () => {
    for (let most = 0; most <= 1.0001; most += 0.003) {
      const { max, interval } = shareRange(Math.min(1, most));
      expect(max)
        .to.be.at.least(Math.min(1, most) - 1e-9)
        .and.at.most(1);
      expect(max - interval, String(most)).to.be.below(Math.max(interval, most) + 1e-9);
      expect(max / interval).to.be.closeTo(Math.round(max / interval), 1e-6);
      expect(Math.round(max / interval)).to.be.within(1, 6);
    }
  });
});

describe('bars with intervals', () => {
  const chart = (clean: number) =>
    intervalChart({
      title: 'accuracy',
      categories: [
        { name: 'BP', note: 'the mask' },
        { name: 'a {rule} | name', note: '' },
      ],
      x: 'accuracy left',
      reference: 'no attack',
      series: [
        {
          name: 'lenet5',
          color: palette.third,
          reference: estimate(clean),
          values: [estimate(0.2), estimate(0.1)],
        },
      ],
      label: percent,
    });

  it('are as long as their values, and their intervals reach from bound to bound', () => {
    const { svg, live, legend } = chart(0.9);
    for (const markup of [svg, legend]) expectWellFormed(markup);
    expectNumbers(svg);
    const { bars, whiskers } = drawn(svg, '--third');
    expect(bars).to.have.length(2);
    const [wide, narrow] = bars as [number, number];
    const zero = 2 * narrow - wide;
    const place = (share: number): number => zero + (share / 0.1) * (narrow - zero);
    expect(whiskers).to.have.length(4);
    for (const [i, share] of [0.15, 0.25, 0.05, 0.15].entries())
      expect(whiskers[i], String(share)).to.be.closeTo(place(share), 0.6);
    // A value stands with its interval: alone behind a whisker it would seem to be where that ends.
    for (const text of [
      '>20.0 % (15 to 25)<',
      '>10.0 % (5 to 15)<',
      '>90.0 %<',
      '>BP<',
      'the mask',
      'a  rule    name',
      'no attack',
    ])
      expect(svg.replace(/&nbsp;|\u00a0/g, ' ')).to.include(text);
    expect(live).to.include('95 % interval 15.0 % to 25.0 %');
  });

  it('marks a reference on the axis where it is near, and an arrow leads to it where it is not', () => {
    expect(chart(0.9).svg).to.include('beyond the axis');
    expect(chart(0.28).svg).not.to.include('beyond the axis');
    expect(chart(0.28).svg).to.include('>28.0 %<');
  });
});

describe('images on a narrow page', () => {
  const image = { channels: 1, height: 1, width: 1, data: Uint8Array.of(0) };
  const columns = (captions: readonly string[]): number =>
    Number(
      /--columns:(\d+)/.exec(imageGrid([{ title: 't', images: captions.map((caption) => ({ image, caption })) }]))![1],
    );

  it('have lines of equally many, as many as their longest word lets side by side', () => {
    expect(columns(Array.from('123456'))).to.equal(6);
    expect(columns(['airplane', 'automobile', 'cat', 'dog', 'frog', 'ship'])).to.equal(3);
    expect(columns(['a', 'b'])).to.equal(2);
    expect(columns(['x'.repeat(80), 'b'])).to.equal(1);
    expect(columns([])).to.equal(1);
  });
});
