import { defaultSize } from './charts.js';
import { escapeHtml } from './svg.js';
import { colorVariables, palette } from './theme.js';
import type { Color } from './theme.js';

/** A chart of a {@link picture}. */
export interface PictureChart {
  readonly caption: string;
  /** As {@link Figure} has it. */
  readonly svg: string;
  readonly keys: readonly { readonly name: string; readonly color: Color; readonly dashed?: boolean }[];
}

/** A color for programs that know no CSS variables, too. */
const ink = ({ name, light }: Color): string => `var(--${name},${light})`;

/** Room above a chart for caption and keys. */
const head = 44;

const keyText = ({ name, color, dashed }: PictureChart['keys'][number], x: number): string =>
  `<path d="M${x} 34h20" stroke="${ink(color)}" stroke-width="2"${dashed === true ? ' stroke-dasharray="5 4"' : ''}/>` +
  `<text x="${x + 26}" y="38" font-size="12" fill="${ink(palette.muted)}">${escapeHtml(name)}</text>`;

/**
 * Charts side by side as one SVG file that stands alone, for pages that show images: captions and keys inside, colors
 * for light and dark.
 */
export function picture(charts: readonly PictureChart[], title: string): string {
  const { width, height } = defaultSize;
  const one = ({ caption, svg, keys }: PictureChart, index: number): string => {
    let x = 8;
    const drawn = keys.map((key) => {
      const text = keyText(key, x);
      x += 50 + 7 * key.name.length;
      return text;
    });
    const chart = svg.replace(/^<svg /, `<svg x="0" y="${head}" width="${width}" height="${height}" `);
    const text =
      '<text x="8" y="18" font-size="14" font-weight="600" ' +
      `fill="${ink(palette.ink)}">${escapeHtml(caption)}</text>`;
    return `<g transform="translate(${index * width} 0)">${text}${keys.length > 1 ? drawn.join('') : ''}${chart}</g>`;
  };
  const rules =
    `svg{font-family:system-ui,sans-serif;${colorVariables('light')}}` +
    `@media(prefers-color-scheme:dark){svg{${colorVariables('dark')}}}`;
  const all = charts.length * width;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${all} ${height + head}" width="${all}" ` +
    `height="${height + head}" role="img" ` +
    `aria-label="${escapeHtml(title)}"><style>${rules}</style><rect width="100%" height="100%" ` +
    `fill="${ink(palette.surface)}"/>${charts.map(one).join('')}</svg>\n`
  );
}
