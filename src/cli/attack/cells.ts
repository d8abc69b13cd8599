import { autoAttackStages } from '../../attacks/autoattack.js';
import type { AutoAttackOptions, AutoAttackStageName } from '../../attacks/autoattack.js';
import { hasOption } from '../../attacks/available.js';
import type { OptionName } from '../../attacks/available.js';
import { attackDefinition } from '../../attacks/builtin.js';
import { intermediateLevel } from '../../attacks/intermediate.js';
import { settle } from '../../attacks/options.js';
import type { AttackOptions } from '../../attacks/options.js';
import type { AttackDefinition } from '../../attacks/stages.js';
import { check } from '../../errors.js';
import type { ModelDefinition } from '../../nn/definition.js';
import type { HostModel, Model } from '../../nn/model.js';
import { chosenRules } from '../common.js';
import type { ChosenRules } from '../common.js';
import { composed, knownAttack } from '../composedAttack.js';
import { ruleName } from '../../report/theme.js';
import { expectOnce, expectUsed } from '../options.js';
import type { Need } from '../options.js';
import { splitRules } from '../ruleList.js';
import { withPreset } from './options.js';
import type { AttackValues } from './options.js';
import { shownEps } from '../../attacks/shownEps.js';
import { everyOwn, readAttacks, stageOptions, withStages } from './spec.js';
import type { AttackSpec } from './spec.js';

/** One attack under one rule inside one ball. */
export interface Cell {
  readonly attack: AttackSpec;
  readonly rule: ChosenRules;
  /** Undefined for attacks that look for the smallest perturbation and got no radius. */
  readonly eps: number | undefined;
}

/** A cell as sentences name it. */
export function nameOfCell({ attack, rule, eps }: Cell): string {
  return `${attack.written} under ${ruleName(rule.written)}${eps === undefined ? '' : ` at eps ${shownEps(eps)}`}`;
}

export const isBattery = ({ name }: AttackSpec): boolean => name === 'autoattack';

/** Whether the stages of all attacks of a list are for it, too. */
const takesStages = (spec: AttackSpec): boolean =>
  !isBattery(spec) && attackDefinition(knownAttack(spec.name)).plan === undefined;

const isMinimal = ({ name }: AttackSpec): boolean =>
  !isBattery({ name } as AttackSpec) && attackDefinition(knownAttack(name)).minimal === true;

/** The rules that repeated and listed `--rule` state. Throws as `chosenRules`; `bad-argument` for one named twice. */
export function listedRules(given: readonly string[], definition: ModelDefinition): ChosenRules[] {
  const rules = given.flatMap(splitRules).map((rule) => chosenRules(rule, definition));
  expectOnce(
    rules.map(({ written }) => written),
    'rule',
  );
  return rules;
}

/**
 * All combinations of the listed attacks, rules and radii, in this order.
 *
 * @throws LinbpError for what cannot be meant, before any work
 */
export function listCells(values: AttackValues, definition: ModelDefinition): Cell[] {
  const attacks = readAttacks(values.attack).map((spec) => (takesStages(spec) ? withStages(spec, values) : spec));
  expectOnce(
    attacks.map(({ written }) => written),
    'attack',
  );
  const rules = listedRules(values.rule, definition);
  expectOnce(values.eps ?? [], 'eps');
  const battery = attacks.some(isBattery);
  check(
    !battery || (!values.targeted && values.ila === undefined),
    'bad-argument',
    'autoattack takes neither --targeted nor --ila',
    'attack',
  );
  const radii = (attack: AttackSpec): readonly (number | undefined)[] =>
    values.eps ?? (isMinimal(attack) ? [undefined] : [0.1]);
  return attacks.flatMap((attack) =>
    rules.flatMap((rule) => radii(attack).map((eps): Cell => ({ attack, rule, eps }))),
  );
}

/** The attack of a cell that is no battery, as its options change it. */
const definitionOf = ({ attack }: Pick<Cell, 'attack'>): AttackDefinition => {
  const { name, gradient, transform, momentum } = attack;
  const found = composed({ attack: name, gradient, transform, momentum });
  return typeof found === 'string' ? attackDefinition(found) : found;
};

/** Options that an attack may have behind its colon, and that all attacks of a list may share. */
const shared = ['alpha', 'restarts', 'keep', 'loss', 'decay', 'eot'] as const;

/** Those that an attack gets: its own, and of the others those that it has. Undefined ones are left out. */
function sharedOptions(
  definition: AttackDefinition,
  values: AttackValues,
  own: Partial<Record<(typeof shared)[number], unknown>>,
): Partial<AttackOptions> {
  const all = shared.map((name) => [name, own[name] ?? (hasOption(definition, name) ? values[name] : undefined)]);
  return Object.fromEntries(all.filter(([, value]) => value !== undefined)) as Partial<AttackOptions>;
}

/** What the second stage of `--ila` has in its own way. */
const fixedLater: readonly OptionName[] = ['restarts', 'randomStart'];

/** Options of the second stage of `--ila`: those of the first, as far as it has them. */
export function secondStage(
  values: AttackValues,
  { attack }: Cell,
  first: AttackOptions,
  steps: number,
): AttackOptions {
  const definition = intermediateLevel(values.ila!);
  const own = Object.fromEntries(
    shared.flatMap((name) => (hasOption(definition, name) ? [[name, attack[name]] as const] : [])),
  );
  const rest = Object.fromEntries(
    Object.entries(first).filter(([name]) => !(shared as readonly string[]).includes(name)),
  );
  return {
    ...(rest as unknown as AttackOptions),
    ...sharedOptions(definition, values, own),
    ...{ attack: definition, rules: 'bp', randomStart: false, restarts: 1, steps, parameters: {} },
  };
}

/** Options of the engine for a cell that is no battery. */
export function attackOptions(
  values: AttackValues,
  cell: Cell,
  model: Model | HostModel,
  several: boolean,
): AttackOptions {
  const { attack, rule, eps } = cell;
  const { norm, targeted, batch, seed, precision, randomStart } = values;
  const definition = definitionOf(cell);
  // In a list, a number of steps is meant for the attacks that have a choice, and so is every option that all share.
  const fixed = several && definition.steps !== undefined;
  const given = {
    eps,
    steps: attack.steps ?? (fixed ? undefined : values.steps),
    randomStart: attack.randomStart ?? (hasOption(definition, 'randomStart') ? randomStart : undefined),
  };
  return {
    ...{ model, norm, targeted, batch, seed, precision },
    rules: rule.written,
    device: values.device === 'reference' ? 'reference' : 'gpu',
    attack: definition,
    parameters: attack.parameters,
    ...sharedOptions(definition, values, attack),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  };
}

/** What AutoAttack gets of a cell's attack and of the options. Throws `bad-argument` for a loss that it has not. */
export function batteryOptions(
  values: AttackValues,
  { attack }: Cell,
): Omit<AutoAttackOptions, 'model' | 'rules' | 'images' | 'eps'> {
  const { norm, version, stages, batch, seed, precision } = values;
  const { queries } = attack.parameters;
  const [steps, loss] = [attack.steps ?? values.steps, attack.loss ?? values.loss];
  const known = loss === undefined || loss === 'ce' || loss === 'ce-rounded';
  check(known, 'bad-argument', 'autoattack takes --loss ce or ce-rounded', 'loss');
  check(version !== 'custom' || stages !== undefined, 'bad-argument', '--version custom needs --stages', 'stages');
  return {
    ...{ norm, version, batch, seed, precision, device: values.device === 'reference' ? 'reference' : 'gpu' },
    ...(stages !== undefined && { stages: stages.split(',').map((name) => name.trim() as AutoAttackStageName) }),
    ...(steps !== undefined && { steps }),
    ...(queries !== undefined && { queries }),
    ...(loss !== undefined && { loss }),
  };
}

/** Refuses what the engine would refuse later. */
export function checkCells(cells: readonly Cell[], values: AttackValues, definition: ModelDefinition): void {
  const several = new Set(cells.map(({ attack }) => attack.written)).size > 1;
  for (const cell of cells) {
    if (isBattery(cell.attack)) {
      const own = Object.keys(cell.attack).filter(
        (key) => !['name', 'written', 'parameters', 'steps', 'loss'].includes(key),
      );
      const unknown = [...own, ...Object.keys(cell.attack.parameters).filter((key) => key !== 'queries')];
      check(
        unknown.length === 0,
        'unknown-option',
        `autoattack takes steps, queries and loss, not ${unknown.join(', ')}`,
        'attack',
      );
      const options = batteryOptions(values, cell);
      expectOnce(options.stages ?? [], 'stages');
      autoAttackStages(options);
    } else {
      const first = attackOptions(values, cell, { definition, weights: new Map() }, several);
      settle(first);
      if (values.ila !== undefined) settle(secondStage(values, cell, first, values.ilaSteps ?? 1));
    }
  }
}

/**
 * Refuses options that none of the cells looks at, as all have their own or have no such option. Those of a preset are
 * its own affair.
 *
 * @param given the values as they were typed
 */
export function expectUsedByCells(given: AttackValues, cells: readonly Cell[]): void {
  const batteries = cells.filter(({ attack }) => isBattery(attack)).map(({ attack }) => attack);
  const engine = cells.filter(({ attack }) => !isBattery(attack));
  const found = engine.map((cell) => ({ own: cell.attack, definition: definitionOf(cell) }));
  const second = given.ila === undefined ? undefined : intermediateLevel(given.ila);
  const goes = 'goes with attacks that go along gradients step by step';
  const need = (name: keyof AttackSpec, takers: readonly AttackSpec[], words = goes): Need => {
    if (takers.length > 0) return [takers.some((own) => own[name] === undefined), everyOwn];
    return [false, engine.length > 0 ? words : 'does not go with autoattack, which has settings of its own'];
  };
  const having = (name: OptionName): AttackSpec[] => {
    const later = second !== undefined && !fixedLater.includes(name) && hasOption(second, name);
    return found.filter(({ definition }) => later || hasOption(definition, name)).map(({ own }) => own);
  };
  const has = (name: OptionName & keyof AttackSpec, words = goes): Need => need(name, having(name), words);
  // In a list, those of a fixed number of steps keep it; alone they refuse another.
  const several = new Set(cells.map(({ attack }) => attack.written)).size > 1;
  const chosen = found.filter(({ definition }) => !several || definition.steps === undefined).map(({ own }) => own);
  const staged = readAttacks(withPreset(given).attack).filter(takesStages);
  expectUsed(given, {
    version: [batteries.length > 0, 'goes with --attack autoattack'],
    stages: [batteries.length > 0, 'goes with --attack autoattack'],
    steps: need('steps', [...chosen, ...batteries], 'goes with attacks of several steps'),
    ...Object.fromEntries(stageOptions.map((name) => [name, need(name, staged)])),
    ...{ restarts: has('restarts'), randomStart: has('randomStart'), eot: has('eot'), keep: has('keep') },
    ...{ alpha: has('alpha'), decay: has('decay', 'goes with attacks that have momentum, such as mifgsm') },
    loss: need('loss', [...having('loss'), ...batteries]),
  });
}
