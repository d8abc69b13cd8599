import { join } from 'node:path';
import { LinbpError, check } from '../errors.js';
import { didYouMean, unknownName } from '../names.js';
import { experimentNamed, experiments } from '../experiments/index.js';
import { summaryOf } from '../experiments/types.js';
import type { Experiment, ExperimentContext } from '../experiments/types.js';
import { writeFileAtomic } from '../io/atomic.js';
import { defaultOutput, OutputFolder } from '../io/outputFolder.js';
import { deviceOptions, openDevice, shownAdapter } from './common.js';
import type { WorkersReport } from './jobs/distribute.js';
import { isCut, jobOptions } from './jobs/options.js';
import { runsInJobs } from './jobs/reproduceJob.js';
import { choice, expectOnce, expectUsed, flag, integer, readNumber, text } from './options.js';
import type { OptionValues } from './options.js';
import { duration } from './progress.js';
import { earlierEntries, indexFile, mergedEntries } from './reproduceIndex.js';
import type { IndexEntry } from './reproduceIndex.js';
import type { Reproduced } from './reproduceReport.js';
import { fileLink } from './terminal/screen.js';
import { packageVersion } from '../version.js';
import { defineVerb } from './verb.js';

/** Small enough that all experiments together end in minutes on two processor cores. */
const ciScale = 0.005;
const scaleHelp = 'full, ci, or a share of epochs, images and steps from 0 to 1';

const options = {
  name: text({ help: 'which experiment; also as a plain word after the verb', placeholder: 'NAME' }),
  all: flag('run every experiment'),
  scale: text({ help: scaleHelp, placeholder: 'full|ci|SHARE', byDefault: 'ci' }),
  seeds: integer({ help: 'number of seeds, from --seed on [1 or 2 at ci, otherwise 5]', min: 1, max: 1000 }),
  images: integer({ help: 'yardstick: number of images at 10 steps, a fifth of it at 100 [500 at full]', min: 10 }),
  dataset: text({
    help: "another data set of the same form, such as fashion-mnist; see below [the experiment's own]",
    placeholder: 'NAME',
  }),
  networks: text({
    help: 'which networks, joined by commas, where an experiment offers a choice; see below',
    placeholder: 'LIST',
  }),
  compat: choice(['none', 'official'], {
    help: "whitebox-cifar10: official follows the theory paper's attack code",
    byDefault: 'none',
  }),
  data: text({ help: 'the folder that holds mnist/, cifar10/ and models/ [LINBP_DATA]', placeholder: 'DIR' }),
  out: text({ help: 'folder for the reports [linbp-out/reproduce-TIME]', placeholder: 'DIR' }),
  ...deviceOptions,
  ...jobOptions,
} as const;

/** What some experiments look at and others do not. */
type Taken = NonNullable<Experiment['takes']>[number];

/** The share that `--scale` means. Throws `bad-range`. */
export function readScale(notation: string): number {
  if (notation === 'full') return 1;
  if (notation === 'ci') return ciScale;
  const share = readNumber(notation);
  check(
    share > 0 && share <= 1,
    'bad-range',
    `--scale must be full, ci or a number above 0 and at most 1, got "${notation}"`,
    'scale',
  );
  return share;
}

/** What `--help` says about an experiment. */
function described({ name, summary, datasets, networks }: Experiment): string {
  const choices = [
    ...(datasets === undefined ? [] : [`--dataset ${datasets.join(', ')}`]),
    ...(networks === undefined ? [] : [`--networks [${networks}]`]),
  ];
  return `  ${name.padEnd(22)} ${summary}${choices.length === 0 ? '' : ` (${choices.join('; ')})`}`;
}

/** Throws `unknown-option` where a data set is named that the experiment cannot use. */
function checkDataset({ name, datasets = [] }: Experiment, dataset: string | undefined): void {
  if (dataset === undefined || datasets.includes(dataset)) return;
  const known = datasets.length === 0 ? 'takes its own data set only' : `takes --dataset ${datasets.join(', ')}`;
  const message = `${name} ${known}, not ${dataset}${didYouMean(dataset, datasets)}`;
  throw new LinbpError('unknown-option', message, { field: 'dataset' });
}

/** Throws `unknown-option` where no experiment can use a data set. */
function checkAnyDataset(dataset: string | undefined): void {
  const known = [...new Set(experiments.flatMap(({ datasets = [] }) => datasets))];
  if (dataset === undefined || known.includes(dataset)) return;
  const message = unknownName('data set of the experiments', dataset, { names: known });
  throw new LinbpError('unknown-option', message, { field: 'dataset' });
}

/** Throws `bad-argument` for options that none of the experiments looks at. */
function expectTaken(values: OptionValues<typeof options>, chosen: readonly Experiment[]): void {
  const by = (name: Taken) =>
    [
      chosen.some(({ takes = [] }) => takes.includes(name)),
      `is an option of ${experiments
        .filter(({ takes = [] }) => takes.includes(name))
        .map((experiment) => experiment.name)
        .join(', ')}`,
    ] as const;
  const shard = [false, 'does not go with experiments, of which each run is a job'] as const;
  expectUsed(values, { seeds: by('seeds'), images: by('images'), compat: by('compat'), shard });
}

/** Throws `unknown-option` where networks are named for an experiment with its own ones only. */
function checkNetworks({ name, networks }: Experiment, named: string | undefined): void {
  check(
    named === undefined || networks !== undefined,
    'unknown-option',
    `${name} takes its own networks only`,
    'networks',
  );
}

/** What the index keeps of an experiment that was run. */
const entryOf =
  (optionsOf: (experiment: Experiment) => IndexEntry['options']) =>
  ({ experiment, result, seconds }: Reproduced): IndexEntry => ({
    ...{ name: experiment.name, summary: summaryOf(experiment, result) },
    ...{ seconds, options: optionsOf(experiment), statements: result.statements },
  });

/** `linbp reproduce`: an experiment of the papers, with a report that says what holds. */
export const reproduceVerb = defineVerb({
  name: 'reproduce',
  summary: "runs the papers' experiments, each with a report of which claims hold",
  examples: ['linbp reproduce mnist-mlp --scale 0.08 --seeds 5', 'linbp reproduce --all --scale ci --out reports'],
  options,
  subject: 'name',
  notes: ['', 'Experiments:', ...experiments.map(described)],
  // eslint-disable-next-line max-lines-per-function -- the steps of the verb in their order
  async run(values, verbContext) {
    const { progress, print, signal, lock } = verbContext;
    check(
      (values.name === undefined) === values.all,
      'bad-argument',
      'give the name of an experiment, which "linbp reproduce --help" lists, or --all',
      'name',
    );
    const chosen = values.name === undefined ? experiments : [experimentNamed(values.name)];
    check(
      !values.all || values.networks === undefined,
      'bad-argument',
      '--networks needs the name of an experiment',
      'networks',
    );
    expectTaken(values, chosen);
    const networks = values.networks?.split(',').map((name) => name.trim());
    expectOnce(networks ?? [], 'networks');
    if (values.all) checkAnyDataset(values.dataset);
    else {
      checkDataset(chosen[0]!, values.dataset);
      checkNetworks(chosen[0]!, values.networks);
    }
    const cut = isCut(values);
    const whole = chosen.find(({ inCells }) => inCells !== true);
    check(!cut || whole === undefined, 'unsupported', `${whole?.name} cannot be cut into jobs`, 'queue');
    const workers: WorkersReport[] = [];
    const scale = readScale(values.scale);
    const seedsFor = ({ takes = [], fewestSeeds = 2 }: Experiment): number =>
      takes.includes('seeds') ? (values.seeds ?? (scale <= ciScale ? fewestSeeds : 5)) : 1;
    const folder = await OutputFolder.open(values.out ?? (await defaultOutput('reproduce')), 'reproduce');
    const out = folder.path;
    await folder.lock(lock);
    const earlier = await earlierEntries(out);
    await folder.claim(['index.html', indexFile, ...chosen.flatMap(({ name }) => [`${name}.html`, `${name}.svg`])]);
    const device = await openDevice(values);
    const found: Reproduced[] = [];
    try {
      const dataFolder = values.data ?? (process.env['LINBP_DATA'] || undefined);
      const context: ExperimentContext = {
        ...{
          scale,
          seeds: 1,
          seed: values.seed,
          dataset: undefined,
          images: values.images,
          compat: values.compat,
          dataFolder,
          device,
          progress,
          signal,
        },
        ...(cut && { runCells: runsInJobs(values, verbContext, (report) => void workers.push(report)) }),
        ...(networks !== undefined && { networks }),
      };
      // The charting library takes a while to load; nothing needs it before the first result.
      const reports = import('./reproduceReport.js');
      const conventions = values.compat === 'official' ? 'official code' : 'pixels';
      const shownFor = (experiment: Experiment): IndexEntry['options'] => [
        ['scale', `${values.scale} (${scale})`],
        ['seeds', String(seedsFor(experiment))],
        ...(experiment.takes?.includes('compat') === true ? [['conventions', conventions] as const] : []),
      ];
      const frame = { adapter: device.adapterInfo, version: packageVersion() };
      const skipped: { readonly name: string; readonly reason: string }[] = [];
      let interrupted = false;
      for (const experiment of chosen) {
        const began = performance.now();
        progress.line(`${experiment.name}: ${experiment.summary}`);
        let result;
        try {
          const dataset = experiment.datasets?.includes(values.dataset ?? '') === true ? values.dataset : undefined;
          result = await experiment.run({ ...context, dataset, seeds: seedsFor(experiment) });
        } catch (error) {
          interrupted = error instanceof LinbpError && error.code === 'aborted' && found.length > 0;
          if (interrupted) break;
          // With --all, what lacks its data is named and the others still run.
          if (!values.all || !(error instanceof LinbpError) || error.code !== 'missing-data') throw error;
          skipped.push({ name: experiment.name, reason: error.message });
          print(`${experiment.name}: left out, ${error.message}`);
          continue;
        }
        const one = { experiment, result, seconds: (performance.now() - began) / 1000 };
        found.push(one);
        progress.clear();
        const path = join(out, `${experiment.name}.html`);
        await writeFileAtomic(path, (await reports).experimentReport(one, { ...frame, options: shownFor(experiment) }));
        const picture = (await reports).experimentPicture(one);
        if (picture !== undefined) await writeFileAtomic(join(out, `${experiment.name}.svg`), picture);
        print(`${experiment.name}  ${duration(one.seconds)}  ${fileLink(path)}`);
        if (result.images !== undefined) print(`  images: ${result.images}`);
        for (const { verdict, text: words } of result.statements) print(`  ${verdict.padEnd(5)}  ${words}`);
        const entries = mergedEntries(earlier, found.map(entryOf(shownFor)));
        await writeFileAtomic(join(out, indexFile), `${JSON.stringify(entries, null, 2)}\n`);
        await writeFileAtomic(join(out, 'index.html'), (await reports).indexReport(entries, frame));
      }
      print(`index ${fileLink(join(out, 'index.html'))}`);
      return {
        adapter: shownAdapter(device),
        settings: { scaleShare: scale },
        interrupted,
        fields: {
          experiments: found.map(({ experiment, result, seconds }) => ({
            ...{
              name: experiment.name,
              seeds: seedsFor(experiment),
              seconds,
              settings: result.settings,
              statements: result.statements,
              tables: result.tables,
              ...result.figures,
            },
          })),
          skipped,
          ...(cut && { workers: workers.length === 1 ? workers[0] : workers }),
          index: join(out, 'index.html'),
        },
      };
    } finally {
      device.destroy();
    }
  },
});
