import { percent } from './format.js';
import type { Outcome } from './outcome.js';
import { mean } from './statistics.js';
import type { TrainingRun } from './trainingRuns.js';

/** A training run and how it ended. */
export type JudgedRun = Pick<TrainingRun, 'rule' | 'seed' | 'lr' | 'epochs'> & { readonly outcome: Outcome };

/** A rule as runs name it, and as readers know it. */
export interface NamedRule {
  readonly rule: string;
  readonly name: string;
}

const lossOf = (run: JudgedRun, epoch: number): number => run.epochs[epoch]?.trainLoss ?? NaN;

const both = (first: NamedRule, second: NamedRule): string => `${first.name} and ${second.name}`;

/** At these rates: in how many pairs of epoch and seed the second rule's training loss is below the first one's. */
export function lowerLosses(
  runs: readonly JudgedRun[],
  rates: readonly number[],
  first = 'bp',
  second = 'linbp',
): { readonly lower: number; readonly pairs: number } {
  let [lower, pairs] = [0, 0];
  for (const [one, other] of pairedRuns(runs, rates, first, second))
    for (const epoch of one.epochs.keys()) {
      pairs++;
      if (lossOf(other, epoch) < lossOf(one, epoch)) lower++;
    }
  return { lower, pairs };
}

/** Runs of two rules from the same seed at the same rate. */
function pairedRuns(
  runs: readonly JudgedRun[],
  rates: readonly number[],
  first: string,
  second: string,
): [JudgedRun, JudgedRun][] {
  return runs
    .filter(({ rule, lr }) => rule === first && rates.includes(lr))
    .flatMap((one): [JudgedRun, JudgedRun][] => {
      const other = runs.find(({ rule, lr, seed }) => rule === second && lr === one.lr && seed === one.seed);
      return other === undefined ? [] : [[one, other]];
    });
}

/** The rates, in ascending order, at which every run of a rule trains, and those at which one or more fail. */
export function ratesOf(
  runs: readonly JudgedRun[],
  rule: string,
): { readonly train: readonly number[]; readonly fail: readonly number[] } {
  const rates = ratesIn(runs.filter((run) => run.rule === rule));
  const trains = (rate: number): boolean => runsAt(runs, rule, rate).failed === 0;
  return { train: rates.filter(trains), fail: rates.filter((rate) => !trains(rate)) };
}

/** Rates of runs in ascending order. */
export const ratesIn = (runs: readonly JudgedRun[]): number[] =>
  [...new Set(runs.map(({ lr }) => lr))].sort((a, b) => a - b);

/** What became of a rule's runs at one learning rate. */
export interface RateResult {
  readonly lr: number;
  readonly runs: number;
  /** Runs that do not train. */
  readonly failed: number;
  /** Mean training loss of the last epoch over the runs that train; undefined where none does. */
  readonly loss?: number;
  /** Mean test accuracy after it, 0..1; undefined also where there are no test images. */
  readonly accuracy?: number;
}

/** What became of a rule's runs at a learning rate; failed runs give no value. */
export function runsAt(runs: readonly JudgedRun[], rule: string, lr: number): RateResult {
  const own = runs.filter((run) => run.rule === rule && run.lr === lr);
  const last = own.filter(({ outcome }) => outcome === 'trains').map(({ epochs }) => epochs.at(-1)!);
  const accuracies = last.flatMap(({ testAccuracy }) => testAccuracy ?? []);
  return {
    ...{ lr, runs: own.length, failed: own.length - last.length },
    ...(last.length > 0 && { loss: mean(last.map(({ trainLoss }) => trainLoss)) }),
    ...(accuracies.length > 0 && { accuracy: mean(accuracies) }),
  };
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

/** What the pairs of a comparison are: how many epochs, and how many seeds at each rate. */
function pairsText(runs: readonly JudgedRun[], rates: readonly number[], first: NamedRule, second: NamedRule): string {
  const compared = pairedRuns(runs, rates, first.rule, second.rule).map(([one]) => one);
  const epochs = new Set(compared.map((run) => run.epochs.length));
  if (epochs.size !== 1) return 'pairs of epoch and seed';
  const [count] = epochs;
  const seeds = rates.map((rate) => {
    const number = compared.filter(({ lr }) => lr === rate).length;
    return `${number} ${number === 1 ? 'seed' : 'seeds'} at ${rate}`;
  });
  return `pairs of epoch and seed: ${count} ${count === 1 ? 'epoch' : 'epochs'}, ${seeds.join(' and ')}`;
}

function smallRates(
  runs: readonly JudgedRun[],
  rates: readonly number[],
  first: NamedRule,
  second: NamedRule,
): string[] {
  const { lower, pairs } = lowerLosses(runs, rates, first.rule, second.rule);
  if (pairs === 0) return [];
  const at = `At ${rates.length > 1 ? 'learning rates' : 'learning rate'} ${rates.join(' and ')}`;
  const what = pairsText(runs, rates, first, second);
  const ahead = lower === pairs ? second : lower === 0 ? first : undefined;
  return ahead === undefined
    ? [`${at}, ${second.name} has the lower training loss in ${lower} of ${pairs} ${what}; neither is always ahead.`]
    : [`${at}, ${ahead.name} has the lower training loss after every epoch (${pairs} of ${pairs} ${what}).`];
}

/** Failures by rate, such as "1 of 2 runs at 0.2 and 2 of 2 at 0.4". */
function failures(runs: readonly JudgedRun[], { rule }: NamedRule): string {
  const parts = ratesOf(runs, rule).fail.map((rate, index) => {
    const { failed, runs: all } = runsAt(runs, rule, rate);
    return `${failed} of ${all}${index === 0 ? (all === 1 ? ' run' : ' runs') : ''} at ${rate}`;
  });
  return parts.join(' and ');
}

function largeRates(runs: readonly JudgedRun[], first: NamedRule, second: NamedRule): string {
  const [one, other] = [ratesOf(runs, first.rule), ratesOf(runs, second.rule)];
  const largest = Math.max(...ratesIn(runs));
  if (one.fail.length === 0 && other.fail.length === 0)
    return `${both(first, second)} train at every learning rate tried, up to ${largest}.`;
  if (!runs.some(({ outcome }) => outcome === 'trains'))
    return (
      `${both(first, second)} fail in every run, at all learning rates tried, ` +
      `${Math.min(...one.fail)} to ${largest}.`
    );
  if (one.fail.length > 0 && other.fail.length > 0)
    return (
      `Both rules fail at some learning rates: ${first.name} in ${failures(runs, first)}, ` +
      `${second.name} in ${failures(runs, second)}.`
    );
  const [firm, failing] = one.fail.length === 0 ? [first, second] : [second, first];
  return (
    `${firm.name} tolerates larger learning rates: it trains at all of them up to ${largest}; ` +
    `${failing.name} fails in ${failures(runs, failing)}.`
  );
}

/** The rate at which a rule's runs that train reach the lowest training loss; undefined where none trains. */
export function bestRate(
  runs: readonly JudgedRun[],
  rule: string,
): (RateResult & { readonly loss: number }) | undefined {
  const trained = ratesIn(runs).flatMap((rate) => {
    const result = runsAt(runs, rule, rate);
    return result.loss === undefined ? [] : [{ ...result, loss: result.loss }];
  });
  return trained.sort((a, b) => a.loss - b.loss)[0];
}

const lossText = (loss: number): string => loss.toPrecision(3);

/** How good a rule's best rate is. */
function bestText({ lr, loss, accuracy, runs, failed }: NonNullable<ReturnType<typeof bestRate>>): string {
  const notes = [
    ...(accuracy === undefined ? [] : [`test accuracy ${percent(accuracy, 0)}`]),
    ...(failed === 0 ? [] : [`in the ${runs - failed} of ${runs} runs that trained`]),
  ];
  return `${lossText(loss)} at ${lr}${notes.length === 0 ? '' : ` (${notes.join(', ')})`}`;
}

/** Which of two rules gets further when each may have its best learning rate: by the last epoch's training loss. */
export function bestRatesVerdict(
  runs: readonly JudgedRun[],
  [first, second]: readonly [NamedRule, NamedRule],
): string[] {
  const [one, other] = [bestRate(runs, first.rule), bestRate(runs, second.rule)];
  if (one === undefined || other === undefined) {
    const [name, best] = one === undefined ? [second.name, other] : [first.name, one];
    return best === undefined ? [] : [`Only ${name} trains: its lowest last training loss is ${bestText(best)}.`];
  }
  const [ahead, front, behind, back] =
    other.loss < one.loss ? [second, other, first, one] : [first, one, second, other];
  const figures = `${bestText(front)}; ${behind.name} has ${bestText(back)}`;
  const each = 'With the best of the rates tried for each, ';
  return lossText(front.loss) === lossText(back.loss)
    ? [`${each}the last training losses are equal: ${ahead.name} has ${figures}.`]
    : [`${each}${ahead.name} has the lower last training loss, ${figures}.`];
}

/** From this share of the loss of guessing on, or below so many times its accuracy, a network has hardly learned. */
const nearGuessing = { loss: 0.95, accuracy: 2 };

/** The rates at which the last training loss or the test accuracy is hardly better than that of guessing a class. */
export function guessingVerdict(
  runs: readonly JudgedRun[],
  rules: readonly [NamedRule, NamedRule],
  classes: number,
): string[] {
  const guessed = { loss: Math.log(classes), accuracy: 1 / classes };
  const near = ({ loss, accuracy }: RateResult): boolean =>
    (loss !== undefined && loss >= nearGuessing.loss * guessed.loss) ||
    (accuracy !== undefined && accuracy < nearGuessing.accuracy * guessed.accuracy);
  const figures = ({ loss, accuracy }: Pick<RateResult, 'loss' | 'accuracy'>): string =>
    `${lossText(loss!)}${accuracy === undefined ? '' : `, test accuracy ${percent(accuracy, 0)}`}`;
  return ratesIn(runs).flatMap((lr) => {
    const all = rules.map(({ rule, name }) => ({ name, result: runsAt(runs, rule, lr) }));
    const low = all.filter(({ result }) => near(result));
    if (low.length === 0) return [];
    const who = low.length === 1 ? `${low[0]!.name} has` : 'both rules have';
    const each = all.flatMap(({ name, result }) =>
      result.loss === undefined ? [] : [`${name} has loss ${figures(result)}`],
    );
    return [`At ${lr} ${who} hardly learned yet: ${each.join('; ')}. Guessing has loss ${figures(guessed)}.`];
  });
}
