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

/** The true backward: dL/dz = g d, from g = dL/dy and the true derivative d = dy/dz. */
export const bp: BoundRule = { rule: builtinRules.bp, values: [] };

/**
 * The linear backward, LinBP: dL/dz = g (Y. Guo, Q. Li, H. Chen, "Backpropagating linearly improves transferability of
 * adversarial examples", NeurIPS 2020). No kernel runs and nothing is stored.
 */
export const linbp: BoundRule = { rule: builtinRules.linbp, values: [] };

/**
 * Guided backpropagation: dL/dz = g d where g > 0, else 0 (J. Springenberg et al., "Striving for simplicity: the all
 * convolutional net", ICLR workshop 2015).
 */
export const guided: BoundRule = { rule: builtinRules.guided, values: [] };

/**
 * Deconvnet: dL/dz = g where g > 0, else 0 (M. Zeiler, R. Fergus, "Visualizing and understanding convolutional
 * networks", ECCV 2014).
 */
export const deconvnet: BoundRule = { rule: builtinRules.deconvnet, values: [] };

/**
 * Partial mask: dL/dz = g where the activation is not flat, a g where it is; `a` = 0 is bp and 1 is linbp.
 *
 * @param a finite in float32; the notation of `--rule` takes 0 to 1 only
 * @throws LinbpError `bad-range`
 */
export function leaky(a: number): BoundRule {
  expectFloat32Number(a, 'a', () => true, 'a finite number');
  return { rule: builtinRules.leaky, values: [a] };
}

/**
 * Derivative of softplus in place of that of ReLU: dL/dz = g sigma(beta z) (ConBP of TA-Bench, Q. Li et al., NeurIPS
 * 2023, without its matching).
 *
 * @param beta sharpness, above 0
 * @param kind the activation that it is used for
 * @throws LinbpError `bad-range`
 */
export function softplus(beta: number, kind: ActivationKind = 'relu'): BoundRule {
  expectFloat32Number(beta, 'beta', (value) => value > 0, 'a positive number');
  return { rule: builtinRules.softplus, values: [beta, ceilings[kind] ?? 0] };
}

/**
 * Derivative of SiLU in place of that of ReLU: dL/dz = scale g (sigma(z) + z sigma(z) (1 - sigma(z))) (BPA: X. Wang,
 * K. Tong, K. He, "Rethinking the backward propagation for adversarial transferability", NeurIPS 2023).
 *
 * @param kind the activation that it is used for
 * @param scale factor, above 0
 * @throws LinbpError `bad-range`
 */
export function silu(kind: ActivationKind = 'relu', scale = 1): BoundRule {
  expectFloat32Number(scale, 'scale', (value) => value > 0, 'a positive number');
  return { rule: builtinRules.silu, values: [ceilings[kind] ?? 0, scale] };
}
