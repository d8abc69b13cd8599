import { join } from 'node:path';
import { Attack } from '../attacks/attack.js';
import { attackNames } from '../attacks/builtin.js';
import { intermediateLevel } from '../attacks/intermediate.js';
import type { AttackOptions } from '../attacks/options.js';
import type { AttackResult } from '../attacks/result.js';
import { batchLabels } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { check } from '../errors.js';
import { writeFileAtomic } from '../io/atomic.js';
import { defaultOutput, OutputFolder } from '../io/outputFolder.js';
import { writePng } from '../io/png.js';
import { writeSafetensors } from '../io/safetensors.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { HostModel, Model } from '../nn/model.js';
import {
  chosenDataset,
  chosenModel,
  chosenRules,
  chosenWeights,
  dataOptions,
  machineOptions,
  modelOptions,
  percent,
} from './common.js';
import {
  compileProgress,
  openDevice,
  pixelRange,
  precisionOption,
  referenceAdapter,
  ruleOption,
  shownAdapter,
  splitOption,
} from './common.js';
import { modelWith } from './inference.js';
import { batteryFields, runBattery } from './battery.js';
import type { Ran } from './battery.js';
import { composed, knownAttack } from './composedAttack.js';
import { choice, flag, integer, number, openFlag, text } from './options.js';
import type { OptionValues } from './options.js';
import { evaluateVictims, readVictims } from './victims.js';
import type { VictimResult } from './victims.js';
import { defineVerb } from './verb.js';
import type { VerbContext } from './verb.js';

const options = {
  ...modelOptions,
  ...ruleOption,
  ...dataOptions,
  ...splitOption,
  attack: text({ help: `autoattack, ${attackNames.join(', ')}`, placeholder: 'NAME', byDefault: 'pgd' }),
  version: choice(['standard', 'plus', 'rand'], { help: 'stages of autoattack', byDefault: 'standard' }),
  gradient: choice(['ni', 'vmi', 'vni', 'emi', 'gra', 'pgn'], {
    help: 'gradients at several points a step, for attacks by steps; without --attack on top of ifgsm',
  }),
  transform: text({
    help: 'what the network sees, joined by commas: di, si, ti (smoothed gradients)',
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
  victims: text({ help: 'also try the saved images on these models', placeholder: 'M=W,..' }),
  batch: integer({ help: 'images a program; results do not depend on it', byDefault: 64, min: 1, max: 65536 }),
  images: integer({ help: 'how many images to write as PNG', byDefault: 100, min: 0 }),
  out: text({
    help: 'folder for images, tensors and report [linbp-out/attack-TIME]',
    placeholder: 'DIR',
  }),
  ...precisionOption,
  ...machineOptions,
} as const;

type AttackValues = OptionValues<typeof options>;

function attackOptions(values: AttackValues, model: Model | HostModel, rules: string): AttackOptions {
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
function targetShift({ targetShift: given, targeted }: AttackValues, { classes, name }: ModelDefinition): number {
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
  values: AttackValues,
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
async function runStages(
  stages: readonly Attack[],
  dataset: Dataset,
  targets: Int32Array | undefined,
  context: VerbContext,
): Promise<AttackResult> {
  const results: AttackResult[] = [];
  for (const stage of stages) {
    const start = results.at(-1)?.images;
    results.push(await runAttack(stage, dataset, { ...(targets && { targets }), ...(start && { start }) }, context));
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
  dataset: Dataset,
  input: { readonly targets?: Int32Array; readonly start?: Float32Array },
  { signal, progress }: VerbContext,
): Promise<AttackResult> {
  const began = performance.now();
  try {
    return await attack.run({
      images: dataset,
      ...input,
      signal,
      keepFinished: true,
      onProgress(share, images) {
        const seconds = (performance.now() - began) / 1000;
        progress.update(attack.settings.definition.name, share, `${images} images done  ${seconds.toFixed(0)} s`);
      },
    });
  } finally {
    progress.clear();
  }
}

/** PNG files `00000_3.png` (number, label), which `--dataset folder:PATH` reads again, and all tensors. */
function writeOutputs(
  folder: string,
  pngs: number,
  dataset: Dataset,
  result: AttackResult,
  targets: Int32Array | undefined,
): void {
  const { channels, height, width } = dataset;
  const { count } = result;
  const size = channels * height * width;
  const clean = pixelRange(dataset, 0, count);
  if (channels === 1 || channels === 3) {
    for (let n = 0; n < Math.min(pngs, count); n++) {
      const name = `${String(n).padStart(5, '0')}_${dataset.labels[n]}.png`;
      const original = Uint8Array.from(clean.subarray(n * size, (n + 1) * size), (pixel) => Math.round(255 * pixel));
      writePng(join(folder, 'clean', name), { channels, height, width, data: original });
      writePng(join(folder, 'adversarial', name), {
        channels,
        height,
        width,
        data: result.images8.slice(n * size, (n + 1) * size),
      });
    }
  }
  const shape = [count, channels, height, width];
  writeSafetensors(join(folder, 'adversarial.safetensors'), {
    adversarial: { shape, data: result.images },
    adversarial8: { shape, data: result.images8 },
    clean: { shape, data: clean },
    labels: { shape: [count], data: Int32Array.from(dataset.labels.subarray(0, count)) },
    ...(targets && { targets: { shape: [count], data: targets.subarray(0, count) } }),
  });
}

async function runOne(
  values: AttackValues,
  model: Model | HostModel,
  rules: string,
  dataset: Dataset,
  targets: Int32Array | undefined,
  context: VerbContext,
): Promise<Ran> {
  const stages = await compileStages(values, model, rules, context);
  try {
    const result = await runStages(stages, dataset, targets, context);
    const { eps, alpha, steps, restarts, randomStart, keep } = stages[0]!.settings;
    const ilaSteps = stages[1]?.settings.steps ?? null;
    return { result, settings: { eps, alpha, steps, restarts, randomStart, keep }, ilaSteps };
  } finally {
    for (const stage of stages) stage.destroy();
  }
}

function resultFields(result: AttackResult, victims: readonly VictimResult[]) {
  const { count, cleanCorrect, robustCorrect, cleanAccuracy, robustAccuracy, successRate, saved, linf, l2, curve } =
    result;
  const { gradients, forwards, overflows, dispatches, submits, readbacks, imageGradientsPerSecond } = result;
  return {
    ...{
      count,
      cleanCorrect,
      robustCorrect,
      cleanAccuracy,
      robustAccuracy,
      successRate,
      saved,
      victims,
      linf,
      l2,
      curve,
    },
    ...{ gradients, forwards, overflows, dispatches, submits, readbacks, imageGradientsPerSecond },
    ...batteryFields(result),
  };
}

function printResult(
  result: AttackResult,
  victims: readonly VictimResult[],
  definition: ModelDefinition,
  print: (line: string) => void,
): void {
  print(`${definition.name} on ${result.count} images`);
  print(`clean accuracy   ${percent(result.cleanAccuracy)}`);
  print(
    `robust accuracy  ${percent(result.robustAccuracy)} (as saved in 8 bits ${percent(result.saved.robustAccuracy)})`,
  );
  print(`success rate     ${percent(result.successRate)} of the images right before`);
  print(
    `largest change   linf ${result.linf.largest.toFixed(5)} (${(255 * result.linf.largest).toFixed(1)}/255), l2 ${result.l2.largest.toFixed(4)}`,
  );
  print(
    `gradients        ${result.gradients} in ${result.seconds.toFixed(1)} s, ${result.imageGradientsPerSecond.toFixed(0)} a second`,
  );
  if (result.overflows > 0)
    print(`overflows        ${result.overflows} of these in f16; their images kept their place for a step`);
  for (const victim of victims) {
    print(
      `victim ${victim.model}: clean ${percent(victim.cleanAccuracy)}, robust ${percent(victim.robustAccuracy)}, success ${percent(victim.successRate)}`,
    );
  }
}

/** `linbp attack`: adversarial examples, judged on the true forward pass, and what they do to other models. */
export const attackVerb = defineVerb({
  name: 'attack',
  summary: 'crafts adversarial images under any rule and tries them on other models',
  options,
  notes: [
    '',
    'Writes clean/ and adversarial/ (PNG), adversarial.safetensors (adversarial, adversarial8, clean, labels) and report.json.',
    'Figures are of the float images, "saved" and the victims of the images rounded to 8 bits inside the ball.',
    'Ctrl-C keeps the batches finished until then and ends with exit code 130.',
  ],
  async run(values, context) {
    const definition = await chosenModel(values);
    const rules = chosenRules(values.rule, definition);
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
    const shift = targetShift(values, definition);
    const victims = await readVictims(values.victims, definition);
    const out = OutputFolder.open(values.out ?? defaultOutput('attack'), 'attack');
    context.lock(out.path);
    const weights = await chosenWeights(definition, values, context.progress);
    const dataset = await chosenDataset(values, values.split, definition, context);
    const labels = batchLabels(
      dataset,
      Array.from({ length: dataset.count }, (_, n) => n),
    );
    const targets = values.targeted ? labels.map((label) => (label + shift) % definition.classes) : undefined;
    out.create();
    const device = values.device === 'reference' ? undefined : await openDevice({ ...values, device: values.device });
    try {
      const model = device === undefined ? { definition, weights } : modelWith(device, definition, weights);
      const { result, settings, ilaSteps } = battery
        ? await runBattery(values, model, rules.written, dataset, context)
        : await runOne(values, model, rules.written, dataset, targets, context);
      const { interrupted } = result;
      const tried = interrupted
        ? []
        : await evaluateVictims(victims, device, { dataset, labels, targets, images8: result.images8 }, context);
      const fields = { ...resultFields(result, tried), out: out.path };
      const targetShift = values.targeted ? shift : null;
      const settled = {
        rule: rules.written,
        ...settings,
        targetShift,
        ilaSteps,
        note: dataset.note ?? null,
      };
      const report = {
        ...(interrupted && { interrupted }),
        model: definition.name,
        dataset: dataset.name,
        settings: { ...values, out: out.path, ...settled },
        ...fields,
        samples: result.samples,
      };
      out.replace((folder) => {
        writeOutputs(folder, values.images, dataset, result, targets);
        writeFileAtomic(join(folder, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
      });
      printResult(result, tried, definition, context.print);
      context.print(`wrote ${out.path}`);
      return {
        adapter: device === undefined ? referenceAdapter : shownAdapter(device),
        settings: settled,
        fields,
        interrupted,
      };
    } finally {
      device?.destroy();
    }
  },
});
