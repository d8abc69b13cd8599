import { modelDefinition } from '../nn/zoo/index.js';
import { counted } from '../quote.js';
import type { EpochResult } from '../train/progress.js';
import { claim, percent, ruleTitle, short, shownInterval } from './format.js';
import {
  batch,
  classes,
  differenceCurve,
  epochCurves,
  epochTable,
  failureCurves,
  failureTable,
  failureText,
  lossOf,
  onlyLinbpFails,
  pairedEpochs,
  ratesOf,
  rules,
  stepsTable,
  sweepTable,
} from './mnistFigures.js';
import type { MnistRecipe } from './mnistFigures.js';
import { failureRule, outcomes } from './outcome.js';
import { interval, pairedInterval } from './statistics.js';
import type { Interval } from './statistics.js';
import type { TrainingRun } from './trainingRuns.js';
import { seedsOf } from './types.js';
import type { Curves, ExperimentContext, ExperimentResult, ResultTable, Setting, Statement } from './types.js';

/** What holds at each learning rate at which every run trains. */
function rateStatements(sweep: readonly TrainingRun[]): Statement[] {
  const out: Statement[] = [];
  const ended = outcomes(sweep, classes);
  for (const lr of ratesOf(sweep)) {
    const own = sweep.filter((run) => run.lr === lr);
    if (own.some((run) => ended.get(run) !== 'trains')) continue;
    const last = Math.min(...own.map((run) => run.epochs.length)) - 1;
    const { bp, linbp } = pairedEpochs(own, (epoch) => epoch.trainLoss, last);
    const gap = pairedInterval(bp, linbp);
    out.push(
      claim(
        `At learning rate ${lr}, LinBP's training loss of epoch ` +
          `${last + 1} is below BP's: difference ${shownInterval(gap)}.`,
        gap,
        'below',
      ),
    );
  }
  return out;
}

/** Whether LinBP's loss is below BP's at the main learning rate; where a run diverged, that is open. */
function everyEpoch(seeds: number, { lr }: MnistRecipe, base: readonly TrainingRun[]): Statement {
  const epochs = Math.max(...base.map((run) => run.epochs.length));
  const perEpoch = Array.from({ length: epochs }, (_, e) => {
    const { bp, linbp } = pairedEpochs(base, (epoch) => epoch.trainLoss, e);
    return bp.length === 0 ? undefined : pairedInterval(bp, linbp);
  }).filter((each) => each !== undefined);
  const count = (holds: (gap: Interval) => boolean): number => perEpoch.filter(holds).length;
  const clearlyBelow = count(({ high }) => high < 0);
  const clearlyAbove = count(({ low }) => low > 0);
  const ended = base.flatMap(({ rule, seed, diverged }) => (diverged ? [`${ruleTitle(rule)} seed ${seed}`] : []));
  const end = ended.length === 0 ? '' : ` Diverged: ${ended.join(', ')}.`;
  if (perEpoch.length === 0)
    return { verdict: 'open', text: `At learning rate ${lr} there is no epoch that both rules finish.${end}` };
  const all = clearlyBelow === perEpoch.length && ended.length === 0;
  return {
    verdict: all ? 'holds' : clearlyAbove > 0 ? 'fails' : 'open',
    text:
      `At learning rate ${lr}, LinBP's training loss is below BP's after every epoch: in the ` +
      `mean over ${counted(seeds, 'seed')} it is in ${count(({ mean }) => mean < 0)} of ` +
      `${perEpoch.length} epochs, with the whole 95 % interval in ` +
      `${clearlyBelow}; the interval lies above in ${clearlyAbove} ` +
      `(epoch 1: LinBP - BP = ${shownInterval(perEpoch[0]!)}; last: ${shownInterval(perEpoch.at(-1)!)}).${end}`,
  };
}

function statementsOf(
  context: Pick<ExperimentContext, 'seeds'>,
  recipe: MnistRecipe,
  base: readonly TrainingRun[],
  sweep: readonly TrainingRun[],
): Statement[] {
  const out = [everyEpoch(context.seeds, recipe, base), ...rateStatements(sweep)];
  if (sweep.length > 0) {
    const narrower = onlyLinbpFails(sweep).length > 0;
    out.push({
      verdict: narrower ? 'holds' : 'open',
      text:
        `LinBP's range of learning rates is narrower, with a rate at which all its runs fail and none of ` +
        `BP's: ${failureText(sweep)}. A run fails if ${failureRule}.`,
    });
  }
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

/** What was done here and what the official code does. */
function settingsOf(
  context: Pick<ExperimentContext, 'seed' | 'seeds'>,
  recipe: MnistRecipe,
  { epochs, sweepEpochs, images }: MnistSizes,
): Setting[] {
  const linearized = modelDefinition(recipe.model).presets!['default']!.join(', ');
  return [
    {
      name: 'network',
      ours: `${recipe.model}, PyTorch's initial weights`,
      official: `${recipe.model}, PyTorch's initial weights`,
    },
    {
      name: 'images',
      ours: `${images}, pixels / 255`,
      official: 'MNIST, 60000 and 10000, pixels / 255',
    },
    { name: 'batch', ours: String(batch), official: '64' },
    { name: 'epochs', ours: `${epochs}; ${sweepEpochs} in the sweep`, official: '50' },
    {
      name: 'optimizer',
      ours: `SGD, learning rate ${recipe.lr}; sweep ${recipe.rates.join(', ')}`,
      official: `SGD, learning rate ${recipe.lr}`,
    },
    { name: 'schedule', ours: recipe.scheduleText, official: recipe.scheduleText },
    {
      name: 'loss',
      ours: 'cross entropy; shown as mean per image',
      official: 'cross entropy; sum of batch means / number of images, 64 times smaller',
    },
    {
      name: 'linearized',
      ours: linearized,
      official: linearized,
    },
    { name: 'seeds', ours: seedsOf(context).join(', '), official: '0' },
  ];
}

/** The last epoch; of a run that diverged the last finished one is not that. */
const last = (run: TrainingRun): EpochResult | undefined => (run.diverged ? undefined : run.epochs.at(-1));

function finalTable(base: readonly TrainingRun[]): ResultTable {
  return {
    title: 'After the last epoch',
    columns: ['rule', 'seed', 'train loss', 'train accuracy', 'test loss', 'test accuracy'],
    rows: base.map((run) => {
      const end = last(run);
      const figures =
        end === undefined
          ? ['', '', '']
          : [percent(end.trainAccuracy), short(end.testLoss!), percent(end.testAccuracy!)];
      return [ruleTitle(run.rule), String(run.seed), lossOf(run), ...figures];
    }),
  };
}

/** The last training loss against the learning rate, over the runs that train. */
function sweepCurves(recipe: MnistRecipe, sweepEpochs: number, sweep: readonly TrainingRun[]): Curves {
  const ended = outcomes(sweep, classes);
  return {
    pictured: true,
    title: `Training loss of epoch ${sweepEpochs} against the learning rate, runs that train`,
    x: { title: 'learning rate', log: true },
    y: { title: 'mean loss per image' },
    lines: rules.map((rule) => {
      const points = recipe.rates.flatMap((lr) => {
        const values = sweep
          .filter((run) => run.rule === rule && run.lr === lr && ended.get(run) === 'trains')
          .map((run) => last(run)!.trainLoss);
        return values.length === 0 ? [] : [{ lr, ...interval(values) }];
      });
      return {
        name: ruleTitle(rule),
        rule,
        points: points.map(({ lr, mean }) => [lr, mean]),
        band: points.map(({ low, high }) => [low, high]),
      };
    }),
  };
}

/** The report of an MNIST experiment's runs. */
export function mnistResult(
  context: Pick<ExperimentContext, 'seed' | 'seeds'>,
  recipe: MnistRecipe,
  sizes: MnistSizes,
  base: readonly TrainingRun[],
  sweep: readonly TrainingRun[],
): ExperimentResult {
  return {
    images: sizes.images,
    settings: settingsOf(context, recipe, sizes),
    curves: [
      epochCurves(base, 'Training loss', 'trainLoss', false),
      differenceCurve(recipe, base),
      epochCurves(base, 'Training accuracy', 'trainAccuracy', true),
      epochCurves(base, 'Test loss', 'testLoss', false),
      epochCurves(base, 'Test accuracy', 'testAccuracy', true),
      sweepCurves(recipe, sizes.sweepEpochs, sweep),
      failureCurves(sweep),
    ],
    tables: [
      finalTable(base),
      epochTable(recipe.lr, base, sizes.count),
      sweepTable(sweep),
      failureTable(sweep),
      stepsTable([...base, ...sweep]),
    ],
    statements: statementsOf(context, recipe, base, sweep),
    figures: { runs: base, sweep },
  };
}
