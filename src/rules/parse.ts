import { expectList, expectMembers } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { instead, unknownName } from '../names.js';
import { quoted, quotedValue } from '../quote.js';
import { activationKinds } from '../graph/functions.js';
import type { MatchScope } from './activationMatched.js';
import type { PointwiseRule } from '../graph/rule.js';
import { ruleNames, ruleRow, ruleTable } from './table.js';
import type { ParameterRange, RuleName } from './table.js';

export { ruleNames } from './table.js';
export type { RuleName } from './table.js';

/**
 * Rescales a rule's gradient to the length of the true one: at each activation, or at each residual branch by `lambda`.
 */
export type RuleMatch =
  { readonly kind: 'activation'; readonly scope: MatchScope } | { readonly kind: 'block'; readonly lambda: number };

/** A backward rule and where it applies; what it does not apply to keeps bp or what an earlier rule says. */
export interface RuleSpec {
  readonly rule: RuleName | PointwiseRule;
  readonly parameters?: Readonly<Record<string, number>>;
  /**
   * First place: a ReLU's name, a stage, a block, or an index: all ReLUs from there on; or `j_k`, stage j and block k
   * counted from 0: only the ReLUs inside branches from there on (for `bpa` all of the blocks); or `all`. `linbp`
   * without a place stands at the network's preset, `bpa` at its preset `bpa` where there is one, other rules at all
   * ReLUs. `bpa` also takes all max-pools; `sgm` and `match=block` take the residual branches with any of the ReLUs,
   * and `match=block` changes no ReLU outside branches unless `post` is true.
   */
  readonly from?: string;
  /** Names of ReLUs, or patterns with `*` and `?`. */
  readonly only?: readonly string[];
  /**
   * Kinds of activation that take part besides ReLU and ReLU6 where `from` or no place is given, or `all`. Presets and
   * names stand for themselves.
   */
  readonly on?: readonly string[];
  /** Whether ReLUs after a residual addition take part. */
  readonly post?: boolean;
  /** A preset other than the default one. */
  readonly preset?: string;
  /**
   * Of `sgm`: `hooked` leaves out the branches that its authors' code does not reach, and those without activations.
   */
  readonly blocks?: 'all' | 'hooked';
  readonly match?: RuleMatch;
}

/** Whether an image's gradient depends on the others of its batch, over which a rule takes lengths. */
export const mixesBatch = (specs: readonly RuleSpec[]): boolean =>
  specs.some(({ match }) => match?.kind === 'activation' && match.scope === 'batch');

/**
 * Reads the command line's notation, such as `linbp:from=layer3` or `linbp:only=fc.1,fc.3+softplus:beta=0.5,from=all`:
 * `name:option=value,...`, joined by `+`; of two rules for one ReLU the later decides. What the earlier one does at
 * max-pools, branches and attention maps stays.
 *
 * @param userRules further rules that may be named
 * @throws LinbpError `unknown-rule`, `unknown-option`, `bad-range` or `bad-argument`
 */
export function parseRules(text: string, userRules: readonly PointwiseRule[] = []): RuleSpec[] {
  check(typeof text === 'string', 'bad-argument', `rules must be a string, got ${quotedValue(text)}`, 'rules');
  expectList(userRules, 'userRules', { name: 'text' });
  return text.split('+').map((part) => parseRule(part.trim(), userRules));
}

function parseRule(text: string, userRules: readonly PointwiseRule[]): RuleSpec {
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  const user = userRules.find((rule) => rule.name === name);
  if (user === undefined && !Object.hasOwn(ruleTable, name)) {
    const names = [...ruleNames, ...userRules.map((rule) => rule.name)];
    const message = unknownName('rule', name, { names, command: 'linbp train --help' });
    throw new LinbpError('unknown-rule', message, { field: 'rule' });
  }
  const rule = user ?? (name as RuleName);
  const { from, only, on, post, preset, blocks, match, scope, lambda, ...numbers } = splitOptions(
    colon < 0 ? '' : text.slice(colon + 1),
    name,
  );
  const first = (values: readonly string[]): string => values[0]!;
  const spec: RuleSpec = {
    rule,
    parameters: parseParameters(rule, name, numbers),
    ...(from && { from: first(from) }),
    ...(only && { only }),
    ...(on && { on: parseKinds(on) }),
    ...(post && { post: parseChoice('post', first(post), { true: true, false: false }) }),
    ...(preset && { preset: first(preset) }),
    ...(blocks && { blocks: parseBlocks(name, user === undefined, first(blocks)) }),
  };
  if (match === undefined) {
    const stray = scope === undefined ? (lambda === undefined ? undefined : 'lambda') : 'scope';
    const kind = stray === 'lambda' ? 'block' : 'activation';
    check(stray === undefined, 'unknown-option', `${name}: ${stray} needs match=${kind}`, stray);
    return spec;
  }
  return { ...spec, match: parseMatch(name, first(match), scope?.[0], lambda?.[0]) };
}

/** Option values by name; a piece without `=` is one more value of `only` or `on`. */
function splitOptions(text: string, rule: string): Record<string, string[]> {
  const options: Record<string, string[]> = {};
  let last: string | undefined;
  for (const piece of text === '' ? [] : text.split(',')) {
    const [, key, written] = /^\s*([A-Za-z]\w*)\s*=(.*)$/.exec(piece) ?? [];
    const value = written?.trim();
    if (key === undefined && (last === 'only' || last === 'on') && piece.trim() !== '') {
      options[last]!.push(piece.trim());
      continue;
    }
    check(
      key !== undefined && value !== '',
      'unknown-option',
      `${rule}: expected option=value, got "${piece}"`,
      'rule',
    );
    check(!Object.hasOwn(options, key), 'unknown-option', `${rule}: ${key} is given twice`, key);
    options[key] = [value!];
    last = key;
  }
  return options;
}

function parseNumber(rule: string, option: string, text: string, range?: ParameterRange): number {
  const value = Number(text);
  const expected = range === undefined ? 'a finite number' : `a number ${range.expected}`;
  check(
    Number.isFinite(Math.fround(value)) && (range?.valid(Math.fround(value)) ?? true),
    'bad-range',
    `${rule}: ${option} must be ${expected}, got "${text}"`,
    option,
  );
  return value;
}

function parseParameters(
  rule: RuleName | PointwiseRule,
  name: string,
  given: Readonly<Record<string, string[]>>,
): Record<string, number> {
  const ranges: Readonly<Record<string, ParameterRange | undefined>> =
    typeof rule === 'string'
      ? ruleRow(rule).parameters
      : Object.fromEntries(rule.parameters.map((parameter) => [parameter, undefined]));
  for (const option of Object.keys(given)) {
    const places = ['from', 'only', 'on', 'post', 'preset', 'blocks', 'match', 'scope', 'lambda'];
    const names = [...Object.keys(ranges), ...places];
    if (Object.hasOwn(ranges, option)) continue;
    const message = `${name} has no option ${quoted(option)}${instead(option, { names })}`;
    throw new LinbpError('unknown-option', message, { field: option });
  }
  return Object.fromEntries(
    Object.entries(ranges).flatMap(([option, range]): [string, number][] => {
      const text = given[option]?.[0];
      if (text !== undefined) return [[option, parseNumber(name, option, text, range)]];
      if (range?.byDefault === 'open') return [];
      check(range?.byDefault !== undefined, 'bad-range', `${name} needs a value, as in ${name}:${option}=0.25`, option);
      return [[option, range.byDefault]];
    }),
  );
}

function parseKinds(kinds: readonly string[]): readonly string[] {
  const known = ['all', ...activationKinds];
  for (const kind of kinds)
    check(known.includes(kind), 'bad-range', `on must be ${known.join(', ')}, got "${kind}"`, 'on');
  return kinds;
}

function parseChoice<T>(option: string, text: string, choices: Readonly<Record<string, T>>): T {
  check(
    Object.hasOwn(choices, text),
    'bad-range',
    `${option} must be ${Object.keys(choices).join(' or ')}, got "${text}"`,
    option,
  );
  return choices[text]!;
}

function parseBlocks(rule: string, builtIn: boolean, text: string): 'all' | 'hooked' {
  const scales = builtIn && ruleRow(rule as RuleName).edge !== undefined;
  check(scales, 'unknown-option', `${rule}: blocks goes with sgm`, 'blocks');
  return parseChoice('blocks', text, { all: 'all', hooked: 'hooked' } as const);
}

function parseMatch(rule: string, text: string, scope: string | undefined, lambda: string | undefined): RuleMatch {
  const kind = parseChoice('match', text, { activation: 'activation', block: 'block' } as const);
  if (kind === 'activation') {
    check(lambda === undefined, 'unknown-option', `${rule}: lambda goes with match=block`, 'lambda');
    return { kind, scope: parseChoice('scope', scope ?? 'sample', { sample: 'sample', batch: 'batch' } as const) };
  }
  check(scope === undefined, 'unknown-option', `${rule}: scope goes with match=activation`, 'scope');
  const range = { byDefault: 1, valid: (value: number) => value >= 0, expected: 'of at least 0' };
  return { kind, lambda: parseNumber(rule, 'lambda', lambda ?? '1', range) };
}

/**
 * Rules in the notation that {@link parseRules} reads, such as `linbp:from=layer3`, defaults included. Rules of your
 * own are written by name, so that parsing needs them again.
 *
 * @throws LinbpError `bad-argument` for what is no list of rules
 */
export function formatRules(specs: readonly RuleSpec[]): string {
  expectList(specs, 'rules', {});
  for (const { rule } of specs) if (typeof rule !== 'string') expectMembers(rule, 'rule', { name: 'text' });
  return specs
    .map((spec) => {
      const options = Object.entries(spec.parameters ?? {}).map(([name, value]) => `${name}=${value}`);
      for (const name of ['from', 'post', 'preset', 'blocks'] as const)
        if (spec[name] !== undefined) options.push(`${name}=${spec[name]}`);
      if (spec.match?.kind === 'activation') options.push('match=activation', `scope=${spec.match.scope}`);
      if (spec.match?.kind === 'block') options.push('match=block', `lambda=${spec.match.lambda}`);
      if (spec.on !== undefined) options.push(`on=${spec.on.join(',')}`);
      if (spec.only !== undefined) options.push(`only=${spec.only.join(',')}`);
      const name = typeof spec.rule === 'string' ? spec.rule : spec.rule.name;
      return options.length === 0 ? name : `${name}:${options.join(',')}`;
    })
    .join('+');
}
