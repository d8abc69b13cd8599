import { holdOut } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { datasetHalves } from '../data/load.js';
import { check, LinbpError } from '../errors.js';
import { didYouMean } from '../names.js';
import type { Evaluated } from '../experiments/sweep.js';
import type { ModelDefinition } from '../nn/definition.js';
import { initialState } from '../nn/model.js';
import type { StateDict } from '../nn/model.js';
import { quotedValue } from '../quote.js';
import { cropAndFlip } from '../train/augmentation.js';
import { balancedClassWeights } from '../train/classWeights.js';
import { adam, adamw, sgd } from '../train/optimizers.js';
import type { Optimizer } from '../train/optimizers.js';
import { constant, cosine, exponential, warmup } from '../train/schedules.js';
import type { Schedule } from '../train/schedules.js';
import type { TrainerOptions } from '../train/settings.js';
import type { InputStage } from '../train/step.js';
import {
  chosenDataset,
  compileProgress,
  dataOptions,
  machineOptions,
  modelOptions,
  namedWeights,
  precisionOption,
  stepBatchOption,
  ruleHelp,
} from './common.js';
import { jobOptions } from './jobs/options.js';
import { choice, expectOnce, flag, integer, number, optionalText, text, texts } from './options.js';
import type { Needs, OptionValues } from './options.js';
import type { VerbContext } from './verb.js';

/** Options of `linbp train`. */
export const trainOptions = {
  ...modelOptions,
  newHead: flag('load all of --weights but the last layer, which starts at random'),
  rule: texts({
    help: `${ruleHelp}; several times with --sweep`,
    placeholder: 'RULE',
    byDefault: ['bp'],
  }),
  ...dataOptions,
  split: choice(['train', 'test'], {
    help: 'which split to train on; evaluation uses the test images, unless they are trained on',
    byDefault: 'train',
  }),
  validationSplit: number({
    help: 'hold out this share of the training images and evaluate on them instead',
    min: 0,
    max: 0.9,
    above: true,
  }),
  testLimit: integer({ help: 'use the first N test images', min: 1 }),
  epochs: integer({ help: 'passes over the training images', byDefault: 3, min: 1, max: 1_000_000 }),
  ...stepBatchOption,
  optimizer: choice(['sgd', 'adam', 'adamw'], { help: 'how gradients update the weights', byDefault: 'adam' }),
  lr: number({ help: 'learning rate', min: 0, above: true, shownDefault: '0.001; 0.02 for sgd' }),
  momentum: number({ help: 'of sgd, 0 up to 1', min: 0, max: 1, shownDefault: '0.9' }),
  nesterov: flag("Nesterov's form of momentum"),
  weightDecay: number({ help: 'L2 penalty; of adamw decoupled', min: 0, shownDefault: '0; 0.01 for adamw' }),
  schedule: choice(['constant', 'exponential', 'cosine'], {
    help: 'learning rate from epoch to epoch',
    byDefault: 'cosine',
  }),
  gamma: number({ help: 'factor per epoch of the exponential schedule', byDefault: 0.98, min: 0, max: 1, above: true }),
  warmup: integer({ help: 'epochs of linear warm-up before the schedule', min: 1 }),
  labelSmoothing: number({ help: 'probability spread over all classes', min: 0, max: 1, above: true }),
  classWeights: text({
    help: 'weights of the classes in the loss, or "balanced" for equal shares',
    placeholder: 'W,W,..',
  }),
  dropLast: flag('leave out the last, smaller batch of each epoch'),
  clipNorm: number({ help: 'largest length of all gradients together', min: 0, above: true }),
  augment: text({ help: 'random changes of the training images: crop, flip', placeholder: 'LIST' }),
  patience: integer({ help: 'stop after N epochs without a lower test or validation loss', min: 1 }),
  keepBest: flag('also write the best epoch, NAME.best.safetensors'),
  sweep: text({
    help: 'train at each of these learning rates under each --rule, with one report: lr=0.01,0.05,0.1',
    placeholder: 'lr=X,..',
  }),
  seeds: integer({ help: 'seeds of each run of --sweep, from --seed on [1]', min: 1, max: 1000 }),
  ...precisionOption,
  out: text({
    help: 'folder, or file ending in .safetensors, for weights and checkpoint [linbp-out/train-TIME, sweep-TIME]',
    placeholder: 'PATH',
  }),
  resume: optionalText({ help: 'continue from a checkpoint, by default that of --out', placeholder: 'FILE' }),
  ...machineOptions,
  ...jobOptions,
} as const;

/** Their values. */
export type TrainValues = OptionValues<typeof trainOptions>;

/** What options of `linbp train` need to count for anything. */
export function neededBy(values: TrainValues): Needs<TrainValues> {
  const { schedule, weights, validationSplit, split, sweep } = values;
  const alone = [sweep === undefined, 'does not go with --sweep'] as const;
  return {
    ...{ lr: alone, resume: alone, keepBest: alone, patience: alone },
    gamma: [schedule === 'exponential', 'goes with --schedule exponential'],
    newHead: [weights !== undefined, 'goes with --weights'],
    testLimit: [
      validationSplit === undefined && split === 'train',
      'is of the test images, which this run does not look at',
    ],
    shard: [sweep === undefined, 'does not go with --sweep, of which each run is a job'],
  };
}

/** The optimizer of `--optimizer` with its options. Throws `bad-argument` for options of another one. */
export function chosenOptimizer({ optimizer, lr, momentum, nesterov, weightDecay }: TrainValues): Optimizer {
  const decay = weightDecay === undefined ? {} : { weightDecay };
  const rate = lr === undefined ? {} : { lr };
  check(
    !nesterov || optimizer === 'sgd',
    'bad-argument',
    `--nesterov goes with --optimizer sgd, not ${optimizer}`,
    'nesterov',
  );
  check(
    momentum === undefined || optimizer === 'sgd',
    'bad-argument',
    `--momentum goes with --optimizer sgd, not ${optimizer}`,
    'momentum',
  );
  switch (optimizer) {
    case 'adam':
      return adam({ ...rate, ...decay });
    case 'adamw':
      return adamw({ ...rate, ...decay });
    case 'sgd':
      return sgd({ lr: lr ?? 0.02, momentum: momentum ?? 0.9, nesterov, ...decay });
  }
}

function plainSchedule({ schedule, gamma, epochs }: TrainValues): Schedule {
  switch (schedule) {
    case 'constant':
      return constant();
    case 'exponential':
      return exponential(gamma);
    case 'cosine':
      return cosine(epochs);
  }
}

/** The schedule of `--schedule`, with its warm-up. */
export function chosenSchedule(values: TrainValues): Schedule {
  const plain = plainSchedule(values);
  return values.warmup === undefined ? plain : warmup(plain, values.warmup);
}

/** What `--augment crop,flip` does to the training images. */
export function chosenAugmentation({ augment }: TrainValues): InputStage | undefined {
  if (augment === undefined) return undefined;
  const names = augment.split(',').map((name) => name.trim());
  expectOnce(names, 'augment');
  const unknown = names.find((name) => !['crop', 'flip'].includes(name));
  if (unknown !== undefined) {
    const message = `--augment takes crop and flip, got "${unknown}"${didYouMean(unknown, ['crop', 'flip'])}`;
    throw new LinbpError('unknown-option', message, { field: 'augment' });
  }
  return cropAndFlip({ padding: names.includes('crop') ? 4 : 0, flip: names.includes('flip') });
}

/** What the figures of the images besides those trained on are called. */
export const evaluatedOn = ({ validationSplit }: Pick<TrainValues, 'validationSplit'>): Evaluated =>
  validationSplit === undefined ? 'test' : 'validation';

/** Images to train on and, where there are others, those to evaluate on. */
export async function chosenHalves(
  values: TrainValues,
  definition: ModelDefinition,
  context: VerbContext,
): Promise<{ readonly dataset: Dataset; readonly testDataset?: Dataset }> {
  const dataset = await chosenDataset(values, values.split, definition, context);
  if (values.validationSplit !== undefined) {
    const { kept, heldOut } = holdOut(dataset, values.validationSplit, values.seed);
    return { dataset: kept, testDataset: heldOut };
  }
  const tested = values.split === 'train' && (await datasetHalves(values.dataset)).includes('test');
  if (!tested) {
    context.progress.line(
      'note: there are no images besides those trained on, so no test figures; see --validation-split',
    );
    return { dataset };
  }
  return {
    dataset,
    testDataset: await chosenDataset({ ...values, limit: values.testLimit }, 'test', definition, context),
  };
}

/** Weights of `--class-weights`. Throws `bad-argument` for what is no list of numbers. */
function chosenClassWeights({ classWeights }: TrainValues, dataset: Dataset): readonly number[] | undefined {
  if (classWeights === undefined) return undefined;
  if (classWeights === 'balanced') return balancedClassWeights(dataset);
  const weights = classWeights.split(',').map((each) => (each.trim() === '' ? NaN : Number(each)));
  check(
    weights.every(Number.isFinite),
    'bad-argument',
    `--class-weights takes numbers with commas between, or balanced, got ${quotedValue(classWeights)}`,
    'classWeights',
  );
  return weights;
}

/** The weights to begin with: of `--weights`, or drawn from a seed. Throws `missing-file` or `bad-file`. */
export async function startWeights(values: TrainValues, definition: ModelDefinition, seed: number): Promise<StateDict> {
  return values.weights === undefined
    ? initialState(definition, seed)
    : namedWeights(definition, values.weights, { newHead: values.newHead, seed });
}

/** What a trainer is made with besides network, weights, rule, optimizer and seed. */
export function trainerSettings(
  values: TrainValues,
  definition: ModelDefinition,
  halves: { readonly dataset: Dataset; readonly testDataset?: Dataset },
  { progress }: VerbContext,
): Omit<TrainerOptions, 'model' | 'rules' | 'optimizer' | 'seed'> & { readonly logEvery: number } {
  const inputs = chosenAugmentation(values);
  const classWeights = chosenClassWeights(values, halves.dataset);
  return {
    ...halves,
    schedule: chosenSchedule(values),
    batch: values.batch,
    // Small images make short steps; on large ones nobody wants to wait fifty steps for a sign of life.
    logEvery: definition.input[1] <= 28 ? 50 : 5,
    precision: values.precision,
    onCompile: compileProgress(progress),
    ...(inputs && { inputs }),
    ...(values.labelSmoothing !== undefined && { labelSmoothing: values.labelSmoothing }),
    ...(classWeights && { classWeights }),
    ...(values.dropLast && { dropLast: true }),
    ...(values.clipNorm !== undefined && { clipNorm: values.clipNorm }),
  };
}
