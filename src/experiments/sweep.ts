import { seedsFrom } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import type { EpochResult, TrainingProgress } from '../train/progress.js';
import type { Trainer } from '../train/trainer.js';
import { outcomes } from './outcome.js';
import type { Outcome } from './outcome.js';
import { interval } from './statistics.js';
import type { Interval } from './statistics.js';
import { ratesOf, trainingVerdicts } from './trainingVerdicts.js';
import type { NamedRule } from './trainingVerdicts.js';

/*
 * A sweep in three steps that share nothing but plain data: plan its cells, run one cell, merge what the cells gave.
 * Cells may run in any order and in other processes.
 */

/** One training run of a sweep. */
export interface SweepCell {
  /** The rule's notation. */
  readonly rule: string;
  readonly lr: number;
  /** Of initial weights and order of images. */
  readonly seed: number;
}

/** What became of a cell, as it stands in the JSON result. */
export interface SweepCellResult extends SweepCell {
  /** Epochs that were completed. */
  readonly epochs: readonly EpochResult[];
  readonly steps: number;
  /** The loss stopped being finite. */
  readonly diverged: boolean;
  /** What was said about the divergence. */
  readonly message?: string;
  /** Seconds of the whole cell. */
  readonly seconds: number;
}

/** A cell's result and how it ended, judged beside the cells of smaller learning rates. */
export interface SweepRun extends SweepCellResult {
  readonly outcome: Outcome;
}

/** All seeds of a rule at a learning rate. Means of runs that train, with 95 % intervals over seeds. */
export interface SweepRow {
  readonly rule: string;
  readonly lr: number;
  readonly runs: number;
  /** Runs that do not train. */
  readonly failed: number;
  /** Training loss of the last epoch; null where every run failed. */
  readonly trainLoss: Interval | null;
  /** Of the images besides those trained on, see {@link Evaluated}; null also where there are none. */
  readonly testAccuracy: Interval | null;
}

/** A merged sweep. */
export interface SweepResult {
  readonly runs: readonly SweepRun[];
  readonly rows: readonly SweepRow[];
  readonly verdicts: readonly string[];
}

/** What the images besides those trained on are: `validation` are training images that were held out. */
export type Evaluated = 'test' | 'validation';

/** Learning rates, rules and seeds to combine. */
export interface SweepPlan {
  readonly rules: readonly string[];
  readonly rates: readonly number[];
  /** Number of seeds, from `seed` on. */
  readonly seeds: number;
  readonly seed: number;
}

/**
 * The cells of a sweep, small learning rates first; at one rate and seed the rules follow one another.
 *
 * @throws LinbpError `bad-argument` for a rule or rate that is named twice, or none; `bad-range` for seeds
 */
export function planSweep({ rules, rates, seeds, seed }: SweepPlan): SweepCell[] {
  for (const [name, list] of [
    ['rule', rules],
    ['sweep', rates],
  ] as const) {
    const twice = (list as readonly unknown[]).find((each, i) => (list as readonly unknown[]).indexOf(each) !== i);
    check(list.length > 0, 'bad-argument', `a sweep needs at least one ${name}`, name);
    check(twice === undefined, 'bad-argument', `--${name} has ${String(twice)} twice`, name);
  }
  const all = seedsFrom(seed, seeds);
  const ascending = [...rates].sort((a, b) => a - b);
  return ascending.flatMap((lr) => all.flatMap((each) => rules.map((rule) => ({ rule, lr, seed: each }))));
}

/** What {@link runSweepCell} needs besides the cell. */
export interface SweepTraining {
  readonly epochs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainingProgress) => void;
  /** A trainer from the weights of the cell's seed, under its rule and learning rate. */
  readonly create: (cell: SweepCell) => Promise<{ readonly trainer: Trainer; close(): void }>;
}

/**
 * Trains one cell. A loss that stops being finite ends the cell and is its result.
 *
 * @throws LinbpError `aborted`, and what `create` and `Trainer.fit` throw besides `diverged`
 */
export async function runSweepCell(
  cell: SweepCell,
  { epochs, signal, onProgress, create }: SweepTraining,
): Promise<SweepCellResult> {
  const began = performance.now();
  const { trainer, close } = await create(cell);
  try {
    let message: string | undefined;
    try {
      await trainer.fit({ epochs, ...(signal && { signal }), ...(onProgress && { onProgress }) });
    } catch (error) {
      if (!(error instanceof LinbpError) || error.code !== 'diverged') throw error;
      message = error.message;
    }
    return {
      ...cell,
      epochs: [...trainer.history],
      steps: trainer.steps,
      diverged: message !== undefined,
      ...(message !== undefined && { message }),
      seconds: (performance.now() - began) / 1000,
    };
  } finally {
    close();
  }
}

/**
 * Puts the cells' results together: how each run ended, means over seeds, and what they say in sentences.
 *
 * @param results of all cells, or of those that were done before an interruption
 * @param classes of the network; a loss of ln(classes) is that of guessing
 * @param evaluated whose accuracy `testAccuracy` is
 */
export function mergeSweep(
  { rules, rates, seeds }: SweepPlan,
  results: readonly SweepCellResult[],
  classes: number,
  name: (rule: string) => string = (rule) => rule,
  evaluated: Evaluated = 'test',
): SweepResult {
  const judged = new Map(
    results.map((result) => {
      const { rule, lr, seed, epochs, message } = result;
      const run = {
        rule,
        lr,
        seed,
        epochs,
        losses: [],
        ...(result.diverged && { diverged: true as const, cause: message ?? '' }),
      };
      return [run, result] as const;
    }),
  );
  const found = outcomes([...judged.keys()], classes);
  const runs = [...judged].map(([run, result]) => ({ ...result, outcome: found.get(run)! }));
  const rows = [...rates]
    .sort((a, b) => a - b)
    .flatMap((lr) => rules.map((rule) => rowOf(runs, rule, lr)).filter((row) => row.runs > 0));
  const planned = rules.length * rates.length * seeds;
  const part = runs.length < planned ? [`Interrupted: these are ${runs.length} of ${planned} runs.`] : [];
  const named = rules
    .filter((rule) => runs.some((run) => run.rule === rule))
    .map((rule) => ({ rule, name: name(rule) }));
  return { runs, rows, verdicts: [...part, ...sweepVerdicts(runs, rows, named, evaluated)] };
}

/** Student's interval of few seeds can leave the range of a share. */
function shareInterval(shares: readonly number[]): Interval {
  const { mean, low, high } = interval(shares);
  return { mean, low: Math.max(0, low), high: Math.min(1, high) };
}

function rowOf(all: readonly SweepRun[], rule: string, lr: number): SweepRow {
  const runs = all.filter((run) => run.rule === rule && run.lr === lr);
  const last = runs.filter(({ outcome }) => outcome === 'trains').map(({ epochs }) => epochs.at(-1)!);
  const accuracies = last.flatMap(({ testAccuracy }) => testAccuracy ?? []);
  return {
    rule,
    lr,
    runs: runs.length,
    failed: runs.length - last.length,
    trainLoss: last.length === 0 ? null : interval(last.map(({ trainLoss }) => trainLoss)),
    testAccuracy: accuracies.length === 0 ? null : shareInterval(accuracies),
  };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** The best learning rate of each rule among those at which every run trains, then rules in pairs. */
function sweepVerdicts(
  runs: readonly SweepRun[],
  rows: readonly SweepRow[],
  rules: readonly NamedRule[],
  evaluated: Evaluated,
): string[] {
  const best = rules.map(({ rule, name }) => {
    const own = rows.filter((row) => row.rule === rule && row.failed === 0 && row.trainLoss !== null);
    if (own.length === 0)
      return (
        `${name} has no learning rate here at which every run trains (failures at ` +
        `${ratesOf(runs, rule).fail.join(', ') || 'none'}).`
      );
    const tested = own.every(({ testAccuracy }) => testAccuracy !== null);
    const value = (row: SweepRow): number => (tested ? -row.testAccuracy!.mean : row.trainLoss!.mean);
    const top = own.reduce((least, row) => (value(row) < value(least) ? row : least));
    const figure = tested ? top.testAccuracy! : top.trainLoss!;
    const shown = tested ? percent : (loss: number): string => loss.toFixed(4);
    const range = top.runs > 1 ? ` (95 % interval ${shown(figure.low)} to ${shown(figure.high)})` : '';
    return (
      `${name} is best at learning rate ${top.lr}: ` +
      `${tested ? `${evaluated} accuracy` : 'training loss'} ${shown(figure.mean)}${range}.`
    );
  });
  const [first, ...others] = rules;
  return [
    ...best,
    ...others.flatMap((other) => {
      const shared = sharedRuns(runs, first!.rule, other.rule);
      return shared.length === 0 ? [] : trainingVerdicts(shared, [first!, other]);
    }),
  ];
}

/** Of two rules' runs those from a seed, at a rate, that both have. An interrupted sweep has others. */
function sharedRuns(runs: readonly SweepRun[], first: string, second: string): SweepRun[] {
  const has = (rule: string, { lr, seed }: SweepRun): boolean =>
    runs.some((run) => run.rule === rule && run.lr === lr && run.seed === seed);
  return runs.filter((run) => [first, second].includes(run.rule) && has(first, run) && has(second, run));
}
