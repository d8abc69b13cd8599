import { expectFields, expectFloat32Number, expectObject, expectOneOf, expectStateDict } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { checkClassWeights } from './classWeights.js';
import { expectSameClasses } from '../data/classes.js';
import type { Dataset } from '../data/dataset.js';
import { check } from '../errors.js';
import type { LossKind, Precision } from '../graph/types.js';
import { describeModel, positionTable } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import { Model } from '../nn/model.js';
import type { HostModel } from '../nn/model.js';
import { expectPlace } from '../nn/place.js';
import { formatRules, parseRules } from '../rules/parse.js';
import type { RuleSpec } from '../rules/parse.js';
import { resolveRules } from '../rules/resolve.js';
import type { BackwardSelection } from '../graph/backward.js';
import type { PointwiseRule } from '../graph/rule.js';
import { resolveLossScale } from './lossScale.js';
import type { LossScaleOptions, LossScaleSettings } from './lossScale.js';
import type { Optimizer } from './optimizers.js';
import { constant } from './schedules.js';
import type { Schedule } from './schedules.js';
import { datasetIdentity, networkIdentity } from './identity.js';
import { stepIdentity } from './step.js';
import type { InputStage, Objective, StepSettings } from './step.js';

/** What a trainer is made of. */
export interface TrainerOptions {
  /** The model to train; or weights on the host, for the reference. */
  readonly model: Model | HostModel;
  /**
   * `gpu` (default) trains the model in place on its device. `reference` trains a copy of its weights in float64 on the
   * CPU, which `Trainer.stateDict` and `Trainer.save` give; the model's own stay as they are.
   */
  readonly device?: 'gpu' | 'reference';
  /** The training images. */
  readonly dataset: Dataset;
  /** Images on which loss and accuracy are measured after every epoch; none unless given. */
  readonly testDataset?: Dataset;
  /** The backward of each ReLU: notation such as `linbp`, typed rules, or a selection. `bp` unless given. */
  readonly rules?: string | readonly RuleSpec[] | BackwardSelection;
  /** Custom rules that the notation may name. */
  readonly userRules?: readonly PointwiseRule[];
  readonly optimizer: Optimizer;
  /** Learning rate of each epoch; constant unless given. */
  readonly schedule?: Schedule;
  /** Samples per step, 1..65536; 64 unless given. The last batch of an epoch may be smaller. */
  readonly batch?: number;
  /** Decides the order of the samples, 0..2^32-1; 0 unless given. */
  readonly seed?: number;
  /** Draw a new order each epoch (default), or take the samples as they come. */
  readonly shuffle?: boolean;
  /** Steps between two read-backs of losses, 1..4096; 50 unless given. */
  readonly logEvery?: number;
  /** Per-sample loss whose batch mean is minimized; cross entropy unless given. */
  readonly loss?: LossKind;
  /** A custom objective instead of `loss`. */
  readonly objective?: Objective;
  /**
   * Label smoothing of the cross entropy in training, above 0 and below 1; none unless given. Evaluation reports the
   * plain loss.
   */
  readonly labelSmoothing?: number;
  /**
   * A weight for each class of the cross entropy in training, as PyTorch's `CrossEntropyLoss(weight)` has them; see
   * `balancedClassWeights`. Evaluation reports the plain loss.
   */
  readonly classWeights?: readonly number[];
  /** Leave out the last, smaller batch of each epoch; other samples in each one where they are shuffled. */
  readonly dropLast?: boolean;
  /** Shorten the gradients of all parameters together to this length, above 0; as they are unless given. */
  readonly clipNorm?: number;
  /**
   * What happens to the images before the network sees them, in the same program; nothing unless given. Evaluation
   * sees the plain images.
   */
  readonly inputs?: InputStage;
  /**
   * `f16` stores activations and their gradients in 16 bits, and scales the loss; weights, their gradients and states
   * stay in f32. Default `f32`.
   */
  readonly precision?: Precision;
  /** Of `f16`. */
  readonly lossScale?: LossScaleOptions;
  /**
   * A name for the weights that the run starts from, where the seed does not make them, such as a hash. A checkpoint
   * keeps it; a run that resumes under another name is refused.
   */
  readonly startsFrom?: string;
  /** Called after each compiled pipeline of a program: of the step, and later of the evaluation. */
  readonly onCompile?: (done: number, total: number) => void;
}

/** The fields of {@link TrainerOptions}. */
export const trainerFields: FieldNames<TrainerOptions> = {
  model: true,
  device: true,
  dataset: true,
  testDataset: true,
  rules: true,
  userRules: true,
  optimizer: true,
  schedule: true,
  batch: true,
  seed: true,
  shuffle: 'flag',
  logEvery: true,
  loss: true,
  objective: 'function',
  labelSmoothing: true,
  classWeights: true,
  dropLast: 'flag',
  clipNorm: true,
  inputs: true,
  precision: true,
  lossScale: true,
  startsFrom: true,
  onCompile: 'function',
};

/** Options with their defaults filled in and checked. */
export interface ResolvedSettings {
  readonly step: StepSettings;
  readonly schedule: Schedule;
  readonly batch: number;
  readonly seed: number;
  readonly shuffle: boolean;
  /** Samples of an epoch: all, or those of whole batches. */
  readonly samples: number;
  /** The rules in their notation, for messages and checkpoints. */
  readonly ruleText: string;
  /** What a resumed run must agree with, as text by name. */
  readonly fingerprint: Readonly<Record<string, string>>;
}

/** Throws `bad-range` unless `value` is a whole number within bounds. */
export function checkWhole(field: string, value: number, least: number, most: number): void {
  const valid = Number.isInteger(value) && value >= least && value <= most;
  check(valid, 'bad-range', `${field} must be a whole number from ${least} to ${most}, got ${value}`, field);
}

/** Throws `bad-shape` unless a data set has the model's image size and number of classes. */
export function checkDataset(definition: ModelDefinition, dataset: Dataset, field: string): void {
  expectObject(dataset, field);
  check(dataset.count > 0, 'bad-shape', `${field}: the data set ${dataset.name} is empty`, field);
  const shape = [dataset.channels, dataset.height, dataset.width];
  check(
    shape.join() === definition.input.join(),
    'bad-shape',
    `${field}: ${definition.name} takes images ` +
      `[${definition.input.join(', ')}], ${dataset.name} has [${shape.join(', ')}]`,
    field,
  );
  expectSameClasses(definition, dataset, field);
}

function ruleSettings(options: TrainerOptions): { rules: BackwardSelection; ruleText: string } {
  const given = options.rules ?? 'bp';
  if (typeof given === 'function') return { rules: given, ruleText: 'custom' };
  const specs = typeof given === 'string' ? parseRules(given, options.userRules) : given;
  return {
    rules: resolveRules(specs, positionTable(options.model.definition)),
    ruleText: typeof given === 'string' ? given : formatRules(specs),
  };
}

function regularizationOf(options: TrainerOptions): Pick<StepSettings, 'labelSmoothing' | 'clipNorm' | 'classWeights'> {
  const { labelSmoothing, clipNorm, classWeights, objective, loss = 'crossEntropy' } = options;
  if (labelSmoothing !== undefined) {
    expectFloat32Number(
      labelSmoothing,
      'labelSmoothing',
      (value) => value > 0 && value < 1,
      'a number above 0 and below 1',
    );
    const fits = objective === undefined && loss === 'crossEntropy';
    check(fits, 'bad-argument', 'label smoothing goes with the loss crossEntropy only', 'labelSmoothing');
  }
  if (clipNorm !== undefined)
    expectFloat32Number(clipNorm, 'clipNorm', (value) => value > 0, 'a finite number above 0');
  if (classWeights !== undefined) {
    checkClassWeights(classWeights, options.model.definition.classes);
    const fits = objective === undefined && loss === 'crossEntropy' && labelSmoothing === undefined;
    check(
      fits,
      'bad-argument',
      'class weights go with the loss crossEntropy only, without label smoothing',
      'classWeights',
    );
  }
  return {
    ...(labelSmoothing !== undefined && { labelSmoothing }),
    ...(classWeights !== undefined && { classWeights }),
    ...(clipNorm !== undefined && { clipNorm }),
  };
}

function expectLearningRate(lr: number): void {
  expectFloat32Number(lr, 'lr', (value) => value > 0, 'a finite number above 0');
}

/** What a resumed run must agree with. */
function fingerprintOf(
  options: TrainerOptions,
  { schedule, batch, seed, shuffle, ruleText, step }: Omit<ResolvedSettings, 'fingerprint'>,
  regularization: object,
  lossScale: LossScaleSettings | undefined,
): Readonly<Record<string, string>> {
  const { model, dataset, testDataset, dropLast, optimizer, objective, loss = 'crossEntropy', inputs } = options;
  const { precision = 'f32' } = step;
  // Names of one's own say nothing about what is behind them.
  const own = objective !== undefined || typeof options.rules === 'function' || (options.userRules ?? []).length > 0;
  return {
    ...networkIdentity(model.definition),
    ...datasetIdentity(dataset),
    ...(testDataset && { testImages: testIdentity(testDataset) }),
    rules: ruleText,
    optimizer: describe(optimizer.name, { lr: optimizer.lr, ...optimizer.settings }),
    ...scheduleText(schedule),
    batch: String(batch),
    seed: String(seed),
    shuffle: String(shuffle),
    ...(dropLast && { dropLast: 'true' }),
    loss: objective === undefined ? loss : 'custom',
    ...(own && { 'own rules and objective': stepIdentity(step, Math.min(batch, dataset.count)) }),
    ...(inputs && { inputs: inputs.name }),
    ...(options.startsFrom !== undefined && { startsFrom: options.startsFrom }),
    ...Object.fromEntries(Object.entries(regularization).map(([name, value]) => [name, String(value)])),
    precision,
    ...(lossScale && {
      precision: describe(precision, { scale: lossScale.initial, growthInterval: lossScale.growthInterval }),
    }),
  };
}

/**
 * Checks all options before any work. Throws `bad-range`, `bad-shape`, `unknown-rule` and what {@link resolveRules}
 * throws.
 */
export function resolveSettings(options: TrainerOptions): ResolvedSettings {
  expectFields(options, trainerFields);
  for (const field of ['model', 'optimizer'] as const) expectObject(options[field], field);
  const { model, dataset, testDataset, optimizer, objective, inputs } = options;
  describeModel(model.definition);
  if (!(model instanceof Model)) expectStateDict(model.weights);
  const { definition } = model;
  const {
    schedule = constant(),
    batch = 64,
    seed = 0,
    shuffle = true,
    logEvery = 50,
    dropLast = false,
    loss = 'crossEntropy',
    precision = 'f32',
  } = options;
  checkDataset(definition, dataset, 'dataset');
  if (testDataset !== undefined) checkDataset(definition, testDataset, 'testDataset');
  checkWhole('batch', batch, 1, 65536);
  check(
    !dropLast || batch <= dataset.count,
    'bad-range',
    `dropLast leaves nothing: ${dataset.name} has ${dataset.count} samples, fewer than the batch of ${batch}`,
    'dropLast',
  );
  checkWhole('seed', seed, 0, 2 ** 32 - 1);
  checkWhole('logEvery', logEvery, 1, 4096);
  expectOneOf(precision, ['f32', 'f16'], 'precision');
  expectPlace(model, options.device ?? 'gpu', precision);
  const lossScale = precision === 'f16' ? resolveLossScale(options.lossScale ?? {}) : undefined;
  expectLearningRate(optimizer.lr);
  const regularization = regularizationOf(options);
  const { rules, ruleText } = ruleSettings(options);
  const resolved = {
    step: {
      ...{ definition, rules, optimizer, loss, objective },
      logRows: logEvery,
      seed,
      precision,
      ...(inputs && { inputs }),
      ...regularization,
      ...(lossScale && { lossScale }),
    },
    ...{ schedule, batch, seed, shuffle },
    samples: dropLast ? batch * Math.floor(dataset.count / batch) : dataset.count,
    ruleText,
  };
  // Hashing the images takes a while, and only checkpoints ask for it.
  const given = { ...options };
  let fingerprint: Readonly<Record<string, string>> | undefined;
  return {
    ...resolved,
    get fingerprint() {
      return (fingerprint ??= fingerprintOf(given, resolved, regularization, lossScale));
    },
  };
}

/** Test images as one text: another set would go on a history of figures of this one. */
const testIdentity = (dataset: Dataset): string => {
  const { dataset: name, split, samples, images, labels } = datasetIdentity(dataset);
  return [name, split, samples, images, labels].join(' ');
};

/**
 * The length of a schedule stands apart from its other settings, because a longer one may go on from a shorter one's
 * checkpoint.
 */
function scheduleText({ name, settings: { maxEpochs, ...others } }: Schedule): Record<string, string> {
  return { schedule: describe(name, others), ...(maxEpochs !== undefined && { maxEpochs: String(maxEpochs) }) };
}

const describe = (name: string, settings: Readonly<Record<string, number | boolean>>): string =>
  [name, ...Object.entries(settings).map(([key, value]) => `${key}=${value}`)].join(' ');
