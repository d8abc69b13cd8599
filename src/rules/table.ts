import type { EdgeBackward, MaxPoolBackward } from '../graph/backward.js';
import type { PointwiseRule, RuleSaves } from '../graph/rule.js';
import { scaledEdge } from './scaledEdge.js';
import { softmaxPool } from './softmaxPool.js';

/** A number that a rule takes, as in `leaky:a=0.25`. */
export interface ParameterRange {
  /** `undefined`: a value must be given; `open`: the rule decides where it is applied. */
  readonly byDefault: number | 'open' | undefined;
  readonly valid: (value: number) => boolean;
  /** Ends the sentence "must be a number ...". */
  readonly expected: string;
}

/** Values of a rule's parameters by name. */
export type ParameterValues = Readonly<Record<string, number>>;

/** What a rule does at activations: one function in WGSL, `shaders/rules/<name>.wgsl`, and the same in JavaScript. */
export interface ActivationRow {
  readonly saves: RuleSaves;
  /** Uniforms in the order of the shader: parameters, or `ceiling`, where the activation is cut off (0: nowhere). */
  readonly uniforms?: readonly string[];
  readonly reference: PointwiseRule['reference'];
}

/** A built-in rule: what may be written about it, where it stands, and how its backwards are made. */
export interface RuleRow {
  readonly parameters: Readonly<Record<string, ParameterRange>>;
  /** What it does at activations: a function of its own, or the name of the row whose function it takes. */
  readonly activation?: ActivationRow | string;
  /** What it does at max-pools and at the edges into residual branches. */
  readonly maxPool?: (values: ParameterValues) => MaxPoolBackward;
  readonly edge?: (values: ParameterValues) => EdgeBackward;
  /** Whether it stops gradients at attention maps. */
  readonly fixedAttention?: boolean;
  /** The preset it stands at where no place is written; a preset that is not required is all ReLUs if there is none. */
  readonly preset?: { readonly name: string; readonly required: boolean };
  /** Whether `from=j_k` also takes the ReLUs after additions. */
  readonly afterAdditions?: boolean;
}

function logistic(x: number): number {
  const e = Math.exp(-Math.abs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}

function siluDerivative(z: number): number {
  const s = logistic(z);
  return s + z * s * logistic(-z);
}

const positive = { valid: (value: number) => value > 0, expected: 'above 0' };
const share = { valid: (value: number) => value >= 0 && value <= 1, expected: 'from 0 to 1' };

/**
 * The built-in rules, one row each (`pna` is Pay No Attention, Z. Wei et al., 2022); docs/adding-a-rule.md tells how to
 * add one. What the pointwise ones mean for ReLU6(z) = ReLU(z) - ReLU(z - 6):
 *
 * - `bp`: g [0 < z < 6]
 * - `linbp`: g, on both flat sides
 * - `leaky`: a g on both flat sides, g between
 * - `guided`: bp of positive gradients only
 * - `deconvnet`: positive gradients pass, on both flat sides
 * - `softplus`: both kinks smoothed, g (sigma(beta z) - sigma(beta (z - 6)))
 * - `silu`: both ReLUs replaced, g (SiLU'(z) - SiLU'(z - 6))
 */
export const ruleTable = {
  bp: { parameters: {}, activation: { saves: 'mask', reference: (g, d) => g * d } },
  linbp: {
    parameters: {},
    activation: { saves: 'nothing', reference: (g) => g },
    preset: { name: 'default', required: true },
  },
  leaky: {
    parameters: { a: { byDefault: undefined, ...share } },
    activation: { saves: 'mask', reference: (g, d, _z, [a = 0]) => g * (d + a * (1 - d)) },
  },
  softplus: {
    parameters: { beta: { byDefault: 0.5, ...positive } },
    activation: {
      saves: 'input',
      uniforms: ['beta', 'ceiling'],
      reference: (g, _d, z, [beta = 1, ceiling = 0]) =>
        g * (logistic(beta * z) - (ceiling > 0 ? logistic(beta * (z - ceiling)) : 0)),
    },
  },
  silu: {
    parameters: {},
    activation: {
      saves: 'input',
      uniforms: ['ceiling', 'scale'],
      reference: (g, _d, z, [ceiling = 0, scale = 1]) =>
        scale * g * (siluDerivative(z) - (ceiling > 0 ? siluDerivative(z - ceiling) : 0)),
    },
  },
  guided: { parameters: {}, activation: { saves: 'mask', reference: (g, d) => Math.max(g, 0) * d } },
  deconvnet: { parameters: {}, activation: { saves: 'nothing', reference: (g) => Math.max(g, 0) } },
  sgm: {
    parameters: { gamma: { byDefault: 0.2, ...share } },
    edge: ({ gamma = 0.2 }) => scaledEdge(gamma),
  },
  pna: { parameters: {}, fixedAttention: true },
  bpa: {
    parameters: { tau: { byDefault: 'open', ...positive }, scale: { byDefault: 1, ...positive } },
    activation: 'silu',
    maxPool: ({ tau }) => softmaxPool(tau),
    preset: { name: 'bpa', required: false },
    afterAdditions: true,
  },
} as const satisfies Readonly<Record<string, RuleRow>>;

/** Rules that the notation knows by name. */
export type RuleName = keyof typeof ruleTable;

/** Names of the built-in rules. */
export const ruleNames = Object.keys(ruleTable) as readonly RuleName[];

/** A built-in rule by name. */
export const ruleRow = (name: RuleName): RuleRow => ruleTable[name];
