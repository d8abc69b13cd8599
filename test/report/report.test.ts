import { expect } from 'chai';
import type { Profile } from '../../src/profile/profile.js';
import { decodePng } from '../../src/io/png.js';
import { intervalChart } from '../../src/report/intervalChart.js';
import {
  amplifiedDifference,
  barChart,
  dataUri,
  figures,
  heatMap,
  htmlTable,
  imageGrid,
  lineChart,
  memoryChart,
} from '../../src/report/index.js';
import {
  page,
  palette,
  paragraph,
  percentAxis,
  profileBody,
  rooflineChart,
  ruleColor,
  ruleName,
} from '../../src/report/index.js';
import type { PlannedProgram } from '../../src/report/index.js';
import { expectNumbers, expectSelfContained, expectWellFormed } from './support.js';

const line = {
  name: 'BP',
  color: palette.bp,
  points: [
    [0, 0.1],
    [1, 0.5],
    [2, 0.9],
  ] as const,
};

/** A profile of two dispatches with round numbers. */
const profile: Profile = {
  label: 'bp',
  method: 'timestamps',
  segments: ['main'],
  repeats: 3,
  dispatches: [10, 30].map((microseconds, index) => ({
    index,
    segment: 'main',
    kernel: ['gemm/conv', 'pool/maxPool'][index]!,
    variant: '16x8x8 <bias>',
    layer: `layer${index}`,
    direction: index === 0 ? ('forward' as const) : ('inputGradient' as const),
    rule: index === 0 ? '' : 'bp',
    workgroups: [2, 1, 1] as const,
    microseconds,
    minMicroseconds: microseconds,
    maxMicroseconds: microseconds,
    gapMicroseconds: index,
    beginMicroseconds: 11 * index,
    endMicroseconds: 11 * index + microseconds,
    flops: 1e6,
    bytes: 1e5,
    gflops: 1e6 / microseconds / 1e3,
    gbps: 1e5 / microseconds / 1e3,
    ceilingShare: 0.5,
  })),
  byLayer: [
    { name: 'layer0', dispatches: 1, microseconds: 10, share: 0.25, flops: 1e6, bytes: 1e5 },
    { name: 'layer1', dispatches: 1, microseconds: 30, share: 0.75, flops: 1e6, bytes: 1e5 },
  ],
  byKernel: [],
  byDirection: [],
  medianMicroseconds: 40,
  spanMicroseconds: 41,
  passMicroseconds: 40,
  gapMicroseconds: 1,
  wallMicroseconds: 60,
  encodeMicroseconds: 10,
  submitMicroseconds: 10,
  waitMicroseconds: 40,
  compileMicroseconds: 1000,
  planBytes: 4096,
  savedForBackwardBytes: 512,
  ceilings: { copyGbps: 10, copyBytes: 1024, matmulGflops: 200, matmul: '8 x 8 x 8' },
};

/** A program of two dispatches that share one value, as far as its memory plan is drawn. */
const planned = ((): PlannedProgram => {
  const tensor = {
    id: 0,
    name: 'x',
    shape: [64],
    dtype: 'f32',
    kind: 'value',
    producer: undefined,
    view: undefined,
  } as const;
  const plan = {
    placements: new Map([[tensor, { arena: 0, offset: 0, bytes: 256 }]]),
    lifetimes: new Map([[tensor, { first: 0, last: 1 }]]),
    arenas: [256],
    bytes: 256,
    savedForBackwardBytes: 0,
  };
  const dispatches = (['write', 'read'] as const).map((access) => ({
    segment: 'main',
    operands: [{ tensor, access }],
    group: { anchor: { direction: 'forward' } },
  }));
  return { plan, schedule: { dispatches } } as unknown as PlannedProgram;
})();

describe('report charts', () => {
  it('draws well-formed SVG in the colors of the page', () => {
    const charts = [
      lineChart({
        title: 'a "b" <c>',
        x: { title: 'x' },
        y: percentAxis('share'),
        lines: [{ ...line, band: line.points.map(([, y]) => [y - 0.1, y + 0.1] as const) }],
      }),
      barChart({
        title: 'bars',
        categories: ['one', 'two'],
        x: { title: 'µs' },
        label: String,
        series: [{ name: 'BP', color: palette.bp, values: [1, 2] }],
      }),
      heatMap({
        title: 'heat',
        columns: ['0', '1'],
        rows: ['r'],
        columnTitle: 'steps',
        values: [[0, 1]],
        min: 0,
        max: 1,
        label: (value) => `${value}`,
      }),
      rooflineChart(profile, profile.ceilings!),
      memoryChart(planned, [{ first: 1, last: 2 }]),
    ];
    for (const { svg, legend } of charts) {
      expectWellFormed(svg);
      if (legend !== '') expectWellFormed(legend);
      expect(svg).to.include('xmlns="http://www.w3.org/2000/svg"').and.to.include('viewBox');
      expectNumbers(svg);
      expect(svg).to.not.match(/<script|<style/);
    }
    expect(charts[0]!.svg).to.include('var(--bp,');
  });

  it('leaves room for the labels behind bars, however long the numbers are', () => {
    // Digits of the fonts that pages are shown in are at most 0.64 of the letters' size wide, spaces and dots less.
    const beyond = (svg: string): string[] =>
      [...svg.matchAll(/text-anchor="start" style="font-size:(\d+)px[^>]*translate\(([\d.]+) [^>]*>([^<]+)</g)]
        .filter(([, size, x, text]) => {
          const width = Number(size) * [...text!].reduce((sum, sign) => sum + (/[ .()]/.test(sign) ? 0.36 : 0.64), 0);
          return Number(x) + width > Number(/viewBox="0 0 (\d+)/.exec(svg)![1]);
        })
        .map(([, , , text]) => text!);
    const color = palette.bp;
    for (const stacked of [false, true])
      for (let value = 0.99; value < 1e13; value *= 9.97) {
        const series = [{ name: 'BP', color, values: [value, value / 2] }];
        const label = (each: number): string => `${each.toFixed(0)} µs`;
        const { svg } = barChart({ title: 'b', categories: ['a', 'b'], x: { title: 'µs' }, stacked, label, series });
        expect(svg).to.include(label(value));
        expect(beyond(svg), label(value)).to.deep.equal([]);
      }
    for (const value of [0.049, 0.5, 1]) {
      const estimate = { value, low: value, high: value };
      const series = [{ name: 'BP', color, reference: estimate, values: [estimate] }];
      const label = (each: number): string => `${(100 * each).toFixed(1)} %`;
      const categories = [{ name: 'a', note: '' }];
      const { svg } = intervalChart({ title: 'i', categories, x: 'share', reference: 'before', series, label });
      expect(svg).to.include(`${label(value)} (`);
      expect(beyond(svg), label(value)).to.deep.equal([]);
    }
  });

  it('draws the points where the numbers are', () => {
    const { svg } = lineChart({
      title: 't',
      x: { title: 'x', min: 0, max: 2 },
      y: { title: 'y', min: 0, max: 1 },
      lines: [line],
    });
    const path = /d="(M[^"]*)"[^>]*stroke="var\(--bp,/.exec(svg)![1]!;
    const numbers = path.match(/-?[\d.]+/g)!.map(Number);
    const [xs, ys] = [0, 1].map((axis) => numbers.filter((_, index) => index % 2 === axis)) as [number[], number[]];
    expect(xs[1]! - xs[0]!).to.be.closeTo(xs[2]! - xs[1]!, 0.5);
    // Equal steps of 0.4 upwards, and y grows downwards in SVG.
    expect(ys[0]! - ys[1]!).to.be.closeTo(ys[1]! - ys[2]!, 0.5);
    expect(ys[0]!).to.be.greaterThan(ys[2]!);
  });

  it('gives BP and LinBP one color each', () => {
    expect(ruleColor('bp')).to.equal(palette.bp);
    expect(ruleColor('linbp:from=fc.1')).to.equal(palette.linbp);
    expect(ruleColor('silu').name).to.not.be.oneOf(['bp', 'linbp']);
    expect([ruleName('bp'), ruleName('linbp')]).to.deep.equal(['BP', 'LinBP']);
  });
});

describe('report pages', () => {
  it('holds every section and nothing from outside', () => {
    const chart = lineChart({ title: 't', x: { title: 'x' }, y: { title: 'y' }, lines: [line] });
    const html = page({
      title: 'A & B',
      subtitle: 's',
      keyFigures: [{ label: 'accuracy', value: '99 %', color: 'bp' }],
      sections: [
        { title: 'First part', body: paragraph('1 < 2') + figures([{ figure: chart, caption: 'c' }]) },
        { title: 'Profile', body: profileBody(profile) },
      ],
      footer: 'f',
    });
    expectWellFormed(html);
    expectSelfContained(html);
    for (const text of [
      '<title>A &amp; B</title>',
      'id="first-part"',
      'href="#first-part"',
      '1 &lt; 2',
      'prefers-color-scheme:dark',
    ]) {
      expect(html).to.include(text);
    }
    expect(html).to.include('>10.0</td>').and.to.include('>30.0</td>').and.to.include('16x8x8 &lt;bias&gt;');
    expect(html).to.include('dispatches 40.000 µs + gaps 1.000 µs = 41.000 µs; last end - first begin = 41.000 µs');
  });

  it('writes tables with aligned numbers', () => {
    const html = htmlTable<number>([{ title: 'n', value: String, number: true, bar: (row) => row }], [0.5]);
    expect(html).to.include('<td class="n"><i class="bar" style="width:50.0%"></i>0.5</td>');
    const narrow = htmlTable<number>(
      [
        { title: 'a', value: String, number: true, narrow: 'wrapped' },
        { title: 'b', value: String, narrow: 'dropped' },
      ],
      [1],
    );
    expect(narrow).to.include('<th class="n wrapped">a</th><th class="dropped">b</th>');
    expect(narrow).to.include('<td class="n wrapped">1</td><td class="dropped">1</td>');
  });

  it('embeds images that decode to the same bytes', () => {
    const image = { channels: 1, height: 2, width: 2, data: Uint8Array.from([0, 100, 200, 255]) };
    const encoded = dataUri(image).replace('data:image/png;base64,', '');
    expect([...decodePng(Buffer.from(encoded, 'base64')).data]).to.deep.equal([0, 100, 200, 255]);
    const changed = { ...image, data: Uint8Array.from([10, 90, 200, 255]) };
    expect([...amplifiedDifference(changed, image, 5).data]).to.deep.equal([178, 78, 128, 128]);
    expectWellFormed(imageGrid([{ title: 'clean', images: [{ image, caption: '4 → 9', verdict: 'wrong' }] }]));
  });
});
