import { modelDefinition } from '../nn/zoo/index.js';
import type { EpochResult } from '../train/progress.js';
import { sgd } from '../train/optimisers.js';
import { constant, exponential } from '../train/schedules.js';
import type { Schedule } from '../train/schedules.js';
import { claim, percent, short, shownInterval } from './format.js';
import { interval, pairedInterval, trailingMean } from './statistics.js';
import { failed, imagesText, loadHalves, trainOnce } from './trainingRuns.js';
import type { TrainingRun } from './trainingRuns.js';
import { seedsOf, sized } from './types.js';
import type { CurveLine, Curves, Experiment, ExperimentContext, ExperimentResult, ResultTable, Setting, Statement } from './types.js';

const rules = ['bp', 'linbp'] as const;
const nameOf = (rule: string): string => (rule === 'bp' ? 'BP' : 'LinBP');
const batch = 64;
/** Losses whose first step is looked for, in the mean over this many steps. */
const targets = [2.2, 2, 1.5, 1, 0.5, 0.3, 0.1];
const smoothing = 20;
/** The widest rates tell where LinBP fails and BP does not. */
const sweptRates = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4];

/** What an MNIST experiment trains, and how. */
export interface MnistRecipe {
  readonly model: 'mlp' | 'lenet5';
  readonly lr: number;
  readonly schedule: () => Schedule;
  readonly scheduleText: string;
  /** Learning rates of the sweep. */
  readonly rates: readonly number[];
}

type Figure = 'trainLoss' | 'trainAccuracy' | 'testLoss' | 'testAccuracy';

/** A figure per epoch: mean and band over the seeds that got so far. */
function epochLine(runs: readonly TrainingRun[], rule: string, figure: Figure, name: string): CurveLine {
  const own = runs.filter((run) => run.rule === rule);
  const length = Math.max(0, ...own.map((run) => run.epochs.length));
  const bands = Array.from({ length }, (_, e) =>
    interval(own.flatMap(({ epochs }) => (epochs[e]?.[figure] === undefined ? [] : [epochs[e][figure]]))),
  );
  return { name, rule, points: bands.map((band, e) => [e + 1, band.mean]), band: bands.map(({ low, high }) => [low, high]) };
}

function epochCurves(runs: readonly TrainingRun[], title: string, figure: Figure, share: boolean): Curves {
  return {
    title,
    x: { title: 'epoch' },
    y: { title: share ? 'accuracy' : 'mean loss per image', share },
    lines: rules.map((rule) => epochLine(runs, rule, figure, nameOf(rule))),
  };
}

/** First step at which the trailing mean of the losses is at or below a value. */
export function stepsTo(losses: readonly number[], target: number): number | undefined {
  const found = trailingMean(losses, smoothing).findIndex((loss, i) => i + 1 >= Math.min(smoothing, losses.length) && loss <= target);
  return found < 0 ? undefined : found + 1;
}

function stepsTable(runs: readonly TrainingRun[]): ResultTable {
  const cell = (rule: string, lr: number, target: number): string => {
    const own = runs.filter((run) => run.rule === rule && run.lr === lr).map((run) => stepsTo(run.losses, target));
    const reached = own.filter((step) => step !== undefined);
    if (reached.length === 0) return 'not reached';
    return reached.length === own.length ? short(interval(reached).mean) : `${short(interval(reached).mean)} (${reached.length} of ${own.length})`;
  };
  const rates = [...new Set(runs.map((run) => run.lr))].sort((a, b) => a - b);
  const rows = rates.flatMap((lr) => targets.map((target) => [String(lr), String(target), ...rules.map((rule) => cell(rule, lr, target))]));
  return {
    title: `Steps until the mean loss of ${smoothing} steps is at or below a value, mean over seeds`,
    columns: ['learning rate', 'loss', 'BP', 'LinBP'],
    rows: rows.filter((row) => row.slice(2).some((text) => text !== 'not reached')),
  };
}

const lossOf = (run: TrainingRun): string => (run.diverged !== undefined ? 'not finite' : short(run.epochs.at(-1)?.trainLoss ?? NaN));

function sweepTable(runs: readonly TrainingRun[]): ResultTable {
  const rates = [...new Set(runs.map((run) => run.lr))].sort((a, b) => a - b);
  const cell = (lr: number, rule: string): string =>
    runs
      .filter((run) => run.lr === lr && run.rule === rule)
      .map(lossOf)
      .join(', ');
  return {
    title: 'Training loss of the last epoch at each learning rate, one value a seed',
    columns: ['learning rate', 'BP', 'LinBP'],
    rows: rates.map((lr) => [String(lr), ...rules.map((rule) => cell(lr, rule))]),
  };
}

function differenceCurve({ lr, model }: MnistRecipe, runs: readonly TrainingRun[]): Curves {
  const epochs = Math.max(...runs.map((run) => run.epochs.length));
  const gaps = Array.from({ length: epochs }, (_, e) => pairedEpochs(runs, (epoch) => epoch.trainLoss, e)).flatMap(({ bp, linbp }, e) =>
    bp.length < 2 ? [] : [{ epoch: e + 1, ...pairedInterval(bp, linbp) }],
  );
  return {
    pictured: true,
    title: `${model}: LinBP's training loss minus BP's at learning rate ${lr}`,
    x: { title: 'epoch' },
    y: { title: 'thousandths of the loss per image' },
    lines: [
      {
        ...{ name: 'LinBP - BP', rule: 'linbp' },
        points: gaps.map(({ epoch, mean }) => [epoch, 1000 * mean]),
        band: gaps.map(({ low, high }) => [1000 * low, 1000 * high]),
      },
    ],
  };
}

/**
 * The training loss as the official code reports it: the sum of the batches' mean losses divided by the number of images, so about a 64th of the mean.
 *
 * @param epoch counted from 0
 */
export function officialLoss({ losses }: Pick<TrainingRun, 'losses'>, epoch: number, images: number): number {
  const steps = Math.ceil(images / batch);
  return losses.slice(epoch * steps, (epoch + 1) * steps).reduce((sum, loss) => sum + loss, 0) / images;
}

/** LinBP's training loss minus BP's, epoch by epoch. */
function epochTable(lr: number, runs: readonly TrainingRun[], images: number): ResultTable {
  const epochs = Math.max(...runs.map((run) => run.epochs.length));
  const official = (rule: string, e: number): string =>
    short(interval(runs.filter((run) => run.rule === rule && run.epochs[e] !== undefined).map((run) => officialLoss(run, e, images))).mean);
  const rows = Array.from({ length: epochs }, (_, e) => {
    const { bp, linbp } = pairedEpochs(runs, (epoch) => epoch.trainLoss, e);
    if (bp.length === 0) return [String(e + 1)];
    const lower = bp.filter((loss, i) => linbp[i]! < loss).length;
    const gap = `${shownInterval(pairedInterval(bp, linbp))}, ${lower} of ${bp.length}`;
    return [String(e + 1), shownInterval(interval(bp)), shownInterval(interval(linbp)), gap, official('bp', e), official('linbp', e)];
  });
  return {
    title: `Training loss by epoch at learning rate ${lr}: mean [95 %] over seeds`,
    columns: ['epoch', 'BP', 'LinBP', 'LinBP - BP, and seeds at which it is negative', 'BP, official unit', 'LinBP, official unit'],
    rows,
  };
}

/** At how many seeds each rule fails. */
function failureTable(runs: readonly TrainingRun[]): ResultTable {
  const rates = [...new Set(runs.map((run) => run.lr))].sort((a, b) => a - b);
  const cell = (lr: number, rule: string): string => {
    const own = runs.filter((run) => run.lr === lr && run.rule === rule);
    const notFinite = own.filter((run) => run.diverged !== undefined).length;
    return `${own.filter((run) => failed(run, 10)).length} of ${own.length}${notFinite > 0 ? ` (${notFinite} not finite)` : ''}`;
  };
  return {
    title: 'Seeds at which training fails: the loss is not finite, or above 1.05 ln 10 at the end',
    columns: ['learning rate', 'BP', 'LinBP'],
    rows: rates.map((lr) => [String(lr), ...rules.map((rule) => cell(lr, rule))]),
  };
}

/** Rates at which every LinBP run fails and no BP run does. */
export function onlyLinbpFails(runs: readonly TrainingRun[], classes: number): number[] {
  const rates = [...new Set(runs.map((run) => run.lr))].sort((a, b) => a - b);
  const fails = (lr: number, rule: string): boolean[] => runs.filter((run) => run.lr === lr && run.rule === rule).map((run) => failed(run, classes));
  return rates.filter((lr) => fails(lr, 'linbp').every(Boolean) && !fails(lr, 'bp').some(Boolean));
}

function pairedEpochs(runs: readonly TrainingRun[], pick: (epoch: EpochResult) => number, epoch: number): { bp: number[]; linbp: number[] } {
  const of = (rule: string): Map<number, number> =>
    new Map(runs.flatMap((run) => (run.rule === rule && run.epochs[epoch] ? [[run.seed, pick(run.epochs[epoch])] as const] : [])));
  const [bp, linbp] = [of('bp'), of('linbp')];
  const shared = [...bp.keys()].filter((seed) => linbp.has(seed));
  return { bp: shared.map((seed) => bp.get(seed)!), linbp: shared.map((seed) => linbp.get(seed)!) };
}

function statementsOf(
  context: Pick<ExperimentContext, 'seeds'>,
  recipe: MnistRecipe,
  base: readonly TrainingRun[],
  sweep: readonly TrainingRun[],
): Statement[] {
  const epochs = Math.max(...base.map((run) => run.epochs.length));
  const perEpoch = Array.from({ length: epochs }, (_, e) => {
    const { bp, linbp } = pairedEpochs(base, (epoch) => epoch.trainLoss, e);
    return bp.length === 0 ? undefined : pairedInterval(bp, linbp);
  }).filter((each) => each !== undefined);
  const below = perEpoch.filter(({ mean }) => mean < 0).length;
  const clearly = perEpoch.filter(({ high }) => high < 0).length;
  const out: Statement[] = [
    {
      verdict: below === perEpoch.length ? (clearly === below ? 'holds' : 'open') : 'fails',
      text:
        `At learning rate ${recipe.lr}, LinBP's training loss is below BP's in ${below} of ${perEpoch.length} epochs in the mean over ${context.seeds} seeds, ` +
        `and in ${clearly} of them with the whole 95 % interval (epoch 1: LinBP - BP = ${shownInterval(perEpoch[0]!)}; last: ${shownInterval(perEpoch.at(-1)!)}).`,
    },
  ];
  for (const lr of [...new Set(sweep.map((run) => run.lr))].sort((a, b) => a - b)) {
    const own = sweep.filter((run) => run.lr === lr);
    const last = Math.min(...own.map((run) => run.epochs.length)) - 1;
    if (last < 0 || own.some((run) => failed(run, 10))) continue;
    const { bp, linbp } = pairedEpochs(own, (epoch) => epoch.trainLoss, last);
    const gap = pairedInterval(bp, linbp);
    out.push(
      claim(`At learning rate ${lr}, LinBP's training loss of epoch ${last + 1} is below BP's: difference ${shownInterval(gap)}.`, gap, 'below'),
    );
  }
  const narrower = onlyLinbpFails(sweep, 10);
  out.push({
    verdict: narrower.length > 0 ? 'holds' : 'open',
    text:
      narrower.length > 0
        ? `LinBP's usable range of learning rates is narrower: at ${narrower.join(', ')} every LinBP run fails (loss not finite, or above 1.05 ln 10 at the end) and no BP run does.`
        : `At none of the learning rates ${[...new Set(sweep.map((run) => run.lr))].join(', ')} does every LinBP run fail while no BP run does.`,
  });
  return out;
}

/** What the runs of an MNIST experiment are made of, for its report. */
interface MnistSizes {
  readonly epochs: number;
  readonly sweepEpochs: number;
  readonly images: string;
  /** Training images. */
  readonly count: number;
}

/** Training of an MNIST network from the same weights on the same batches under both rules, and a sweep of the learning rate. */
export async function runMnist(context: ExperimentContext, recipe: MnistRecipe): Promise<ExperimentResult> {
  const { scale } = context;
  const { rates } = recipe;
  const definition = modelDefinition(recipe.model);
  const epochs = sized(50, scale, 3);
  const sweepEpochs = sized(10, scale, 2);
  const data = await loadHalves(context, 'mnist', { train: sized(60_000, scale, 20 * batch), test: sized(10_000, scale, 256) });
  const plan = { definition, data, batch };
  const base: TrainingRun[] = [];
  const sweep: TrainingRun[] = [];
  for (const seed of seedsOf(context)) {
    for (const rule of rules) {
      const run = await trainOnce(
        context,
        { ...plan, rule, seed, epochs, optimiser: sgd({ lr: recipe.lr }), schedule: recipe.schedule() },
        `${recipe.model} lr ${recipe.lr}`,
      );
      base.push(run);
      const last = run.epochs.at(-1);
      context.progress.line(
        `lr ${recipe.lr}  ${rule.padEnd(5)}  seed ${seed}  train loss ${lossOf(run)}  test accuracy ${percent(last?.testAccuracy ?? 0)}`,
      );
    }
  }
  for (const seed of seedsOf(context)) {
    for (const lr of rates) {
      for (const rule of rules) {
        const settings = { rule, seed, epochs: sweepEpochs, optimiser: sgd({ lr }), schedule: recipe.schedule(), tested: false };
        sweep.push(await trainOnce(context, { ...plan, ...settings }, `${recipe.model} lr ${lr}`));
      }
    }
    context.progress.line(`learning rates ${rates.join(', ')}: seed ${seed} done`);
  }
  return mnistResult(context, recipe, { epochs, sweepEpochs, images: imagesText(data), count: data.train.count }, base, sweep);
}

/** The report of an MNIST experiment's runs. */
export function mnistResult(
  context: Pick<ExperimentContext, 'seed' | 'seeds'>,
  recipe: MnistRecipe,
  { epochs, sweepEpochs, images, count }: MnistSizes,
  base: readonly TrainingRun[],
  sweep: readonly TrainingRun[],
): ExperimentResult {
  const definition = modelDefinition(recipe.model);
  const { rates } = recipe;
  const settings: Setting[] = [
    { name: 'network', ours: `${recipe.model}, PyTorch's initial weights`, official: `${recipe.model}, PyTorch's initial weights` },
    {
      name: 'images',
      ours: `${images}, pixels / 255`,
      official: 'MNIST, 60000 and 10000, pixels / 255',
    },
    { name: 'batch', ours: String(batch), official: '64' },
    { name: 'epochs', ours: `${epochs}; ${sweepEpochs} in the sweep`, official: '50' },
    { name: 'optimiser', ours: `SGD, learning rate ${recipe.lr}; sweep ${rates.join(', ')}`, official: `SGD, learning rate ${recipe.lr}` },
    { name: 'schedule', ours: recipe.scheduleText, official: recipe.scheduleText },
    {
      name: 'loss',
      ours: 'cross entropy; shown as mean per image',
      official: 'cross entropy; sum of batch means / number of images, 64 times smaller',
    },
    { name: 'linearised', ours: definition.presets!['default']!.join(', '), official: definition.presets!['default']!.join(', ') },
    { name: 'seeds', ours: seedsOf(context).join(', '), official: '0' },
  ];
  const last = (run: TrainingRun): EpochResult | undefined => run.epochs.at(-1);
  const final: ResultTable = {
    title: 'After the last epoch',
    columns: ['rule', 'seed', 'train loss', 'train accuracy', 'test loss', 'test accuracy'],
    rows: base.map((run) => [
      nameOf(run.rule),
      String(run.seed),
      lossOf(run),
      percent(last(run)?.trainAccuracy ?? NaN),
      short(last(run)?.testLoss ?? NaN),
      percent(last(run)?.testAccuracy ?? NaN),
    ]),
  };
  const sweepCurves: Curves = {
    pictured: true,
    title: `Training loss of epoch ${sweepEpochs} against the learning rate (finite ones)`,
    x: { title: 'learning rate', log: true },
    y: { title: 'mean loss per image' },
    lines: rules.map((rule) => {
      const points = rates.flatMap((lr) => {
        const values = sweep.flatMap((run) =>
          run.rule === rule && run.lr === lr && run.diverged === undefined && last(run) ? [last(run)!.trainLoss] : [],
        );
        return values.length === 0 ? [] : [{ lr, ...interval(values) }];
      });
      return { name: nameOf(rule), rule, points: points.map(({ lr, mean }) => [lr, mean]), band: points.map(({ low, high }) => [low, high]) };
    }),
  };
  return {
    settings,
    curves: [
      epochCurves(base, 'Training loss', 'trainLoss', false),
      differenceCurve(recipe, base),
      epochCurves(base, 'Training accuracy', 'trainAccuracy', true),
      epochCurves(base, 'Test loss', 'testLoss', false),
      epochCurves(base, 'Test accuracy', 'testAccuracy', true),
      sweepCurves,
    ],
    tables: [final, epochTable(recipe.lr, base, count), sweepTable(sweep), failureTable(sweep), stepsTable([...base, ...sweep])],
    statements: statementsOf(context, recipe, base, sweep),
    figures: { runs: base, sweep },
  };
}

/** The official settings, and the sweep. */
export const mnistRecipes: Readonly<Record<MnistRecipe['model'], MnistRecipe>> = {
  mlp: { model: 'mlp', lr: 0.001, schedule: constant, scheduleText: 'constant', rates: sweptRates },
  lenet5: { model: 'lenet5', lr: 0.005, schedule: () => exponential(0.98), scheduleText: 'times 0.98 after each epoch', rates: sweptRates },
};

/** The theory paper's MLP on MNIST. */
export const mnistMlp: Experiment = {
  name: 'mnist-mlp',
  summary: 'trains the MLP on MNIST with BP and LinBP, and sweeps the learning rate',
  datasets: ['mnist', 'fashion-mnist', 'digits'],
  run: (context) => runMnist(context, mnistRecipes.mlp),
};

/** The theory paper's LeNet-5 on MNIST. */
export const mnistLenet5: Experiment = {
  name: 'mnist-lenet5',
  summary: 'trains LeNet-5 on MNIST with BP and LinBP, and sweeps the learning rate',
  datasets: ['mnist', 'fashion-mnist', 'digits'],
  run: (context) => runMnist(context, mnistRecipes.lenet5),
};
