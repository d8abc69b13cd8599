import { gradientSamplings } from '../../attacks/transfer.js';
import type { AttackLoss } from '../../attacks/stages.js';
import { lossKinds } from '../../attacks/stages.js';
import { check, LinbpError } from '../../errors.js';
import { didYouMean } from '../../names.js';
import { knownAttack } from '../composedAttack.js';
import { expectOnce, readNumber } from '../options.js';

/** An attack as the command line writes it: a name, and options that hold for this attack alone. */
export interface AttackSpec {
  readonly name: string;
  /** As written, for tables. */
  readonly written: string;
  readonly steps?: number;
  readonly restarts?: number;
  readonly alpha?: number;
  readonly decay?: number;
  readonly eot?: number;
  readonly loss?: AttackLoss;
  readonly keep?: 'best' | 'last';
  readonly randomStart?: boolean;
  readonly gradient?: keyof typeof gradientSamplings;
  /** Joined by commas. */
  readonly transform?: string;
  readonly momentum?: 'mi' | 'none';
  /** The attack's own options, see `--list`. */
  readonly parameters: Readonly<Record<string, number>>;
}

const wholes = ['steps', 'restarts', 'eot'];
const fractions = ['alpha', 'decay'];
const words: Readonly<Record<string, readonly string[]>> = {
  loss: Object.keys(lossKinds),
  keep: ['best', 'last'],
  gradient: Object.keys(gradientSamplings),
  momentum: ['mi', 'none'],
  randomStart: ['true', 'false'],
};

function readOption(attack: string, key: string, value: string): [string, number | string | boolean] {
  const field = `attack`;
  check(key !== 'eps', 'unknown-option', `${attack}: eps is that of all attacks; give it by --eps`, field);
  const choices = words[key];
  if (key === 'transform') return [key, value.replaceAll('+', ',')];
  if (choices !== undefined) {
    const message = `${attack}: ${key} must be ${choices.join(', ')}; got "${value}"${didYouMean(value, choices)}`;
    check(choices.includes(value), 'unknown-option', message, field);
    return [key, key === 'randomStart' ? value === 'true' : value];
  }
  const number = readNumber(value);
  check(Number.isFinite(number), 'bad-range', `${attack}: ${key} must be a number, got "${value}"`, field);
  check(
    !wholes.includes(key) || (Number.isInteger(number) && number >= 1),
    'bad-range',
    `${attack}: ${key} must be a whole number of at least 1, got "${value}"`,
    field,
  );
  return [key, number];
}

function readSpec(written: string): AttackSpec {
  const [, name = '', rest] = /^([^:]*)(?::(.*))?$/s.exec(written)!;
  if (name !== 'autoattack') knownAttack(name);
  const entries = (rest === undefined ? [] : rest.split(',')).map((pair) => {
    const [key, value, ...more] = pair.split('=').map((part) => part.trim());
    const fits = key !== undefined && key !== '' && value !== undefined && value !== '' && more.length === 0;
    check(fits, 'bad-argument', `${name}: options are written name:option=value,..; got "${pair}"`, 'attack');
    return readOption(name, key, value);
  });
  const twice = entries.find(([key], index) => entries.findIndex(([other]) => other === key) !== index);
  check(twice === undefined, 'bad-argument', `${name}: ${twice?.[0]} is given twice`, 'attack');
  const common = [...wholes, ...fractions, ...Object.keys(words), 'transform'];
  const of = (own: boolean) => Object.fromEntries(entries.filter(([key]) => common.includes(key) !== own));
  return { ...of(false), name, written, parameters: of(true) as Record<string, number> };
}

/**
 * Reads `pgd,square:share=0.3,steps=500`: attacks joined by commas, each with options after a colon. A piece that
 * holds
 * `=` and no name before a colon belongs to the attack before it.
 *
 * @throws LinbpError `unknown-option` with the nearest name, `bad-argument`, `bad-range`
 */
export function readAttacks(notation: string, option = 'attack'): AttackSpec[] {
  const pieces: string[] = [];
  for (const piece of notation.split(',').map((each) => each.trim())) {
    if (pieces.length > 0 && /^[^:]*=/.test(piece)) pieces[pieces.length - 1] += `,${piece}`;
    else pieces.push(piece);
  }
  // With a colon missing, the option would be a name nobody knows.
  for (const piece of pieces)
    if (/^[^:=]+,/.test(piece)) {
      const name = piece.split(',')[0]!;
      const message = `options of ${name} follow a colon, as in ${piece.replace(',', ':')}`;
      throw new LinbpError('bad-argument', message, { field: 'attack' });
    }
  expectOnce(pieces, option);
  return pieces.map(readSpec);
}

/** Why an option for all attacks of a list is refused where none of them would take it. */
export const everyOwn = 'would change nothing: every attack that takes it has its own behind the colon';

/** The stages of a step attack that options of a command change. */
export const stageOptions = ['gradient', 'transform', 'momentum'] as const;
export type StageOptions = Pick<AttackSpec, (typeof stageOptions)[number]>;

/** The attack with these stages where it states none of its own, as it would be written with them. */
export function withStages(
  spec: AttackSpec,
  stages: { readonly [K in keyof StageOptions]: StageOptions[K] | undefined },
): AttackSpec {
  const added = stageOptions.filter((name) => spec[name] === undefined && stages[name] !== undefined);
  if (added.length === 0) return spec;
  const pairs = added.map((name) => `${name}=${stages[name]!.replaceAll(',', '+')}`).join(',');
  const written = `${spec.written}${spec.written.includes(':') ? ',' : ':'}${pairs}`;
  return { ...spec, ...Object.fromEntries(added.map((name) => [name, stages[name]])), written };
}
