import { axis, defaultSize, frame, legend, text } from './charts.js';
import type { Axis, Figure } from './charts.js';
import { css, liveChart, renderSvg } from './svg.js';
import { palette } from './theme.js';
import type { Color } from './theme.js';

/** What was measured under one name, and where runs failed, in a {@link failureChart}. */
export interface MeasuredSeries {
  readonly name: string;
  readonly color: Color;
  /** Measured values; `partial` where some runs failed and the value is that of the others. */
  readonly points: readonly { readonly x: number; readonly y: number; readonly partial: boolean }[];
  /** Places with runs that failed, and how many did, such as "1 of 2". */
  readonly failures: readonly { readonly x: number; readonly text: string }[];
}

/** A diagonal cross. */
const cross = 'path://M0,1L1,0L5,4L9,0L10,1L6,5L10,9L9,10L5,6L1,10L0,9L4,5Z';

/** Height of the band's rows, of what stands above it (a title, the script's buttons), and of the gap below. */
const band = { row: 20, top: 40, gap: 40 };

/** The settings of a logarithmic axis with a tick at each of the tried values, and room on both sides. */
function triedAxis(title: string, tried: readonly number[], labels: boolean): object {
  const [low, high] = [Math.log(Math.min(...tried)), Math.log(Math.max(...tried))];
  const room = high > low ? 0.18 * (high - low) : 1;
  const range = { min: Math.exp(low - room), max: Math.exp(high + room) };
  const settings = axis({ title: labels ? title : '', scale: 'log', ...range }, 'x', {
    show: labels,
    customValues: [...tried],
  }) as { readonly axisTick: object; readonly axisLine: object };
  return {
    ...settings,
    axisTick: { ...settings.axisTick, show: labels, customValues: [...tried] },
    axisLine: { ...settings.axisLine, show: labels },
  };
}

/** Lines through neighbors at which every run gave a value; a gap wherever runs failed. */
const lineSeries = ({ name, color, points }: MeasuredSeries, tried: readonly number[], place: object): object => ({
  type: 'line',
  name,
  ...place,
  data: tried.map((x) => [x, points.find((each) => each.x === x && !each.partial)?.y ?? null]),
  silent: true,
  emphasis: { disabled: true },
  symbol: 'circle',
  symbolSize: 7,
  showSymbol: true,
  showAllSymbol: true,
  lineStyle: { color: css(color), width: 2 },
  itemStyle: { color: css(color), borderWidth: 0 },
  z: 3,
});

const partialSeries = ({ name, color, points }: MeasuredSeries, place: object): object => ({
  type: 'scatter',
  name,
  ...place,
  data: points.filter(({ partial }) => partial).map(({ x, y }) => [x, y]),
  silent: true,
  emphasis: { disabled: true },
  symbol: 'circle',
  symbolSize: 8,
  itemStyle: { color: css(palette.surface), borderColor: css(color), borderWidth: 2, opacity: 1 },
  z: 4,
});

const failureSeries = ({ name, color, failures }: MeasuredSeries, row: number): object => ({
  type: 'scatter',
  name,
  xAxisIndex: 1,
  yAxisIndex: 1,
  // The last value is what the page's script says about the place.
  data: failures.map(({ x, text: words }) => ({ value: [x, row, `${words} failed`], label: { formatter: words } })),
  silent: true,
  emphasis: { disabled: true },
  symbol: cross,
  symbolSize: 10,
  itemStyle: { color: css(color), opacity: 1 },
  label: { show: true, position: 'right', distance: 4, ...text(11) },
  z: 4,
});

/**
 * Measured values over the values that were tried, on a logarithmic axis with a tick at each. Runs that failed have no
 * value: they are crosses with counts in a band of their own above the chart, and no line passes through their place. A
 * value of those runs that did not fail there is a hollow point.
 */
export function failureChart(options: {
  readonly title: string;
  readonly x: string;
  readonly y: Axis;
  /** Title of the band. */
  readonly failed: string;
  readonly series: readonly MeasuredSeries[];
}): Figure {
  const { series } = options;
  const tried = [...new Set(series.flatMap(({ points, failures }) => [...points, ...failures].map(({ x }) => x)))];
  tried.sort((a, b) => a - b);
  const failing = series.filter(({ failures }) => failures.length > 0);
  const height = failing.length * band.row;
  const more = failing.length === 0 ? 0 : band.top + height + band.gap - frame.top;
  const main = { xAxisIndex: 0, yAxisIndex: 0 };
  const rows = {
    type: 'category',
    gridIndex: 1,
    data: failing.map(({ name }) => name),
    inverse: true,
    name: options.failed,
    nameLocation: 'start',
    nameGap: 8,
    nameTextStyle: { ...text(), align: 'left', padding: [0, 0, 0, -44] },
    ...{ axisTick: { show: false }, axisLine: { show: false }, axisLabel: { show: false }, splitLine: { show: false } },
  };
  const { left, right } = frame;
  const filled = { show: true, backgroundColor: css(palette.shade), borderWidth: 0 };
  const option = {
    grid: [
      { ...frame, top: frame.top + more },
      ...(more > 0 ? [{ left, right, top: band.top, height, ...filled }] : []),
    ],
    xAxis: [
      triedAxis(options.x, tried, true),
      ...(more > 0 ? [{ ...triedAxis(options.x, tried, false), gridIndex: 1 }] : []),
    ],
    yAxis: [axis(options.y, 'y'), ...(more > 0 ? [rows] : [])],
    series: [
      ...series.map((each) => lineSeries(each, tried, main)),
      ...series.map((each) => partialSeries(each, main)),
      ...failing.map(failureSeries),
    ],
  };
  const size = { width: defaultSize.width, height: defaultSize.height + more };
  return {
    svg: renderSvg(option, size, options.title),
    live: liveChart(option, size, true),
    legend: legend(series.map(({ name, color }) => ({ name, color }))),
  };
}
