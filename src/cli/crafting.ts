import { Attack } from '../attacks/attack.js';
import { attackNames } from '../attacks/builtin.js';
import { intermediateLevel } from '../attacks/intermediate.js';
import type { AttackOptions } from '../attacks/options.js';
import type { AttackResult } from '../attacks/result.js';
import { gradientSamplings, inputTransforms } from '../attacks/transfer.js';
import { check } from '../errors.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { HostModel, Model } from '../nn/model.js';
import { runBattery } from './battery.js';
import type { CraftingInput, Ran } from './battery.js';
import { compileProgress, machineOptions, precisionOption } from './common.js';
import { composed, knownAttack } from './composedAttack.js';
import { choice, flag, integer, number, openFlag, text } from './options.js';
import type { OptionValues } from './options.js';
import type { VerbContext } from './verb.js';

/** Options that decide, with the network, its rules and the images, what an attack finds. */
export const craftingOptions = {
  attack: text({ help: `autoattack, ${attackNames.join(', ')}`, placeholder: 'NAME', byDefault: 'pgd' }),
  version: choice(['standard', 'plus', 'rand'], { help: 'stages of autoattack', byDefault: 'standard' }),
  gradient: choice(Object.keys(gradientSamplings) as (keyof typeof gradientSamplings)[], {
    help: 'gradients at several points a step, for attacks by steps; without --attack on top of ifgsm',
  }),
  transform: text({
    help: `what the network sees, joined by commas: ${Object.keys(inputTransforms).join(', ')}; ti smooths gradients`,
    placeholder: 'LIST',
  }),
  momentum: choice(['mi', 'none'], { help: "normalized momentum, or none [the attack's own]" }),
  norm: choice(['linf', 'l2', 'l1'], { help: 'norm of the ball', byDefault: 'linf' }),
  eps: number({ help: 'radius of the ball in pixels of [0, 1], such as 8/255', min: 0, byDefault: 0.1 }),
  alpha: number({
    help: 'step size in pixels',
    min: 0,
    shownDefault: 'eps/steps; 2.5 eps/steps for pgd, 2 eps for apgd',
  }),
  steps: integer({ help: 'gradient steps of each restart', min: 1, max: 100_000 }),
  restarts: integer({ help: 'how often to begin anew, keeping the best image', byDefault: 1, min: 1, max: 1000 }),
  randomStart: openFlag('begin at a random point of the ball, as pgd and apgd do without being told'),
  targeted: flag('drive each image towards the class --target-shift after its own'),
  targetShift: integer({ help: 'classes from label to target, counted in a circle [1; 500 of 1,000 classes]', min: 1 }),
  ila: text({
    help: 'then begin again and push the output of this layer further the same way, with the true gradient (ILA)',
    placeholder: 'LAYER',
  }),
  ilaSteps: integer({ help: 'steps of that second stage [those of the first]', min: 1, max: 100_000 }),
  loss: choice(['ce', 'ce-rounded', 'margin', 'dlr', 'logit', 'logit-margin'], {
    help: 'what is maximized; ce-rounded has the gradient of frameworks in float32, 0 at confident labels',
    byDefault: 'ce',
  }),
  decay: number({ help: 'factor of the old momentum of mifgsm', min: 0, byDefault: 1 }),
  keep: choice(['best', 'last'], {
    help: 'which iterate becomes the result [best for pgd, apgd and attacks that search, last for the rest]',
  }),
  batch: integer({ help: 'images a program; results do not depend on it', byDefault: 64, min: 1, max: 65536 }),
  ...precisionOption,
  seed: machineOptions.seed,
} as const;

/** Values of {@link craftingOptions}, and where they are used. */
export type CraftingValues = OptionValues<typeof craftingOptions> & {
  readonly device: 'auto' | 'software' | 'reference';
};

/** An attack made ready: programs compiled, for as many sets of images as there are. */
export interface Crafting {
  run(input: CraftingInput, context: VerbContext): Promise<Ran>;
  close(): void;
}

/**
 * Throws `unknown-option` or `bad-argument` for options that exclude each other, before any work. Returns the number of
 * classes from label to target.
 */
export function checkCrafting(values: CraftingValues, definition: ModelDefinition): number {
  const battery = values.attack === 'autoattack';
  if (!battery) knownAttack(values.attack);
  check(
    !battery || (!values.targeted && values.ila === undefined),
    'bad-argument',
    'autoattack takes neither --targeted nor --ila',
    'attack',
  );
  check(
    values.ilaSteps === undefined || values.ila !== undefined,
    'bad-argument',
    '--ila-steps goes with --ila',
    'ilaSteps',
  );
  return targetShift(values, definition);
}

function attackOptions(values: CraftingValues, model: Model | HostModel, rules: string): AttackOptions {
  const { norm, eps, alpha, steps, restarts, randomStart, targeted, loss, decay, keep, batch, seed, precision } =
    values;
  return {
    model,
    rules,
    device: values.device === 'reference' ? 'reference' : 'gpu',
    attack: composed(values),
    ...{ norm, eps, restarts, targeted, loss, decay, batch, seed, precision },
    ...(keep !== undefined && { keep }),
    ...(alpha !== undefined && { alpha }),
    ...(steps !== undefined && { steps }),
    ...(randomStart !== undefined && { randomStart }),
  };
}

/** Classes from label to target: the papers' maps of 10 and of 1,000 classes unless told. */
function targetShift({ targetShift: given, targeted }: CraftingValues, { classes, name }: ModelDefinition): number {
  const shift = given ?? (classes === 1000 ? 500 : 1);
  check(given === undefined || targeted, 'bad-argument', '--target-shift goes with --targeted', 'targetShift');
  check(
    shift < classes,
    'bad-range',
    `--target-shift must be below the ${classes} classes of ${name}, got ${shift}`,
    'targetShift',
  );
  return shift;
}

/** The attack, and with `--ila` the second stage, compiled before either runs. */
async function compileStages(
  values: CraftingValues,
  model: Model | HostModel,
  rules: string,
  { progress }: VerbContext,
): Promise<Attack[]> {
  const given = { ...attackOptions(values, model, rules), onCompile: compileProgress(progress) };
  const first = await Attack.compile(given);
  const stages = [first];
  try {
    if (values.ila !== undefined) {
      const steps = values.ilaSteps ?? first.settings.steps;
      const second = { attack: intermediateLevel(values.ila), rules: 'bp', randomStart: false, restarts: 1, steps };
      stages.push(await Attack.compile({ ...given, ...second }));
    }
    return stages;
  } catch (error) {
    first.destroy();
    throw error;
  } finally {
    progress.clear();
  }
}

/** Runs the stages one after another, each from the images of the one before; what they cost is added up. */
async function runStages(stages: readonly Attack[], input: CraftingInput, context: VerbContext): Promise<AttackResult> {
  const results: AttackResult[] = [];
  for (const stage of stages) {
    const start = results.at(-1)?.images;
    results.push(await runAttack(stage, input, start, context));
    if (results.at(-1)!.interrupted) break;
  }
  const sum = (of: (result: AttackResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  const [gradients, seconds] = [sum((result) => result.gradients), sum((result) => result.seconds)];
  return {
    ...results.at(-1)!,
    gradients,
    forwards: sum((result) => result.forwards),
    seconds,
    imageGradientsPerSecond: gradients / seconds,
    dispatches: sum((result) => result.dispatches),
    submits: sum((result) => result.submits),
    readbacks: sum((result) => result.readbacks),
  };
}

async function runAttack(
  attack: Attack,
  { dataset, targets, sampleIds }: CraftingInput,
  start: Float32Array | undefined,
  { signal, progress }: VerbContext,
): Promise<AttackResult> {
  try {
    return await attack.run({
      images: dataset,
      ...(targets && { targets }),
      ...(sampleIds && { sampleIds }),
      ...(start && { start }),
      signal,
      keepFinished: true,
      onProgress(share, images) {
        const amount = { total: dataset.count, unit: 'images' };
        progress.update(attack.settings.definition.name, share, `${images} of ${dataset.count} images`, amount);
      },
    });
  } finally {
    progress.clear();
  }
}
/** Makes the chosen attack ready. Throws what compiling it throws. */
export async function openCrafting(
  values: CraftingValues,
  model: Model | HostModel,
  rules: string,
  context: VerbContext,
): Promise<Crafting> {
  if (values.attack === 'autoattack')
    return { run: (input, running) => runBattery(values, model, rules, input, running), close: () => undefined };
  const stages = await compileStages(values, model, rules, context);
  const { eps, alpha, steps, restarts, randomStart, keep } = stages[0]!.settings;
  const ilaSteps = stages[1]?.settings.steps ?? null;
  const settings = { eps, alpha, steps, restarts, randomStart, keep };
  return {
    run: async (input, running) => ({ result: await runStages(stages, input, running), settings, ilaSteps }),
    close: () => stages.forEach((stage) => stage.destroy()),
  };
}
