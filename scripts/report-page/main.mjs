/* global document, matchMedia, getComputedStyle */
/**
 * The script inside every report: charts that answer to the pointer, tables that sort and filter. It reads what the
 * page holds and nothing else. Names reach the page as text only.
 */
import { BarChart, CustomChart, HeatmapChart, LineChart, ScatterChart } from 'echarts/charts';
import {
  DataZoomComponent,
  GridComponent,
  LegendComponent,
  TooltipComponent,
  VisualMapComponent,
} from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { columnNames } from '../../src/report/columns.ts';
import { categoryNames, intervalBar } from '../../src/report/intervalBar.ts';

use([BarChart, CustomChart, HeatmapChart, LineChart, ScatterChart, SVGRenderer]);
use([DataZoomComponent, GridComponent, LegendComponent, TooltipComponent, VisualMapComponent]);

const shortNumber = (value) => String(Number(Number(value).toPrecision(4)));

/** What stands for a function in a chart's data. */
const formats = {
  percent: () => (value) => `${Math.round(100 * value)} %`,
  short: () => shortNumber,
  names:
    ({ names }) =>
    (value) =>
      Number.isInteger(value) ? (names[value - 1] ?? '') : '',
  interval: ({ look }) => intervalBar(look),
  categoryNames: ({ look }) => categoryNames(look),
};

/** A chart's option with functions for their names, and the colors of the present theme. */
function revive(value, colors) {
  if (typeof value === 'string') return colors.get(value) ?? value;
  if (Array.isArray(value)) return value.map((each) => revive(each, colors));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([key]) => key !== 'silent');
  const revived = Object.fromEntries(entries.map(([key, each]) => [key, revive(each, colors)]));
  return Object.hasOwn(value, '$format') ? formats[value.$format](revived) : revived;
}

const escaped = (text) => {
  const span = document.createElement('span');
  span.textContent = text;
  return span.innerHTML;
};

const shownValue = (value) => (typeof value === 'number' ? shortNumber(value) : String(value));

/** The words of the tooltip; bands have no name of their own. */
function tooltip(option) {
  const title = (axis) => (Array.isArray(axis) ? axis[0] : axis)?.name ?? '';
  return (given) => {
    const list = (Array.isArray(given) ? given : [given]).filter(
      ({ seriesId, value }) => !/^(band|names)/.test(seriesId) && !(Array.isArray(value) && value.at(-1) === null),
    );
    if (list.length === 0) return '';
    const [first] = list;
    const { value } = first;
    if (first.seriesType === 'heatmap') {
      const [column, row] = value;
      const text = first.data?.label?.formatter ?? shownValue(value[2]);
      return [option.yAxis.data[row], `${option.xAxis.data[column]}: ${text}`].map(escaped).join('<br>');
    }
    if (first.seriesType === 'custom') {
      const lines = list.map(({ seriesName, data }) => `${seriesName} ${data.words}`);
      return [option.yAxis.data[value[3]], ...lines].map(escaped).join('<br>');
    }
    const isPoint = Array.isArray(value);
    const x = isPoint ? value[0] : first.name;
    const names = option.xAxis.axisNames ?? [];
    const head = isPoint ? `${title(option.xAxis)} ${names[x - 1] ?? shownValue(x)}` : String(first.name);
    const lines = list.map(({ seriesName, value: each }) => {
      const y = Array.isArray(each) ? each.at(-1) : each;
      const share = option.yAxis.share === true || option.xAxis.share === true;
      const shown = share ? `${(100 * y).toFixed(1)} %` : shownValue(y);
      return `${/^series\0/.test(seriesName) ? '' : `${seriesName} `}${shown}`;
    });
    return [head, ...lines].map(escaped).join('<br>');
  };
}

/** Buttons that zoom into a chart along its x axis. Fingers and the mouse move a chart that is zoomed. */
function zoomTools(figure, chart, range) {
  const tools = document.createElement('span');
  tools.className = 'tools';
  const show = (start, end) => chart.dispatchAction({ type: 'dataZoom', dataZoomIndex: 0, start, end });
  const scale = (factor) => {
    const length = Math.min(100, Math.max(2, (range.end - range.start) * factor));
    const start = Math.min(100 - length, Math.max(0, (range.start + range.end - length) / 2));
    show(start, start + length);
  };
  const button = (words, meaning, action) => {
    const made = document.createElement('button');
    made.type = 'button';
    made.textContent = words;
    made.title = meaning;
    made.addEventListener('click', action);
    tools.append(made);
    return made;
  };
  const more = 'also with Ctrl and the wheel over the chart; drag it sideways to move';
  const nearer = button('zoom in', `zoom in along the x axis (${more})`, () => scale(0.5));
  const farther = button('zoom out', 'zoom out along the x axis', () => scale(2));
  const whole = button('reset', 'show the whole x axis again', () => show(0, 100));
  const update = () => {
    const zoomed = range.end - range.start < 99.9;
    nearer.disabled = range.end - range.start <= 2;
    farther.disabled = whole.disabled = !zoomed;
    if (zoomed === range.zoomed) return;
    range.zoomed = zoomed;
    // The library takes no options while it tells of an event.
    setTimeout(() => chart.setOption({ dataZoom: [{ moveOnMouseMove: zoomed }] }));
  };
  chart.on('datazoom', () => {
    const [{ start, end }] = chart.getOption().dataZoom;
    Object.assign(range, { start, end });
    update();
  });
  update();
  let bar = figure.querySelector('.legend');
  if (bar === null) {
    bar = document.createElement('div');
    bar.className = 'legend';
    figure.querySelector('.chart').before(bar);
  }
  bar.append(tools);
}

/** The legend's entries show and hide their series, by pointer and by keyboard. */
function legendButtons(figure, chart, names) {
  for (const key of figure.querySelectorAll('.legend [data-series]')) {
    const { series } = key.dataset;
    if (!names.includes(series)) continue;
    key.tabIndex = 0;
    key.setAttribute('role', 'button');
    key.setAttribute('aria-pressed', 'true');
    const toggle = () => {
      const on = key.getAttribute('aria-pressed') !== 'true';
      key.setAttribute('aria-pressed', String(on));
      chart.dispatchAction({ type: on ? 'legendSelect' : 'legendUnSelect', name: series });
    };
    key.addEventListener('click', toggle);
    key.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault();
        toggle();
      }
    });
  }
}

/** What a chart shows of the present theme and zoom. */
function shown(option, { zoom, names, range }) {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const axes = [option.xAxis].flat().map((_, index) => index);
  return {
    animation: false,
    legend: { show: false, data: names },
    tooltip: {
      trigger: zoom || option.series.every(({ type }) => type === 'bar' || type === 'custom') ? 'axis' : 'item',
      confine: true,
      formatter: tooltip(option),
      backgroundColor: color('surface'),
      borderColor: color('line'),
      textStyle: { color: color('ink'), fontSize: 12 },
    },
    ...(zoom && {
      dataZoom: [
        {
          ...{ type: 'inside', xAxisIndex: axes, filterMode: 'none', start: range.start, end: range.end },
          // Whole charts leave drags to the page, which fingers scroll.
          ...{ zoomOnMouseWheel: 'ctrl', moveOnMouseWheel: false, moveOnMouseMove: range.zoomed },
        },
      ],
    }),
  };
}

function live(figure) {
  const data = figure.querySelector('script.live');
  const place = figure.querySelector('.chart');
  if (data === null || place === null) return;
  const { option: given, width, height: usual, colors, zoom } = JSON.parse(data.textContent);
  const cells = given.series[0]?.type === 'heatmap';
  let [option, height] = [given, usual];
  /** Names below cells stand as the width lets them. */
  const fit = () => {
    if (!cells) return;
    const { grid, xAxis } = given;
    const { rotate, gap, room } = columnNames(xAxis.data, place.clientWidth - grid.left - grid.right);
    const axisLabel = { ...xAxis.axisLabel, rotate };
    option = { ...given, grid: { ...grid, bottom: room }, xAxis: { ...xAxis, nameGap: gap, axisLabel } };
    height = usual - grid.bottom + room;
  };
  fit();
  const style = () => getComputedStyle(document.documentElement);
  const present = () =>
    new Map(Object.entries(colors).map(([hex, name]) => [hex, style().getPropertyValue(`--${name}`).trim() || hex]));
  const box = document.createElement('div');
  box.className = 'drawn';
  // Rows of bars and cells keep their height; curves keep their shape, up to a height that a screen shows.
  const shaped = () => Math.max(Math.min(height, 280), (place.clientWidth * height) / width);
  const tall = () => (zoom ? Math.min(shaped(), 1.25 * height) : height);
  const size = () => ({ width: place.clientWidth, height: tall() });
  const chart = init(box, null, { renderer: 'svg', ...size() });
  const named = option.series.filter(({ id, name }) => name && !String(id).startsWith('band'));
  const names = [...new Set(named.map(({ name }) => name))];
  const range = { start: 0, end: 100, zoomed: false };
  const draw = () => chart.setOption({ ...revive(option, present()), ...shown(option, { zoom, names, range }) }, true);
  draw();
  place.replaceChildren(box);
  if (zoom) zoomTools(figure, chart, range);
  legendButtons(figure, chart, names);
  new globalThis.ResizeObserver(() => {
    fit();
    chart.resize(size());
    if (cells) draw();
  }).observe(place);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
}

/** Numbers before words; a cell's number is what it begins with. */
function compare(a, b) {
  const [x, y] = [a, b].map((text) => Number.parseFloat(text.replace(/^[^\d+-.]*/, '').replace(/,/g, '')));
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return Number.isNaN(x) ? a.localeCompare(b) : x - y || a.localeCompare(b);
}

function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.querySelectorAll('thead th')];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.setAttribute('aria-sort', 'none');
    const sort = () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      for (const other of heads) other.setAttribute('aria-sort', 'none');
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const rows = [...body.rows].map((row, index) => ({ row, index, text: row.cells[column]?.textContent ?? '' }));
      rows.sort((a, b) => (up ? 1 : -1) * compare(a.text, b.text) || a.index - b.index);
      body.append(...rows.map(({ row }) => row));
    };
    head.addEventListener('click', sort);
    head.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') sort();
    });
  });
}

function filterable(table, wide) {
  const rows = [...table.tBodies[0].rows];
  const input = document.createElement('input');
  input.type = 'search';
  input.placeholder = `filter ${rows.length} rows`;
  input.setAttribute('aria-label', 'filter rows');
  const count = document.createElement('span');
  count.className = 'count';
  input.addEventListener('input', () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      // Cells apart, so that no word is found across two of them.
      const text = [...row.cells].map((cell) => cell.textContent.toLowerCase()).join('\t');
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) shown++;
    }
    count.textContent = words.length === 0 ? '' : `${shown} of ${rows.length}`;
  });
  const bar = document.createElement('div');
  bar.className = 'filter';
  bar.append(input, count);
  wide.before(bar);
}

/** Says so above what is wider than the page, and can be scrolled. */
function hinted(wide) {
  const hint = document.createElement('div');
  hint.className = 'hint';
  hint.textContent = 'more to the right \u2192 scroll sideways';
  wide.before(hint);
  const show = () => (hint.hidden = wide.scrollWidth <= wide.clientWidth + 1);
  const observer = new globalThis.ResizeObserver(show);
  // Its content may become wider, as by another font, while the box stays as it is.
  for (const each of [wide, ...wide.children]) observer.observe(each);
  show();
}

for (const wide of document.querySelectorAll('.wide')) {
  const table = wide.querySelector('table:not(.images)');
  const rows = table?.tBodies[0].rows.length ?? 0;
  // Marks of order make titles wider, so they come first.
  if (rows >= 3) sortable(table);
  hinted(wide);
  if (rows > 10) filterable(table, wide);
}

// What is folded has no width yet, so its charts begin when it is opened.
for (const figure of document.querySelectorAll('figure')) {
  const folds = figure.closest('details:not([open])');
  if (folds === null) live(figure);
  else folds.addEventListener('toggle', () => live(figure), { once: true });
}
