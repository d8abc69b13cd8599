import { expectFields, expectObject } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { activationKinds } from '../graph/functions.js';
import { instead, unknownName } from '../names.js';
import { quoted, quotedValue } from '../quote.js';
import type { RuleSpec } from './parse.js';
import { ruleNames, ruleRow, ruleTable } from './table.js';
import type { RuleName } from './table.js';

const specFields: FieldNames<RuleSpec> = {
  ...{ rule: true, parameters: true, from: true, only: true, on: true, post: 'flag', preset: true, blocks: true },
  match: true,
};

const areStrings = (value: unknown): boolean => Array.isArray(value) && value.every((each) => typeof each === 'string');

/** Throws `unknown-option` or `bad-range` unless a field that is there is one of a few values. */
function expectChoice(field: keyof RuleSpec, value: unknown, known: readonly unknown[]): void {
  const message = `${field} must be ${known.join(' or ')}, got ${quotedValue(value)}`;
  check(value === undefined || known.includes(value), 'bad-range', message, field);
}

function expectPlaces({ from, only, on, preset, blocks, match }: RuleSpec, scales: boolean): void {
  for (const [field, value] of Object.entries({ from, preset }))
    check(value === undefined || typeof value === 'string', 'bad-argument', `${field} must be a string`, field);
  for (const [field, value] of Object.entries({ only, on }))
    check(value === undefined || areStrings(value), 'bad-argument', `${field} must be a list of strings`, field);
  for (const kind of on ?? []) expectChoice('on', kind, ['all', ...activationKinds]);
  expectChoice('blocks', blocks, ['all', 'hooked']);
  check(blocks === undefined || scales, 'unknown-option', 'blocks goes with sgm', 'blocks');
  if (match === undefined) return;
  expectObject(match, 'match');
  expectChoice('match', match.kind, ['activation', 'block']);
  if (match.kind === 'activation') expectChoice('match', match.scope, ['sample', 'batch']);
}

/** Values of a built-in rule's parameters with defaults filled in; those that the rule decides on itself stay open. */
function settledParameters(name: RuleName, given: Readonly<Record<string, number>>): Record<string, number> {
  const ranges = ruleRow(name).parameters;
  for (const option of Object.keys(given)) {
    if (Object.hasOwn(ranges, option)) continue;
    const known = Object.keys(ranges);
    const others = known.length === 0 ? '; it has none' : instead(option, { names: known });
    throw new LinbpError('unknown-option', `${name} has no parameter ${quoted(option)}${others}`, { field: option });
  }
  const settled: Record<string, number> = {};
  for (const [option, { byDefault, valid, expected }] of Object.entries(ranges)) {
    const value: unknown = given[option] ?? byDefault;
    if (value === 'open') continue;
    const number = typeof value === 'number' ? value : NaN;
    const got = value === undefined ? 'nothing' : quotedValue(value);
    const message = `${name}: ${option} must be a number ${expected}, got ${got}`;
    check(Number.isFinite(Math.fround(number)) && valid(Math.fround(number)), 'bad-range', message, option);
    settled[option] = number;
  }
  return settled;
}

function settledSpec(spec: RuleSpec): RuleSpec {
  expectFields(spec, specFields);
  const { rule, parameters = {} } = spec;
  expectObject(parameters, 'parameters');
  if (typeof rule === 'object' && (rule as unknown) !== null) {
    expectPlaces(spec, false);
    return spec;
  }
  const known = typeof rule === 'string' && Object.hasOwn(ruleTable, rule);
  const message = unknownName('rule', String(rule), { names: ruleNames });
  if (!known) throw new LinbpError('unknown-rule', message, { field: 'rule' });
  expectPlaces(spec, ruleRow(rule).edge !== undefined);
  return { ...spec, parameters: settledParameters(rule, parameters) };
}

/**
 * Rules as callers write them in code, with the defaults of their parameters: types are known to TypeScript only.
 *
 * @throws LinbpError `unknown-rule`, `unknown-option`, `bad-range` or `bad-argument`
 */
export function settledSpecs(specs: readonly RuleSpec[]): readonly RuleSpec[] {
  check(Array.isArray(specs), 'bad-argument', `rules must be a string or a list, got ${quotedValue(specs)}`, 'rules');
  return specs.map(settledSpec);
}
