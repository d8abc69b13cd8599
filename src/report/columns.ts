/** How the names below columns stand, and the room that they take; also for the script of the page. */
export interface ColumnNames {
  /** Degrees; slanted where the names are wider than their columns. */
  readonly rotate: number;
  /** Pixels between the axis and its title. */
  readonly gap: number;
  /** Pixels below the columns in all. */
  readonly room: number;
}

/** The place of names below columns that have `width` pixels together. */
export function columnNames(names: readonly string[], width: number): ColumnNames {
  const longest = 6.2 * Math.max(1, ...names.map(({ length }) => length));
  if (longest + 8 <= width / names.length) return { rotate: 0, gap: 28, room: 46 };
  const high = Math.min(110, 0.64 * longest + 10);
  return { rotate: 38, gap: Math.round(high + 8), room: Math.round(high + 28) };
}
