import { check, LinbpError } from '../errors.js';
import { activationMatched } from './activationMatched.js';
import { bp, deconvnet, guided, leaky, linbp, silu, softplus } from './builtin.js';
import type { RuleSpec } from './parse.js';
import type { ActivationBackward, RuleSelection } from './select.js';
import type { ActivationKind, RuleUse } from './types.js';
import { useRule } from './user.js';

/** Where an activation stands in its network. */
export type PositionKind = 'stem' | 'branch' | 'post-addition' | 'classifier' | 'conv';

/** One activation of a model. */
export interface ActivationPosition {
  /** The layer of its nodes, such as `fc.1` or `layer4.0.relu2`. */
  readonly name: string;
  /** What `from=<number>` compares with; rises along the network. */
  readonly index: number;
  /** Such as `layer4`. */
  readonly stage?: string;
  /** Number of its block within the stage, from 0. */
  readonly block?: number;
  readonly kind: PositionKind;
  readonly activation: ActivationKind;
}

/** The activations of a model in the order of the forward pass, and its named selections. */
export interface PositionTable {
  readonly model: string;
  readonly positions: readonly ActivationPosition[];
  /** ReLU names by preset; `default` is what `linbp` alone means. */
  readonly presets: Readonly<Record<string, readonly string[]>>;
  /** Why there is no default preset, or why it is empty, for the error that says so. */
  readonly presetNote?: string;
}

const quote = (table: PositionTable): string => `${table.model} has ${table.positions.map((position) => position.name).join(', ')}`;

function fromPreset(name: string, table: PositionTable): ActivationPosition[] {
  const preset = Object.hasOwn(table.presets, name) ? table.presets[name] : undefined;
  if (preset === undefined || preset.length === 0) {
    const reason =
      table.presetNote ?? (name === 'default' ? 'no paper states where to linearise it' : `known are ${Object.keys(table.presets).join(', ')}`);
    const what = name === 'default' ? 'no preset' : `no preset "${name}"`;
    throw new LinbpError('unknown-layer', `${table.model} has ${what} (${reason}); give from= or only=: ${quote(table)}`, { field: 'preset' });
  }
  return preset.map((each) => {
    const position = table.positions.find((candidate) => candidate.name === each);
    check(position !== undefined, 'internal', `preset ${name} of ${table.model} names "${each}", which is not one of its ReLUs`, each);
    return position;
  });
}

/** Stage number of `layer3`: the digits it ends in. */
const stageNumber = (position: ActivationPosition): number => Number(/\d+$/.exec(position.stage ?? '')?.[0] ?? NaN);

function fromPlace(from: string, post: boolean | undefined, table: PositionTable): ActivationPosition[] {
  const { positions } = table;
  const branch = /^(\d+)_(\d+)$/.exec(from);
  let chosen: ActivationPosition[];
  if (branch !== null) {
    const [stage, block] = [Number(branch[1]), Number(branch[2])];
    const later = positions.filter((position) => {
      const number = stageNumber(position);
      return position.block !== undefined && (number > stage || (number === stage && position.block >= block));
    });
    chosen = later.filter((position) => position.kind === 'branch' || (position.kind === 'post-addition' && post === true));
  } else {
    const first = /^\d+$/.test(from)
      ? positions.findIndex((position) => position.index >= Number(from))
      : from === 'all'
        ? 0
        : positions.findIndex(({ stage, name }) => stage === from || name === from || name.startsWith(`${from}.`));
    chosen = first < 0 ? [] : positions.slice(first);
  }
  check(chosen.length > 0, 'unknown-layer', `from=${from} names no ReLU, block or stage of the model; ${quote(table)}`, 'from');
  return chosen;
}

function globPattern(glob: string): RegExp {
  return new RegExp(
    `^${glob
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*/g, '.*')
      .replace(/\?/g, '.')}$`,
  );
}

/**
 * The activations that a rule applies to.
 * Throws `unknown-layer`, listing the positions, where it names none.
 */
export function selectPositions(spec: RuleSpec, table: PositionTable): readonly ActivationPosition[] {
  check(spec.preset === undefined || spec.from === undefined, 'unknown-option', 'from= and preset= exclude each other', 'preset');
  const everywhere = spec.rule !== 'linbp' || spec.only !== undefined || spec.match?.kind === 'block';
  let chosen =
    spec.from !== undefined
      ? fromPlace(spec.from, spec.post, table)
      : spec.preset !== undefined || !everywhere
        ? fromPreset(spec.preset ?? 'default', table)
        : [...table.positions];
  if (spec.post === false) chosen = chosen.filter((position) => position.kind !== 'post-addition');
  for (const glob of spec.only ?? []) {
    const pattern = globPattern(glob);
    check(
      chosen.some((position) => pattern.test(position.name)),
      'unknown-layer',
      `only=${glob} fits no ReLU${spec.from === undefined ? '' : ` at or after ${spec.from}`}; ${quote(table)}`,
      'only',
    );
  }
  const patterns = spec.only?.map(globPattern);
  return patterns === undefined ? chosen : chosen.filter((position) => patterns.some((pattern) => pattern.test(position.name)));
}

function pointwiseUse(spec: RuleSpec, activation: ActivationKind): RuleUse {
  const parameters = spec.parameters ?? {};
  switch (spec.rule) {
    case 'bp':
      return bp;
    case 'linbp':
      return linbp;
    case 'guided':
      return guided;
    case 'deconvnet':
      return deconvnet;
    case 'leaky':
      return leaky(parameters['a'] ?? NaN);
    case 'softplus':
      return softplus(parameters['beta'] ?? 0.5, activation);
    case 'silu':
      return silu(activation);
    case 'sgm':
    case 'bpa':
      throw new LinbpError('unknown-rule', `${spec.rule} acts on more than activations, which this model does not offer`, { field: 'rule' });
    default:
      return useRule(spec.rule, parameters);
  }
}

function backwardOf(spec: RuleSpec, activation: ActivationKind): ActivationBackward {
  check(spec.match?.kind !== 'block', 'unknown-option', 'match=block needs a model with marked residual branches', 'match');
  const use = pointwiseUse(spec, activation);
  return spec.match === undefined ? { kind: 'pointwise', use } : { kind: 'emit', rule: activationMatched({ scope: spec.match.scope, base: use }) };
}

/**
 * Settles which backward each activation of a model gets: bp, unless a rule selects it; of several the last.
 * Throws `unknown-layer`, `unknown-option`, `unknown-rule` or `bad-range` before any graph is built.
 */
export function resolveRules(specs: readonly RuleSpec[], table: PositionTable): RuleSelection {
  const chosen = new Map<string, ActivationBackward>(table.positions.map(({ name }) => [name, { kind: 'pointwise', use: bp }]));
  for (const spec of specs) {
    for (const { name, activation } of selectPositions(spec, table)) chosen.set(name, backwardOf(spec, activation));
  }
  return (node) => {
    const backward = chosen.get(node.layer);
    check(backward !== undefined, 'internal', `activation "${node.layer}" is not in the position table of ${table.model}`, node.layer);
    return backward;
  };
}

/** One rule for every activation. */
export function everywhere(use: RuleUse): RuleSelection {
  return () => ({ kind: 'pointwise', use });
}
