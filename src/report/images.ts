import type { EightBitImage } from '../io/png.js';
import { encodePng } from '../io/png.js';
import { escapeHtml } from './svg.js';

/** A picture with the words below it. */
export interface GridImage {
  readonly image: EightBitImage;
  readonly caption: string;
  /** Colors the caption: `right` for a correct label, `wrong` for a fooled one. */
  readonly verdict?: 'right' | 'wrong';
}

/** A row of an {@link imageGrid}. */
export interface GridRow {
  readonly title: string;
  readonly images: readonly GridImage[];
}

/** An image as a data URI. */
export function dataUri(image: EightBitImage): string {
  return `data:image/png;base64,${Buffer.from(encodePng(image)).toString('base64')}`;
}

/** Letters of the longest word below one of the images. */
const longestWord = (rows: readonly GridRow[]): number =>
  Math.max(
    0,
    ...rows.flatMap(({ images }) => images.flatMap(({ caption }) => caption.split(/\s+/).map((w) => w.length))),
  );

/**
 * Images side by side on a narrow page, about 340 pixels wide: all of a row, or lines of equally many where the words
 * below them would not fit.
 */
function narrowColumns(rows: readonly GridRow[]): number {
  const count = Math.max(1, ...rows.map(({ images }) => images.length));
  const room = Math.max(1, Math.floor(340 / Math.max(44, 6.5 * longestWord(rows) + 6)));
  return Math.ceil(count / Math.ceil(count / room));
}

/** Rows of images, pixels enlarged unblurred. Columns belong together: the same sample in different forms. */
export function imageGrid(rows: readonly GridRow[], pixelsWide = 72): string {
  const cell = ({ image, caption, verdict }: GridImage): string =>
    `<td><img src="${dataUri(image)}" width="${pixelsWide}" ` +
    `height="${Math.round((pixelsWide * image.height) / image.width)}" alt="${escapeHtml(caption)}">` +
    `<span class="${verdict ?? ''}">${escapeHtml(caption)}</span></td>`;
  const lines = rows.map(
    ({ title, images }) => `<tr><th scope="row">${escapeHtml(title)}</th>${images.map(cell).join('')}</tr>`,
  );
  const columns = narrowColumns(rows);
  return (
    `<div class="wide"><table class="images" style="--columns:${columns}"><tbody>` +
    `${lines.join('\n')}</tbody></table></div>`
  );
}

/**
 * What was added to an image, times `gain`, around middle gray: lighter where a pixel rose, darker where it fell.
 */
export function amplifiedDifference(changed: EightBitImage, original: EightBitImage, gain: number): EightBitImage {
  const data = Uint8Array.from(changed.data, (value, index) =>
    Math.min(255, Math.max(0, 128 + Math.round(gain * (value - original.data[index]!)))),
  );
  return { ...original, data };
}
