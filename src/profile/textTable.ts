import { expectList } from '../arguments.js';
import stringWidth from 'string-width';

/** A column of {@link textTable}. */
export interface TextColumn<Row> {
  readonly title: string;
  /** The cell of a row. */
  readonly value: (row: Row) => string;
  /** Numbers go to the right; default left. */
  readonly align?: 'left' | 'right';
  /** Columns with larger numbers are left out first where there is no room; default 0. */
  readonly drop?: number;
}

/** Blanks between two columns. */
const between = 2;

/** The columns that fit side by side: those with the largest `drop` go first, without one from the right. */
function fitting<C extends { readonly wide: number; readonly drop?: number }>(all: readonly C[], width: number): C[] {
  const kept = [...all];
  const total = (): number => kept.reduce((sum, { wide }) => sum + wide + between, -between);
  while (total() > width && kept.length > 1) {
    const [, ...others] = kept;
    const most = Math.max(...others.map(({ drop = 0 }) => drop));
    kept.splice(1 + others.findLastIndex(({ drop = 0 }) => drop === most), 1);
  }
  return kept;
}

const leftOut = (titles: readonly string[]): string[] =>
  titles.length === 0 ? [] : [`left out for lack of room: ${titles.join(', ')} (--json FILE has everything)`];

/** How {@link plainTable} lays out. */
export interface PlainTableOptions {
  readonly width?: number;
  /** Columns that are aligned left; the others, figures, right. */
  readonly left?: readonly number[];
  /** Columns in the order in which they go where there is no room, before others from the right. */
  readonly drop?: readonly number[];
}

/** Lines of an aligned table without a rule; the first row holds the titles. */
export function plainTable(
  rows: readonly (readonly string[])[],
  { width = Infinity, left = [], drop = [] }: PlainTableOptions = {},
): string[] {
  const all = rows[0]!.map((title, at) => ({
    at,
    title: title.trim(),
    wide: Math.max(...rows.map((row) => stringWidth(row[at]!))),
    drop: drop.includes(at) ? drop.length - drop.indexOf(at) : 0,
  }));
  const kept = fitting(all, width);
  const cell = (text: string, { at, wide }: (typeof all)[number]): string => {
    const blanks = ' '.repeat(wide - stringWidth(text));
    return left.includes(at) ? `${text}${blanks}` : `${blanks}${text}`;
  };
  return [
    ...rows.map((row) =>
      kept
        .map((column) => cell(row[column.at]!, column))
        .join(' '.repeat(between))
        .trimEnd(),
    ),
    ...leftOut(all.filter((column) => !kept.includes(column)).map(({ title }) => title)),
  ];
}

/**
 * An aligned table for terminals: a line of titles, a rule, and a line per row. Trailing blanks are cut.
 *
 * @param width where the table would be wider, columns are left out until it fits, those with the largest `drop` first
 * and without one from the right; the first column stays. A last line names them. No limit unless given
 */
export function textTable<Row>(
  columns: readonly TextColumn<Row>[],
  rows: readonly Row[],
  width: number = Infinity,
): string {
  expectList(columns, 'columns', { title: 'text', value: 'function' });
  expectList(rows, 'rows');
  const all = columns.map((column) => {
    const cells = rows.map((row) => column.value(row));
    return { ...column, cells, wide: Math.max(stringWidth(column.title), ...cells.map((cell) => stringWidth(cell))) };
  });
  const kept = fitting(all, width);
  const pad = (text: string, { wide, align }: (typeof kept)[number]): string => {
    const blanks = ' '.repeat(wide - stringWidth(text));
    return align === 'right' ? `${blanks}${text}` : `${text}${blanks}`;
  };
  const line = (cell: (column: (typeof kept)[number]) => string): string =>
    kept
      .map((column) => pad(cell(column), column))
      .join(' '.repeat(between))
      .trimEnd();
  const missing = all.filter((column) => !kept.includes(column)).map(({ title }) => title);
  return [
    line(({ title }) => title),
    kept.map(({ wide }) => '-'.repeat(wide)).join(' '.repeat(between)),
    ...rows.map((_, row) => line(({ cells }) => cells[row]!)),
    ...leftOut(missing),
  ].join('\n');
}

/** A number with a sensible number of digits: 1234, 123.4, 12.34, 1.234. */
export function digits(value: number, significant = 4): string {
  if (!Number.isFinite(value)) return String(value);
  const whole = Math.max(1, Math.floor(Math.log10(Math.max(Math.abs(value), 1e-300))) + 1);
  return value.toFixed(Math.max(0, Math.min(significant - whole, significant - 1)));
}

/** Bytes with a binary unit: 512 B, 3.5 KiB, 12.0 MiB. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A duration in the unit that reads best: 12.3 us, 4.56 ms, 7.89 s. */
export function durationText(microseconds: number): string {
  const size = Math.abs(microseconds);
  if (size < 1e3) return `${digits(microseconds, 3)} us`;
  return size < 1e6 ? `${digits(microseconds / 1e3, 3)} ms` : `${digits(microseconds / 1e6, 3)} s`;
}
