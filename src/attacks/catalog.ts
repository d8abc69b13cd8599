import { expectMembers } from '../arguments.js';
import type { ModelDefinition } from '../nn/definition.js';
import { commonOptions, parametersOf } from './available.js';
import { attackNames, attacks } from './builtin.js';
import { normsOf, settle } from './options.js';
import type { AttackSettings } from './options.js';
import { layOut } from './schedule.js';
import type { AttackDefinition, AttackNorm } from './stages.js';

/** An option of an attack: its default in words or as a number, and its range or choices. */
export interface DescribedOption {
  readonly name: string;
  readonly default: number | string | boolean;
  readonly range: string;
}

/** One attack of the list. */
export interface DescribedAttack {
  readonly name: string;
  readonly norms: readonly AttackNorm[];
  readonly options: readonly DescribedOption[];
  /** Which iterate is the result unless told. */
  readonly keep: 'best' | 'last';
  /** Gradients and forward passes of one image with all options at their defaults, on ten classes. */
  readonly gradients: number;
  readonly forwards: number;
  /** Where the attack is described. */
  readonly source: string;
}

/** What costs are counted on: only the number of classes matters. */
export const tenClasses: ModelDefinition = {
  name: 'ten-classes',
  input: [3, 32, 32],
  classes: 10,
  build: (net, x) => net.linear('fc', net.flatten(x), 10),
};

const rangeOf = (least: number, most: number, whole = false): string =>
  `${least} to ${most}${whole ? ', whole numbers' : ''}`;

function optionsOf(definition: AttackDefinition, settings: AttackSettings): DescribedOption[] {
  return [
    ...commonOptions(definition, settings),
    ...Object.entries(parametersOf(definition)).map(([name, { byDefault, least, most, whole }]) => ({
      name,
      default: byDefault,
      range: rangeOf(least, most, whole),
    })),
  ];
}

/** Describes an attack, one's own or a built-in one, with its costs at default options. */
export function describeAttack(definition: AttackDefinition): DescribedAttack {
  expectMembers(definition, 'definition', { name: 'text', defaultAlpha: 'function' });
  const settings = settle({
    model: { definition: tenClasses, weights: new Map() },
    attack: definition,
    ...(definition.minimal === true ? {} : { eps: 8 / 255 }),
  });
  const { gradients, forwards } = layOut(settings);
  return {
    name: definition.name,
    norms: normsOf(definition),
    options: optionsOf(definition, settings),
    keep: settings.keep,
    gradients,
    forwards,
    source: definition.source ?? '',
  };
}

/** The attacks that come with linbp, in the order of their names' registry; documentation's table is made of it. */
export const attackCatalog = (): DescribedAttack[] =>
  attackNames.map((name) => describeAttack(attacks[name as keyof typeof attacks]));
