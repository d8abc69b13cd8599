import { axis, defaultSize, labelRoom, legend } from './charts.js';
import type { Figure } from './charts.js';
import { categoryNames, intervalBar } from './intervalBar.js';
import type { NamesLook } from './intervalBar.js';
import { css, liveChart, renderSvg, traveling } from './svg.js';
import { palette } from './theme.js';
import type { Color } from './theme.js';

/** A share of 0..1 with its interval. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Estimates of one color in an {@link intervalChart}: `values[i]` belongs to category i. */
export interface IntervalSeries {
  readonly name: string;
  readonly color: Color;
  /** What the values are compared with. */
  readonly reference: Estimate;
  readonly values: readonly Estimate[];
}

type Label = (value: number) => string;

/** Height of a bar and of what lies around it, in pixels. */
const sizes = { bar: 12, gap: 3, head: 22, foot: 8 };

/** Room for the axis and its title below. */
const room = { left: 6, top: 4, bottom: 46 };

/** The end of an axis of shares from 0 on that holds a value, and the distance of its at most six ticks. */
export function shareRange(most: number): { readonly max: number; readonly interval: number } {
  const interval = [0.01, 0.02, 0.05, 0.1].find((step) => most <= 6 * step) ?? 0.2;
  return { interval, max: Math.min(1, Math.max(1, Math.ceil(most / interval - 1e-9)) * interval) };
}

const percentTick = traveling((value: number): string => `${Math.round(100 * value)} %`, { $format: 'percent' });

/** The labels of a series, the reference's first. */
function labelsOf({ reference, values }: IntervalSeries, label: Label): string[] {
  // The interval stands with the value, which otherwise would seem to be that of the whisker's end.
  const shown = ({ value, low, high }: Estimate): string =>
    `${label(value)} (${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)})`;
  return [label(reference.value), ...values.map(shown)];
}

/** The bars of one series; the reference is the first datum. */
function barsOf(series: IntervalSeries, slot: number, label: Label): object {
  const { name, color, reference, values } = series;
  const all = [reference, ...values];
  const words = ({ value, low, high }: Estimate): string =>
    `${label(value)} (95 % interval ${label(low)} to ${label(high)})`;
  const look = {
    ...{ slot, bar: sizes.bar, gap: sizes.gap, head: sizes.head, color: css(color), references: 1 },
    ...{ ink: css(palette.ink), muted: css(palette.muted), surface: css(palette.surface) },
    labels: labelsOf(series, label),
  };
  return {
    type: 'custom',
    name,
    silent: true,
    encode: { x: [0], y: 3 },
    renderItem: traveling(intervalBar(look), { $format: 'interval', look }),
    // The words are for the tooltips of the page's script.
    data: all.map((each, row) => ({ value: [each.value, each.low, each.high, row], words: words(each) })),
    z: 3,
  };
}

function namesOf(names: NamesLook['names']): object {
  const look = { names, ink: css(palette.ink), muted: css(palette.muted) };
  return {
    type: 'custom',
    id: 'names of categories',
    silent: true,
    encode: { x: [0], y: 3 },
    renderItem: traveling(categoryNames(look), { $format: 'categoryNames', look }),
    data: names.map((_, row) => [0, 0, 0, row]),
    z: 4,
  };
}

/**
 * Horizontal bars with intervals, a group for each category with its name above, so that they have the same room on
 * narrow pages. The axis ends where the intervals do. Marks in a group of their own at the top show the reference;
 * where it lies far beyond the bars, arrows lead to it and its numbers stand at the edge.
 */
export function intervalChart(options: {
  readonly title: string;
  readonly categories: readonly { readonly name: string; readonly note: string }[];
  readonly x: string;
  /** What the group of the references is called. */
  readonly reference: string;
  readonly series: readonly IntervalSeries[];
  readonly label: Label;
}): Figure {
  const { categories, series, label } = options;
  const highest = Math.max(0, ...series.flatMap(({ values }) => values.map(({ high }) => high)));
  const references = series.map(({ reference }) => reference.value);
  // A reference that lies near is on the axis.
  const range = shareRange(Math.max(highest, ...references.filter((value) => value <= 1.25 * highest)));
  const beyond = references.some((value) => value > range.max) ? 'beyond the axis' : '';
  const names = [{ name: options.reference, note: beyond }, ...categories];
  const band = sizes.head + series.length * (sizes.bar + sizes.gap) - sizes.gap + sizes.foot;
  const option = {
    grid: { ...room, right: labelRoom(series.flatMap((each) => labelsOf(each, label))) },
    xAxis: {
      ...axis({ title: options.x, min: 0, ...range, format: percentTick }, 'x'),
      splitLine: { show: true, lineStyle: { color: css(palette.grid) } },
    },
    yAxis: {
      type: 'category',
      inverse: true,
      data: names.map(({ name }) => name),
      axisTick: { show: false },
      axisLabel: { show: false },
      axisLine: { lineStyle: { color: css(palette.axis) } },
    },
    series: [
      ...series.map((each, slot) => barsOf(each, slot, label)),
      namesOf(names.map(({ name, note }) => [name, note] as const)),
    ],
  };
  const size = { width: 1.5 * defaultSize.width, height: room.top + band * names.length + room.bottom };
  return {
    svg: renderSvg(option, size, options.title),
    live: liveChart(option, size, false),
    legend: legend(series.map(({ name, color }) => ({ name, color, square: true }))),
  };
}
