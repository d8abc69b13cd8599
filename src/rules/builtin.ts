import { expectFloat32Number } from '../arguments.js';
import type { ActivationKind, BoundRule, PointwiseRule } from '../graph/rule.js';
import { expectFewParameters } from './parameters.js';
import { shaderSource } from '../wgsl/link.js';
import { ruleNames, ruleRow } from './table.js';
import type { ActivationRow, ParameterValues, RuleName, ruleTable } from './table.js';

/** Rules whose row has a function of its own. */
type PointwiseName = {
  [K in RuleName]: (typeof ruleTable)[K] extends { readonly activation: ActivationRow } ? K : never;
}[RuleName];

function pointwiseRule(name: string, row: ActivationRow, named: readonly string[]): PointwiseRule {
  const parameters = row.uniforms ?? named;
  expectFewParameters(name, parameters);
  return {
    name,
    saves: row.saves,
    identity: name === 'linbp',
    parameters,
    wgsl: shaderSource(`rules/${name}`),
    reference: row.reference,
  };
}

/** The pointwise functions of the built-in rules by name. Use the functions below to bind their parameters. */
export const builtinRules = Object.fromEntries(
  ruleNames.flatMap((name) => {
    const { activation, parameters } = ruleRow(name);
    return typeof activation === 'object' ? [[name, pointwiseRule(name, activation, Object.keys(parameters))]] : [];
  }),
) as Readonly<Record<PointwiseName, PointwiseRule>>;

/** Where the activation is cut off above; 0 where it is not. */
const ceilings: Readonly<Partial<Record<ActivationKind, number>>> = { relu6: 6, relu6Official: 6 };

/** What a rule of the table does at an activation; undefined for rules that change none. */
export function bindRule(name: RuleName, values: ParameterValues, kind: ActivationKind): BoundRule | undefined {
  const { activation } = ruleRow(name);
  if (activation === undefined) return undefined;
  const rule = builtinRules[(typeof activation === 'string' ? activation : name) as PointwiseName];
  const known: ParameterValues = { scale: 1, ...values, ceiling: ceilings[kind] ?? 0 };
  return { rule, values: rule.parameters.map((parameter) => known[parameter] ?? NaN) };
}

/** The true backward: g d. */
export const bp: BoundRule = { rule: builtinRules.bp, values: [] };

/** The linear backward: g (LinBP). No kernel runs and nothing is stored. */
export const linbp: BoundRule = { rule: builtinRules.linbp, values: [] };

/** Guided backpropagation: g d [g > 0]. */
export const guided: BoundRule = { rule: builtinRules.guided, values: [] };

/** Deconvnet: g [g > 0]. */
export const deconvnet: BoundRule = { rule: builtinRules.deconvnet, values: [] };

/**
 * Partial mask: g where the activation is not flat, a g where it is; `a` = 0 is bp and 1 is linbp. Throws `bad-range`
 * unless `a` is finite.
 */
export function leaky(a: number): BoundRule {
  expectFloat32Number(a, 'a', () => true, 'a finite number');
  return { rule: builtinRules.leaky, values: [a] };
}

/**
 * Derivative of softplus (ConBP): g sigma(beta z), beta > 0. `kind` is the activation it stands in for. Throws
 * `bad-range`.
 */
export function softplus(beta: number, kind: ActivationKind = 'relu'): BoundRule {
  expectFloat32Number(beta, 'beta', (value) => value > 0, 'a positive number');
  return { rule: builtinRules.softplus, values: [beta, ceilings[kind] ?? 0] };
}

/**
 * Derivative of SiLU (BPA): scale g (sigma(z) + z sigma(z) (1 - sigma(z))). `kind` is the activation it stands in for.
 * Throws `bad-range` unless `scale` is positive.
 */
export function silu(kind: ActivationKind = 'relu', scale = 1): BoundRule {
  expectFloat32Number(scale, 'scale', (value) => value > 0, 'a positive number');
  return { rule: builtinRules.silu, values: [ceilings[kind] ?? 0, scale] };
}
