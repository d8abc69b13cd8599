import * as echarts from 'echarts';
import type { BenchRow } from './rows.js';

/** Three significant digits, without an exponent where that reads well. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return 'n/a';
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return digits > 6 ? value.toExponential(2) : value.toFixed(Math.min(digits, 6));
}

/** How far the rounds of a row lie apart, and how many there are; empty where that is not known. */
export const spread = ({ min, max, rounds }: BenchRow): string =>
  rounds === undefined
    ? ''
    : rounds > 1
      ? ` (${shown(min)} to ${shown(max)}, ${rounds} rounds)`
      : ` (${rounds} round${rounds === 1 ? '' : 's'})`;

/** Below this many columns a row of the terminal takes two lines. */
const wideEnough = 132;

/** Rows of the result in a terminal so wide: what was measured, by whom, the figure, and how it compares. */
export function shownRows(rows: readonly BenchRow[], width: number): string[] {
  let last: string | undefined;
  return rows.flatMap((row) => {
    const ratio = row.ratio === null || row.agrees === false ? '' : `  x${shown(row.ratio)}`;
    const figures = `${shown(row.median).padStart(8)} ${row.unit}${spread(row)}${ratio}`;
    const party = `${row.subject.padEnd(14)} ${figures}${row.note ? `  ${row.note}` : ''}`;
    if (width >= wideEnough) return [`${row.name.padEnd(58)} ${party}`];
    const heading = row.name === last ? [] : [row.name];
    last = row.name;
    return [...heading, `  ${party}`];
  });
}

const wrong = 'wrong results';

/** A row's ratio; a time without the right results has none. */
const shownRatio = ({ ratio, agrees }: BenchRow): string =>
  agrees === false ? wrong : ratio === null ? '' : shown(ratio);

/** The rows as a Markdown table. */
export function markdownTable(rows: readonly BenchRow[]): string {
  const cells = rows.map((each) => [
    each.name,
    each.subject,
    `${shown(each.median)} ${each.unit}`,
    `${shown(each.min)} to ${shown(each.max)}`,
    each.rounds?.toString() ?? '',
    shownRatio(each),
    each.note ?? '',
  ]);
  const head = ['measured', 'subject', 'median', 'range', 'rounds', 'ratio', 'note'];
  const line = (columns: readonly string[]): string =>
    `| ${columns.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...cells.map(line)].join('\n');
}

/** Names of parties in a line of the chart's legend. */
const legendColumns = 5;

/**
 * Bars of how many times longer each peer takes than linbp, as an SVG file; none but a word where a peer's results
 * are wrong.
 */
export function comparisonChart(rows: readonly BenchRow[], caption: string): string {
  const compared = rows.filter((each) => each.unit === 'ms' && each.ratio !== null && each.subject !== 'linbp');
  const names = [...new Set(compared.map((each) => each.name))].reverse();
  const subjects = [...new Set(compared.map((each) => each.subject))];
  const bar = (name: string, subject: string) => {
    const found = compared.find((each) => each.name === name && each.subject === subject);
    return found?.agrees === false ? { value: 0, label: { formatter: wrong } } : (found?.ratio ?? null);
  };
  // Where the legend takes more lines, the bars begin below them.
  const below = 90 + 40 * Math.max(0, Math.ceil(subjects.length / legendColumns) - 1);
  const height = below + 50 + 26 * subjects.length * Math.max(1, names.length);
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 930, height });
  chart.setOption({
    animation: false,
    title: { text: 'Time of peers over time of linbp', subtext: caption, left: 'center' },
    legend: { top: 60, itemGap: 25, data: subjects },
    grid: { left: 320, right: 60, top: below, bottom: 40 },
    xAxis: { type: 'value', name: 'times' },
    yAxis: { type: 'category', data: names },
    series: subjects.map((subject) => ({
      name: subject,
      type: 'bar',
      label: {
        show: true,
        position: 'right',
        formatter: ({ value }: { value: unknown }) => (typeof value === 'number' ? shown(value) : ''),
      },
      data: names.map((name) => bar(name, subject)),
      markLine: {
        silent: true,
        symbol: 'none',
        label: { show: false },
        lineStyle: { color: '#888' },
        data: [{ xAxis: 1 }],
      },
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
