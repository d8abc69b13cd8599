import { css, escapeHtml, liveChart, renderSvg, traveling } from './svg.js';
import type { ChartSize } from './svg.js';
import { palette } from './theme.js';
import type { Color } from './theme.js';

/** An axis: what it shows, with its unit. */
export interface Axis {
  readonly title: string;
  readonly scale?: 'value' | 'log';
  /** Ticks of a logarithmic axis are powers of this; default 10. */
  readonly base?: number;
  readonly min?: number;
  readonly max?: number;
  /** How numbers are written; default as they are. */
  readonly format?: (value: number) => string;
  /** Distance between ticks. */
  readonly interval?: number;
  /** Names in place of the numbers 1, 2 and so on, each shown. */
  readonly names?: readonly string[];
  /** Whole numbers only, such as epochs: no ticks between them. */
  readonly whole?: boolean;
}

/** One line of a {@link lineChart}. */
export interface Line {
  readonly name: string;
  readonly color: Color;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Lower and upper bound at the same x as the points, drawn as a pale band. */
  readonly band?: readonly (readonly [low: number, high: number])[];
  readonly dashed?: boolean;
  /** Draw the points themselves; default when there are at most 40. */
  readonly symbols?: boolean;
}

/** A chart on the page: SVG with its legend. */
export interface Figure {
  readonly svg: string;
  /** HTML that names the colors; empty where none is needed. */
  readonly legend: string;
  /** The chart for the page's script, where it can be made to answer to the pointer; see {@link liveChart}. */
  readonly live?: string;
}

export const defaultSize: ChartSize = { width: 560, height: 320 };

export const text = (size = 12): object => ({ color: css(palette.muted), fontSize: size });

const percentFormat = traveling((value: number): string => `${Math.round(100 * value)} %`, { $format: 'percent' });

/** Shares of 0..1 as percentages. */
export const percentAxis = (title: string): Axis => ({
  title,
  min: 0,
  max: 1,
  interval: 0.2,
  format: percentFormat,
});

/** Powers of ten without what the library's arithmetic adds to them. */
const shortNumber = traveling((value: number): string => String(Number(value.toPrecision(6))), { $format: 'short' });

/** The settings of an axis of names: a place for each, with room on both sides, and slanted labels. */
function namedAxis(names: readonly string[]): { readonly place: object; readonly label: object } {
  const place = { type: 'value', min: 0.5, max: names.length + 0.5, interval: 0.5 };
  const label = {
    rotate: 35,
    hideOverlap: false,
    formatter: traveling((value: number): string => (Number.isInteger(value) ? (names[value - 1] ?? '') : ''), {
      $format: 'names',
      names,
    }),
  };
  return { place, label };
}

/** The charting library's form of an axis, in the look of all charts; `label` adds to the settings of its labels. */
export function axis(given: Axis, direction: 'x' | 'y', label: object = {}): object {
  const scale = given.scale ?? 'value';
  const format = given.format ?? (scale === 'log' ? shortNumber : undefined);
  const named = given.names === undefined ? undefined : namedAxis(given.names);
  return {
    type: scale,
    // Not the library's: for the tooltips of the page's script.
    ...(given.names !== undefined && { axisNames: given.names }),
    ...(given.format === percentFormat && { share: true }),
    name: given.title,
    nameLocation: direction === 'x' ? 'middle' : 'end',
    nameGap: direction === 'y' ? 14 : named === undefined ? 28 : 66,
    nameTextStyle: { ...text(), ...(direction === 'y' && { align: 'left', padding: [0, 0, 0, -44] }) },
    ...(given.min !== undefined && { min: given.min }),
    ...(given.max !== undefined && { max: given.max }),
    ...(given.interval !== undefined && { interval: given.interval }),
    ...(given.whole === true && { minInterval: 1 }),
    ...(given.base !== undefined && { logBase: given.base }),
    scale: given.min === undefined,
    axisLine: { show: direction === 'x', onZero: false, lineStyle: { color: css(palette.axis) } },
    axisTick: { show: direction === 'x' && named === undefined, lineStyle: { color: css(palette.axis) } },
    axisLabel: { ...text(11), hideOverlap: true, ...(format && { formatter: format }), ...named?.label, ...label },
    splitLine: { show: direction === 'y', lineStyle: { color: css(palette.grid) } },
    minorTick: { show: false },
    ...named?.place,
  };
}

export const frame = { left: 52, right: 18, top: 34, bottom: 44 };

/** A legend in HTML: a line or a square in the color, and the name. */
export function legend(
  entries: readonly {
    readonly name: string;
    readonly color: Color;
    readonly dashed?: boolean;
    readonly square?: boolean;
  }[],
): string {
  const items = entries.map(({ name, color, dashed, square }) => {
    const kind = square === true ? 'square' : dashed === true ? 'line dashed' : 'line';
    return (
      `<span class="key" data-series="${escapeHtml(name)}"><i class="${kind}" ` +
      `style="--c:var(--${color.name})"></i>${escapeHtml(name)}</span>`
    );
  });
  return `<div class="legend">${items.join('')}</div>`;
}

/** Lines over a common x axis, with pale bands where a line has one. */
export function lineChart(options: {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  readonly size?: ChartSize;
}): Figure {
  const bands = options.lines.flatMap((line, index) => {
    if (line.band === undefined) return [];
    // A stacked pair: an invisible lower edge and the filled difference to the upper one.
    const common = {
      type: 'line',
      name: line.name,
      stack: `band ${index}`,
      symbol: 'none',
      silent: true,
      lineStyle: { opacity: 0 },
      stackStrategy: 'all',
      z: 1,
    };
    return [
      { ...common, id: `band ${index} low`, data: line.points.map(([x], at) => [x, line.band![at]![0]]) },
      {
        ...common,
        id: `band ${index} high`,
        data: line.points.map(([x], at) => [x, line.band![at]![1] - line.band![at]![0]]),
        areaStyle: { color: css(line.color), opacity: 0.16 },
      },
    ];
  });
  const lines = options.lines.map((line, index) => ({
    type: 'line',
    name: line.name,
    data: line.points.map((point) => [...point]),
    silent: true,
    emphasis: { disabled: true },
    symbol: 'circle',
    symbolSize: 6,
    showSymbol: line.symbols ?? line.points.length <= 40,
    showAllSymbol: true,
    lineStyle: { color: css(line.color), width: 2, type: line.dashed === true ? [5, 4] : 'solid' },
    itemStyle: { color: css(line.color), borderWidth: 0 },
    z: 3 + index,
  }));
  const option = {
    grid: options.x.names === undefined ? frame : { ...frame, bottom: 84 },
    xAxis: axis(options.x, 'x'),
    yAxis: axis(options.y, 'y'),
    series: [...bands, ...lines],
  };
  const size = options.size ?? defaultSize;
  return {
    svg: renderSvg(option, size, options.title),
    live: liveChart(option, size, true),
    legend:
      options.lines.length > 1
        ? legend(options.lines.map(({ name, color, dashed }) => ({ name, color, dashed: dashed ?? false })))
        : '',
  };
}

/** Values of one color in a {@link barChart}; `values[i]` belongs to category i. */
export interface BarSeries {
  readonly name: string;
  readonly color: Color;
  readonly values: readonly number[];
}

/**
 * Horizontal bars, one row a category, stacked or side by side; the sum stands at the end of a stacked row. A name may
 * have several lines.
 */
export function barChart(options: {
  readonly title: string;
  readonly categories: readonly string[];
  readonly x: Axis;
  readonly series: readonly BarSeries[];
  readonly stacked?: boolean;
  /** How the number at the end of a row is written. */
  readonly label: (value: number) => string;
  readonly width?: number;
}): Figure {
  const { categories, series, stacked = false } = options;
  const lines = Math.max(...categories.map((category) => category.split('\n').length));
  const longest = Math.max(...categories.flatMap((category) => category.split('\n')).map(({ length }) => length));
  const perRow = Math.max(stacked ? 22 : 13 * series.length + 9, 14 * lines + 8);
  const height = 58 + perRow * categories.length;
  const sums = categories.map((_, index) => series.reduce((sum, each) => sum + (each.values[index] ?? 0), 0));
  const bars = series.map((each, index) => ({
    type: 'bar',
    name: each.name,
    silent: true,
    emphasis: { disabled: true },
    ...(stacked && { stack: 'all' }),
    barMaxWidth: 14,
    barGap: '15%',
    itemStyle: { color: css(each.color) },
    data: each.values.map((value, at) => ({
      value,
      itemStyle: { color: css(each.color), borderRadius: stacked ? 0 : 2 },
      ...((!stacked || index === series.length - 1) && {
        label: { formatter: options.label(stacked ? sums[at]! : value) },
      }),
    })),
    ...((!stacked || index === series.length - 1) && { label: { show: true, position: 'right', ...text(11) } }),
  }));
  const option = {
    grid: { left: Math.min(190, 12 + 5.8 * longest), right: stacked ? 70 : 52, top: 8, bottom: 44 },
    xAxis: {
      ...axis({ min: 0, ...options.x }, 'x'),
      splitLine: { show: true, lineStyle: { color: css(palette.grid) } },
    },
    yAxis: {
      type: 'category',
      inverse: true,
      data: [...categories],
      axisTick: { show: false },
      axisLine: { lineStyle: { color: css(palette.axis) } },
      axisLabel: { color: css(palette.ink), fontSize: 11, lineHeight: 14, interval: 0 },
    },
    series: bars,
  };
  const size = { width: options.width ?? defaultSize.width, height };
  return {
    svg: renderSvg(option, size, options.title),
    live: liveChart(option, size, false),
    legend: series.length > 1 ? legend(series.map(({ name, color }) => ({ name, color, square: true }))) : '',
  };
}

/** Pale to strong in one hue; readable on light and dark pages. */
const heatColors = ['#dbe9f6', '#9cc4e4', '#5a9bd0', '#2a6db5', '#123f7f'];

/** A grid of colored cells with their values written in them. `values[row][column]`. */
export function heatMap(options: {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly string[];
  readonly columnTitle: string;
  readonly values: readonly (readonly number[])[];
  readonly min: number;
  readonly max: number;
  readonly label: (value: number) => string;
  readonly width?: number;
}): Figure {
  const { columns, rows, values, min, max } = options;
  const longest = Math.max(...rows.map((row) => row.length));
  const dark = (value: number): boolean => value > min + 0.45 * (max - min);
  const data = values.flatMap((line, row) =>
    line.map((value, column) => ({
      value: [column, row, value],
      label: { color: dark(value) ? '#f8fafd' : '#17212e', formatter: options.label(value) },
    })),
  );
  const category = {
    type: 'category',
    axisTick: { show: false },
    axisLine: { show: false },
    splitArea: { show: false },
  };
  const option = {
    grid: { left: Math.min(190, 14 + 6.6 * longest), right: 14, top: 8, bottom: 46 },
    xAxis: {
      ...category,
      data: [...columns],
      name: options.columnTitle,
      nameLocation: 'middle',
      nameGap: 28,
      nameTextStyle: text(),
      axisLabel: text(11),
    },
    yAxis: { ...category, inverse: true, data: [...rows], axisLabel: { color: css(palette.ink), fontSize: 11 } },
    visualMap: { show: false, min, max, inRange: { color: heatColors } },
    series: [
      {
        type: 'heatmap',
        silent: true,
        emphasis: { disabled: true },
        data,
        itemStyle: { borderWidth: 2, borderColor: css(palette.surface) },
        label: { show: true, fontSize: 11 },
      },
    ],
  };
  const size = { width: options.width ?? defaultSize.width, height: 60 + 30 * rows.length };
  return { svg: renderSvg(option, size, options.title), live: liveChart(option, size, false), legend: '' };
}
