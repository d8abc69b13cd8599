import { wgslRule } from '../../rules/user.js';

/** The rule that shows how to write one: what a ReLU blocks passes by half. */
export const ownRule = {
  code: `wgslRule({
  name: 'half',
  saves: 'mask',
  wgsl: 'fn rule(g: f32, d: f32, z: f32, p: RuleParams) -> f32 { return select(0.5 * g, g, d > 0.0); }',
})`,
  rule: wgslRule({
    name: 'half',
    saves: 'mask',
    wgsl: 'fn rule(g: f32, d: f32, z: f32, p: RuleParams) -> f32 { return select(0.5 * g, g, d > 0.0); }',
    reference: (g, d) => (d > 0 ? g : 0.5 * g),
  }),
} as const;

/** A row of the leaderboard: a backward rule, as `--rule` takes it, and what readers call it. */
export interface Contender {
  readonly rule: string;
  readonly name: string;
  /** What stands in the place of the ReLU's mask, in few words. */
  readonly mask: string;
  /** The same with everything else that the rule does. */
  readonly means: string;
  /** The ReLUs at which it stands. */
  readonly where: string;
  /** What it changes besides the ReLUs' mask, in few words. */
  readonly also?: string;
}

/** The true gradient's name: the row that all others are compared with. */
const truth = {
  rule: 'bp',
  name: 'BP (the true gradient)',
  mask: '1 or 0, the mask',
  means: 'the mask itself: 1 where the input was positive, 0 elsewhere',
  where: 'all',
} as const;
const linear = { name: 'LinBP', mask: 'always 1' } as const;
const smooth = {
  name: 'softplus',
  mask: 'a smooth step',
  means: 'a smooth step from 0 to 1, 1 / (1 + exp(-5 z)), the derivative of softplus',
} as const;
const silu = { name: 'BPA', mask: "SiLU's derivative" } as const;
const siluMeans = 'the derivative of SiLU, a smooth step that runs a little below 0 and above 1';
/** What readers call the rule that shows how to write one. */
export const ownName = 'half (own rule)';
const own = { name: ownName, mask: '1 or 0.5', means: '1 where the input was positive, 0.5 elsewhere' } as const;

/** The rules for ResNet-20: the last of its three stages is where the papers change the backward. */
export const cifarRules: readonly Contender[] = [
  truth,
  {
    ...linear,
    rule: 'linbp:from=3_1,match=block',
    means: "always 1; each residual branch's gradient keeps its true length",
    where: 'in residual branches, from the second block of the last stage on',
  },
  { ...smooth, rule: 'softplus:beta=5,from=layer3', where: 'in the last stage' },
  { ...silu, rule: 'bpa', means: siluMeans, where: 'from the second block of the last stage on' },
  { ...own, rule: 'half:from=layer3', where: 'in the last stage' },
];

/** The rules for the digits' convolutional network. */
export const digitRules: readonly Contender[] = [
  truth,
  { ...linear, rule: 'linbp:from=relu3', means: 'always 1', where: 'the last one' },
  { ...smooth, rule: 'softplus:beta=5', where: 'all' },
  {
    ...silu,
    rule: 'bpa',
    means: `${siluMeans}; max-pools share their gradient out instead of giving it to the largest input`,
    where: 'all',
    also: 'max-pools that share their gradient out',
  },
  { ...own, rule: 'half', where: 'all' },
];
