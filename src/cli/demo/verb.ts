import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { seedsFrom } from '../../arguments.js';
import { loadHalves } from '../../experiments/trainingRuns.js';
import type { ExperimentContext } from '../../experiments/types.js';
import { writeFileAtomic } from '../../io/atomic.js';
import { OutputFolder } from '../../io/outputFolder.js';
import { modelDefinition } from '../../nn/zoo/index.js';
import type { Device } from '../../runtime/device.js';
import { deviceOptions, openDevice, shownAdapter } from '../common.js';
import { number, openFlag, text } from '../options.js';
import { packageVersion } from '../../version.js';
import { defineVerb } from '../verb.js';
import type { VerbContext } from '../verb.js';
import { budgetOf } from './budget.js';
import { hasCifar, networkCell, runLeaderboard } from './leaderboard.js';
import type { Leaderboard } from './leaderboard.js';
import { openReport } from './open.js';
import { raceRules, raceSettings, runRace } from './race.js';
import type { Race } from './race.js';
import { profileRules } from './shaders.js';
import { verdictsOf } from './verdicts.js';

const options = {
  data: text({
    help: 'folder with mnist/, cifar10/ and models/; without it the generated digits [LINBP_DATA]',
    placeholder: 'DIR',
  }),
  out: text({ help: 'folder for the report', placeholder: 'DIR', byDefault: 'linbp-report' }),
  minutes: number({
    help: 'time for training and attacks, which sets their sizes',
    min: 0.05,
    max: 600,
    shownDefault: '2.5; 5 on SwiftShader',
  }),
  open: openFlag('open the report where there is a desktop (default); --no-open does not'),
  ...deviceOptions,
} as const;

/** SwiftShader computes at about half the speed of lavapipe. */
const minutesFor = (description: string): number => (/swiftshader/i.test(description) ? 5 : 2.5);

function contextOf(
  device: Device,
  data: string | undefined,
  seed: number,
  { progress, signal }: VerbContext,
): ExperimentContext {
  const context = { scale: 1, seeds: raceSettings.seeds, seed, dataFolder: data, dataset: undefined };
  return { ...context, compat: 'none', device, progress, signal };
}

/** MNIST where the folder has it, otherwise the generated digits. */
async function imagesOf(context: ExperimentContext): ReturnType<typeof loadHalves> {
  const sizes = { train: 12_000, test: 2000 };
  const known = context.dataFolder !== undefined || (process.env['LINBP_DATA'] ?? '') !== '';
  return loadHalves(known ? context : { ...context, dataset: 'digits' }, 'mnist', sizes);
}

const leaderboardFields = ({ rows, diverged }: Leaderboard): object[] => [
  ...rows.map(({ rule, name, victims, difference }) => ({
    rule,
    name,
    victims: victims.map(({ model, accuracy, low, high }) => ({ model, accuracy, low, high })),
    difference,
  })),
  ...diverged.map(({ cell, cause }) =>
    cell.startsWith(networkCell(''))
      ? { network: cell.slice(networkCell('').length), diverged: true, cause }
      : { rule: cell, diverged: true, cause },
  ),
];

const trainingFields = ({ runs }: Race): object[] =>
  runs.map(({ rule, lr, seed, epochs, outcome, diverged }) => ({
    rule,
    lr,
    seed,
    epochs,
    outcome,
    diverged: diverged !== undefined,
  }));

/** The true gradient and LinBP, as the leaderboard has them. */
const profiledRules = ({ rows }: Leaderboard): string[] =>
  rows.map(({ rule }) => rule).filter((rule) => /^(bp|linbp.*)$/.test(rule));

/** `linbp demo`: the same networks under several backward rules, attacked and trained. */
export const demoVerb = defineVerb({
  name: 'demo',
  summary: 'compares backward rules: attacks and training, with a report',
  examples: ['linbp demo', 'linbp demo --minutes 1 --out linbp-report --no-open'],
  options,
  notes: [
    '',
    'Attacks one network under several backward rules and tests the images on others, trains one with BP and ' +
      'LinBP, and reports the results. Takes two to three minutes.',
  ],
  async run(values, verb) {
    const { progress, print } = verb;
    seedsFrom(values.seed, raceSettings.seeds);
    const folder = await OutputFolder.open(values.out, 'demo');
    await folder.create();
    await folder.lock(verb.lock);
    const device = await openDevice(values);
    try {
      const { adapterInfo } = device;
      const budget = budgetOf(60 * (values.minutes ?? minutesFor(adapterInfo.description)));
      progress.line(`adapter ${adapterInfo.description || adapterInfo.device}`);
      const context = contextOf(device, values.data, values.seed, verb);
      const data = await imagesOf(context);
      const pretrained = await hasCifar(values.data);
      const race = await runRace(context, data, budget, pretrained ? 0.45 : 0.35);
      const leaderboard = await runLeaderboard(context, data, budget, { networks: 0.6, attacks: 0.85 });
      progress.line('timing every shader');
      const profiled = {
        train: { definition: modelDefinition(raceSettings.model), rules: raceRules },
        attack: { definition: modelDefinition(leaderboard.source), rules: profiledRules(leaderboard) },
      };
      const profiles = await profileRules(device, profiled, values.seed, budget);
      const verdicts = verdictsOf(leaderboard, race);
      const settings = {
        'images of the attack': `${leaderboard.images.count} of ${leaderboard.images.name}`,
        'images of the training': `${race.data.train.count} of ${race.data.train.name}`,
        attack: `I-FGSM, ${leaderboard.steps} steps, L-infinity, eps ${Number(leaderboard.eps.toFixed(4))}`,
        training:
          `${raceSettings.model}, SGD without momentum, batch ` +
          `${raceSettings.batch}, ${raceSettings.epochs} epochs`,
        seed: String(values.seed),
        'time planned for training and attacks': `${(budget.total / 60).toFixed(1)} min`,
      };
      // The charting library is loaded only here, when nothing is waiting for the device.
      const { demoReport } = await import('./report.js');
      const path = join(values.out, 'report.html');
      const shared = { verdicts, leaderboard, race, profiles, settings };
      const machine = { adapter: adapterInfo, version: packageVersion(), seconds: budget.elapsed() };
      await folder.claim(['report.html']);
      await writeFileAtomic(path, demoReport({ ...shared, ...machine }));
      for (const sentence of verdicts) print(sentence);
      print(`report ${pathToFileURL(resolve(path)).href}`);
      if (values.open !== false) openReport(path);
      return {
        adapter: shownAdapter(device),
        settings: { ...settings, minutes: budget.total / 60 },
        fields: {
          verdicts,
          leaderboard: leaderboardFields(leaderboard),
          training: trainingFields(race),
          profiles,
          report: path,
        },
      };
    } finally {
      device.destroy();
    }
  },
});
