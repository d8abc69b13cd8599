import type { EChartsCoreOption } from 'echarts/core';
import { init } from './echarts.js';
import type { IntervalLook, NamesLook } from './intervalBar.js';
import { palette } from './theme.js';
import type { Color } from './theme.js';

/**
 * What a chart option says where it means a color of the theme: its light form, which {@link renderSvg} turns into a
 * CSS variable.
 */
export const css = (color: Color): string => color.light;

const byHex = new Map(Object.values(palette).map((each) => [each.light, `var(--${each.name},${each.light})`]));

/** Size of a chart in its own units; on the page it scales with the column. */
export interface ChartSize {
  readonly width: number;
  readonly height: number;
}

/**
 * Draws a chart as SVG text, without a browser. Colors of the theme become CSS variables, so that one picture serves
 * light and dark pages; hover styles and attributes meant for scripts are taken out.
 *
 * @param title what the chart shows, for readers who cannot see it
 */
export function renderSvg(option: EChartsCoreOption, { width, height }: ChartSize, title: string): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption({ animation: false, ...option });
    const svg = chart
      .renderToSVGString({ useViewBox: true })
      .replace(/<style\s*>[\s\S]*?<\/style>/g, '')
      .replace(/ (?:ecmeta_\w+|class)="[^"]*"/g, '')
      .replace(/ pointer-events="visible"/g, '')
      .replace(/#[0-9a-f]{6}\b/g, (hex) => byHex.get(hex) ?? hex)
      .replace(/font-family:[^;"]*/g, 'font-family:inherit');
    return svg.replace(
      /^<svg [^>]*>/,
      '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ' +
        `${width} ${height}" role="img" aria-label="${escapeHtml(title)}">`,
    );
  } finally {
    // An undisposed chart keeps a timer, and with it the process, alive.
    chart.dispose();
  }
}

/** What a function of a chart option is called where it must travel as text; the page's script knows these names. */
export type NamedFormat =
  | { readonly $format: 'percent' | 'short' }
  | { readonly $format: 'names'; readonly names: readonly string[] }
  | { readonly $format: 'interval'; readonly look: IntervalLook }
  | { readonly $format: 'categoryNames'; readonly look: NamesLook };

/** A function of a chart option that the page's script can make again. */
export const traveling = <F extends (...args: never[]) => unknown>(format: F, named: NamedFormat): F =>
  Object.assign(format, { travels: named });

const colorNames = Object.fromEntries(Object.values(palette).map((each) => [each.light, each.name]));

/**
 * The same chart for the script of the page, as JSON that may stand in a script element: functions by name, colors by
 * their light form with the names of the theme beside them.
 *
 * @param zoom the chart has an axis of numbers along which readers may zoom
 */
export function liveChart(option: EChartsCoreOption, { width, height }: ChartSize, zoom: boolean): string {
  const named = (_: string, value: unknown): unknown =>
    typeof value === 'function' ? (value as { travels?: NamedFormat }).travels : value;
  return JSON.stringify({ option, width, height, zoom, colors: colorNames }, named).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Text as it may stand in HTML, between tags and in attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}
