import { basename, join } from 'node:path';
import { imageFolderHalves } from '../data/folder.js';
import { holdOut } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { LinbpError, check } from '../errors.js';
import { ensureWritableFile } from '../io/atomic.js';
import { defaultOutput, OutputFolder } from '../io/outputFolder.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';
import { checkpointPaths } from '../train/checkpoint.js';
import { adam, adamw, sgd } from '../train/optimizers.js';
import type { Optimizer } from '../train/optimizers.js';
import type { EpochResult, TrainingProgress } from '../train/progress.js';
import { constant, cosine, exponential, warmup } from '../train/schedules.js';
import { cropAndFlip } from '../train/augmentation.js';
import { bestEpoch, bestPath } from '../train/best.js';
import type { InputStage } from '../train/step.js';
import type { Schedule } from '../train/schedules.js';
import { Trainer } from '../train/trainer.js';
import {
  namedWeights,
  chosenDataset,
  chosenModel,
  chosenRules,
  dataOptions,
  machineOptions,
  modelOptions,
  openDevice,
  percent,
} from './common.js';
import { compileProgress, precisionOption, referenceAdapter, ruleOption, shownAdapter } from './common.js';
import { modelWith } from './inference.js';
import { choice, flag, integer, number, optionalText, text } from './options.js';
import type { OptionValues } from './options.js';
import { duration } from './progress.js';
import type { Progress } from './progress.js';
import { initialState } from '../nn/model.js';
import { defineVerb } from './verb.js';
import type { VerbContext } from './verb.js';

const options = {
  ...modelOptions,
  newHead: flag('load all of --weights but the last layer, which begins anew'),
  ...ruleOption,
  ...dataOptions,
  split: choice(['train', 'test'], {
    help: 'which half to train on; the test images are the evaluation, unless they are trained on',
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
  batch: integer({ help: 'images a step', byDefault: 64, min: 1, max: 65536 }),
  optimizer: choice(['sgd', 'adam', 'adamw'], { help: 'how weights follow from gradients', byDefault: 'adam' }),
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
  clipNorm: number({ help: 'largest length of all gradients together', min: 0, above: true }),
  augment: text({ help: 'random changes of the training images: crop, flip', placeholder: 'LIST' }),
  patience: integer({ help: 'stop after N epochs without a lower test loss', min: 1 }),
  keepBest: flag('also write the best epoch, NAME.best.safetensors'),
  ...precisionOption,
  out: text({
    help: 'folder, or file ending in .safetensors, for weights and checkpoint [linbp-out/train-TIME]',
    placeholder: 'PATH',
  }),
  resume: optionalText({ help: 'go on from a checkpoint, by default that of --out', placeholder: 'FILE' }),
  ...machineOptions,
} as const;

type TrainValues = OptionValues<typeof options>;

function chosenOptimizer({ optimizer, lr, momentum, nesterov, weightDecay }: TrainValues): Optimizer {
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
  if (optimizer === 'adam') return adam({ ...rate, ...decay });
  if (optimizer === 'adamw') return adamw({ ...rate, ...decay });
  return sgd({ lr: lr ?? 0.02, momentum: momentum ?? 0.9, nesterov, ...decay });
}

function chosenSchedule({ schedule, gamma, epochs, warmup: warm }: TrainValues): Schedule {
  const plain = schedule === 'exponential' ? exponential(gamma) : schedule === 'cosine' ? cosine(epochs) : constant();
  return warm === undefined ? plain : warmup(plain, warm);
}

/** What `--augment crop,flip` does to the training images. */
function chosenAugmentation({ augment }: TrainValues): InputStage | undefined {
  if (augment === undefined) return undefined;
  const names = augment.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !['crop', 'flip'].includes(name));
  check(unknown === undefined, 'unknown-option', `--augment takes crop and flip, got "${unknown}"`, 'augment');
  return cropAndFlip({ padding: names.includes('crop') ? 4 : 0, flip: names.includes('flip') });
}

/** The checkpoint's name: a file ending in .safetensors as it stands, anything else is a folder. */
const checkpointName = (out: string, definition: ModelDefinition): string =>
  out.endsWith('.safetensors') ? out : join(out, `${definition.name}.safetensors`);

function showProgress(
  progress: Progress,
  { epoch, epochs, step, stepsPerEpoch, loss, accuracy, imagesPerSecond, secondsLeft }: TrainingProgress,
): void {
  const figures = `loss ${loss.toFixed(4)}  accuracy ${percent(accuracy)}  ${imagesPerSecond.toFixed(0)} images/s  ${duration(secondsLeft)} left`;
  progress.update(`epoch ${epoch}/${epochs}`, step / (stepsPerEpoch * epochs), figures);
}

function epochLine(result: EpochResult): string {
  const test =
    result.testAccuracy === undefined
      ? ''
      : `  test loss ${result.testLoss!.toFixed(4)} accuracy ${percent(result.testAccuracy)}`;
  return `epoch ${result.epoch}  train loss ${result.trainLoss.toFixed(4)} accuracy ${percent(result.trainAccuracy)}${test}  ${duration(result.seconds)}`;
}

async function createTrainer(
  values: TrainValues,
  settings: Omit<Parameters<typeof Trainer.create>[0], 'model'>,
  weights: StateDict,
  definition: ModelDefinition,
) {
  if (values.device === 'reference') {
    const trainer = await Trainer.create({ ...settings, model: { definition, weights } });
    return { trainer, adapter: referenceAdapter, close: () => trainer.destroy() };
  }
  const device = await openDevice({ ...values, device: values.device });
  try {
    const trainer = await Trainer.create({ ...settings, model: modelWith(device, definition, weights) });
    return { trainer, adapter: shownAdapter(device), close: () => device.destroy() };
  } catch (error) {
    device.destroy();
    throw error;
  }
}

/** Images to train on and, where there are others, those to evaluate on. */
async function chosenHalves(
  values: TrainValues,
  definition: ModelDefinition,
  context: VerbContext,
): Promise<{ readonly dataset: Dataset; readonly testDataset?: Dataset }> {
  const dataset = await chosenDataset(values, values.split, definition, context);
  if (values.validationSplit !== undefined) {
    const { kept, heldOut } = holdOut(dataset, values.validationSplit, values.seed);
    return { dataset: kept, testDataset: heldOut };
  }
  const folder = /^folder:(.*)$/s.exec(values.dataset)?.[1];
  const tested = values.split === 'train' && (folder === undefined || imageFolderHalves(folder).test !== undefined);
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

/** The folder of the checkpoint, where `--out` names one. Throws as {@link OutputFolder.open} does. */
function outputOf(values: TrainValues, definition: ModelDefinition): { checkpoint: string; folder?: OutputFolder } {
  check(
    values.resume !== '' || values.out !== undefined,
    'bad-argument',
    '--resume needs the checkpoint FILE, or the --out of the run to go on with',
    'resume',
  );
  const out = values.out ?? defaultOutput('train');
  const checkpoint = checkpointName(out, definition);
  if (checkpoint === out) return { checkpoint };
  return { checkpoint, folder: OutputFolder.open(out, 'train', values.resume === '') };
}

/** `linbp train`: trains a network and writes its weights after every epoch. */
export const trainVerb = defineVerb({
  name: 'train',
  summary: 'trains a network under any rule, with checkpoints',
  options,
  notes: [
    '',
    'Writes NAME.safetensors, the weights as PyTorch loads them, and NAME.state.safetensors, from which --resume goes on bit for bit.',
    'Ctrl-C, SIGTERM and SIGHUP write both and end with exit code 130; a second one ends at once.',
  ],
  async run(values, context) {
    const { progress, print, signal } = context;
    const definition = await chosenModel(values);
    const rules = chosenRules(values.rule, definition);
    const optimizer = chosenOptimizer(values);
    const schedule = chosenSchedule(values);
    const inputs = chosenAugmentation(values);
    const { checkpoint, folder } = outputOf(values, definition);
    if (folder === undefined) context.lock(checkpoint, 'file');
    else context.lock(folder.path);
    for (const path of Object.values(checkpointPaths(checkpoint))) ensureWritableFile(path);
    const weights =
      values.weights === undefined
        ? initialState(definition, values.seed)
        : await namedWeights(definition, values.weights, { newHead: values.newHead, seed: values.seed });
    const { dataset, testDataset } = await chosenHalves(values, definition, context);
    // Small images make short steps; on large ones nobody wants to wait fifty steps for a sign of life.
    const logEvery = definition.input[1] <= 28 ? 50 : 5;
    const { batch, seed, precision } = values;
    const onCompile = compileProgress(progress);
    const settings = {
      dataset,
      ...(testDataset && { testDataset }),
      rules: rules.written,
      optimizer,
      schedule,
      batch,
      seed,
      logEvery,
      precision,
      onCompile,
      ...(inputs && { inputs }),
      ...(values.labelSmoothing !== undefined && { labelSmoothing: values.labelSmoothing }),
      ...(values.clipNorm !== undefined && { clipNorm: values.clipNorm }),
    };
    const { trainer, adapter, close } = await createTrainer(values, settings, weights, definition);
    progress.clear();
    try {
      if (values.resume !== undefined) {
        const { sameKernels, sameSchedule } = trainer.resume(values.resume === '' ? checkpoint : values.resume);
        if (!sameKernels) progress.line('note: other kernels are in use than then; results agree up to rounding only');
        if (!sameSchedule)
          progress.line(
            `note: the schedule now ends with epoch ${values.epochs}; learning rates from here on follow it`,
          );
        progress.line(`going on after step ${trainer.steps} (${trainer.history.length} epochs)`);
      }
      const files = checkpointPaths(checkpoint);
      // Only when there is something to write: a run that diverges at once leaves nothing.
      const claim = (): void =>
        folder?.claim(
          [files.weights, files.state, ...(values.keepBest ? [bestPath(checkpoint)] : [])].map((file) =>
            basename(file),
          ),
        );
      let rate = 0;
      let interrupted = false;
      try {
        const fit = await trainer.fit({
          epochs: values.epochs,
          signal,
          checkpoint,
          keepBest: values.keepBest,
          ...(values.patience !== undefined && { patience: values.patience }),
          onProgress(state) {
            rate = state.imagesPerSecond;
            showProgress(progress, state);
          },
          onEpoch(result) {
            claim();
            progress.line(epochLine(result));
          },
        });
        rate = fit.imagesPerSecond;
      } catch (error) {
        if (!(error instanceof LinbpError) || error.code !== 'aborted') throw error;
        interrupted = true;
        claim();
      }
      const last = trainer.history.at(-1);
      const lossScale = await trainer.lossScale();
      print(
        `${definition.name} on ${dataset.name} under ${rules.written}: ${trainer.history.length} epochs, ${trainer.steps} steps`,
      );
      if (last?.testAccuracy !== undefined)
        print(
          `${values.validationSplit === undefined ? 'test' : 'validation'} accuracy ${percent(last.testAccuracy)}, loss ${last.testLoss!.toFixed(4)}`,
        );
      if (lossScale !== undefined) print(`loss scale ${lossScale.scale}, ${lossScale.skippedSteps} steps left out`);
      const best = bestEpoch(trainer.history);
      if (trainer.history.length < values.epochs && !interrupted)
        print(`stopped early: no better test loss since epoch ${best}`);
      print(`weights    ${files.weights}`);
      if (values.keepBest && best > 0) print(`best       ${bestPath(checkpoint)} (epoch ${best})`);
      print(`checkpoint ${files.state}`);
      return {
        adapter,
        interrupted,
        settings: {
          rule: rules.written,
          lr: optimizer.lr,
          ...optimizer.settings,
          weightDecay: optimizer.settings['weightDecay'] ?? 0,
          logEvery,
          run: trainer.description,
        },
        fields: {
          epochs: trainer.history,
          steps: trainer.steps,
          imagesPerSecond: rate,
          ...(lossScale && { lossScale }),
          weights: files.weights,
          checkpoint: files.state,
          bestEpoch: best,
          ...(values.keepBest && best > 0 && { best: bestPath(checkpoint) }),
        },
      };
    } finally {
      trainer.destroy();
      close();
    }
  },
});
