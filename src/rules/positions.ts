import { check, LinbpError } from '../errors.js';
import type { Node, Region } from '../graph/types.js';
import { activationMatched } from './activationMatched.js';
import { blockMatched } from './blockMatched.js';
import { bp, deconvnet, guided, leaky, linbp, silu, softplus } from './builtin.js';
import type { RuleSpec } from './parse.js';
import { scaledEdge } from './scaledEdge.js';
import type {
  ActivationBackward,
  EdgeBackward,
  MaxPoolBackward,
  RegionBackward,
  BackwardSelection,
} from '../graph/backward.js';
import { softmaxPool } from './softmaxPool.js';
import type { ActivationKind, BoundRule } from '../graph/rule.js';
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

/** A residual branch and the names of the activations inside. */
export interface BranchPlace {
  readonly name: string;
  readonly activations: readonly string[];
}

/** The activations of a model in the order of the forward pass, and its named selections. */
export interface PositionTable {
  readonly model: string;
  readonly positions: readonly ActivationPosition[];
  /** What `sgm` and `match=block` can act on. */
  readonly branches?: readonly BranchPlace[];
  /** ReLU names by preset; `default` is what `linbp` alone means. */
  readonly presets: Readonly<Record<string, readonly string[]>>;
  /** Why there is no default preset, or why it is empty, for the error that says so. */
  readonly presetNote?: string;
}

const quote = (table: PositionTable): string =>
  `${table.model} has ${table.positions.map((position) => position.name).join(', ')}`;

function fromPreset(name: string, table: PositionTable): ActivationPosition[] {
  const preset = Object.hasOwn(table.presets, name) ? table.presets[name] : undefined;
  if (preset === undefined || preset.length === 0) {
    const reason =
      table.presetNote ??
      (name === 'default'
        ? 'no paper states where to linearize it'
        : `known are ${Object.keys(table.presets).join(', ')}`);
    const what = name === 'default' ? 'no preset' : `no preset "${name}"`;
    throw new LinbpError(
      'unknown-layer',
      `${table.model} has ${what} (${reason}); give from= or only=: ${quote(table)}`,
      { field: 'preset' },
    );
  }
  return preset.map((each) => {
    const position = table.positions.find((candidate) => candidate.name === each);
    check(
      position !== undefined,
      'internal',
      `preset ${name} of ${table.model} names "${each}", which is not one of its ReLUs`,
      each,
    );
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
    chosen = later.filter(
      (position) => position.kind === 'branch' || (position.kind === 'post-addition' && post === true),
    );
    // Block 0 of the stage after the last is the end of the network: nothing is left to select.
    if (
      block === 0 &&
      stage === 1 + Math.max(...positions.filter((position) => position.block !== undefined).map(stageNumber))
    )
      return chosen;
  } else {
    const first = /^\d+$/.test(from)
      ? positions.findIndex((position) => position.index >= Number(from))
      : from === 'all'
        ? 0
        : positions.findIndex(({ stage, name }) => stage === from || name === from || name.startsWith(`${from}.`));
    chosen = first < 0 ? [] : positions.slice(first);
  }
  check(
    chosen.length > 0,
    'unknown-layer',
    `from=${from} names no ReLU, block or stage of the model; ${quote(table)}`,
    'from',
  );
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
  check(
    spec.preset === undefined || spec.from === undefined,
    'unknown-option',
    'from= and preset= exclude each other',
    'preset',
  );
  const bpa = spec.rule === 'bpa';
  const usual =
    spec.only !== undefined
      ? undefined
      : spec.rule === 'linbp'
        ? 'default'
        : bpa && table.presets['bpa'] !== undefined
          ? 'bpa'
          : undefined;
  const preset = spec.preset ?? usual;
  let chosen =
    spec.from !== undefined
      ? fromPlace(spec.from, spec.post ?? (bpa ? true : undefined), table)
      : preset !== undefined
        ? fromPreset(preset, table)
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
  if (patterns !== undefined)
    chosen = chosen.filter((position) => patterns.some((pattern) => pattern.test(position.name)));
  return spec.match?.kind === 'block' ? insideBranches(chosen, spec, table) : chosen;
}

/**
 * What block matching changes: ReLUs inside branches, whose length it restores, and those after additions where asked
 * for.
 */
function insideBranches(
  chosen: readonly ActivationPosition[],
  spec: RuleSpec,
  table: PositionTable,
): ActivationPosition[] {
  const inside = new Set(table.branches?.flatMap((branch) => branch.activations));
  check(
    chosen.length === 0 || chosen.some((position) => inside.has(position.name)),
    'unknown-layer',
    inside.size === 0
      ? `match=block needs residual branches; ${table.model} has none`
      : `match=block: no ReLU inside a residual branch is selected; ${quote(table)}`,
    'match',
  );
  return chosen.filter(
    (position) => inside.has(position.name) || (spec.post === true && position.kind === 'post-addition'),
  );
}

/** The residual branches with any of the selected activations. */
function branchesOf(selected: readonly ActivationPosition[], table: PositionTable): readonly BranchPlace[] {
  const names = new Set(selected.map((position) => position.name));
  return (table.branches ?? []).filter((branch) => branch.activations.some((name) => names.has(name)));
}

function pointwiseUse(spec: RuleSpec, activation: ActivationKind): BoundRule {
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
    case 'bpa':
      return silu(activation, parameters['scale'] ?? 1);
    case 'sgm':
      throw new LinbpError('internal', 'sgm changes no activation', { field: 'rule' });
    default:
      return useRule(spec.rule, parameters);
  }
}

function backwardOf(spec: RuleSpec, activation: ActivationKind): ActivationBackward {
  const use = pointwiseUse(spec, activation);
  return spec.match?.kind === 'activation'
    ? { kind: 'emit', rule: activationMatched({ scope: spec.match.scope, base: use }) }
    : { kind: 'pointwise', use };
}

/**
 * Settles which backward each activation, max-pool and residual branch of a model gets: the true one, unless a rule
 * selects it; of several of one kind the last.
 * Throws `unknown-layer`, `unknown-option`, `unknown-rule` or `bad-range` before any graph is built.
 */
export function resolveRules(specs: readonly RuleSpec[], table: PositionTable): BackwardSelection {
  const chosen = new Map<string, ActivationBackward>(
    table.positions.map(({ name }) => [name, { kind: 'pointwise', use: bp }]),
  );
  const regions = new Map<string, RegionBackward>();
  const edges = new Map<string, EdgeBackward>();
  let pool: MaxPoolBackward | undefined;
  for (const spec of specs) {
    const selected = selectPositions(spec, table);
    if (spec.rule === 'sgm') {
      check(spec.match === undefined, 'unknown-option', 'sgm scales exactly; it takes no match=', 'match');
      const branches = branchesOf(selected, table);
      const place =
        (table.branches ?? []).length === 0 ? `${table.model} has none` : `none holds a selected ReLU; ${quote(table)}`;
      check(
        branches.length > 0 || selected.length === 0,
        'unknown-layer',
        `sgm acts on residual branches; ${place}`,
        'rule',
      );
      const edge = scaledEdge(spec.parameters?.['gamma'] ?? 0.2);
      for (const { name } of branches) edges.set(name, edge);
      continue;
    }
    for (const { name, activation } of selected) chosen.set(name, backwardOf(spec, activation));
    if (spec.rule === 'bpa') pool = softmaxPool(spec.parameters?.['tau']);
    if (spec.match?.kind === 'block') {
      const rule = blockMatched(spec.match.lambda);
      for (const { name } of branchesOf(selected, table)) regions.set(name, rule);
    }
  }
  const activations = (node: Node<'activation'>): ActivationBackward => {
    const backward = chosen.get(node.layer);
    check(
      backward !== undefined,
      'internal',
      `activation "${node.layer}" is not in the position table of ${table.model}`,
      node.layer,
    );
    return backward;
  };
  // Only the kinds that some rule changes, so that a selection of activations alone costs the walk nothing.
  return Object.assign(activations, {
    ...(pool !== undefined && { maxPool: () => pool }),
    ...(regions.size > 0 && { region: ({ name }: Region) => regions.get(name) }),
    ...(edges.size > 0 && { edge: ({ name }: Region) => edges.get(name) }),
  });
}

/** One rule for every activation. */
export function everywhere(use: BoundRule): BackwardSelection {
  return () => ({ kind: 'pointwise', use });
}
