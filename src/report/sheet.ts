import type { EightBitImage } from '../io/png.js';
import { dataUri } from './images.js';
import { escapeHtml } from './svg.js';

/** An image before and after, with what the network sees in each. */
export interface SheetEntry {
  readonly before: EightBitImage;
  readonly after: EightBitImage;
  readonly title: string;
  readonly labelBefore: string;
  readonly labelAfter: string;
  /** What the image now counts as. */
  readonly verdict: 'right' | 'wrong';
}

/** A contact sheet: pairs of images, as many side by side as there is room for, pixels unblurred. */
export function contactSheet(entries: readonly SheetEntry[]): string {
  const one = ({ before, after, title, labelBefore, labelAfter, verdict }: SheetEntry): string =>
    `<figure><div><img src="${dataUri(before)}" alt="before: ${escapeHtml(labelBefore)}">` +
    `<img src="${dataUri(after)}" alt="after: ${escapeHtml(labelAfter)}"></div>` +
    `${escapeHtml(title)}<br>${escapeHtml(labelBefore)} → <span ` +
    `class="${verdict}">${escapeHtml(labelAfter)}</span></figure>`;
  return `<div class="sheet">${entries.map(one).join('\n')}</div>`;
}
