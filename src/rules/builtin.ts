import { check } from '../errors.js';
import { shaderSource } from '../wgsl/link.js';
import type { ActivationKind, PointwiseRule, RuleSaves, BoundRule } from '../graph/rule.js';

/*
 * What the built-in pointwise rules mean for ReLU6(z) = ReLU(z) - ReLU(z - 6):
 *
 *   bp        g [0 < z < 6]
 *   linbp     g, on both flat sides
 *   leaky     a g on both flat sides, g between
 *   guided    bp of positive gradients only
 *   deconvnet positive gradients pass, on both flat sides
 *   softplus  both kinks smoothed: g (sigma(beta z) - sigma(beta (z - 6)))
 *   silu      both ReLUs replaced: g (SiLU'(z) - SiLU'(z - 6))
 *
 * The last two therefore take the activation's ceiling as a parameter; 0 stands for none.
 */

function builtin(
  name: string,
  saves: RuleSaves,
  parameters: readonly string[],
  reference: PointwiseRule['reference'],
): PointwiseRule {
  return { name, saves, identity: name === 'linbp', parameters, wgsl: shaderSource(`rules/${name}`), reference };
}

function logistic(x: number): number {
  const e = Math.exp(-Math.abs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}

function siluDerivative(z: number): number {
  const s = logistic(z);
  return s + z * s * logistic(-z);
}

/** The built-in rules by name. Use the functions below to bind their parameters. */
export const builtinRules = {
  bp: builtin('bp', 'mask', [], (g, d) => g * d),
  linbp: builtin('linbp', 'nothing', [], (g) => g),
  leaky: builtin('leaky', 'mask', ['a'], (g, d, _z, [a = 0]) => g * (d + a * (1 - d))),
  softplus: builtin('softplus', 'input', ['beta', 'ceiling'], (g, _d, z, [beta = 1, ceiling = 0]) => {
    return g * (logistic(beta * z) - (ceiling > 0 ? logistic(beta * (z - ceiling)) : 0));
  }),
  silu: builtin('silu', 'input', ['ceiling', 'scale'], (g, _d, z, [ceiling = 0, scale = 1]) => {
    return scale * g * (siluDerivative(z) - (ceiling > 0 ? siluDerivative(z - ceiling) : 0));
  }),
  guided: builtin('guided', 'mask', [], (g, d) => Math.max(g, 0) * d),
  deconvnet: builtin('deconvnet', 'nothing', [], (g) => Math.max(g, 0)),
} as const;

export type BuiltinRuleName = keyof typeof builtinRules;

/** Where the activation is cut off above; 0 where it is not. */
const ceilings: Record<ActivationKind, number> = { relu: 0, relu6: 6, relu6Official: 6 };

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
  check(Number.isFinite(a), 'bad-range', `leaky: a must be a finite number, got ${a}`, 'a');
  return { rule: builtinRules.leaky, values: [a] };
}

/**
 * Derivative of softplus (ConBP): g sigma(beta z), beta > 0. `kind` is the activation it stands in for. Throws
 * `bad-range`.
 */
export function softplus(beta: number, kind: ActivationKind = 'relu'): BoundRule {
  check(
    Number.isFinite(beta) && beta > 0,
    'bad-range',
    `softplus: beta must be a positive number, got ${beta}`,
    'beta',
  );
  return { rule: builtinRules.softplus, values: [beta, ceilings[kind]] };
}

/**
 * Derivative of SiLU (BPA): scale g (sigma(z) + z sigma(z) (1 - sigma(z))). `kind` is the activation it stands in for.
 * Throws `bad-range` unless `scale` is positive.
 */
export function silu(kind: ActivationKind = 'relu', scale = 1): BoundRule {
  check(
    Number.isFinite(scale) && scale > 0,
    'bad-range',
    `silu: scale must be a positive number, got ${scale}`,
    'scale',
  );
  return { rule: builtinRules.silu, values: [ceilings[kind], scale] };
}
