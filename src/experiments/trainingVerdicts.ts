import type { Outcome } from './outcome.js';
import type { TrainingRun } from './trainingRuns.js';

/** A training run and how it ended. */
export type JudgedRun = Pick<TrainingRun, 'rule' | 'seed' | 'lr' | 'epochs'> & { readonly outcome: Outcome };

/** A rule as runs name it, and as readers know it. */
export interface NamedRule {
  readonly rule: string;
  readonly name: string;
}

const lossOf = (run: JudgedRun, epoch: number): number => run.epochs[epoch]?.trainLoss ?? NaN;

/** At these rates: in how many pairs of epoch and seed the second rule's training loss is below the first one's. */
export function lowerLosses(
  runs: readonly JudgedRun[],
  rates: readonly number[],
  first = 'bp',
  second = 'linbp',
): { readonly lower: number; readonly pairs: number } {
  let [lower, pairs] = [0, 0];
  for (const one of runs.filter(({ rule, lr }) => rule === first && rates.includes(lr))) {
    const other = runs.find(({ rule, lr, seed }) => rule === second && lr === one.lr && seed === one.seed);
    if (other === undefined) continue;
    for (const epoch of one.epochs.keys()) {
      pairs++;
      if (lossOf(other, epoch) < lossOf(one, epoch)) lower++;
    }
  }
  return { lower, pairs };
}

/** The rates, in ascending order, at which every run of a rule trains, and those at which one or more fail. */
export function ratesOf(
  runs: readonly JudgedRun[],
  rule: string,
): { readonly train: readonly number[]; readonly fail: readonly number[] } {
  const own = runs.filter((run) => run.rule === rule);
  const rates = [...new Set(own.map(({ lr }) => lr))].sort((a, b) => a - b);
  const trains = (rate: number): boolean => own.every((run) => run.lr !== rate || run.outcome === 'trains');
  return { train: rates.filter(trains), fail: rates.filter((rate) => !trains(rate)) };
}

/**
 * What training runs of two rules say about each other, in sentences: rates at which both train, then large ones.
 *
 * @param upTo largest rate at which losses are compared; every rate at which both rules train unless given
 */
export function trainingVerdicts(
  runs: readonly JudgedRun[],
  [first, second]: readonly [NamedRule, NamedRule],
  upTo = Infinity,
): string[] {
  const trained = ratesOf(runs, first.rule).train;
  const small = ratesOf(runs, second.rule).train.filter((rate) => rate <= upTo && trained.includes(rate));
  return [...smallRates(runs, small, first, second), largeRates(runs, first, second)];
}

function smallRates(
  runs: readonly JudgedRun[],
  rates: readonly number[],
  first: NamedRule,
  second: NamedRule,
): string[] {
  const { lower, pairs } = lowerLosses(runs, rates, first.rule, second.rule);
  if (pairs === 0) return [];
  const at = `Training at ${rates.length > 1 ? 'learning rates' : 'learning rate'} ${rates.join(' and ')}`;
  const count = `${lower} of ${pairs} pairs of epoch and seed`;
  if (lower === pairs) return [`${at}, ${second.name} has the lower training loss after every epoch (${count}).`];
  if (lower === 0)
    return [
      `${at}, ${first.name} has the lower training loss after ` +
        `every epoch (${pairs} of ${pairs} pairs of epoch and seed).`,
    ];
  return [`${at}, ${second.name} has the lower training loss in ${count}: neither is always ahead.`];
}

function largeRates(runs: readonly JudgedRun[], first: NamedRule, second: NamedRule): string {
  const [one, other] = [ratesOf(runs, first.rule), ratesOf(runs, second.rule)];
  const failing = (rule: string, rates: readonly number[]): string => {
    const own = runs.filter((run) => run.rule === rule && rates.includes(run.lr));
    return (
      `${own.filter(({ outcome }) => outcome !== 'trains').length} ` + `of ${own.length} runs at ${rates.join(' and ')}`
    );
  };
  if (one.fail.length === 0 && other.fail.length === 0)
    return `Both rules train at every learning rate tried, up to ${Math.max(...one.train)}.`;
  if (one.fail.length === 0)
    return (
      `${first.name} tolerates larger learning rates: it trains at all of them up to ` +
      `${Math.max(...one.train)}, ${second.name} fails in ${failing(second.rule, other.fail)}.`
    );
  if (other.fail.length === 0)
    return (
      `${second.name} tolerates larger learning rates here: ${first.name} fails in ` +
      `${failing(first.rule, one.fail)}, ${second.name} in none.`
    );
  return (
    `At large learning rates both fail: ${first.name} in ${failing(first.rule, one.fail)}, ${second.name} ` +
    `in ${failing(second.rule, other.fail)}.`
  );
}
