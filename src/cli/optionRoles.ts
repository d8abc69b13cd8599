/**
 * What becomes of each option of a verb where a run is repeated or continued elsewhere: its value counts, what was made
 * of it counts (a network, images, a rule), or nothing of it does. An option that is in no list does not compile.
 */
export type OptionRoles<Values> = Readonly<Record<keyof Values, 'value' | 'made' | 'nothing'>>;

/** The same word for each of these names, to spread into {@link OptionRoles}. */
export const each = <const N extends string, const W extends string>(names: readonly N[], word: W): Record<N, W> =>
  Object.fromEntries(names.map((name) => [name, word])) as Record<N, W>;

/** The names that have a word. */
export const namesWith = <N extends string, W extends string>(words: Readonly<Record<N, W>>, wanted: W): readonly N[] =>
  (Object.keys(words) as N[]).filter((name) => words[name] === wanted);
