import { expectMembers, expectObject } from '../arguments.js';
import { didYouMean, instead } from '../names.js';
import { quoted, quotedName } from '../quote.js';
import { check, LinbpError } from '../errors.js';
import type { RuleSpec } from './parse.js';
import type { ActivationPosition, BranchPlace, PositionTable } from './positions.js';
import { ruleRow } from './table.js';
import type { RuleRow } from './table.js';

/** More activations than this are listed by stage. */
const listed = 20;

const stagesOf = ({ positions }: PositionTable): string[] => [
  ...new Set(positions.flatMap(({ stage }) => (stage === undefined ? [] : [stage]))),
];

/** The ReLUs of a model, for errors; of a large one its stages and where the rest is listed. */
export function listPositions(table: PositionTable): string {
  const { model, positions } = table;
  const stages = stagesOf(table);
  const names = positions.map(({ name }) => name);
  if (names.length <= listed) return `${model} has ${names.join(', ')}`;
  const shown =
    stages.length > 1 && stages.length <= listed
      ? `in ${stages.join(', ')}`
      : `from ${names.slice(0, 3).join(', ')} to ${names.at(-1)}`;
  return `${model} has ${names.length} activations ${shown} ("linbp positions" lists them)`;
}

/** ` (did you mean layer3?)`, where a stage or ReLU has a similar name. */
const nearPlaces = (name: string, table: PositionTable): string =>
  didYouMean(name, [...stagesOf(table), ...table.positions.map((position) => position.name)]);

/** A place to begin at, past the middle, as the papers do: a stage where there are some. */
function exampleStart(table: PositionTable): string {
  const stages = stagesOf(table);
  const places = stages.length > 1 ? stages : table.positions.map(({ name }) => name);
  return places[Math.min(places.length - 1, Math.ceil(places.length / 2))] ?? 'all';
}

function fromPreset(name: string, rule: string, table: PositionTable): ActivationPosition[] {
  const preset = Object.hasOwn(table.presets, name) ? table.presets[name] : undefined;
  if (preset === undefined || preset.length === 0) {
    const why = table.presetNote ?? (name === 'default' ? 'no paper states where to linearize it' : undefined);
    const what = name === 'default' ? 'no preset' : `no preset ${quoted(name)}`;
    const others = Object.keys(table.presets).length === 0 ? '' : instead(name, { names: Object.keys(table.presets) });
    throw new LinbpError(
      'unknown-layer',
      `${table.model} has ${what}${why === undefined ? others : ` (${why})`}; give from= or only=, such as ` +
        `${rule}:from=${exampleStart(table)}; ${listPositions(table)}`,
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
  if (chosen.length > 0) return chosen;
  const message = `from=${from} names no ReLU, block or stage of the model${nearPlaces(from, table)}`;
  throw new LinbpError('unknown-layer', `${message}; ${listPositions(table)}`, { field: 'from' });
}

/**
 * Whether a pattern with `*` and `?` describes a name. When a character does not fit, only the last star is tried one
 * character further, so the time is at most the product of the lengths, however many stars there are.
 */
export function matchesGlob(pattern: string, name: string): boolean {
  let [at, from] = [0, 0];
  let [star, resume] = [-1, 0];
  while (from < name.length) {
    if (pattern[at] === '*') {
      star = at++;
      resume = from;
    } else if (pattern[at] === '?' || pattern[at] === name[from]) {
      at++;
      from++;
    } else if (star >= 0) {
      at = star + 1;
      from = ++resume;
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

/** The preset of a rule for which no place is written; undefined for all ReLUs. */
function usualPreset(row: RuleRow | undefined, table: PositionTable): string | undefined {
  const preset = row?.preset;
  return preset !== undefined && (preset.required || table.presets[preset.name] !== undefined)
    ? preset.name
    : undefined;
}

/** The activations that all published rules are about. */
const usualKinds: ReadonlySet<string> = new Set(['relu', 'relu6', 'relu6Official']);

/**
 * Of positions that a range selects those of the kinds that take part: ReLU, ReLU6 and what `on` names. Throws
 * `unknown-layer` where there are none.
 */
function ofKinds(chosen: readonly ActivationPosition[], { on = [] }: RuleSpec, table: PositionTable) {
  if (on.includes('all')) return [...chosen];
  const found = chosen.filter(({ activation }) => usualKinds.has(activation) || on.includes(activation));
  const others = [...new Set(chosen.map(({ activation }) => activation))].join(', ');
  check(
    chosen.length === 0 || found.length > 0,
    'unknown-layer',
    `no ReLU or ReLU6 is selected, but ${others}; ` +
      `on=${others.split(', ')[0]} or on=all selects them: ${listPositions(table)}`,
    'on',
  );
  return found;
}

/**
 * The activations that a rule applies to, in the order of the forward pass.
 *
 * @param table of {@link positionTable}
 * @throws LinbpError `unknown-layer`, listing the positions, where the rule names none; `unknown-option` for `from` and
 * `preset` together
 */
export function selectPositions(spec: RuleSpec, table: PositionTable): readonly ActivationPosition[] {
  expectObject(spec, 'rule');
  expectMembers(table, 'table', { positions: 'list', presets: 'object' });
  check(
    spec.preset === undefined || spec.from === undefined,
    'unknown-option',
    'from= and preset= exclude each other',
    'preset',
  );
  const row = typeof spec.rule === 'string' ? ruleRow(spec.rule) : undefined;
  const preset = spec.preset ?? (spec.only === undefined ? usualPreset(row, table) : undefined);
  let chosen =
    spec.from !== undefined
      ? fromPlace(spec.from, spec.post ?? row?.afterAdditions, table)
      : preset !== undefined
        ? fromPreset(preset, typeof spec.rule === 'string' ? spec.rule : spec.rule.name, table)
        : [...table.positions];
  // Rules of edges ask for activations only to find the branches around them, whatever they are.
  const ranged = spec.from !== undefined || (preset === undefined && spec.only === undefined);
  if (ranged && spec.rule !== 'bp' && row?.edge === undefined && row?.fixedAttention !== true)
    chosen = ofKinds(chosen, spec, table);
  if (spec.post === false) chosen = chosen.filter((position) => position.kind !== 'post-addition');
  for (const glob of spec.only ?? []) {
    if (chosen.some((position) => matchesGlob(glob, position.name))) continue;
    const place = spec.from === undefined ? '' : ` at or after ${spec.from}`;
    const message = `only=${quotedName(glob)} fits no ReLU${place}${nearPlaces(glob, table)}; ${listPositions(table)}`;
    throw new LinbpError('unknown-layer', message, { field: 'only' });
  }
  const { only } = spec;
  if (only !== undefined) chosen = chosen.filter((position) => only.some((glob) => matchesGlob(glob, position.name)));
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
      : `match=block: no ReLU inside a residual branch is selected; ${listPositions(table)}`,
    'match',
  );
  return chosen.filter(
    (position) => inside.has(position.name) || (spec.post === true && position.kind === 'post-addition'),
  );
}

/** The residual branches with any of the selected activations. */
export function branchesOf(selected: readonly ActivationPosition[], table: PositionTable): readonly BranchPlace[] {
  const names = new Set(selected.map((position) => position.name));
  return (table.branches ?? []).filter((branch) => branch.activations.some((name) => names.has(name)));
}
