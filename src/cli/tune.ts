import { isThere } from '../io/folders.js';
import { ensureWritableFile } from '../io/atomic.js';
import { counted } from '../quote.js';
import { durationText, textTable } from '../profile/textTable.js';
import { createWorkload } from '../profile/workloads.js';
import type { Workload, WorkloadOptions } from '../profile/workloads.js';
import {
  changesOrder,
  choiceName,
  compareWorkloads,
  heavyProblems,
  readTuning,
  setDeviceTuning,
  tuneProgram,
  tuningIdentity,
  tuningPath,
  TuningTable,
  writeTuning,
} from '../tune/index.js';
import type { Comparison, TunedProblem, TuningIdentity } from '../tune/index.js';
import {
  chosenModel,
  chosenRules,
  chosenWeights,
  deviceOptions,
  stepBatchOption,
  ruleHelp,
  ruleNeeded,
  whatOption,
  modelOptions,
  openDevice,
  shownAdapter,
} from './common.js';
import { expectOnce, flag, integer, number, text } from './options.js';
import type { OptionValues } from './options.js';
import { splitRules } from './ruleList.js';
import { defineVerb } from './verb.js';
import type { VerbContext } from './verb.js';
import { check, LinbpError } from '../errors.js';

const options = {
  ...modelOptions,
  rule: text({
    help: `${ruleHelp}; steps of several, joined by commas, are all tuned`,
    placeholder: 'RULE,..',
    byDefault: 'bp',
  }),
  ...whatOption,
  ...stepBatchOption,
  share: number({
    help: 'leave out products that take less than this share of the step',
    byDefault: 0.02,
    min: 0,
    max: 1,
  }),
  rounds: integer({ help: 'timed runs of each finalist', byDefault: 9, min: 3, max: 1000 }),
  'half-products': flag('also try kernels that round their operands to f16, on GPUs with subgroup matrices of f16'),
  among: text({ help: 'try only the choices in these files of earlier runs', placeholder: 'FILE,..' }),
  'keep-order': flag('only kernels with the usual accumulation order, so that outputs stay bit-identical'),
  again: flag('measure known problems again'),
  out: text({ help: "write the choices there instead of the user's cache", placeholder: 'FILE' }),
  ...deviceOptions,
} as const;

type TuneValues = OptionValues<typeof options>;

function problemTable(results: readonly TunedProblem[], width: number): string {
  const refused = ({ candidates }: TunedProblem): number =>
    candidates.filter((candidate) => candidate.refused !== undefined).length;
  return textTable(
    [
      { title: 'layer', value: ({ layer }) => layer || '-' },
      { title: 'op', value: ({ op }) => op },
      { title: 'usual', value: ({ usual }) => choiceName(usual), drop: 2 },
      { title: 'usual us', value: ({ usualMicroseconds }) => usualMicroseconds.toFixed(1), align: 'right' },
      {
        title: 'chosen',
        value: (result) => (result.chosen === result.usual ? 'the usual' : choiceName(result.chosen)),
      },
      { title: 'chosen us', value: ({ microseconds }) => microseconds.toFixed(1), align: 'right' },
      { title: 'tried', value: ({ candidates }) => String(candidates.length), align: 'right', drop: 3 },
      { title: 'refused', value: (result) => String(refused(result)), align: 'right', drop: 3 },
    ],
    results,
    width,
  );
}

/** Compiles one step under the choices of a table. */
async function workloadUnder(table: TuningTable, values: TuneValues, workloads: WorkloadOptions): Promise<Workload> {
  setDeviceTuning(workloads.device, table);
  return createWorkload(values.what, workloads);
}

/**
 * What tuning one step gave: its problems, all keys of them, and the step without the choices beside the step with
 * them.
 */
interface TunedStep {
  readonly results: TunedProblem[];
  readonly heavy: readonly string[];
  readonly comparison: Comparison;
}

/**
 * Tunes one step into a table, and adds what it finds to `found`. What the table has is left alone unless it is to be
 * measured `again`.
 */
async function tuneStep(
  values: TuneValues,
  workloads: WorkloadOptions,
  {
    table,
    found,
    among,
  }: {
    readonly table: TuningTable;
    readonly found: TunedProblem[];
    readonly among: readonly TuningTable[] | undefined;
  },
  { progress, signal }: VerbContext,
): Promise<TunedStep> {
  const untuned = await workloadUnder(new TuningTable(), values, workloads);
  try {
    const heavy = [...(await heavyProblems(untuned.program, untuned.segments, untuned.row, values.share)).keys()];
    if (values.again) table.forget(heavy.filter((key) => !found.some((known) => known.key === key)));
    const results = await tuneProgram(untuned.program, {
      table,
      only: new Set(heavy),
      rounds: values.rounds,
      halfProducts: values['half-products'],
      keepOrder: values['keep-order'],
      among,
      signal,
      onResult: (result) => found.push(result),
      onProgress: (done, total, what) => progress.update('tuning', done / total, `${done + 1} of ${total}: ${what}`),
    });
    progress.clear();
    const tuned = await workloadUnder(table, values, workloads);
    try {
      progress.line('comparing tuned with untuned');
      return { results, heavy, comparison: await compareWorkloads(untuned, tuned, Math.max(values.rounds, 15)) };
    } finally {
      tuned.destroy();
    }
  } finally {
    untuned.destroy();
  }
}

/** The files of `--among`. Throws `missing-file`. */
async function earlierFiles(written: string | undefined): Promise<string[] | undefined> {
  const files = written?.split(',').map((file) => file.trim());
  expectOnce(files ?? [], 'among');
  for (const file of files ?? []) check(await isThere(file), 'missing-file', `--among: ${file}: no such file`, file);
  return files;
}

/** The choices of an earlier run on this adapter. Throws `bad-file`. */
async function earlierRun(file: string, identity: TuningIdentity): Promise<TuningTable> {
  const { table, warning } = await readTuning(file, identity);
  if (table === undefined) throw new LinbpError('bad-file', `--among: ${warning}`, { field: file });
  return table;
}

const comparisonText = ({ untuned, tuned, ratio, shortestRatio }: Comparison): string =>
  `untuned ${durationText(untuned)}, tuned ${durationText(tuned)}, ` +
  `ratio ${ratio.toFixed(3)} by turns, ${shortestRatio.toFixed(3)} by shortest runs`;

/** Says how many products add up in another order than before. */
function sayReordered(found: readonly TunedProblem[], table: TuningTable, print: VerbContext['print']): void {
  const reordered = found.filter(
    (result) => changesOrder(result) && table.entries.get(result.key)?.choice === result.chosen,
  ).length;
  if (reordered > 0)
    print(
      `${reordered} products add up in another order now: results differ in their last bits from those before tuning`,
    );
}

/** Slower than this, by turns and by shortest runs, is more than noise. */
const slower = 1.03;

/** `linbp tune`: finds and stores the fastest kernels for a model on this device. */
export const tuneVerb = defineVerb({
  name: 'tune',
  summary: 'measures which kernels are fastest for a model on this device, and stores the choices',
  examples: [
    'linbp tune --model lenet5 --what train --batch 64',
    'linbp tune --model resnet20 --what attack --batch 8 --out choices.json',
  ],
  options,
  needs: ruleNeeded,
  subject: 'model',
  notes: [
    '',
    'Every candidate is checked against a float64 reference on the device before it is timed. Tuning is optional.',
    'LINBP_TUNING=off runs without measured choices, LINBP_TUNING=shipped with those of the package only.',
  ],
  async run(values, context) {
    const { progress, print, signal } = context;
    const definition = await chosenModel(values);
    const rules =
      values.what === 'forward' ? ['bp'] : splitRules(values.rule).map((rule) => chosenRules(rule, definition).written);
    expectOnce(rules, 'rule');
    if (values.out !== undefined) await ensureWritableFile(values.out);
    const weights = await chosenWeights(definition, values, progress);
    const earlier = await earlierFiles(values.among);
    const device = await openDevice(values);
    try {
      const identity = tuningIdentity(device.adapterInfo);
      const path = values.out ?? (await tuningPath(identity));
      await ensureWritableFile(path);
      // Two at once would time each other, and the later one would write over what the earlier one found.
      await context.lock(path, 'file');
      const stored = await readTuning(path, identity);
      if (stored.warning !== undefined) progress.line(`note: ${stored.warning}`);
      const among = earlier && (await Promise.all(earlier.map((file) => earlierRun(file, identity))));
      let table = stored.table ?? new TuningTable();
      const found: TunedProblem[] = [];
      const steps: { rule: string; comparison: Comparison; kept: boolean }[] = [];
      for (const rule of rules) {
        const trial = new TuningTable();
        trial.merge(table);
        const workloads = { device, definition, weights, batch: values.batch, rule };
        const step = await tuneStep(values, workloads, { table: trial, found, among }, context).catch(
          (error: unknown) => {
            if (!(error instanceof LinbpError) || error.code !== 'aborted') throw error;
            return undefined;
          },
        );
        if (step === undefined) {
          // Each choice that was finished has won its own final.
          table.merge(trial);
          break;
        }
        const { results, heavy, comparison } = step;
        if (results.length > 0) print(problemTable(results, context.width));
        else print(`${values.what} under ${rule}: nothing new to measure (--again measures again what is known)`);
        const kept = comparison.ratio <= slower || comparison.shortestRatio <= slower;
        if (kept) table = trial;
        else table.forget(heavy);
        steps.push({ rule, comparison, kept });
        print(`${values.what} under ${rule}: ${comparisonText(comparison)}${kept ? '' : ': not kept'}`);
      }
      sayReordered(found, table, print);
      await writeTuning(path, identity, table);
      print(`${counted(table.entries.size, 'choice')} in ${path}`);
      return {
        adapter: shownAdapter(device),
        settings: { rules, path },
        interrupted: signal.aborted,
        fields: { problems: found, steps, choices: table.entries.size },
      };
    } finally {
      device.destroy();
    }
  },
});
