import { lossKinds } from '../../attacks/stages.js';
import type { AttackLoss } from '../../attacks/stages.js';
import { gradientSamplings, inputTransforms } from '../../attacks/transfer.js';
import {
  dataOptions,
  machineOptions,
  modelOptions,
  precisionOption,
  programBatch,
  resumeOption,
  ruleHelp,
  splitOption,
} from '../common.js';
import { choice, flag, givenOptions, integer, number, numbers, openFlag, text, texts } from '../options.js';
import type { OptionValues } from '../options.js';
import { jobOptions } from '../jobs/options.js';
import { presetNamed } from './presets.js';
import { stageOptions } from './spec.js';

/** Options that say which attacks run, for every verb that attacks. */
export const attackOptionTable = {
  rule: texts({
    help: `${ruleHelp}; repeat it for several`,
    byDefault: ['bp'],
    placeholder: 'RULE',
  }),
  norm: choice(['linf', 'l2', 'l1'], { help: 'norm of the ball', byDefault: 'linf' }),
  alpha: number({
    help: 'step size in pixel values',
    min: 0,
    shownDefault: "the attack's own, see below",
  }),
  steps: integer({ help: 'gradient steps of each restart', min: 1, max: 100_000 }),
} as const;

export const options = {
  ...modelOptions,
  ...attackOptionTable,
  ...dataOptions,
  ...splitOption,
  list: flag('list the attacks with costs and sources, and exit'),
  preset: text({ help: 'options of a paper, see below; explicit ones override them', placeholder: 'NAME' }),
  attack: text({ help: 'attacks joined by commas, see --list', placeholder: 'A,B', byDefault: 'pgd' }),
  version: choice(['standard', 'plus', 'rand', 'custom'], { help: 'stages of autoattack', byDefault: 'standard' }),
  stages: text({
    help: 'of --version custom: apgd-ce, apgd-dlr, apgd-t, fab, fab-t, square',
    placeholder: 'A,B',
  }),
  gradient: choice(Object.keys(gradientSamplings) as (keyof typeof gradientSamplings)[], {
    help: 'gradients at several points per step',
  }),
  transform: text({
    help: `joined by commas: ${Object.keys(inputTransforms).join(', ')}, ti`,
    placeholder: 'LIST',
  }),
  momentum: choice(['mi', 'none'], { help: "normalized (mi) or none [the attack's own]" }),
  eps: numbers({
    help: 'radii in pixel values from 0 to 1, such as 4/255,8/255',
    min: 0,
    shownDefault: '0.1',
  }),
  restarts: integer({ help: 'starting points per image, of which the best counts', byDefault: 1, min: 1, max: 1000 }),
  randomStart: openFlag('begin at a random point of the ball'),
  targeted: flag('toward the target class of the data set, or else the class --target-shift after the label'),
  targetShift: integer({ help: 'classes from label to target [1; 500 of 1,000]', min: 1 }),
  ila: text({
    help: 'second stage that pushes the output of this layer',
    placeholder: 'LAYER',
  }),
  ilaSteps: integer({ help: 'steps of that second stage [those of the first]', min: 1, max: 100_000 }),
  loss: choice(Object.keys(lossKinds) as AttackLoss[], {
    help: "what is maximized [the attack's own, mostly ce]",
  }),
  decay: number({ help: 'factor of the previous momentum (mifgsm)', min: 0, byDefault: 1 }),
  eot: integer({ help: 'gradients through random transforms, averaged', byDefault: 1, min: 1, max: 1000 }),
  keep: choice(['best', 'last'], {
    help: "which iterate is the result [the attack's own]",
  }),
  victims: text({ help: 'also test the saved images on these models', placeholder: 'M=W,..' }),
  batch: programBatch(64, 65536),
  images: integer({ help: 'how many images to write as PNG', byDefault: 100, min: 0 }),
  csv: text({ help: 'also write one line per image there', placeholder: 'FILE' }),
  out: text({
    help: 'folder for results [linbp-out/attack-TIME]',
    placeholder: 'DIR',
  }),
  ...resumeOption,
  ...precisionOption,
  ...machineOptions,
  ...jobOptions,
} as const;

export type AttackValues = OptionValues<typeof options>;

/**
 * The values with those of `--preset` in the place of what was not given. Stages without an attack change `ifgsm`.
 * Throws `unknown-option`.
 */
export function withPreset(values: AttackValues): AttackValues {
  const given = givenOptions(values);
  if (values.preset === undefined) {
    const staged = stageOptions.some((name) => values[name] !== undefined);
    return staged && !given.has('attack') ? { ...values, attack: 'ifgsm' } : values;
  }
  // The stages of a preset are those of its attack.
  const fits = (name: string): boolean => !(given.has('attack') && (stageOptions as readonly string[]).includes(name));
  const more = Object.entries(presetNamed(values.preset).options).filter(([name]) => !given.has(name) && fits(name));
  return { ...values, ...Object.fromEntries(more) };
}
