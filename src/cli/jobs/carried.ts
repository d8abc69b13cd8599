/**
 * The same word for each of these names. Spread into a record of all options of a verb, a name that is in no list does
 * not compile.
 */
export const each = <const N extends string, const W extends string>(names: readonly N[], word: W): Record<N, W> =>
  Object.fromEntries(names.map((name) => [name, word])) as Record<N, W>;

/** The names that have a word. */
export const namesWith = <N extends string, W extends string>(words: Readonly<Record<N, W>>, wanted: W): readonly N[] =>
  (Object.keys(words) as N[]).filter((name) => words[name] === wanted);
