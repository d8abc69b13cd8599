import { failureRule } from '../experiments/outcome.js';
import { ratesIn } from '../experiments/trainingVerdicts.js';
import type { Evaluated, SweepPlan, SweepResult, SweepRun } from '../experiments/sweep.js';
import {
  facts,
  figures,
  htmlTable,
  machineFacts,
  page,
  pageFooter,
  paragraph,
  ruleName,
  verdictList,
} from '../report/index.js';
import type { AdapterInfo } from '../runtime/adapter.js';
import { packageVersion } from '../version.js';
import { duration } from './progress.js';
import { settingFacts } from './settingFacts.js';
import { lossChart, rateChart, rateTable, rateWords } from './trainingCharts.js';

/** A rule as readers know it. */
export const sweepRuleName = ruleName;

/** What a sweep found, for {@link sweepReport}. */
export interface SweepFindings {
  readonly merged: SweepResult;
  readonly plan: SweepPlan;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Absent for the float64 reference. */
  readonly adapter: AdapterInfo | undefined;
  readonly model: string;
  readonly dataset: string;
  readonly evaluated: Evaluated;
  readonly seconds: number;
}

function runTable(runs: readonly SweepRun[], evaluated: Evaluated): string {
  const last = ({ epochs }: SweepRun): SweepRun['epochs'][number] | undefined => epochs.at(-1);
  return htmlTable<SweepRun>(
    [
      { title: 'learning rate', value: ({ lr }) => String(lr), number: true },
      { title: 'rule', value: ({ rule }) => rule },
      { title: 'seed', value: ({ seed }) => String(seed), number: true },
      { title: 'how it ended', value: ({ outcome }) => outcome },
      { title: 'epochs', value: ({ epochs }) => String(epochs.length), number: true },
      { title: 'training loss', value: (run) => last(run)?.trainLoss.toFixed(4) ?? '–', number: true },
      {
        title: `${evaluated} accuracy, %`,
        value: (run) => (last(run)?.testAccuracy === undefined ? '–' : (100 * last(run)!.testAccuracy!).toFixed(2)),
        number: true,
      },
    ],
    runs,
  );
}

/** The report of a sweep: verdict, curves at each rate and losses against rates, then every run. */
export function sweepReport(found: SweepFindings): string {
  const { merged, plan, settings, adapter, model, dataset, evaluated, seconds } = found;
  const { runs, verdicts } = merged;
  const charts = [
    { figure: rateChart(runs, plan.rules), caption: 'Final training loss against the learning rate' },
    ...ratesIn(runs).map((rate) => ({
      figure: lossChart(runs, plan.rules, rate),
      caption: `Training loss at learning rate ${rate}`,
    })),
  ];
  return page({
    title: `Training ${model} on ${dataset}: ${plan.rules.map(ruleName).join(' against ')}`,
    subtitle:
      `${plan.rates.length} learning rates, ` +
      `${plan.rules.length} backward rules, ${plan.seeds} seeds: ${runs.length} runs`,
    sections: [
      { title: 'What was found', body: verdictList(verdicts) },
      {
        title: 'Curves',
        body:
          figures(charts) +
          paragraph(`Bands are 95 % intervals over seeds, cut where they leave the chart. ${rateWords(runs)}`.trim()),
      },
      {
        title: 'Learning rates',
        body: rateTable(runs, plan.rules, evaluated) + paragraph(`A run fails if ${failureRule}.`),
      },
      { title: 'Every run', body: runTable(runs, evaluated) },
      {
        title: 'Machine and settings',
        body:
          (adapter === undefined ? '' : facts(machineFacts(adapter, packageVersion()))) + facts(settingFacts(settings)),
      },
    ],
    footer: pageFooter('train --sweep', duration(seconds)),
  });
}
