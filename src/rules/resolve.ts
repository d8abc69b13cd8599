import { expectList, expectMembers } from '../arguments.js';
import { check } from '../errors.js';
import type {
  ActivationBackward,
  BackwardSelection,
  EdgeBackward,
  MaxPoolBackward,
  RegionBackward,
} from '../graph/backward.js';
import type { ActivationKind, BoundRule } from '../graph/rule.js';
import type { Node, Region } from '../graph/types.js';
import { activationMatched } from './activationMatched.js';
import { blockMatched } from './blockMatched.js';
import { bindRule, bp } from './builtin.js';
import { settledSpecs } from './check.js';
import type { RuleSpec } from './parse.js';
import type { ActivationPosition, BranchPlace, PositionTable } from './positions.js';
import { branchesOf, listPositions, selectPositions } from './select.js';
import { ruleRow } from './table.js';
import { useRule } from './user.js';

/** What a rule does at an activation; undefined for rules that change none. */
function backwardOf(spec: RuleSpec, activation: ActivationKind): ActivationBackward | undefined {
  const { rule, parameters = {} } = spec;
  const use = typeof rule === 'string' ? bindRule(rule, parameters, activation) : useRule(rule, parameters);
  if (use === undefined) return undefined;
  return spec.match?.kind === 'activation'
    ? { kind: 'emit', rule: activationMatched({ scope: spec.match.scope, base: use }) }
    : { kind: 'pointwise', use };
}

/**
 * Whether the hooks of SGM's authors reach a branch: they stand at ReLUs whose name does not hold "0.relu", so the
 * first block of a stage is left out, and its blocks 10, 20, ... Their roots of gamma at the ReLUs of a branch make
 * gamma of the whole branch. What they scale behind additions, and divide by standard deviations there, all of the
 * gradient passes through, so it changes no direction.
 */
function isHooked({ activations }: BranchPlace, { positions }: PositionTable): boolean {
  const inside = positions.filter(({ name }) => activations.includes(name));
  return inside.some(({ block }) => block !== undefined && block % 10 !== 0);
}

/** The branches whose edges a rule changes. Throws `unknown-layer` where the model has none of them. */
function scaledBranches(
  spec: RuleSpec,
  selected: readonly ActivationPosition[],
  table: PositionTable,
): readonly BranchPlace[] {
  const name = String(spec.rule);
  check(spec.match === undefined, 'unknown-option', `${name} scales exactly; it takes no match=`, 'match');
  const everywhere = spec.from === undefined && spec.only === undefined && spec.preset === undefined;
  // also branches without activations, such as those of attention
  const placed = everywhere && spec.post !== false ? (table.branches ?? []) : branchesOf(selected, table);
  const branches = spec.blocks === 'hooked' ? placed.filter((branch) => isHooked(branch, table)) : placed;
  const place =
    (table.branches ?? []).length === 0
      ? `${table.model} has none`
      : `none holds a selected ReLU; ${listPositions(table)}`;
  check(
    branches.length > 0 || selected.length === 0,
    'unknown-layer',
    `${name} acts on residual branches; ${place}`,
    'rule',
  );
  return branches;
}

/**
 * Settles which backward each activation, max-pool and residual branch of a model gets: the true one, unless a rule
 * selects it; of several of one kind the last.
 * Throws `unknown-layer`, `unknown-option`, `unknown-rule`, `bad-range` or `bad-argument` before any graph is built.
 */
export function resolveRules(specs: readonly RuleSpec[], table: PositionTable): BackwardSelection {
  expectList(specs, 'rules');
  expectMembers(table, 'table', { positions: 'list', presets: 'object' });
  const chosen = new Map<string, ActivationBackward>(
    table.positions.map(({ name }) => [name, { kind: 'pointwise', use: bp }]),
  );
  const regions = new Map<string, RegionBackward>();
  const edges = new Map<string, EdgeBackward>();
  let pool: MaxPoolBackward | undefined;
  let fixedAttention = false;
  for (const spec of settledSpecs(specs)) {
    if (typeof spec.rule === 'string' && ruleRow(spec.rule).fixedAttention === true) {
      const place = (['from', 'only', 'preset', 'match', 'on', 'post'] as const).find((key) => spec[key] !== undefined);
      check(
        place === undefined,
        'unknown-option',
        `${spec.rule} acts on all attention maps; it takes no ${place}=`,
        place,
      );
      fixedAttention = true;
      continue;
    }
    const selected = selectPositions(spec, table);
    const row = typeof spec.rule === 'string' ? ruleRow(spec.rule) : undefined;
    if (row?.edge !== undefined) {
      const edge = row.edge(spec.parameters ?? {});
      for (const { name } of scaledBranches(spec, selected, table)) edges.set(name, edge);
    }
    for (const { name, activation } of selected) {
      const backward = backwardOf(spec, activation);
      if (backward !== undefined) chosen.set(name, backward);
    }
    pool = row?.maxPool?.(spec.parameters ?? {}) ?? pool;
    if (spec.match?.kind === 'block') {
      const region = blockMatched(spec.match.lambda);
      for (const { name } of branchesOf(selected, table)) regions.set(name, region);
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
    ...(fixedAttention && { fixedAttention }),
    ...(regions.size > 0 && { region: ({ name }: Region) => regions.get(name) }),
    ...(edges.size > 0 && { edge: ({ name }: Region) => edges.get(name) }),
  });
}

/**
 * A selection with one pointwise rule for every activation, such as `everywhere(linbp)`. Max-pools, residual branches
 * and attention maps keep the true backward.
 */
export function everywhere(use: BoundRule): BackwardSelection {
  return () => ({ kind: 'pointwise', use });
}
