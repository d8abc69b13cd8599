import { parseArgs } from 'node:util';
import { check, LinbpError } from '../errors.js';
import { didYouMean } from '../names.js';

/** One option of a verb. */
export interface Option<T> {
  /** One line for `--help`. */
  readonly help: string;
  /** How the value is called in `--help`; flags have none. */
  readonly placeholder: string | undefined;
  /** The value where the option is not given. */
  readonly byDefault: T;
  /** How the default is shown in `--help`, where it is worth showing. */
  readonly shownDefault: string | undefined;
  /** The option may stand alone, which is read as the empty text. */
  readonly mayStandAlone?: boolean;
  /** The option may be given several times; `parse` returns a list, and the lists are joined. */
  readonly repeatable?: boolean;
  /** Reads the text after the option's name; `true` and `false` for flags. Throws a LinbpError naming `name`. */
  readonly parse: (text: string, name: string) => T;
}

/** Options by name in camel case; on the command line `weightDecay` is `--weight-decay`. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** The values of an option table after parsing. */
export type OptionValues<O extends OptionTable> = { readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never };

interface Text {
  readonly help: string;
  readonly placeholder?: string;
}

interface Range {
  readonly min?: number;
  readonly max?: number;
  /** Excludes `min` itself. */
  readonly above?: boolean;
}

/** The name of an option as it is typed, without the dashes. */
export const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** An option that takes any text; undefined where it is not given. */
export function text(options: Text): Option<string | undefined>;
export function text(options: Text & { readonly byDefault: string }): Option<string>;
export function text(options: Text & { readonly byDefault?: string }): Option<string | undefined> {
  return {
    help: options.help,
    placeholder: options.placeholder ?? 'TEXT',
    byDefault: options.byDefault,
    shownDefault: options.byDefault,
    parse(value, name) {
      check(value !== '', 'bad-argument', `--${name} needs a value`, name);
      return value;
    },
  };
}

/** An option that takes any text and may be given several times: a list in the order of the command line. */
export function texts(options: Text & { readonly byDefault: readonly string[] }): Option<readonly string[]> {
  const { parse, ...one } = text({ ...options, byDefault: options.byDefault.join(' ') });
  return { ...one, byDefault: options.byDefault, repeatable: true, parse: (value, name) => [parse(value, name)] };
}

/**
 * Numbers joined by commas, each as {@link number}, also given several times; undefined where the option is not given.
 */
export function numbers(
  options: Text & Range & { readonly shownDefault?: string },
): Option<readonly number[] | undefined> {
  return {
    help: options.help,
    placeholder: options.placeholder ?? 'X,..',
    byDefault: undefined,
    shownDefault: options.shownDefault,
    repeatable: true,
    parse: (value, name) => value.split(',').map((each) => parseNumber(each, name, 'a number', options, () => true)),
  };
}

/** An option with an optional value; without one it is the empty string, and undefined where the option is absent. */
export function optionalText(options: Text): Option<string | undefined> {
  const { help, placeholder = 'TEXT' } = options;
  return {
    help,
    placeholder: `[${placeholder}]`,
    byDefault: undefined,
    shownDefault: undefined,
    mayStandAlone: true,
    parse: (value) => value,
  };
}

/** An option that is either there or not; `--no-NAME` and `--NAME=false` take it back. */
export function flag(help: string): Option<boolean> {
  return { help, placeholder: undefined, byDefault: false, shownDefault: undefined, parse: parseFlag };
}

/** {@link flag} whose default depends on something else: undefined where it is not given. */
export function openFlag(help: string): Option<boolean | undefined> {
  return { help, placeholder: undefined, byDefault: undefined, shownDefault: undefined, parse: parseFlag };
}

function parseFlag(value: string, name: string): boolean {
  check(
    value === 'true' || value === 'false',
    'bad-argument',
    `--${name} takes no value but true and false, got "${value}"`,
    name,
  );
  return value === 'true';
}

/** Throws `bad-argument` where the list of an option names something twice, which would count twice. */
export function expectOnce(list: readonly (string | number)[], name: string): void {
  const twice = list.find((each, at) => list.indexOf(each) !== at);
  check(twice === undefined, 'bad-argument', `--${name} names ${twice} twice`, name);
}

/** What stands on both sides of the first `=`, without spaces around it; undefined where a side is empty. */
export function assignment(text: string): [left: string | undefined, right: string | undefined] {
  const at = text.indexOf('=');
  const [left, right] = at < 0 ? ['', ''] : [text.slice(0, at).trim(), text.slice(at + 1).trim()];
  return left === '' || right === '' ? [undefined, undefined] : [left, right];
}

/** Between the pairs of `MODEL=WEIGHTS,MODEL=WEIGHTS`: a comma inside a path is not followed by MODEL=. */
export const modelsInList = /,(?=[^,=]+=)/;

/** The value of `0.03`, `1e-3` or `8/255`, or NaN. */
export function readNumber(value: string): number {
  const parts = value.split('/');
  if (parts.length > 2 || parts.some((part) => !/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(part.trim())))
    return NaN;
  return parts.map(Number).reduce((numerator, denominator) => numerator / denominator);
}

function rangeText({ min, max, above }: Range): string {
  if (min !== undefined && max !== undefined) return `from ${min} to ${max}`;
  if (min !== undefined) return above === true ? `above ${min}` : `of at least ${min}`;
  return max === undefined ? '' : `of at most ${max}`;
}

function parseNumber(
  value: string,
  name: string,
  kind: string,
  range: Range,
  valid: (number: number) => boolean,
): number {
  const parsed = readNumber(value);
  const { min = -Infinity, max = Infinity, above = false } = range;
  const inside = Number.isFinite(parsed) && valid(parsed) && (above ? parsed > min : parsed >= min) && parsed <= max;
  check(
    inside,
    'bad-range',
    `--${name} must be ${[kind, rangeText(range)].filter(Boolean).join(' ')}, got "${value}"`,
    name,
  );
  return parsed;
}

/** A number, also written as a fraction such as 8/255. */
export function number(
  options: Text & Range & { readonly byDefault: number; readonly shownDefault?: string },
): Option<number>;
export function number(options: Text & Range & { readonly shownDefault?: string }): Option<number | undefined>;
export function number(
  options: Text & Range & { readonly byDefault?: number; readonly shownDefault?: string },
): Option<number | undefined> {
  return {
    help: options.help,
    placeholder: options.placeholder ?? 'X',
    byDefault: options.byDefault,
    shownDefault: options.shownDefault ?? options.byDefault?.toString(),
    parse: (value, name) => parseNumber(value, name, 'a number', options, () => true),
  };
}

/** A whole number. */
export function integer(options: Text & Range & { readonly byDefault: number }): Option<number>;
export function integer(options: Text & Range): Option<number | undefined>;
export function integer(options: Text & Range & { readonly byDefault?: number }): Option<number | undefined> {
  return {
    help: options.help,
    placeholder: options.placeholder ?? 'N',
    byDefault: options.byDefault,
    shownDefault: options.byDefault?.toString(),
    parse: (value, name) => parseNumber(value, name, 'a whole number', options, Number.isSafeInteger),
  };
}

/** One of several words. */
export function choice<const T extends string>(
  choices: readonly T[],
  options: Text & { readonly byDefault: T },
): Option<T>;
export function choice<const T extends string>(choices: readonly T[], options: Text): Option<T | undefined>;
export function choice<const T extends string>(
  choices: readonly T[],
  options: Text & { readonly byDefault?: T },
): Option<T | undefined> {
  return {
    help: options.help,
    placeholder: choices.join('|'),
    byDefault: options.byDefault,
    shownDefault: options.byDefault,
    parse(value, name) {
      const found = choices.find((each) => each === value);
      if (found !== undefined) return found;
      const message = `--${name} must be ${choices.join(', ')}; got "${value}"${didYouMean(value, choices)}`;
      throw new LinbpError('unknown-option', message, { field: name });
    },
  };
}

/**
 * Values of options that came as JSON, each checked as if it had been typed; what is missing or null has its default.
 *
 * @throws LinbpError as {@link parseOptions}; `bad-argument` for anything but strings, numbers and booleans
 */
export function readValues<O extends OptionTable>(given: Readonly<Record<string, unknown>>, table: O): OptionValues<O> {
  const values = Object.entries(table).map(([name, option]) => {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (value === undefined || value === null) return [name, option.byDefault];
    const plain = ['string', 'number', 'boolean'].includes(typeof value);
    check(plain, 'bad-argument', `--${kebab(name)} must be a string, a number or a boolean`, name);
    return [name, option.parse(String(value), kebab(name))];
  });
  return Object.fromEntries(values) as OptionValues<O>;
}

/** Writes `--resume --epochs 3` as `--resume= --epochs 3`, where the option may stand alone. */
function closeLoneOptions(args: readonly string[], alone: (name: string) => boolean): string[] {
  return args.map((arg, i) => {
    const next = args[i + 1];
    return arg.startsWith('--') && alone(arg.slice(2)) && (next === undefined || next.startsWith('-'))
      ? `${arg}=`
      : arg;
  });
}

const givenNames = new WeakMap<object, ReadonlySet<string>>();

/** The names, in camel case, of the options that the user gave, of values that {@link parseOptions} returned. */
export const givenOptions = (values: object): ReadonlySet<string> => givenNames.get(values) ?? new Set();

/** What an option needs to count for anything: whether it is there, and what to say where it is not. */
export type Need = readonly [there: boolean, words: string];
/** {@link Need} by option. */
export type Needs<V> = { readonly [Name in keyof V]?: Need };

/**
 * Throws `bad-argument` for an option that the user gave and that this run would not look at. A flag that was taken
 * back counts as not given.
 *
 * @param values as {@link parseOptions} returned them, since copies do not know what was given
 */
export function expectUsed<V extends object>(values: V, needs: Needs<V>): void {
  const given = givenOptions(values);
  for (const [name, [there, words]] of Object.entries(needs) as [keyof V & string, Need][]) {
    const used = there || !given.has(name) || (values[name] as unknown) === false;
    check(used, 'bad-argument', `--${kebab(name)} ${words}`, kebab(name));
  }
}

/**
 * Reads the arguments after the verb.
 *
 * @throws LinbpError `unknown-option` with the nearest known one; `bad-argument` for a missing value, an option given
 *   twice or a stray word; `bad-range` for values outside their range
 */
export function parseOptions<O extends OptionTable>(args: readonly string[], table: O): OptionValues<O> {
  const byKebab = new Map(Object.entries(table).map(([name, option]) => [kebab(name), { name, option }]));
  const declared = [...byKebab].map(
    ([name, { option }]) => [name, { type: option.placeholder === undefined ? 'boolean' : 'string' }] as const,
  );
  const closed = closeLoneOptions(args, (name) => byKebab.get(name)?.option.mayStandAlone === true);
  const { tokens } = parseArgs({
    args: closed,
    options: Object.fromEntries(declared),
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  const given = new Map<string, unknown>();
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      throw new LinbpError('bad-argument', `unexpected argument "${token.value}"; options begin with --`, {
        field: token.value,
      });
    }
    const negated = token.name.startsWith('no-') && !byKebab.has(token.name) ? token.name.slice(3) : undefined;
    const typed =
      negated !== undefined && byKebab.get(negated)?.option.placeholder === undefined ? negated : token.name;
    const found = byKebab.get(typed);
    if (found === undefined) {
      const hint = didYouMean(token.name, [...byKebab.keys()], '--');
      throw new LinbpError('unknown-option', `there is no option ${token.rawName}${hint}`, { field: token.name });
    }
    const { name, option } = found;
    const again = option.repeatable === true;
    check(again || !given.has(name), 'bad-argument', `--${typed} is given twice`, typed);
    let value = token.value;
    if (option.placeholder === undefined) value = typed === token.name ? (value ?? 'true') : 'false';
    // An option's name is never another option's value, unless it is written with an equals sign.
    const present = value !== undefined && (token.inlineValue === true || !value.startsWith('--'));
    check(present, 'bad-argument', `--${typed} needs a value (${option.placeholder})`, typed);
    const parsed = option.parse(value!, typed);
    given.set(name, again ? [...((given.get(name) as unknown[] | undefined) ?? []), ...(parsed as unknown[])] : parsed);
  }
  const values = Object.entries(table).map(([name, option]) => [
    name,
    given.has(name) ? given.get(name) : option.byDefault,
  ]);
  const result = Object.fromEntries(values) as OptionValues<O>;
  givenNames.set(result, new Set(given.keys()));
  return result;
}

/** The lines of `--help` about a table of options: names on the left, meanings in one column. */
export function describeOptions(table: OptionTable): string[] {
  const rows = Object.entries(table).map(([name, option]) => {
    const left = `  --${kebab(name)}${option.placeholder === undefined ? '' : ` ${option.placeholder}`}`;
    const byDefault = option.shownDefault === undefined ? '' : ` [${option.shownDefault}]`;
    return [left, `${option.help}${byDefault}`] as const;
  });
  const width = Math.min(26, Math.max(...rows.map(([left]) => left.length)));
  return rows.flatMap(([left, right]) =>
    left.length > width ? [left, `${' '.repeat(width)}  ${right}`] : [`${left.padEnd(width)}  ${right}`],
  );
}

/** The option that every verb has besides its own. */
export const jsonOption = {
  json: text({ help: 'also write the result there, for programs; - is stdout', placeholder: 'FILE' }),
} as const;
