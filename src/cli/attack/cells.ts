import { attackDefinition } from '../../attacks/builtin.js';
import { settle } from '../../attacks/options.js';
import type { AttackOptions } from '../../attacks/options.js';
import { check } from '../../errors.js';
import type { ModelDefinition } from '../../nn/definition.js';
import type { HostModel, Model } from '../../nn/model.js';
import { chosenRules } from '../common.js';
import type { ChosenRules } from '../common.js';
import { composed, knownAttack } from '../composedAttack.js';
import { ruleName } from '../../report/theme.js';
import { expectUsed } from '../options.js';
import { splitRules } from '../ruleList.js';
import type { AttackValues } from './options.js';
import { shownEps } from './shownEps.js';
import { readAttacks } from './spec.js';
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

const isMinimal = ({ name }: AttackSpec): boolean =>
  !isBattery({ name } as AttackSpec) && attackDefinition(knownAttack(name)).minimal === true;

/** The rules that repeated and listed `--rule` state, each once. Throws as `chosenRules`. */
export function listedRules(given: readonly string[], definition: ModelDefinition): ChosenRules[] {
  const rules = given.flatMap(splitRules).map((rule) => chosenRules(rule, definition));
  return rules.filter((rule, index) => rules.findIndex(({ written }) => written === rule.written) === index);
}

/**
 * All combinations of the listed attacks, rules and radii, in this order.
 *
 * @throws LinbpError for what cannot be meant, before any work
 */
export function listCells(values: AttackValues, definition: ModelDefinition): Cell[] {
  const attacks = readAttacks(values.attack);
  const rules = listedRules(values.rule, definition);
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
    rules.flatMap((rule) => [...new Set(radii(attack))].map((eps): Cell => ({ attack, rule, eps }))),
  );
}

/** Options of the engine for a cell that is no battery. */
export function attackOptions(
  values: AttackValues,
  { attack, rule, eps }: Cell,
  model: Model | HostModel,
  several: boolean,
): AttackOptions {
  const { norm, targeted, batch, seed, precision, randomStart } = values;
  const definition = attackDefinition(knownAttack(attack.name));
  // In a list, a number of steps is meant for the attacks that have a choice.
  const fixed = several && definition.steps !== undefined;
  const given = {
    eps,
    alpha: attack.alpha ?? values.alpha,
    steps: attack.steps ?? (fixed ? undefined : values.steps),
    loss: attack.loss ?? values.loss,
    keep: attack.keep ?? values.keep,
    randomStart,
  };
  return {
    ...{ model, norm, targeted, batch, seed, precision },
    rules: rule.written,
    device: values.device === 'reference' ? 'reference' : 'gpu',
    attack: composed({
      attack: attack.name,
      gradient: attack.gradient ?? values.gradient,
      transform: attack.transform ?? values.transform,
      momentum: attack.momentum ?? values.momentum,
    }),
    decay: attack.decay ?? values.decay,
    eot: attack.eot ?? values.eot,
    restarts: attack.restarts ?? values.restarts,
    parameters: attack.parameters,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
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
      const unknown = [...own, ...Object.keys(cell.attack.parameters)];
      check(
        unknown.length === 0,
        'unknown-option',
        `autoattack takes steps and loss, not ${unknown.join(', ')}`,
        'attack',
      );
    } else settle(attackOptions(values, cell, { definition, weights: new Map() }, several));
  }
}

/**
 * Refuses options that none of the cells looks at. Those of a preset are its own affair.
 *
 * @param given the values as they were typed
 */
export function expectUsedByCells(given: AttackValues, cells: readonly Cell[]): void {
  const engine = cells.filter(({ attack }) => !isBattery(attack));
  const definitions = engine.map(({ attack }) => attackDefinition(knownAttack(attack.name)));
  const bySteps = definitions.some(({ plan }) => plan === undefined);
  // NES goes along estimated gradients by steps of a size.
  const sized = definitions.some(({ plan, defaultAlpha }) => plan === undefined || defaultAlpha(1, 1, 'linf') > 0);
  const other = [engine.length > 0, 'does not go with autoattack, which has settings of its own'] as const;
  const goes = 'goes with attacks that go along gradients step by step';
  const stepwise = [bySteps, goes] as const;
  expectUsed(given, {
    version: [engine.length < cells.length, 'goes with --attack autoattack'],
    ...{
      gradient: other,
      transform: other,
      momentum: other,
      restarts: other,
      randomStart: other,
      eot: other,
      keep: other,
    },
    ...{ alpha: engine.length === 0 ? other : ([sized, goes] as const), decay: engine.length === 0 ? other : stepwise },
  });
}
