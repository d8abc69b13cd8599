import { attackNames, attacks } from '../attacks/builtin.js';
import type { AttackName } from '../attacks/builtin.js';
import { noMomentum, normalizedMomentum } from '../attacks/stages.js';
import type { AttackDefinition } from '../attacks/stages.js';
import { gradientSamplings, inputTransforms } from '../attacks/transfer.js';
import { smoothedGradient } from '../attacks/transforms.js';
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

/**
 * The attack with the gradient, transforms and momentum that were asked for in place of its own; what was not asked for
 * stays.
 */
export function composed({ attack, gradient, transform, momentum }: ComposedValues): AttackName | AttackDefinition {
  const name = knownAttack(attack);
  if (gradient === undefined && transform === undefined && momentum === undefined) return name;
  const base: AttackDefinition = attacks[name];
  check(base.plan === undefined, 'bad-argument', `${name} does not go along gradients step by step`, 'attack');
  const names = transform?.split(',') ?? [];
  expectOnce(names, 'transform');
  const known = [...Object.keys(inputTransforms), 'ti'];
  for (const each of names)
    if (!known.includes(each)) {
      const message = unknownName('transform', each, { names: known, command: 'linbp attack --help' });
      throw new LinbpError('unknown-option', message, { field: 'transform' });
    }
  return {
    ...base,
    name: [base.name, gradient, ...names].filter((part) => part !== undefined).join('+'),
    ...(gradient !== undefined && { sampling: gradientSamplings[gradient] }),
    ...(transform !== undefined && {
      transforms: names
        .filter((each) => each !== 'ti')
        .map((each) => inputTransforms[each as keyof typeof inputTransforms]),
    }),
    ...(names.includes('ti') && { gradient: smoothedGradient }),
    ...(momentum !== undefined && { momentum: momentum === 'mi' ? normalizedMomentum : noMomentum }),
  };
}
