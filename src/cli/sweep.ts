import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { check, LinbpError } from '../errors.js';
import { mergeSweep, planSweep, runSweepCell } from '../experiments/sweep.js';
import type { Evaluated, SweepCell, SweepCellResult, SweepPlan, SweepResult } from '../experiments/sweep.js';
import { writeFileAtomic } from '../io/atomic.js';
import { defaultOutput, OutputFolder } from '../io/outputFolder.js';
import type { ModelDefinition } from '../nn/definition.js';
import { chosenRules, percent } from './common.js';
import type { WorkersReport } from './jobs/distribute.js';
import { expectWorkersDevice, isCut, publicValues } from './jobs/options.js';
import { sweepInJobs } from './jobs/trainJob.js';
import { expectOnce, readNumber } from './options.js';
import { createTrainer, openPlace, showProgress } from './trainRun.js';
import type { TrainingPlace } from './trainRun.js';
import { chosenHalves, chosenOptimizer, evaluatedOn, startWeights, trainerSettings } from './trainOptions.js';
import type { TrainValues } from './trainOptions.js';
import type { ShownAdapter, VerbContext, VerbResult } from './verb.js';

/** The learning rates of `lr=0.01,0.05,0.1`. Throws `bad-argument` or `bad-range`. */
export function readSweep(notation: string): number[] {
  const [, list] = /^\s*lr\s*=(.*)$/s.exec(notation) ?? [];
  check(
    list !== undefined,
    'bad-argument',
    `--sweep must name learning rates, such as lr=0.01,0.05,0.1; got "${notation}"`,
    'sweep',
  );
  const rates = list.split(',').map((part) => {
    const rate = readNumber(part);
    check(rate > 0, 'bad-range', `--sweep: learning rates must be numbers above 0, got "${part}"`, 'sweep');
    return rate;
  });
  expectOnce(rates, 'sweep');
  return rates;
}

/** The cells that the options mean. Throws `bad-argument`, `bad-range`, and as {@link chosenRules} does. */
export function sweepPlan(values: TrainValues, definition: ModelDefinition): SweepPlan {
  const rules = values.rule.map((notation) => chosenRules(notation, definition).written);
  expectOnce(rules, 'rule');
  const rates = readSweep(values.sweep!);
  // What the last cell would be refused for is said before the first one.
  for (const lr of rates) chosenOptimizer({ ...values, lr });
  return { rules, rates, seeds: values.seeds ?? 1, seed: values.seed };
}

/** Runs the cells one after another; those that are done when the signal fires are kept. */
async function runCells(
  cells: readonly SweepCell[],
  values: TrainValues,
  definition: ModelDefinition,
  place: TrainingPlace,
  context: VerbContext,
): Promise<{
  readonly results: SweepCellResult[];
  readonly interrupted: boolean;
  readonly workers?: WorkersReport;
  readonly adapter?: ShownAdapter;
}> {
  const { progress, signal } = context;
  const halves = await chosenHalves(values, definition, context);
  if (isCut(values)) return { ...(await sweepInJobs(cells, values, definition, halves, context)), interrupted: false };
  const settings = trainerSettings(values, definition, halves, context);
  const results: SweepCellResult[] = [];
  for (const [index, cell] of cells.entries()) {
    const create = async ({ rule, lr, seed }: SweepCell): ReturnType<typeof createTrainer> => {
      const optimizer = chosenOptimizer({ ...values, lr });
      const weights = await startWeights(values, definition, seed);
      return createTrainer(place, { ...settings, rules: rule, optimizer, seed }, weights, definition);
    };
    try {
      const what = `${index + 1}/${cells.length} ${cell.rule} lr ${cell.lr} `;
      const onProgress = (state: Parameters<typeof showProgress>[1]): void => showProgress(progress, state, what);
      results.push(await runSweepCell(cell, { epochs: values.epochs, signal, create, onProgress }));
    } catch (error) {
      if (!(error instanceof LinbpError) || error.code !== 'aborted') throw error;
      return { results, interrupted: true };
    }
    progress.line(cellLine(results.at(-1)!, evaluatedOn(values)));
  }
  return { results, interrupted: false };
}

function cellLine({ rule, lr, seed, epochs, diverged }: SweepCellResult, evaluated: Evaluated): string {
  const last = epochs.at(-1);
  const test = last?.testAccuracy === undefined ? '' : `  ${evaluated} accuracy ${percent(last.testAccuracy)}`;
  const figures = diverged
    ? `diverges after ${epochs.length} epochs`
    : `train loss ${last!.trainLoss.toFixed(4)}${test}`;
  return `lr ${lr}  ${rule}  seed ${seed}  ${figures}`;
}

function printSweep({ rows, verdicts }: SweepResult, evaluated: Evaluated, print: (line: string) => void): void {
  for (const { rule, lr, runs, failed, trainLoss, testAccuracy } of rows) {
    const loss = trainLoss === null ? '' : `  train loss ${trainLoss.mean.toFixed(4)}`;
    const accuracy = testAccuracy === null ? '' : `  ${evaluated} accuracy ${percent(testAccuracy.mean)}`;
    print(`lr ${lr}  ${rule}${loss}${accuracy}${failed === 0 ? '' : `  ${failed} of ${runs} fail`}`);
  }
  for (const sentence of verdicts) print(sentence);
}

/** What validation figures are of. */
const heldOutSentence = ({ validationSplit }: TrainValues): string[] =>
  validationSplit === undefined
    ? []
    : [`Validation figures are of ${percent(validationSplit)} of the training images, which were held out.`];

/** `linbp train --sweep`: every rule at every learning rate from several seeds, with one report. */
export async function runSweep(
  values: TrainValues,
  definition: ModelDefinition,
  context: VerbContext,
): Promise<VerbResult> {
  expectWorkersDevice(values);
  const plan = sweepPlan(values, definition);
  const cells = planSweep(plan);
  const folder = await OutputFolder.open(values.out ?? (await defaultOutput('sweep')), 'train');
  await folder.lock(context.lock);
  const place = await openPlace(values);
  try {
    const began = performance.now();
    const { results, interrupted, workers, adapter } = await runCells(cells, values, definition, place, context);
    context.progress.clear();
    const evaluated = evaluatedOn(values);
    if (results.length === 0) throw new LinbpError('aborted', 'interrupted before the first run was done');
    const { sweepReport, sweepRuleName } = await import('./sweepReport.js');
    const swept = mergeSweep(plan, results, definition.classes, sweepRuleName, evaluated);
    const merged = { ...swept, verdicts: [...swept.verdicts, ...heldOutSentence(values)] };
    const report = join(folder.path, 'report.html');
    const fields = { training: merged.runs, ...merged, ...(workers && { workers }), report };
    const settings = { ...publicValues(values), model: definition.name, rules: plan.rules, rates: plan.rates };
    await folder.create();
    await folder.replace(async (path) => {
      const seconds = (performance.now() - began) / 1000;
      const found = {
        merged,
        plan,
        settings,
        adapter: place.device?.adapterInfo,
        seconds,
        evaluated,
        model: definition.name,
      };
      await writeFileAtomic(join(path, 'report.html'), sweepReport({ ...found, dataset: values.dataset }));
      const document = { ...(interrupted && { interrupted }), settings, ...fields };
      await writeFileAtomic(join(path, 'report.json'), `${JSON.stringify(document, null, 2)}\n`);
    });
    printSweep(merged, evaluated, context.print);
    context.print(`report ${pathToFileURL(resolve(report)).href}`);
    return {
      adapter: adapter ?? place.adapter,
      settings: { rule: plan.rules, rates: plan.rates },
      interrupted,
      fields,
    };
  } finally {
    place.close();
  }
}
