import { defaultSize, text } from './charts.js';
import type { Figure } from './charts.js';
import { columnNames } from './columns.js';
import { css, liveChart, renderSvg } from './svg.js';
import { palette } from './theme.js';

/** Pale to strong in one hue; readable on light and dark pages. */
const heatColors = ['#dbe9f6', '#9cc4e4', '#5a9bd0', '#2a6db5', '#123f7f'];

/** What a {@link heatMap} shows. */
interface HeatMapOptions {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly string[];
  readonly columnTitle: string;
  readonly values: readonly (readonly number[])[];
  readonly min: number;
  readonly max: number;
  readonly label: (value: number) => string;
  readonly width?: number;
}

/** The cells, each with letters that stand out: with a contrast of four or more on either side. */
function cellsOf({ values, min, max, label }: HeatMapOptions): object[] {
  const dark = (value: number): boolean => value > min + 0.62 * (max - min);
  return values.flatMap((line, row) =>
    line.map((value, column) => ({
      value: [column, row, value],
      label: { color: dark(value) ? '#f8fafd' : '#17212e', formatter: label(value) },
    })),
  );
}

/** A grid of colored cells with their values written in them. `values[row][column]`. */
export function heatMap(options: HeatMapOptions): Figure {
  const { columns, rows, min, max } = options;
  const longest = Math.max(...rows.flatMap((row) => row.split('\n')).map(({ length }) => length));
  const category = {
    type: 'category',
    axisTick: { show: false },
    axisLine: { show: false },
    splitArea: { show: false },
  };
  const [left, right, top] = [Math.min(190, 14 + 6.4 * longest), 14, 8];
  const width = options.width ?? defaultSize.width;
  const names = columnNames(columns, width - left - right);
  const option = {
    grid: { left, right, top, bottom: names.room },
    xAxis: {
      ...category,
      data: [...columns],
      name: options.columnTitle,
      nameLocation: 'middle',
      nameGap: names.gap,
      nameTextStyle: text(),
      axisLabel: { ...text(11), interval: 0, rotate: names.rotate },
    },
    yAxis: {
      ...category,
      inverse: true,
      data: [...rows],
      axisLabel: { color: css(palette.ink), fontSize: 11, lineHeight: 13, interval: 0 },
    },
    visualMap: { show: false, min, max, inRange: { color: heatColors } },
    series: [
      {
        type: 'heatmap',
        silent: true,
        emphasis: { disabled: true },
        data: cellsOf(options),
        itemStyle: { borderWidth: 2, borderColor: css(palette.surface) },
        label: { show: true, fontSize: 11 },
      },
    ],
  };
  const size = { width, height: top + 30 * rows.length + names.room };
  return { svg: renderSvg(option, size, options.title), live: liveChart(option, size, false), legend: '' };
}
