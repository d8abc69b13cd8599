import { LinbpError } from '../errors.js';
import { lossKinds, noMomentum } from './stages.js';
import type { AttackDefinition, AttackLoss, Parameter } from './stages.js';

/** What an attack's settings say about the defaults of its options. */
export interface DefaultSettings {
  readonly steps: number;
  readonly randomStart: boolean;
  readonly keep: 'best' | 'last';
  readonly loss: AttackLoss;
  readonly decay: number;
}

interface OptionRow {
  /** Whether the option changes anything about an attack. */
  readonly has: (definition: AttackDefinition) => boolean;
  /** What an attack without the option does anyway; it may be stated. */
  readonly fixed?: (definition: AttackDefinition) => unknown;
  readonly default: (settings: DefaultSettings, definition: AttackDefinition) => number | string | boolean;
  readonly range: (definition: AttackDefinition) => string;
}

const bySteps = ({ plan }: AttackDefinition): boolean => plan === undefined;

/**
 * Options that attacks may have, besides attack-specific ones. This table is what the catalog lists, what the
 * library and the command line refuse, and what a list of attacks on the command line shares.
 */
const optionTable = {
  eps: {
    has: () => true,
    default: (_, { minimal }) => (minimal === true ? 'unbounded' : 'required'),
    range: () => 'at least 0; linf at most 1',
  },
  steps: {
    has: () => true,
    default: ({ steps }) => steps,
    range: ({ steps }) => (steps === undefined ? '1 to 100000' : `${steps}`),
  },
  alpha: {
    // NES goes along estimated gradients by steps of a size.
    has: (definition) => bySteps(definition) || definition.defaultAlpha(1, 1, 'linf') > 0,
    default: () => 'from eps and steps',
    range: () => 'at least 0',
  },
  restarts: {
    has: ({ plan }) => plan === undefined || plan.restarts === true,
    fixed: () => 1,
    default: () => 1,
    range: () => '1 to 1000, with a random start',
  },
  randomStart: {
    has: bySteps,
    fixed: ({ randomStart }) => randomStart,
    default: ({ randomStart }) => randomStart,
    range: () => 'true, false',
  },
  keep: {
    has: bySteps,
    fixed: ({ keep = 'last' }) => keep,
    default: ({ keep }) => keep,
    range: () => 'best, last',
  },
  loss: {
    has: ({ plan }) => plan === undefined || plan.climbsLoss === true,
    default: ({ loss }) => loss,
    range: () => Object.keys(lossKinds).join(', '),
  },
  decay: {
    has: ({ plan, momentum }) => plan === undefined && momentum !== noMomentum,
    default: ({ decay }) => decay,
    range: () => 'at least 0',
  },
  eot: { has: bySteps, fixed: () => 1, default: () => 1, range: () => '1 to 1000, whole numbers' },
} as const satisfies Readonly<Record<string, OptionRow>>;

/** Options that only some attacks have. */
export type OptionName = keyof typeof optionTable;

const rows: Readonly<Record<OptionName, OptionRow>> = optionTable;
const names = Object.keys(optionTable) as readonly OptionName[];

/** Whether an option changes anything about an attack. */
export const hasOption = (definition: AttackDefinition, name: OptionName): boolean => rows[name].has(definition);

/** The options of an attack besides its own: names, defaults and ranges. */
export const commonOptions = (definition: AttackDefinition, settings: DefaultSettings) =>
  names
    .filter((name) => hasOption(definition, name))
    .map((name) => ({
      name,
      default: rows[name].default(settings, definition),
      range: rows[name].range(definition),
    }));

/** The attack's own options, those of its gradient and of its transforms among them. */
export const parametersOf = ({
  parameters,
  sampling,
  transforms = [],
}: AttackDefinition): Readonly<Record<string, Parameter>> =>
  Object.assign({}, parameters, sampling?.parameters, ...transforms.map((each) => each.parameters)) as Record<
    string,
    Parameter
  >;

/** Throws `unknown-option` where an option is given that changes nothing about the attack. */
export function expectOptions(definition: AttackDefinition, given: Partial<Record<OptionName, unknown>>): void {
  for (const name of names) {
    const value = given[name];
    const { fixed } = rows[name];
    if (value === undefined || hasOption(definition, name) || (fixed !== undefined && value === fixed(definition)))
      continue;
    const list = names.filter((each) => hasOption(definition, each)).join(', ');
    const own = Object.keys(parametersOf(definition)).join(', ');
    const all = own === '' ? list : `${list}, and as parameters ${own}`;
    const message = `${definition.name} has no option "${name}"; it has ${all}`;
    throw new LinbpError('unknown-option', message, { field: name });
  }
}
