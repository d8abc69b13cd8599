/** A column of {@link textTable}. */
export interface TextColumn<Row> {
  readonly title: string;
  /** The cell of a row. */
  readonly value: (row: Row) => string;
  /** Numbers go to the right; default left. */
  readonly align?: 'left' | 'right';
}

/** An aligned table for terminals: a line of titles, a rule, and a line per row. Trailing blanks are cut. */
export function textTable<Row>(columns: readonly TextColumn<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map((column) => column.value(row)));
  const widths = columns.map(({ title }, index) => Math.max(title.length, ...cells.map((line) => line[index]!.length)));
  const line = (values: readonly string[]): string =>
    values
      .map((value, index) =>
        columns[index]!.align === 'right' ? value.padStart(widths[index]!) : value.padEnd(widths[index]!),
      )
      .join('  ')
      .trimEnd();
  return [
    line(columns.map(({ title }) => title)),
    widths.map((width) => '-'.repeat(width)).join('  '),
    ...cells.map(line),
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
