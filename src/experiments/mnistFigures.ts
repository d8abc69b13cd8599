import type { EpochResult } from '../train/progress.js';
import { counted } from '../quote.js';
import type { Schedule } from '../train/schedules.js';
import { ruleTitle, short, shownInterval } from './format.js';
import { outcomes } from './outcome.js';
import type { Outcome } from './outcome.js';
import { interval, pairedInterval, trailingMean } from './statistics.js';
import type { TrainingRun } from './trainingRuns.js';
import type { CurveLine, Curves, ResultTable } from './types.js';

export const rules = ['bp', 'linbp'] as const;
export const batch = 64;
export const classes = 10;
/** Losses whose first step is looked for, in the mean over this many steps. */
const targets = [2.2, 2, 1.5, 1, 0.5, 0.3, 0.1];
const smoothing = 20;

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
  return {
    name,
    rule,
    points: bands.map((band, e) => [e + 1, band.mean]),
    band: bands.map(({ low, high }) => [low, high]),
  };
}

/** A figure of each epoch under both rules, with 95 % bands over seeds; `share`: from 0 to 1. */
export function epochCurves(runs: readonly TrainingRun[], title: string, figure: Figure, share: boolean): Curves {
  return {
    title,
    x: { title: 'epoch', whole: true },
    y: { title: share ? 'accuracy' : 'mean loss per image', share },
    lines: rules.map((rule) => epochLine(runs, rule, figure, ruleTitle(rule))),
  };
}

/** First step at which the trailing mean of the losses is at or below a value. */
export function stepsTo(losses: readonly number[], target: number): number | undefined {
  const found = trailingMean(losses, smoothing).findIndex(
    (loss, i) => i + 1 >= Math.min(smoothing, losses.length) && loss <= target,
  );
  return found < 0 ? undefined : found + 1;
}

/** When each rule reaches a loss at each learning rate. */
export function stepsTable(runs: readonly TrainingRun[]): ResultTable {
  const cell = (rule: string, lr: number, target: number): string => {
    const own = runs.filter((run) => run.rule === rule && run.lr === lr).map((run) => stepsTo(run.losses, target));
    const reached = own.filter((step) => step !== undefined);
    if (reached.length === 0) return 'not reached';
    return reached.length === own.length
      ? short(interval(reached).mean)
      : `${short(interval(reached).mean)} (${reached.length} of ${own.length})`;
  };
  const rates = ratesOf(runs);
  const rows = rates.flatMap((lr) =>
    targets.map((target) => [String(lr), String(target), ...rules.map((rule) => cell(rule, lr, target))]),
  );
  return {
    title: `Steps until the mean loss of ${smoothing} steps is at or below a value, mean over seeds`,
    columns: ['learning rate', 'loss', 'BP', 'LinBP'],
    rows: rows.filter((row) => row.slice(2).some((text) => text !== 'not reached')),
  };
}

/** The last training loss in words. */
export const lossOf = (run: TrainingRun): string =>
  run.diverged !== undefined ? 'not finite' : short(run.epochs.at(-1)?.trainLoss ?? NaN);

/** The last training losses of all seeds by learning rate and rule. */
export function sweepTable(runs: readonly TrainingRun[]): ResultTable {
  const rates = ratesOf(runs);
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

/** LinBP's training loss minus BP's by epoch, with 95 % intervals over seeds. */
export function differenceCurve({ lr, model }: MnistRecipe, runs: readonly TrainingRun[]): Curves {
  const epochs = Math.max(...runs.map((run) => run.epochs.length));
  const gaps = Array.from({ length: epochs }, (_, e) => pairedEpochs(runs, (epoch) => epoch.trainLoss, e)).flatMap(
    ({ bp, linbp }, e) => (bp.length < 2 ? [] : [{ epoch: e + 1, ...pairedInterval(bp, linbp) }]),
  );
  return {
    pictured: true,
    title: `${model}: LinBP's training loss minus BP's at learning rate ${lr}`,
    x: { title: 'epoch', whole: true },
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
 * The training loss as the official code reports it: the sum of the batches' mean losses divided by the number of
 * images, so about a 64th of the mean.
 *
 * @param epoch counted from 0
 */
export function officialLoss({ losses }: Pick<TrainingRun, 'losses'>, epoch: number, images: number): number {
  const steps = Math.ceil(images / batch);
  return losses.slice(epoch * steps, (epoch + 1) * steps).reduce((sum, loss) => sum + loss, 0) / images;
}

/** Of one seed there is no interval. */
const shownMean = (losses: readonly number[]): string =>
  losses.length === 1 ? short(losses[0]!) : shownInterval(interval(losses));

/** LinBP's training loss minus BP's, epoch by epoch. */
export function epochTable(lr: number, runs: readonly TrainingRun[], images: number): ResultTable {
  const epochs = Math.max(...runs.map((run) => run.epochs.length));
  const official = (rule: string, e: number): string =>
    short(
      interval(
        runs
          .filter((run) => run.rule === rule && run.epochs[e] !== undefined)
          .map((run) => officialLoss(run, e, images)),
      ).mean,
    );
  const rows = Array.from({ length: epochs }, (_, e) => {
    const { bp, linbp } = pairedEpochs(runs, (epoch) => epoch.trainLoss, e);
    if (bp.length === 0) return [String(e + 1)];
    const lower = bp.filter((loss, i) => linbp[i]! < loss).length;
    const gap = `${shownInterval(pairedInterval(bp, linbp))}, ${lower} of ${bp.length}`;
    return [String(e + 1), shownMean(bp), shownMean(linbp), gap, official('bp', e), official('linbp', e)];
  });
  return {
    title: `Training loss by epoch at learning rate ${lr}: mean [95 %] over seeds`,
    columns: [
      'epoch',
      'BP',
      'LinBP',
      'LinBP - BP, and seeds at which it is negative',
      'BP, official unit',
      'LinBP, official unit',
    ],
    rows,
  };
}

/** Of the runs at one learning rate under one rule: how many there are, and how many ended how. */
interface Tally {
  readonly lr: number;
  readonly rule: string;
  readonly runs: number;
  readonly failed: number;
  readonly ends: Readonly<Record<Exclude<Outcome, 'trains'>, number>>;
}

/** One tally per learning rate, ascending, and rule. */
export function tallies(runs: readonly TrainingRun[]): Tally[] {
  const ended = outcomes(runs, classes);
  return ratesOf(runs).flatMap((lr) =>
    rules.map((rule): Tally => {
      const own = runs.filter((run) => run.lr === lr && run.rule === rule);
      const count = (outcome: Outcome): number => own.filter((run) => ended.get(run) === outcome).length;
      const ends = {
        'not finite': count('not finite'),
        'above guessing': count('above guessing'),
        stuck: count('stuck'),
      };
      return { lr, rule, runs: own.length, failed: own.length - count('trains'), ends };
    }),
  );
}

export const ratesOf = (runs: readonly TrainingRun[]): number[] =>
  [...new Set(runs.map((run) => run.lr))].sort((a, b) => a - b);

/** At how many seeds each rule fails, and how. */
export function failureTable(runs: readonly TrainingRun[]): ResultTable {
  const all = tallies(runs);
  const cell = ({ failed, runs: count, ends }: Tally): string => {
    const kinds = Object.entries(ends).flatMap(([end, each]) => (each > 0 ? [`${each} ${end}`] : []));
    return `${failed} of ${count}${kinds.length > 0 ? ` (${kinds.join(', ')})` : ''}`;
  };
  return {
    title: 'Seeds at which training fails, and how',
    columns: ['learning rate', 'BP', 'LinBP'],
    rows: ratesOf(runs).map((lr) => [String(lr), ...all.filter((tally) => tally.lr === lr).map(cell)]),
  };
}

/** The share of runs that fail by learning rate under each rule. */
export function failureCurves(runs: readonly TrainingRun[]): Curves {
  const all = tallies(runs);
  const points = (rule: string): (readonly [number, number])[] =>
    all.filter((tally) => tally.rule === rule).map(({ lr, failed, runs: count }) => [lr, failed / count]);
  return {
    pictured: true,
    title: 'Share of the seeds at which training fails',
    x: { title: 'learning rate', log: true },
    y: { title: 'runs that fail', share: true },
    lines: rules.map((rule) => ({ name: ruleTitle(rule), rule, points: points(rule) })),
  };
}

/** Rates at which every LinBP run fails and no BP run does. */
export function onlyLinbpFails(runs: readonly TrainingRun[]): number[] {
  const all = tallies(runs);
  const of = (lr: number, rule: string): Tally => all.find((tally) => tally.lr === lr && tally.rule === rule)!;
  return ratesOf(runs).filter((lr) => of(lr, 'bp').failed === 0 && of(lr, 'linbp').failed === of(lr, 'linbp').runs);
}

/** Which rule fails where, in words. */
export function failureText(runs: readonly TrainingRun[]): string {
  const all = tallies(runs);
  const of = (rule: string): string => {
    const some = all.filter((tally) => tally.rule === rule && tally.failed > 0);
    return some.length === 0
      ? 'none'
      : some.map(({ lr, failed, runs: count }) => `${lr} (${failed} of ${counted(count, 'seed')})`).join(', ');
  };
  return `LinBP fails at ${of('linbp')}; BP fails at ${of('bp')}; tried were ${ratesOf(runs).join(', ')}`;
}

/** A figure of an epoch at the seeds that both rules ran, in the same order. */
export function pairedEpochs(
  runs: readonly TrainingRun[],
  pick: (epoch: EpochResult) => number,
  epoch: number,
): { bp: number[]; linbp: number[] } {
  const of = (rule: string): Map<number, number> =>
    new Map(
      runs.flatMap((run) =>
        run.rule === rule && run.epochs[epoch] ? [[run.seed, pick(run.epochs[epoch])] as const] : [],
      ),
    );
  const [bp, linbp] = [of('bp'), of('linbp')];
  const shared = [...bp.keys()].filter((seed) => linbp.has(seed));
  return { bp: shared.map((seed) => bp.get(seed)!), linbp: shared.map((seed) => linbp.get(seed)!) };
}
