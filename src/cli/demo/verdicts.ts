import { percent } from '../../experiments/format.js';
import { verdictOf } from '../../experiments/statistics.js';
import { bestRatesVerdict, guessingVerdict, trainingVerdicts } from '../../experiments/trainingVerdicts.js';
import type { NamedRule } from '../../experiments/trainingVerdicts.js';
import { ownName } from './contenders.js';
import type { Leaderboard, LeaderboardRow } from './leaderboard.js';
import { raceSettings } from './race.js';
import type { Race, RaceRun } from './race.js';

/** The rules of the race, as sentences name them. */
export const namedRules: readonly [NamedRule, NamedRule] = [
  { rule: 'bp', name: 'BP' },
  { rule: 'linbp', name: 'LinBP' },
];

/** What the numbers of a demo say, in sentences: the same in the terminal, in the report and in the JSON. */
export function verdictsOf(leaderboard: Leaderboard, race: Race): string[] {
  return [...attackVerdicts(leaderboard), ...raceVerdicts(race.runs, race.classes)];
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

/** A rule's name and what it does, for the first time that it is named. */
const explained = ({ name, mask, where, also }: LeaderboardRow): string =>
  `${name} (${mask} in place of the ReLU's mask, at ${where === 'all' ? 'every ReLU' : 'chosen ReLUs'}` +
  `${also === undefined ? '' : `, and ${also}`})`;

/** The sentences about attacks: the strongest rule against the true gradient, then LinBP. */
export function attackVerdicts({
  rows,
  steps,
  images,
  source,
}: Pick<Leaderboard, 'rows' | 'steps' | 'images' | 'source'>): string[] {
  const [truth, ...others] = rows;
  const linbp = others.find(({ rule }) => rule.startsWith('linbp'));
  // Own rules show how to write one; the strongest published rule is what readers should know.
  const best = others.filter(({ name }) => name !== ownName)[0];
  const networks = truth!.victims.length;
  const attacked =
    `Attack on ${source}, tried on ${networks === 1 ? 'another network' : `${networks} other networks`} ` +
    `(${images.count} images, the same ${steps} steps for every rule)`;
  if (best === undefined)
    return [`${attacked}: the true gradient leaves ${left(truth!, 0)}; those of all other rules diverged.`];
  if (verdictOf(best.difference) !== 'below') {
    const remaining = left(truth!, tellingVictim(truth!, best));
    const found = `the true gradient leaves ${remaining}; no other gradient is clearly stronger`;
    return [`${attacked}: ${found}.`, ...(linbp === undefined ? [] : [linbpSentence(linbp)])];
  }
  const victim = tellingVictim(truth!, best);
  const widest = best.victims.length > 1 ? ' (the widest gap)' : '';
  return [
    `${attacked}: ${explained(best)} is stronger than the true gradient. It leaves ` +
      `${left(best, victim)}, the true gradient ${percent(truth!.victims[victim]!.accuracy, 0)}${widest}.`,
    ...(linbp === undefined || linbp === best ? [] : [linbpSentence(linbp)]),
  ];
}

function linbpSentence(linbp: LeaderboardRow): string {
  const { mean, low, high } = linbp.difference;
  const range = `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} points`;
  switch (verdictOf(linbp.difference)) {
    case 'below':
      return (
        `${explained(linbp)} is stronger than the true gradient as well: it leaves ` +
        `${points(mean)} less right on average over the networks (95 % interval ${range}).`
      );
    case 'above':
      return (
        `${explained(linbp)} is weaker than the true gradient here: it leaves ` +
        `${points(mean)} more right on average over the networks (95 % interval ${range}).`
      );
    case 'open':
      return (
        `${explained(linbp)} makes no clear difference to this attack: on average over the networks it leaves ` +
        `${points(mean)} ${mean < 0 ? 'less' : 'more'} right than the true gradient (95 % interval ${range}).`
      );
  }
}

/** The sentences about training. The first says that the network is another one. */
export function raceVerdicts(runs: readonly RaceRun[], classes: number): string[] {
  const [first, ...others] = trainingVerdicts(runs, namedRules, raceSettings.main);
  const model = raceSettings.model.toUpperCase();
  const what = `Training another network, an ${model}, with BP (the true gradient) and LinBP`;
  return [
    `${what}: ${first!.replace(/^At/, 'at')}`,
    ...others,
    ...bestRatesVerdict(runs, namedRules),
    ...guessingVerdict(runs, namedRules, classes),
  ];
}
