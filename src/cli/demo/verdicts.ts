import { percent } from '../../experiments/format.js';
import { verdictOf } from '../../experiments/statistics.js';
import { trainingVerdicts } from '../../experiments/trainingVerdicts.js';
import type { NamedRule } from '../../experiments/trainingVerdicts.js';
import type { Leaderboard, LeaderboardRow } from './leaderboard.js';
import { raceSettings } from './race.js';
import type { Race } from './race.js';

/** The rules of the race, as sentences name them. */
export const namedRules: readonly [NamedRule, NamedRule] = [
  { rule: 'bp', name: 'BP' },
  { rule: 'linbp', name: 'LinBP' },
];

/** What the numbers of a demo say, in sentences: the same in the terminal, in the report and in the JSON. */
export function verdictsOf(leaderboard: Leaderboard, race: Race): string[] {
  return [...attackVerdicts(leaderboard), ...trainingVerdicts(race.runs, namedRules, raceSettings.main)];
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
  const widest = best.victims.length > 1 ? ` (the widest gap of ${best.victims.length} networks)` : '';
  const found: string[] = [];
  if (verdictOf(best.difference) === 'below')
    found.push(
      `Attacking other networks (${budget}): the true gradient leaves ${left(truth!, victim)}, the ` +
        `gradient of ${best.name} ${percent(best.victims[victim]!.accuracy, 0)}${widest}.`,
    );
  else
    found.push(
      `Attacking other networks (${budget}): the true gradient leaves ${left(truth!, victim)}; no other ` +
        'gradient here is clearly stronger.',
    );
  if (linbp !== undefined && linbp !== best) found.push(linbpSentence(linbp));
  return found;
}

function linbpSentence(linbp: LeaderboardRow): string {
  const { mean, low, high } = linbp.difference;
  const range = `95 % interval ${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} points`;
  switch (verdictOf(linbp.difference)) {
    case 'below':
      return (
        `LinBP's gradient is stronger than the true one as well, ` +
        `by ${points(mean)} on average over the networks (${range}).`
      );
    case 'above':
      return (
        `LinBP's gradient is weaker than the true one here, by ` +
        `${points(mean)} on average over the networks (${range}).`
      );
    case 'open':
      return `LinBP makes no clear difference to the attack here (${range} against the true gradient).`;
  }
}
