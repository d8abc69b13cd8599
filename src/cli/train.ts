import { basename, join } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { writeFileAtomic } from '../io/atomic.js';
import { readSafetensors } from '../io/safetensors.js';
import { defaultOutput, OutputFolder } from '../io/outputFolder.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { AdapterInfo } from '../runtime/adapter.js';
import { bestEpoch, bestPath, holdsBest } from '../train/best.js';
import { checkpointPaths, ensureWritableCheckpoint } from '../train/checkpoint.js';
import type { FitOptions } from '../train/fitOptions.js';
import { weightsIdentity } from '../train/identity.js';
import type { Optimizer } from '../train/optimizers.js';
import type { Trainer } from '../train/trainer.js';
import { counted } from '../quote.js';
import { commandGoingOn } from './goingOn.js';
import { chosenModel, chosenRules, percent } from './common.js';
import { runSweep } from './sweep.js';
import { createTrainer, epochLine, openPlace, showProgress } from './trainRun.js';
import { isCut } from './jobs/options.js';
import {
  chosenHalves,
  chosenOptimizer,
  evaluatedOn,
  neededBy,
  startWeights,
  trainerSettings,
  trainOptions,
} from './trainOptions.js';
import type { TrainValues } from './trainOptions.js';
import { fileLink } from './terminal/screen.js';
import { defineVerb } from './verb.js';
import type { VerbContext, VerbResult } from './verb.js';

/** The checkpoint's name: a file ending in .safetensors as it stands, anything else is a folder. */
const checkpointName = (out: string, definition: ModelDefinition): string =>
  out.endsWith('.safetensors') ? out : join(out, `${definition.name}.safetensors`);

/** Where a run writes. */
interface TrainOutput {
  readonly checkpoint: string;
  /** Absent where `--out` names a file. */
  readonly folder?: OutputFolder;
}

/** The folder of the checkpoint, where `--out` names one. Throws as {@link OutputFolder.open} does. */
async function outputOf(values: TrainValues, definition: ModelDefinition): Promise<TrainOutput> {
  check(
    values.resume !== '' || values.out !== undefined,
    'bad-argument',
    '--resume needs the checkpoint FILE, or the --out of the run to go on with',
    'resume',
  );
  const out = values.out ?? (await defaultOutput('train'));
  const checkpoint = checkpointName(out, definition);
  if (checkpoint === out) return { checkpoint };
  return { checkpoint, folder: await OutputFolder.open(out, 'train', values.resume === '') };
}

/** The one rule of a run that is no sweep. Throws `bad-argument` for several. */
function singleRule({ rule, seeds }: TrainValues): string {
  check(rule.length === 1, 'bad-argument', 'several --rule need --sweep, such as --sweep lr=0.01,0.05,0.1', 'rule');
  check(seeds === undefined, 'bad-argument', '--seeds goes with --sweep, such as --sweep lr=0.01,0.05,0.1', 'seeds');
  return rule[0]!;
}

async function resumeFrom(
  trainer: Trainer,
  values: TrainValues,
  checkpoint: string,
  { progress }: VerbContext,
): Promise<void> {
  if (values.resume === undefined) return;
  const { sameKernels, sameSchedule } = await trainer.resume(values.resume === '' ? checkpoint : values.resume);
  if (!sameKernels) progress.line('note: other kernels are in use than then; results agree up to rounding only');
  if (!sameSchedule)
    progress.line(`note: the schedule now ends with epoch ${values.epochs}; learning rates from here on follow it`);
  progress.line(`going on after step ${trainer.steps} (${trainer.history.length} epochs)`);
}

/** How training went. */
interface Pace {
  /** Images a second. */
  readonly rate: number;
  readonly interrupted: boolean;
  /** Loss of each step of this call, before its update. */
  readonly losses: readonly (readonly [step: number, loss: number])[];
}

/** The report beside the weights; a run whose `--out` is a file has none. */
const reportPath = ({ folder }: TrainOutput): string | undefined =>
  folder === undefined ? undefined : join(folder.path, 'report.html');

/** Epochs in a checkpoint; undefined where there is none. */
async function savedEpochs(checkpoint: string): Promise<number | undefined> {
  try {
    const { metadata } = await readSafetensors(checkpointPaths(checkpoint).state);
    return (JSON.parse(metadata['history'] ?? '') as readonly unknown[]).length;
  } catch {
    return undefined;
  }
}

/** Says which epoch is saved when the GPU is lost, and the command that goes on from there. */
async function noteSaved(
  ran: boolean,
  { resume }: TrainValues,
  { checkpoint, folder }: TrainOutput,
  { command, progress }: VerbContext,
): Promise<void> {
  // Until an epoch is finished, what lies there is of an earlier run, unless that is the one to go on with.
  const saved = ran || resume === '' ? await savedEpochs(checkpoint) : undefined;
  if (saved === undefined) return progress.line('note: no epoch was finished, so none is saved');
  const other = (word: string, i: number): boolean =>
    word === `--resume=${resume}` || word === '--resume' || (word === resume && command[i - 1] === '--resume');
  const words = resume ? command.filter((word, i) => !other(word, i)) : command;
  const again = commandGoingOn(words, folder?.path ?? checkpoint);
  progress.line(`note: epoch ${saved} is saved; this goes on from there: ${again}`, { whole: true });
}

/** Trains until the epochs are complete or the signal fires. */
async function fit(trainer: Trainer, values: TrainValues, output: TrainOutput, context: VerbContext): Promise<Pace> {
  const { progress, signal } = context;
  const { checkpoint, folder } = output;
  const files = checkpointPaths(checkpoint);
  // Only when there is something to write: a run that diverges at once leaves nothing, and what an earlier one left.
  const claim = async (): Promise<void> => {
    const own = [files.weights, files.state, 'report.html', ...(values.keepBest ? [bestPath(checkpoint)] : [])];
    const names = own.map((file) => basename(file));
    if (values.resume === undefined) await folder?.keepOnly(names);
    await folder?.claim(names);
  };
  let rate = 0;
  let ran = false;
  const losses: [number, number][] = [];
  const options: FitOptions = {
    epochs: values.epochs,
    signal,
    checkpoint,
    keepBest: values.keepBest,
    ...(values.patience !== undefined && { patience: values.patience }),
    onProgress(state) {
      rate = state.imagesPerSecond;
      for (const { step, loss } of state.steps) losses.push([step, loss]);
      showProgress(progress, state);
    },
    async onEpoch(result) {
      ran = true;
      await claim();
      progress.line(epochLine(result, evaluatedOn(values) === 'test' ? 'test' : 'val'));
    },
  };
  try {
    const { imagesPerSecond } = await trainer.fit(options);
    return { rate: imagesPerSecond, interrupted: false, losses };
  } catch (error) {
    if (error instanceof LinbpError && error.code === 'device-lost') await noteSaved(ran, values, output, context);
    if (!(error instanceof LinbpError) || error.code !== 'aborted') throw error;
    await claim();
    return { rate, interrupted: true, losses };
  }
}

/** What a run settled, for its lines and its result. */
interface TrainSetting {
  readonly definition: ModelDefinition;
  readonly rule: string;
  readonly optimizer: Optimizer;
  readonly logEvery: number;
  readonly dataset: string;
  /** Absent for the float64 reference. */
  readonly adapter: AdapterInfo | undefined;
}

/** Says where the best weights are. The best epoch may lie before the run that was asked to keep it. */
async function printBest(checkpoint: string, best: number, print: VerbContext['print']): Promise<boolean> {
  const kept = await holdsBest(checkpoint, best);
  const where = kept ? `${bestPath(checkpoint)} (epoch ${best})` : `epoch ${best}, whose weights were not kept then`;
  print(`best       ${where}`);
  return kept;
}

async function finished(
  trainer: Trainer,
  values: TrainValues,
  output: TrainOutput,
  { definition, rule, optimizer, logEvery, dataset, adapter }: TrainSetting,
  { rate, interrupted, losses }: Pace,
  { print }: VerbContext,
): Promise<Omit<VerbResult, 'adapter'>> {
  const { checkpoint } = output;
  const files = checkpointPaths(checkpoint);
  const { history, steps } = trainer;
  const last = history.at(-1);
  const lossScale = await trainer.lossScale();
  print(
    `${definition.name} on ${dataset} under ${rule}: ${counted(history.length, 'epoch')}, ${counted(steps, 'step')}`,
  );
  const evaluated = evaluatedOn(values);
  if (last?.testAccuracy !== undefined)
    print(`${evaluated} accuracy ${percent(last.testAccuracy)}, loss ${last.testLoss!.toFixed(4)}`);
  if (lossScale !== undefined) print(`loss scale ${lossScale.scale}, ${lossScale.skippedSteps} steps left out`);
  const best = bestEpoch(history);
  const watched = last?.testLoss === undefined ? 'training' : evaluated;
  if (history.length < values.epochs && !interrupted)
    print(`stopped early: no better ${watched} loss since epoch ${best}`);
  print(`weights    ${files.weights}`);
  const kept = values.keepBest && best > 0 && (await printBest(checkpoint, best, print));
  print(`checkpoint ${files.state}`);
  const report = reportPath(output);
  if (report !== undefined && history.length > 0) {
    // The charting library is loaded only where something is drawn.
    const { trainReport } = await import('./trainReport.js');
    const found = { model: definition.name, dataset, rule, history, evaluated, losses, adapter } as const;
    await writeFileAtomic(report, trainReport({ ...found, settings: { ...values, ...trainer.description } }));
    print(`report     ${fileLink(report)}`);
  }
  return {
    interrupted,
    settings: {
      rule,
      lr: optimizer.lr,
      ...optimizer.settings,
      weightDecay: optimizer.settings['weightDecay'] ?? 0,
      logEvery,
      run: trainer.description,
    },
    fields: {
      epochs: history,
      steps,
      imagesPerSecond: rate,
      ...(lossScale && { lossScale }),
      weights: files.weights,
      checkpoint: files.state,
      bestEpoch: best,
      ...(kept && { best: bestPath(checkpoint) }),
      ...(report !== undefined && { report }),
    },
  };
}

/** `linbp train`: trains a network and writes its weights after every epoch. */
export const trainVerb = defineVerb({
  name: 'train',
  summary: 'trains a network under any rule, with checkpoints',
  examples: [
    'linbp train --model lenet5 --limit 1000 --epochs 2 --out runs/bp',
    'linbp train --model mlp --limit 1000 --rule bp --rule linbp --sweep lr=0.05,0.1 --seeds 2 --out runs/sweep',
  ],
  options: trainOptions,
  needs: neededBy,
  notes: [
    '',
    'Writes NAME.safetensors, the weights as PyTorch loads them, and NAME.state.safetensors, from which ' +
      '--resume continues with bit-identical results.',
    'Ctrl-C, SIGTERM and SIGHUP write both and end with exit code 130; a second one only waits for files being ' +
      'written.',
  ],
  async run(values, context) {
    const definition = await chosenModel(values);
    if (values.sweep !== undefined) return runSweep(values, definition, context);
    check(!isCut(values), 'bad-argument', '--queue, --store and --workers go with --sweep', 'sweep');
    const rule = chosenRules(singleRule(values), definition).written;
    const optimizer = chosenOptimizer(values);
    const output = await outputOf(values, definition);
    if (output.folder === undefined) await context.lock(output.checkpoint, 'file');
    else await output.folder.lock(context.lock);
    await ensureWritableCheckpoint(output.checkpoint);
    const weights = await startWeights(values, definition, values.seed);
    const halves = await chosenHalves(values, definition, context);
    const settings = trainerSettings(values, definition, halves, context);
    const place = await openPlace(values);
    try {
      const { seed } = values;
      const { trainer, close } = await createTrainer(
        place,
        {
          ...{ ...settings, rules: rule, optimizer, seed },
          ...(values.weights !== undefined && { startsFrom: weightsIdentity(weights) }),
        },
        weights,
        definition,
      );
      context.progress.clear();
      try {
        await resumeFrom(trainer, values, output.checkpoint, context);
        const pace = await fit(trainer, values, output, context);
        const { logEvery } = settings;
        const settled = {
          definition,
          rule,
          optimizer,
          logEvery,
          dataset: halves.dataset.name,
          adapter: place.device?.adapterInfo,
        };
        return { adapter: place.adapter, ...(await finished(trainer, values, output, settled, pace, context)) };
      } finally {
        close();
      }
    } finally {
      place.close();
    }
  },
});
