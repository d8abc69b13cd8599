import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Figure } from './charts.js';
import { style } from './style.js';
import { packageVersion } from '../version.js';
import { escapeHtml } from './svg.js';

/** A part of the page with a heading; its title is also in the list of contents. */
export interface Section {
  readonly title: string;
  /** HTML, for instance of {@link figures}, {@link htmlTable} and {@link paragraph}. */
  readonly body: string;
}

/** A figure that readers should see first. */
export interface KeyFigure {
  readonly label: string;
  readonly value: string;
  readonly note?: string;
  /** Name of a color of the theme, such as `bp`. */
  readonly color?: string;
}

/** What a report consists of. */
export interface Page {
  readonly title: string;
  /** One line below the title, plain text. */
  readonly subtitle: string;
  readonly keyFigures?: readonly KeyFigure[];
  readonly sections: readonly Section[];
  /** Last line, plain text. */
  readonly footer: string;
}

const anchor = (title: string): string => title.toLowerCase().replace(/[^a-z0-9]+/g, '-');

const bundle = fileURLToPath(new URL('./page.bundle.js', import.meta.url));

/** The script that makes charts and tables answer; without it, in a copy that is not built, they stand still. */
const script = (): string =>
  existsSync(bundle) ? `<script>${readFileSync(bundle, 'utf8').replace(/<\/script/gi, '<\\/script')}</script>\n` : '';

/** A whole HTML document: nothing outside it is needed. Without scripts it shows the same charts and tables. */
export function page({ title, subtitle, keyFigures = [], sections, footer }: Page): string {
  const tile = ({ label, value, note, color }: KeyFigure): string =>
    `<div class="tile"${color === undefined ? '' : ` style="--c:var(--${color})"`}>` +
    `<span>${escapeHtml(label)}</span><b>${escapeHtml(value)}</b>` +
    `${note === undefined ? '' : `<small>${escapeHtml(note)}</small>`}</div>`;
  const contents = sections
    .map((section) => `<a href="#${anchor(section.title)}">${escapeHtml(section.title)}</a>`)
    .join('');
  const body = sections.map(
    (section) =>
      `<section id="${anchor(section.title)}">\n<h2>${escapeHtml(section.title)}</h2>\n${section.body}\n</section>`,
  );
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<header>
<h1>${escapeHtml(title)}</h1>
<p class="subtitle">${escapeHtml(subtitle)}</p>
<nav>${contents}</nav>
</header>
${keyFigures.length === 0 ? '' : `<div class="tiles">${keyFigures.map(tile).join('')}</div>\n`}${body.join('\n')}
<footer>${escapeHtml(footer)}</footer>
</main>
${script()}</body>
</html>
`;
}

/** The last line of a report: what wrote it and when (UTC), and what else is to say. */
export const pageFooter = (command: string, ...more: readonly string[]): string =>
  [
    `linbp ${packageVersion()} ${command}`,
    `${new Date().toISOString().slice(0, 19).replace('T', ' ')} UTC`,
    ...more,
  ].join(' · ');

/** Plain text as a paragraph. */
export const paragraph = (words: string): string => `<p>${escapeHtml(words)}</p>`;

/** What was found, a sentence each: the first thing that readers see. */
export const verdictList = (sentences: readonly string[]): string =>
  `<ul class="verdict">${sentences.map((sentence) => `<li>${escapeHtml(sentence)}</li>`).join('\n')}</ul>`;

/** A heading inside a section. */
export const heading = (words: string): string => `<h3>${escapeHtml(words)}</h3>`;

/** Code, whose long lines break where there is no room. */
export const codeLines = (code: string): string => `<pre class="code">${escapeHtml(code)}</pre>`;

/** A chart and what stands above it. */
export interface CaptionedFigure {
  readonly figure: Figure;
  readonly caption: string;
}

/** Charts side by side where there is room, each with its caption. */
export function figures(list: readonly CaptionedFigure[]): string {
  const one = ({ figure, caption }: CaptionedFigure): string =>
    `<figure><figcaption>${escapeHtml(caption)}</figcaption>${figure.legend}<div class="chart">${figure.svg}</div>` +
    (figure.live === undefined ? '' : `<script type="application/json" class="live">${figure.live}</script>`) +
    '</figure>';
  const count = { 1: ' one', 3: ' three' }[list.length] ?? '';
  return `<div class="figures${count}">${list.map(one).join('\n')}</div>`;
}

/** A column of {@link htmlTable}. */
export interface HtmlColumn<Row> {
  /** With the unit, where there is one. */
  readonly title: string;
  readonly value: (row: Row) => string;
  /** Numbers go to the right and have figures of equal width. */
  readonly number?: boolean;
  /** Length of a bar behind the value, 0 to 1. */
  readonly bar?: (row: Row) => number;
  /** Name of a color of the theme for a dot in front of the value. */
  readonly dot?: (row: Row) => string;
  /** Long texts, which are broken into lines. */
  readonly prose?: boolean;
  /** On a narrow page: cells broken into lines, or no such column. A table that is still too wide scrolls. */
  readonly narrow?: 'wrapped' | 'dropped';
}

/** A title whose last word, if it is a unit such as `%`, does not stand alone on a line. */
const unitKept = (title: string): string => title.replace(/ (\S{1,2})$/, '\u00a0$1');

/** A table of rows with titles above; scrolls sideways where it is too wide. */
export function htmlTable<Row>(columns: readonly HtmlColumn<Row>[], rows: readonly Row[]): string {
  const kind = ({ number, prose, narrow }: HtmlColumn<Row>): string => {
    const names = [number === true ? 'n' : prose === true ? 'prose' : undefined, narrow].filter(Boolean);
    return names.length === 0 ? '' : ` class="${names.join(' ')}"`;
  };
  const head = columns.map((column) => `<th${kind(column)}>${escapeHtml(unitKept(column.title))}</th>`).join('');
  const cell = (column: HtmlColumn<Row>, row: Row): string => {
    const dot = column.dot === undefined ? '' : `<i class="square" style="--c:var(--${column.dot(row)})"></i>`;
    const bar =
      column.bar === undefined
        ? ''
        : `<i class="bar" style="width:${(100 * Math.min(1, column.bar(row))).toFixed(1)}%"></i>`;
    return `<td${kind(column)}>${bar}${dot}${escapeHtml(column.value(row))}</td>`;
  };
  const body = rows.map((row) => `<tr>${columns.map((column) => cell(column, row)).join('')}</tr>`);
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>\n${body.join('\n')}\n</tbody></table></div>`;
}

/** Names and values, such as settings. */
export function facts(entries: readonly (readonly [name: string, value: string])[]): string {
  const row = ([name, value]: readonly [string, string]): string =>
    `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`;
  return `<dl>${entries.map(row).join('')}</dl>`;
}

/** A part that is folded until asked for. */
export const folded = (summary: string, body: string): string =>
  `<details><summary>${escapeHtml(summary)}</summary>${body}</details>`;
