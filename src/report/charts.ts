import { css, escapeHtml, liveChart, renderSvg, traveling } from './svg.js';
import type { ChartSize } from './svg.js';
import { palette } from './theme.js';
import type { Color } from './theme.js';

/** An axis: what it shows, with its unit. */
export interface Axis {
  readonly title: string;
  readonly scale?: 'value' | 'log';
  readonly min?: number;
  readonly max?: number;
  /** How numbers are written; default as they are. */
  readonly format?: (value: number) => string;
  /** Distance between ticks. */
  readonly interval?: number;
  /** Where ticks are, on an axis whose ends are given. */
  readonly ticks?: readonly number[];
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

/** Numbers from 1 to 10 at which a logarithmic axis may have ticks, from few to many. */
const tickSeries: readonly (readonly number[])[] = [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]];

/** Round numbers at equal distances, at least three. */
function evenTicks(low: number, high: number): number[] {
  const most = (high - low) / 3;
  const unit = 10 ** Math.floor(Math.log10(most));
  const step = [5, 2, 1].map((each) => each * unit).find((each) => each <= most) ?? unit;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.max(0, Math.floor(high / step + 1e-9) - first + 1);
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}

/**
 * A logarithmic axis that ends a little outside all values, with at least three ticks at round numbers. Values that are
 * not positive have no place on it.
 */
export function logRange(values: readonly number[]): {
  readonly scale: 'log';
  readonly min: number;
  readonly max: number;
  readonly ticks: readonly number[];
} {
  const positive = values.filter((value) => value > 0 && Number.isFinite(value));
  const [lowest, highest] = positive.length === 0 ? [1, 10] : [Math.min(...positive), Math.max(...positive)];
  // Room for points at the edges, and for values that are all the same.
  const room = Math.max(1.02, (highest / lowest) ** 0.06);
  const [min, max] = [lowest / room, highest * room];
  const decades = Array.from(
    { length: Math.ceil(Math.log10(max)) - Math.floor(Math.log10(min)) + 1 },
    (_, i) => Math.floor(Math.log10(min)) + i,
  );
  const ticks = tickSeries
    .map((series) => decades.flatMap((decade) => series.map((each) => Number((each * 10 ** decade).toPrecision(6)))))
    .map((all) => all.filter((each) => each >= min && each <= max))
    .find((all) => all.length >= 3);
  return { scale: 'log', min, max, ticks: ticks ?? evenTicks(min, max) };
}

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
  const ticks = given.ticks !== undefined && { customValues: [...given.ticks] };
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
    scale: given.min === undefined,
    axisLine: { show: direction === 'x', onZero: false, lineStyle: { color: css(palette.axis) } },
    axisTick: { show: direction === 'x' && named === undefined, lineStyle: { color: css(palette.axis) }, ...ticks },
    axisLabel: {
      ...{ ...text(11), hideOverlap: true, ...(format && { formatter: format }), ...ticks },
      ...named?.label,
      ...label,
    },
    splitLine: { show: direction === 'y', lineStyle: { color: css(palette.grid) } },
    minorTick: { show: false },
    ...named?.place,
  };
}

/**
 * The edges of a chart's axes. Where labels need more, the axes shrink so that they fit, and a little more: the fonts
 * of browsers are up to a tenth wider than those that the charting library reckons with.
 */
export const frame = {
  left: 52,
  right: 18,
  top: 34,
  bottom: 44,
  outerBounds: { left: 10, right: 0, top: 0, bottom: 0 },
};

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

/** A logarithmic axis without ends gets those of the lines; what bands have outside them is cut. */
const fitted = (y: Axis, lines: readonly Line[]): Axis =>
  y.scale !== 'log' || y.min !== undefined ? y : { ...y, ...logRange(lines.flatMap(valuesShown)) };

/** The points of a line and its band, as far as the band is no wider than a few times their own range. */
function valuesShown({ points, band = [] }: Line): number[] {
  const own = points.map(([, at]) => at).filter((at) => at > 0);
  const [low, high] = [Math.min(...own), Math.max(...own)];
  return [...own, ...band.flat().map((bound) => Math.min(2 * high, Math.max(low / 2, bound)))];
}

/** Numbers as an axis shows them: in a unit that its title states, if they are too small for the charting library. */
function unitOf(given: Axis, values: readonly number[]): { readonly axis: Axis; readonly unit: number } {
  const { title, min, max, ticks, format: _, interval: _interval, ...rest } = given;
  const all = [...values, min ?? 0, max ?? 0];
  const most = all.reduce((largest, value) => Math.max(largest, Number.isFinite(value) ? Math.abs(value) : 0), 0);
  if (given.scale === 'log' || most === 0 || most >= 1e-15) return { axis: given, unit: 1 };
  // Smaller powers of ten are 0 in float64.
  const exponent = Math.max(-323, Math.floor(Math.log10(most)));
  const unit = Number(`1e${exponent}`);
  const ends = {
    ...(min !== undefined && { min: min / unit }),
    ...(max !== undefined && { max: max / unit }),
    ...(ticks && { ticks: ticks.map((at) => at / unit) }),
  };
  return { axis: { ...rest, title: `${title}, in 1e${exponent}`, ...ends }, unit };
}

interface LineChart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  readonly size?: ChartSize;
}

/** The chart in units that the charting library can show. */
function inUnits(options: LineChart): LineChart {
  const { lines } = options;
  const x = unitOf(
    options.x,
    lines.flatMap(({ points }) => points.map(([at]) => at)),
  );
  const y = unitOf(
    options.y,
    lines.flatMap(({ points, band = [] }) => [...points.map(([, at]) => at), ...band.flat()]),
  );
  if (x.unit === 1 && y.unit === 1) return options;
  const shown = lines.map((line) => ({
    ...line,
    points: line.points.map(([across, up]) => [across / x.unit, up / y.unit] as const),
    ...(line.band && { band: line.band.map(([low, high]) => [low / y.unit, high / y.unit] as const) }),
  }));
  return { ...options, x: x.axis, y: y.axis, lines: shown };
}

/** Lines over a common x axis, with pale bands where a line has one. */
export function lineChart(given: LineChart): Figure {
  const options = inUnits(given);
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
    yAxis: axis(fitted(options.y, options.lines), 'y'),
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

/** Pixels for the longest of these labels of 11 pixels that begin at the end of a bar; at least half a tick's label. */
export const labelRoom = (labels: readonly string[]): number =>
  Math.max(24, Math.ceil(12 + 6.9 * Math.max(0, ...labels.map(({ length }) => length))));

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
  const ends = stacked ? sums : series.flatMap(({ values }) => values);
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
    grid: { left: Math.min(190, 14 + 6.6 * longest), right: labelRoom(ends.map(options.label)), top: 8, bottom: 44 },
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
