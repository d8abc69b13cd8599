import { join } from 'node:path';
import type { Dataset } from '../data/dataset.js';
import { check, LinbpError } from '../errors.js';
import { ensureWritableFile, writeFileAtomic } from '../io/atomic.js';
import { defaultOutput, OutputFolder } from '../io/outputFolder.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';
import { mixesBatch } from '../rules/parse.js';
import type { Device } from '../runtime/device.js';
import { datasetIdentity, networkIdentity, weightsIdentity } from '../train/identity.js';
import { checkCells, expectUsedByCells, listCells, nameOfCell } from './attack/cells.js';
import type { Cell } from './attack/cells.js';
import { robustBenchEntry, securityCurves } from './attack/curves.js';
import { judgeRuns } from './attack/judge.js';
import { listAttacks } from './attack/list.js';
import { options, withPreset } from './attack/options.js';
import type { AttackValues } from './attack/options.js';
import { runFields, runLines, tableLines, writeImages } from './attack/output.js';
import type { TriedRun } from './attack/output.js';
import { presets } from './attack/presets.js';
import { csvOf, imageRecords } from './attack/records.js';
import { runCells } from './attack/run.js';
import type { DivergedCell } from './attack/run.js';
import { shiftedLabels, targetShiftOf } from './attack/targets.js';
import { AttackState, noteKept, noteResume, stateFolder } from './attack/state.js';
import { cellsInJobs } from './jobs/attackJob.js';
import { attackValueNames } from './jobs/attackSession.js';
import type { WorkersReport } from './jobs/distribute.js';
import { isCut, publicValues } from './jobs/options.js';
import { chosenDataset, chosenModel, chosenWeights, openDevice, pixelRange } from './common.js';
import { counted } from '../quote.js';
import { referenceAdapter, shownAdapter } from './common.js';
import { classifierOn, modelWith } from './inference.js';
import { fileLink } from './terminal/screen.js';
import { readVictims, VictimTrials } from './victims.js';
import type { Victim } from './victims.js';
import { defineVerb } from './verb.js';
import type { VerbContext, VerbResult } from './verb.js';

/** Classes from label to target, checked. */
function checkedShift(values: AttackValues, definition: ModelDefinition): number {
  const { targetShift: given, targeted } = values;
  const { classes, name } = definition;
  const shift = targetShiftOf(values, definition);
  check(given === undefined || targeted, 'bad-argument', '--target-shift goes with --targeted', 'targetShift');
  check(
    shift < classes,
    'bad-range',
    `--target-shift must be below the ${classes} classes of ${name}, got ${shift}`,
    'targetShift',
  );
  return shift;
}

/** Whether a targeted attack aims at the classes that the data set names. */
const fileTargets = (values: AttackValues, dataset: Dataset): boolean =>
  values.targeted && values.targetShift === undefined && dataset.targets !== undefined;

const mixesImages = (cells: readonly Cell[]): boolean => cells.some(({ rule }) => mixesBatch(rule.specs));

/** Everything that is settled before any work. */
interface Plan {
  readonly values: AttackValues;
  readonly definition: ModelDefinition;
  readonly cells: readonly Cell[];
  readonly shift: number;
  readonly victims: readonly Victim[];
  readonly out: OutputFolder;
}

async function planOf(given: AttackValues): Promise<Plan> {
  const values = withPreset(given);
  const definition = await chosenModel(values);
  const cells = listCells(values, definition);
  check(
    values.ilaSteps === undefined || values.ila !== undefined,
    'bad-argument',
    '--ila-steps goes with --ila',
    'ilaSteps',
  );
  check(
    !isCut(values) || !mixesImages(cells),
    'bad-argument',
    'with scope=batch an image depends on the others of its batch, which jobs would part; leave --queue, --store and ' +
      '--workers out, or take scope=sample',
    'rule',
  );
  const shift = checkedShift(values, definition);
  checkCells(cells, values, definition);
  expectUsedByCells(given, cells);
  check(!values.resume || values.out !== undefined, 'bad-argument', '--resume needs the --out of that run', 'resume');
  const victims = await readVictims(values.victims, definition);
  if (values.csv !== undefined) await ensureWritableFile(values.csv);
  const out = await OutputFolder.open(values.out ?? (await defaultOutput('attack')), 'attack');
  return { values, definition, cells, shift, victims, out };
}

/** Options that are in the identity of a run under other names. */
const identifiedApart: readonly string[] = ['targeted', 'batch', 'precision'];

/** What decides the bits of this run. */
function identityOf({ values, definition, cells, shift }: Plan, dataset: Dataset, weights: StateDict) {
  const { targeted, precision, device } = values;
  const names = cells.map(({ attack, rule, eps }) => [attack.written, rule.written, eps ?? null]);
  const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value ?? null));
  return {
    ...datasetIdentity(dataset),
    ...networkIdentity(definition),
    weights: weightsIdentity(weights),
    attacks: JSON.stringify(names),
    targets: targeted ? (fileTargets(values, dataset) ? 'file' : String(shift)) : 'none',
    arithmetic: device === 'reference' ? 'float64' : precision,
    ...(mixesImages(cells) && { batch: String(values.batch) }),
    ...Object.fromEntries(
      attackValueNames.filter((name) => !identifiedApart.includes(name)).map((name) => [name, text(values[name])]),
    ),
  };
}

/** Runs the cells and shows their images to the victims. */
async function runAll(
  { values, cells, victims, out, definition, shift }: Plan,
  { dataset, weights, device, identity }: Loaded,
  context: VerbContext,
): Promise<{
  readonly runs: TriedRun[];
  readonly diverged: readonly DivergedCell[];
  readonly trials: VictimTrials;
  readonly targets: Int32Array | undefined;
  readonly workers: readonly WorkersReport[];
  readonly state: AttackState;
}> {
  const labels = shiftedLabels(dataset, 0, definition.classes);
  const shifted = (): Int32Array => shiftedLabels(dataset, shift, definition.classes);
  const targets = !values.targeted ? undefined : fileTargets(values, dataset) ? dataset.targets! : shifted();
  const model = device === undefined ? { definition, weights } : modelWith(device, definition, weights);
  const adapter = (device === undefined ? referenceAdapter : shownAdapter(device)).description;
  const note = (line: string): void => context.progress.line(line);
  const cut = isCut(values);
  check(
    !cut || !fileTargets(values, dataset),
    'bad-argument',
    "jobs do not carry the data set's targets; give --target-shift, or leave --queue and --workers out",
    'targetShift',
  );
  check(!cut || !values.resume, 'bad-argument', '--resume is for runs without jobs: those find what is done', 'resume');
  const state = await AttackState.open(out, identity, { resume: values.resume, adapter, note });
  const input = { values, model, dataset, labels, targets, state, context };
  const {
    runs: found,
    diverged,
    workers,
  } = cut
    ? await cellsInJobs(cells, { values, definition, weights, dataset }, context)
    : { ...(await noteResume(runCells(cells, input), state, context)), workers: [] };
  const trials = new VictimTrials(victims, device, { dataset, labels, targets }, context);
  const runs: TriedRun[] = [];
  for (const run of found) {
    const images = imageRecords(run.result, pixelRange(dataset, 0, run.result.count));
    const { images8 } = run.result;
    try {
      const name = cells.length === 1 ? undefined : nameOfCell(run.cell);
      const tried = run.interrupted ? [] : await trials.show(images8, name);
      runs.push({ ...run, images, victims: tried });
    } catch (error) {
      // The images are kept, so the report shows what there is of them.
      if (cut || !(error instanceof LinbpError) || error.code !== 'aborted') throw error;
      runs.push({ ...run, images, victims: [], interrupted: true });
    }
  }
  return { runs, diverged, trials, targets, workers, state };
}

interface Loaded {
  readonly dataset: Dataset;
  readonly weights: StateDict;
  readonly device: Device | undefined;
  readonly identity: Readonly<Record<string, string>>;
}

/** Fields of the result: those of the only run, or of several as `runs`, in the order of the cells. */
function fieldsOf(
  runs: readonly TriedRun[],
  diverged: readonly DivergedCell[],
  { cells, values }: Plan,
  more: object,
): Record<string, unknown> {
  const common = { count: Math.max(...runs.map(({ result }) => result.count)), ...more };
  if (cells.length === 1) return { ...runFields(runs[0]!), ...more };
  const finite = (eps: number | undefined): number | null => (eps !== undefined && Number.isFinite(eps) ? eps : null);
  const ran = runs.map((run): [Cell, object] => {
    const { attack, rule, norm, eps, ...settings } = run.settings;
    const interrupted = run.interrupted && { interrupted: true };
    return [run.cell, { attack, rule, norm, eps: finite(eps), ...interrupted, settings, ...runFields(run) }];
  });
  const failed = diverged.map(({ cell, error }): [Cell, object] => {
    const named = { attack: cell.attack.written, rule: cell.rule.written, norm: values.norm, eps: finite(cell.eps) };
    return [cell, { ...named, diverged: true, message: error.message }];
  });
  const found = new Map([...ran, ...failed]);
  return { ...common, runs: cells.flatMap((cell) => found.get(cell) ?? []) };
}

/** Computes, writes and prints everything. */
async function attackAll(plan: Plan, loaded: Loaded, context: VerbContext): Promise<VerbResult> {
  const { values, definition, cells, out } = plan;
  const { dataset, device, weights } = loaded;
  const { signal, print, width } = context;
  const { runs, diverged, trials, targets, workers, state } = await runAll(plan, loaded, context);
  const interrupted = runs.length + diverged.length < cells.length || runs.some((run) => run.interrupted);
  const classify = classifierOn(device, definition, weights, device === undefined ? 'f32' : values.precision);
  const { seed, batch } = values;
  const flags = await judgeRuns(runs, classify, dataset, { seed, batch, signal }).finally(() => classify.destroy());
  const curves = securityCurves(runs);
  const robustbench = runs
    .filter((run) => !run.interrupted)
    .map((run) => robustBenchEntry(run, definition, dataset, flags));
  const where = workers.length > 0 && { workers: workers.length === 1 ? workers[0] : workers };
  const fields = fieldsOf(runs, diverged, plan, { flags, securityCurve: curves, robustbench, ...where, out: out.path });
  const one = cells.length === 1 ? runs[0]!.settings : undefined;
  const settled = {
    ...(one ?? { attack: values.attack, rule: [...new Set(cells.map(({ rule }) => rule.written))], eps: values.eps }),
    ...(one !== undefined && !Number.isFinite(one.eps) && { eps: null }),
    targetShift: values.targeted && !fileTargets(values, dataset) ? plan.shift : null,
    note: dataset.note ?? null,
  };
  const report = {
    ...(interrupted && { interrupted }),
    model: definition.name,
    dataset: dataset.name,
    settings: { ...publicValues(values), out: out.path, ...settled },
    ...fields,
    ...(cells.length === 1 && { samples: runs[0]!.result.samples }),
  };
  // The charting library is loaded only where something is drawn.
  const { attackReport, attackSentences } = await import('./attack/report.js');
  const sentences = attackSentences(definition.name, runs, diverged, trials.cells.diverged);
  const found = { model: definition.name, dataset, runs, flags, curves, sentences, adapter: device?.adapterInfo };
  const html = attackReport({ ...found, settings: report.settings });
  await out.replace(
    async (folder) => {
      await writeImages(folder, values.images, dataset, runs, targets);
      await writeFileAtomic(join(folder, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
      await writeFileAtomic(join(folder, 'report.html'), html);
      await writeFileAtomic(join(folder, 'robustbench.json'), `${JSON.stringify(robustbench, null, 2)}\n`);
    },
    interrupted ? [stateFolder] : [],
  );
  if (values.csv !== undefined) await writeFileAtomic(values.csv, csvOf(runs));
  print(`${definition.name} on ${counted(Math.max(...runs.map(({ result }) => result.count)), 'image')}`);
  for (const line of cells.length === 1 ? runLines(runs[0]!) : tableLines(runs, width)) print(line);
  for (const sentence of sentences) print(sentence);
  for (const { message } of flags) print(`warning: ${message}`);
  print(`wrote ${out.path}`);
  print(`report ${fileLink(join(out.path, 'report.html'))}`);
  if (interrupted) noteKept(state, context);
  const adapter = device === undefined ? referenceAdapter : shownAdapter(device);
  return { adapter, settings: settled, fields, interrupted, failure: trials.failure(runs) };
}

/** `linbp attack`: adversarial examples, judged on the true forward pass, and what they do to other models. */
export const attackVerb = defineVerb({
  name: 'attack',
  summary: 'crafts adversarial images and tests them on other models',
  examples: [
    'linbp attack --model lenet5 --weights runs/bp/lenet5.safetensors --rule linbp --limit 100 --out runs/attack',
    'linbp attack --model lenet5 --weights runs/bp/lenet5.safetensors --attack pgd,apgd --rule bp --rule ' +
      'linbp --eps 4/255,8/255 --limit 100',
    'linbp attack --model resnet20 --weights W.safetensors --dataset cifar10 --preset robustbench-linf --limit 200',
  ],
  options,
  notes: [
    '',
    'Lists: --attack pgd,apgd:steps=50 --rule bp --rule linbp:from=3_1,match=block --eps 2/255,4/255 runs ' +
      'every combination. Options after a colon apply to that attack alone; --list names them. All radii ' +
      'share one compiled program.',
    'Writes clean/ and adversarial/ (PNG), adversarial.safetensors (adversarial, adversarial8, clean, ' +
      'labels), report.json, report.html and robustbench.json; several runs have a folder each. Figures are ' +
      'for the float images; "saved", the victims and the norms of perturbations (linf, l2) of a run are for the ' +
      'images rounded to 8 bits inside the ball. Records of single images are for the float images; clean and ' +
      'final are the classes that the network sees.',
    'Ctrl-C keeps the finished batches and ends with exit code 130; --resume continues from them, ' +
      'also after a kill.',
    '',
    'alpha is eps/steps, 2.5 eps/steps for pgd and 2 eps for apgd. keep is best for pgd, apgd and searches, ' +
      'last for the rest. ce-rounded is ce as float32 frameworks round it. Attacks that look for the ' +
      'smallest perturbation need no --eps. --gradient, --transform and --momentum change step attacks, ifgsm ' +
      'unless --attack is given; ti smooths gradients. --ila starts again from the result of the first stage.',
    '',
    'Presets:',
    ...Object.entries(presets).map(([name, { source }]) => `  ${name.padEnd(20)} ${source}`),
  ],
  async run(given, context) {
    if (given.list) return listAttacks(context);
    const plan = await planOf(given);
    const { values, definition, out } = plan;
    await out.lock(context.lock);
    const weights = await chosenWeights(definition, values, context.progress);
    const dataset = await chosenDataset(values, values.split, definition, context);
    const identity = identityOf(plan, dataset, weights);
    await out.create();
    const device = values.device === 'reference' ? undefined : await openDevice({ ...values, device: values.device });
    try {
      return await attackAll(plan, { dataset, weights, device, identity }, context);
    } finally {
      device?.destroy();
    }
  },
});
