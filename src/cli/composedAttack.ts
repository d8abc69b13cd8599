import { attackNames, attacks } from '../attacks/builtin.js';
import type { AttackName } from '../attacks/builtin.js';
import { noMomentum, normalizedMomentum } from '../attacks/stages.js';
import type { AttackDefinition } from '../attacks/stages.js';
import { gradientSamplings, inputTransforms } from '../attacks/transfer.js';
import { diverseInputs, smoothedGradient } from '../attacks/transforms.js';
import { check, LinbpError } from '../errors.js';
import { unknownName } from '../names.js';
import { quoted } from '../quote.js';
import { expectOnce } from './options.js';

interface ComposedValues {
  readonly attack: string;
  readonly gradient: keyof typeof gradientSamplings | undefined;
  readonly transform: string | undefined;
  readonly momentum: 'mi' | 'none' | undefined;
}

/** What torchattacks, foolbox and TransferAttack call attacks that are here under another name. */
export const namesElsewhere: Readonly<Record<string, AttackName>> = {
  ...{ bim: 'ifgsm', basiciterative: 'ifgsm', 'i-fgsm': 'ifgsm', 'mi-fgsm': 'mifgsm' },
  ...{ nifgsm: 'ni', pifgsm: 'pi', emifgsm: 'emi', sinifgsm: 'si-ni', vmifgsm: 'vmi', vnifgsm: 'vni' },
  ...{ apgdt: 'apgd-t', fabt: 'fab-t', carliniwagner: 'cw', eadl1: 'ead' },
};

/** Throws `unknown-option` with the nearest name. */
export function knownAttack(name: string): AttackName {
  if (attackNames.includes(name)) return name as AttackName;
  const names = ['autoattack', ...attackNames];
  const here = namesElsewhere[name.toLowerCase().replace(/_/g, '')];
  const message =
    here === undefined
      ? unknownName('attack', name, { names, command: 'linbp attack --list' })
      : `there is no attack ${quoted(name)} (it is called ${here} here)`;
  throw new LinbpError('unknown-option', message, { field: 'attack' });
}

/** The names of `--transform`, without repetition. Throws `unknown-option` with the nearest name. */
function transformNames(list: string | undefined): readonly string[] {
  const names = list?.split(',') ?? [];
  expectOnce(names, 'transform');
  const known = [...Object.keys(inputTransforms), 'ti'];
  for (const each of names)
    if (!known.includes(each)) {
      const message = unknownName('transform', each, { names: known, command: 'linbp attack --help' });
      throw new LinbpError('unknown-option', message, { field: 'transform' });
    }
  return names;
}

/** The transforms of an attack and then those of these names. Throws where it has one of them already. */
function withTransforms(base: AttackDefinition, names: readonly string[]): Partial<AttackDefinition> {
  const has = (each: string): boolean =>
    each === 'ti'
      ? base.gradient === smoothedGradient
      : base.transforms?.includes(inputTransforms[each as keyof typeof inputTransforms]) === true ||
        (base.transform === diverseInputs && each === 'di-nearest');
  const twice = names.find(has);
  check(twice === undefined, 'bad-argument', `${base.name} has the transform ${twice ?? ''} already`, 'transform');
  const images = names.filter((each) => each !== 'ti') as (keyof typeof inputTransforms)[];
  return {
    ...(images.length > 0 && {
      transforms: [...(base.transforms ?? []), ...images.map((each) => inputTransforms[each])],
    }),
    ...(names.includes('ti') && { gradient: smoothedGradient }),
  };
}

/** Names the momentum of an attack that has another one by itself. */
const momentumName = { mi: 'mi', none: 'no-momentum' } as const;

/**
 * The attack with a gradient for its plain one, with transforms behind its own, and with momentum or without. What is
 * not asked for stays. Its name has all of this.
 */
export function composed({ attack, gradient, transform, momentum }: ComposedValues): AttackName | AttackDefinition {
  const name = knownAttack(attack);
  if (gradient === undefined && transform === undefined && momentum === undefined) return name;
  const base: AttackDefinition = attacks[name];
  check(base.plan === undefined, 'bad-argument', `${name} does not go along gradients step by step`, 'attack');
  const named = `${name} takes its gradients in its own way; --gradient changes attacks such as ifgsm and mifgsm`;
  check(gradient === undefined || base.sampling === undefined, 'bad-argument', named, 'gradient');
  const names = transformNames(transform);
  const stage = momentum === undefined ? base.momentum : momentum === 'mi' ? normalizedMomentum : noMomentum;
  const other = stage === base.momentum ? undefined : momentumName[momentum!];
  return {
    ...base,
    name: [base.name, gradient, ...names, other].filter((part) => part !== undefined).join('+'),
    ...(gradient !== undefined && { sampling: gradientSamplings[gradient] }),
    ...withTransforms(base, names),
    momentum: stage,
  };
}
