import { percent } from '../../experiments/format.js';
import { verdictOf } from '../../experiments/statistics.js';
import type { Leaderboard, LeaderboardRow } from './leaderboard.js';
import { raceRules, raceSettings } from './race.js';
import type { Race, RaceRun } from './race.js';

/** What the numbers of a demo say, in sentences: the same in the terminal, in the report and in the JSON. */
export function verdictsOf(leaderboard: Leaderboard, race: Race): string[] {
  return [...attackVerdicts(leaderboard), ...trainingVerdicts(race.runs)];
}

const points = (value: number): string =>
  `${Math.abs(100 * value).toFixed(0)} point${Math.abs(Math.round(100 * value)) === 1 ? '' : 's'}`;
const left = (row: LeaderboardRow, victim: number): string => {
  const { accuracy, model } = row.victims[victim]!;
  return `${percent(accuracy, 0)} of the images right on ${model}`;
};

/** The network on which two rules differ most, which is the one to name. */
function tellingVictim(truth: LeaderboardRow, other: LeaderboardRow): number {
  const gaps = truth.victims.map(({ accuracy }, index) => accuracy - other.victims[index]!.accuracy);
  return gaps.indexOf(Math.max(...gaps));
}

/** The sentences about attacks: the strongest rule against the true gradient, then LinBP. */
export function attackVerdicts({ rows, steps, images }: Leaderboard): string[] {
  const [truth, ...others] = rows;
  const linbp = others.find(({ rule }) => rule.startsWith('linbp'));
  // Own rules show how to write one; the strongest published rule is what readers should know.
  const best = others.filter(({ name }) => name !== 'your own rule')[0]!;
  const budget = `${images.count} images, ${steps} gradients each`;
  const victim = tellingVictim(truth!, best);
  const found: string[] = [];
  if (verdictOf(best.difference) === 'below')
    found.push(
      `Attacking other networks (${budget}): the true gradient leaves ${left(truth!, victim)}, the gradient of ${best.name} ${percent(best.victims[victim]!.accuracy, 0)}.`,
    );
  else
    found.push(
      `Attacking other networks (${budget}): the true gradient leaves ${left(truth!, victim)}; no other gradient here is clearly stronger.`,
    );
  if (linbp !== undefined && linbp !== best) found.push(linbpSentence(linbp));
  return found;
}

function linbpSentence(linbp: LeaderboardRow): string {
  const { mean, low, high } = linbp.difference;
  const range = `95 % interval ${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)} points`;
  switch (verdictOf(linbp.difference)) {
    case 'below':
      return `LinBP's gradient is stronger than the true one as well, by ${points(mean)} on average over the networks (${range}).`;
    case 'above':
      return `LinBP's gradient is weaker than the true one here, by ${points(mean)} on average over the networks (${range}).`;
    case 'open':
      return `LinBP makes no clear difference to the attack here (${range} against the true gradient).`;
  }
}

const lossOf = (run: RaceRun, epoch: number): number => run.epochs[epoch]?.trainLoss ?? NaN;

/** At rates where every run trains: in how many pairs of epoch and seed LinBP's training loss is below BP's. */
export function lowerLosses(
  runs: readonly RaceRun[],
  rates: readonly number[],
): { readonly lower: number; readonly pairs: number } {
  let [lower, pairs] = [0, 0];
  for (const bp of runs.filter(({ rule, lr }) => rule === 'bp' && rates.includes(lr))) {
    const linbp = runs.find(({ rule, lr, seed }) => rule === 'linbp' && lr === bp.lr && seed === bp.seed);
    if (linbp === undefined) continue;
    for (const epoch of bp.epochs.keys()) {
      pairs++;
      if (lossOf(linbp, epoch) < lossOf(bp, epoch)) lower++;
    }
  }
  return { lower, pairs };
}

/** The rates, in ascending order, at which every run of a rule trains, and those at which one or more fail. */
export function ratesOf(
  runs: readonly RaceRun[],
  rule: string,
): { readonly train: readonly number[]; readonly fail: readonly number[] } {
  const rates = [...new Set(runs.map(({ lr }) => lr))].sort((a, b) => a - b);
  const trains = (rate: number): boolean =>
    runs.every((run) => run.rule !== rule || run.lr !== rate || run.outcome === 'trains');
  return { train: rates.filter(trains), fail: rates.filter((rate) => !trains(rate)) };
}

/** The sentences about training: small rates, then large ones. */
export function trainingVerdicts(runs: readonly RaceRun[]): string[] {
  const [bp, linbp] = raceRules.map((rule) => ratesOf(runs, rule)) as [
    ReturnType<typeof ratesOf>,
    ReturnType<typeof ratesOf>,
  ];
  const small = linbp.train.filter((rate) => rate <= raceSettings.main && bp.train.includes(rate));
  return [...smallRates(runs, small), largeRates(runs, bp, linbp)];
}

function smallRates(runs: readonly RaceRun[], rates: readonly number[]): string[] {
  const { lower, pairs } = lowerLosses(runs, rates);
  if (pairs === 0) return [];
  const at = `Training at ${rates.length > 1 ? 'learning rates' : 'learning rate'} ${rates.join(' and ')}`;
  const count = `${lower} of ${pairs} pairs of epoch and seed`;
  if (lower === pairs) return [`${at}, LinBP has the lower training loss after every epoch (${count}).`];
  if (lower === 0)
    return [
      `${at}, BP has the lower training loss after every epoch (${pairs - lower} of ${pairs} pairs of epoch and seed).`,
    ];
  return [`${at}, LinBP has the lower training loss in ${count}: neither is always ahead.`];
}

function largeRates(
  runs: readonly RaceRun[],
  bp: ReturnType<typeof ratesOf>,
  linbp: ReturnType<typeof ratesOf>,
): string {
  const failing = (rule: string, rates: readonly number[]): string => {
    const own = runs.filter((run) => run.rule === rule && rates.includes(run.lr));
    return `${own.filter(({ outcome }) => outcome !== 'trains').length} of ${own.length} runs at ${rates.join(' and ')}`;
  };
  if (linbp.fail.length === 0 && bp.fail.length === 0)
    return `Both rules train at every learning rate tried, up to ${Math.max(...bp.train)}.`;
  if (bp.fail.length === 0)
    return `BP tolerates larger learning rates: it trains at all of them up to ${Math.max(...bp.train)}, LinBP fails in ${failing('linbp', linbp.fail)}.`;
  if (linbp.fail.length === 0)
    return `LinBP tolerates larger learning rates here: BP fails in ${failing('bp', bp.fail)}, LinBP in none.`;
  return `At large learning rates both fail: BP in ${failing('bp', bp.fail)}, LinBP in ${failing('linbp', linbp.fail)}.`;
}
