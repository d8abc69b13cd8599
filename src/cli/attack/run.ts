import { Attack } from '../../attacks/attack.js';
import { settle } from '../../attacks/options.js';
import type { AttackSettings } from '../../attacks/options.js';
import { partnersIn } from '../../attacks/pool.js';
import { sumOfPasses } from '../../attacks/result.js';
import type { AttackResult } from '../../attacks/result.js';
import type { Dataset } from '../../data/dataset.js';
import { LinbpError } from '../../errors.js';
import type { HostModel, Model } from '../../nn/model.js';
import { runBattery } from '../battery.js';
import { autoAttackStages, batteryQueries, batterySteps } from '../../attacks/autoattack.js';
import type { AutoAttackResult } from '../../attacks/autoattack.js';
import { compileProgress, pixelRange } from '../common.js';
import type { VerbContext } from '../verb.js';
import { attackOptions, batteryOptions, isBattery, secondStage } from './cells.js';
import type { Cell } from './cells.js';
import { mergeResults } from './merge.js';
import type { AttackValues } from './options.js';
import { foldRestarts, folds, repeatImages } from './restarts.js';
import type { AttackState } from './state.js';

/** What a cell's run settled, for the report. */
export type CellSettings = Readonly<Record<string, unknown>> & {
  readonly attack: string;
  readonly rule: string;
  readonly norm: string;
  readonly eps: number;
};

/** A cell that was run: to its end, or to the batch in which it was interrupted. */
export interface CellRun {
  readonly cell: Cell;
  readonly result: AttackResult | AutoAttackResult;
  readonly settings: CellSettings;
  readonly minimal: boolean;
  readonly interrupted: boolean;
}

/** What all cells share. */
export interface CellInput {
  readonly values: AttackValues;
  readonly model: Model | HostModel;
  readonly dataset: Dataset;
  readonly labels: Int32Array;
  readonly targets: Int32Array | undefined;
  readonly state: Pick<AttackState, 'finished' | 'keep'> & Partial<Pick<AttackState, 'battery'>>;
  readonly context: VerbContext;
  /** Index of the first image in the whole data set, where this is a part of it; its random numbers follow from it. */
  readonly offset?: number;
  /** The first images of the whole data set, where this is a part of it. */
  readonly partners?: Dataset;
}

/** Compiled programs, and how many restarts are rows of their batch. */
interface Stages {
  readonly stages: readonly Attack[];
  readonly restarts: number;
}

/** The attack, and with `--ila` the second stage, compiled before either runs. */
async function compileStages(
  { values, model, context }: Pick<CellInput, 'values' | 'model' | 'context'>,
  cell: Cell,
  several: boolean,
): Promise<Stages> {
  const { progress } = context;
  const wanted = { ...attackOptions(values, cell, model, several), onCompile: compileProgress(progress) };
  const restarts = values.ila === undefined && folds(settle(wanted)) ? (wanted.restarts ?? 1) : 1;
  const given = restarts > 1 ? { ...wanted, restarts: 1 } : wanted;
  const first = await Attack.compile(given);
  const stages = [first];
  try {
    if (values.ila !== undefined) {
      const steps = values.ilaSteps ?? first.settings.steps;
      stages.push(await Attack.compile(secondStage(values, cell, given, steps)));
    }
    return { stages, restarts };
  } catch (error) {
    first.destroy();
    throw error;
  } finally {
    progress.clear();
  }
}

/** Runs the stages on a batch one after another, each from the images of the one before; their costs are added up. */
async function runStages(
  { stages, restarts }: Stages,
  { dataset, labels, targets, context, offset = 0, partners = dataset }: CellInput,
  { eps }: Cell,
  { first, size }: { readonly first: number; readonly size: number },
  onShare: (share: number, stage: Attack) => void,
): Promise<AttackResult> {
  const results: AttackResult[] = [];
  const images = pixelRange(dataset, first, first + size);
  const sampleIds = Uint32Array.from({ length: size }, (_, n) => offset + first + n);
  const own = { images, labels: labels.subarray(first, first + size), sampleIds };
  const rows = restarts === 1 ? own : repeatImages(own.images, own.labels, sampleIds, restarts);
  for (const [index, stage] of stages.entries()) {
    const start = results.at(-1)?.images;
    const result = await stage.run({
      ...rows,
      signal: context.signal,
      ...(eps !== undefined && { eps }),
      ...(targets && { targets: targets.subarray(first, first + size) }),
      ...(start && { start }),
      partners: partnersIn(partners),
      onProgress: (share) => onShare((index + share) / stages.length, stage),
    });
    results.push(restarts === 1 ? result : foldRestarts(result, restarts, offset + first));
  }
  const sum = (of: (result: AttackResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  const { gradients, forwards } = sumOfPasses(results);
  const seconds = sum((result) => result.seconds);
  return {
    ...results.at(-1)!,
    ...{ gradients, forwards, seconds },
    passes: results[0]!.passes.map((_, n) => sumOfPasses(results.map(({ passes }) => passes[n]!))),
    imageGradientsPerSecond: gradients / seconds,
    dispatches: sum((result) => result.dispatches),
    submits: sum((result) => result.submits),
    readbacks: sum((result) => result.readbacks),
  };
}

/** All batches of a cell that are not finished yet. */
async function runBatches(
  stages: Stages,
  input: CellInput,
  cell: Cell,
  index: number,
): Promise<{ parts: AttackResult[]; interrupted: boolean }> {
  const { dataset, values, state, context } = input;
  const { signal, progress } = context;
  const parts = await state.finished(index);
  let done = parts.reduce((sum, { count }) => sum + count, 0);
  const began = performance.now();
  while (done < dataset.count) {
    const size = Math.min(Math.max(1, Math.floor(values.batch / stages.restarts)), dataset.count - done);
    try {
      if (signal.aborted) throw new LinbpError('aborted', 'the attack was interrupted');
      const result = await runStages(stages, input, cell, { first: done, size }, (share, { settings }) => {
        const seconds = ((performance.now() - began) / 1000).toFixed(0);
        const images = done + (share === 1 ? size : 0);
        const all = (done + share * size) / dataset.count;
        progress.update(settings.definition.name, all, `${images} images done  ${seconds} s`);
      });
      await state.keep(index, done, result);
      parts.push(result);
      done += size;
    } catch (error) {
      if (error instanceof LinbpError && error.code === 'aborted') return { parts, interrupted: true };
      throw error;
    } finally {
      progress.clear();
    }
  }
  return { parts, interrupted: false };
}

function settingsOf(cell: Cell, settings: AttackSettings, ila: Attack | undefined): CellSettings {
  const { definition, norm, alpha, steps, restarts, randomStart, keep, loss, decay, targeted, parameters } = settings;
  const eps = cell.eps ?? settings.eps;
  return {
    ...{ attack: cell.attack.written, definition: definition.name, rule: cell.rule.written, norm, eps },
    ...{ alpha, steps, restarts, randomStart, keep, loss, decay, targeted, parameters },
    ilaSteps: ila?.settings.steps ?? null,
  };
}

/** A cell with its compiled stages; without a result where not one batch was finished. */
async function runWith(
  compiled: Stages,
  input: CellInput,
  cell: Cell,
  index: number,
): Promise<Omit<CellRun, 'result'> & { readonly result: AttackResult | undefined }> {
  const { parts, interrupted } = await runBatches(compiled, input, cell, index);
  const { stages, restarts } = compiled;
  const own = stages[0]!.settingsFor(cell.eps);
  const settings = restarts === 1 ? own : { ...own, restarts };
  const minimal = settings.definition.minimal === true;
  const result = parts.length === 0 ? undefined : mergeResults(parts);
  return { cell, result, minimal, interrupted, settings: settingsOf(cell, settings, stages[1]) };
}

/** A cell made ready, for as many sets of images as there are. */
export interface ReadyCell {
  /** Throws `aborted` where the signal fired before the end. */
  run(input: CellInput): Promise<CellRun>;
  close(): void;
}

/** Compiles a cell. Throws what compiling it throws. */
export async function openCell(
  cell: Cell,
  input: Pick<CellInput, 'values' | 'model' | 'context'>,
  several: boolean,
): Promise<ReadyCell> {
  const whole = (run: Omit<CellRun, 'result'> & { readonly result: AttackResult | undefined }): CellRun => {
    if (run.result === undefined || run.interrupted) throw new LinbpError('aborted', 'the attack was interrupted');
    return { ...run, result: run.result };
  };
  if (isBattery(cell.attack))
    return { run: async (given) => whole(await runBatteryCell(0, cell, given)), close: () => undefined };
  const compiled = await compileStages(input, cell, several);
  return {
    run: async (given) => whole(await runWith(compiled, given, cell, 0)),
    close: () => compiled.stages.forEach((stage) => stage.destroy()),
  };
}

/** A cell whose logits, losses or gradients stopped being finite. */
export interface DivergedCell {
  readonly cell: Cell;
  readonly error: LinbpError;
}

/** What became of the cells, each list in their order. */
export interface FoundCells {
  readonly runs: CellRun[];
  readonly diverged: DivergedCell[];
}

/** Does a cell's work; where it diverges, that is its result, and undefined comes back. */
export async function orDiverged<T>(
  cell: Cell,
  { diverged }: FoundCells,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof LinbpError) || error.code !== 'diverged') throw error;
    diverged.push({ cell, error });
    return undefined;
  }
}

/** Throws where nothing was finished: `aborted` for an interruption, else the divergence. */
export function expectRuns({ runs, diverged }: FoundCells, interrupted = false): void {
  if (runs.length > 0) return;
  const [first] = interrupted ? [] : diverged;
  throw first?.error ?? new LinbpError('aborted', 'the attack was interrupted');
}

/**
 * Runs the cells that share an attack and a rule: one compiled program for all their radii. Returns whether it was
 * interrupted.
 */
async function runGroup(
  cells: readonly (readonly [index: number, cell: Cell])[],
  input: CellInput,
  several: boolean,
  found: FoundCells,
): Promise<boolean> {
  const compiled = await compileStages(input, cells[0]![1], several);
  const { stages } = compiled;
  try {
    for (const [index, cell] of cells) {
      const run = await orDiverged(cell, found, () => runWith(compiled, input, cell, index));
      if (run?.result !== undefined) found.runs.push({ ...run, result: run.result });
      if (run?.interrupted === true) return true;
    }
    return false;
  } finally {
    for (const stage of stages) stage.destroy();
  }
}

/** Batteries in order, to the one that was interrupted; it is among them where it finished a stage. */
async function runBatteries(
  cells: readonly (readonly [index: number, cell: Cell])[],
  input: CellInput,
  found: FoundCells,
): Promise<boolean> {
  for (const [index, cell] of cells) {
    try {
      const run = await orDiverged(cell, found, () => runBatteryCell(index, cell, input));
      if (run !== undefined) found.runs.push(run);
      if (run?.interrupted === true) return true;
    } catch (error) {
      if (!(error instanceof LinbpError) || error.code !== 'aborted') throw error;
      return true;
    }
  }
  return false;
}

async function runBatteryCell(index: number, cell: Cell, input: CellInput): Promise<CellRun> {
  const { values, model, dataset, state, context, offset = 0 } = input;
  const { attack, rule, eps } = cell;
  const sampleIds = Uint32Array.from({ length: dataset.count }, (_, n) => offset + n);
  const [kept] = await state.finished(index);
  const options = batteryOptions(values, cell);
  const names = autoAttackStages(options);
  const given = { dataset, sampleIds, journal: kept === undefined ? await state.battery?.(index) : undefined };
  const result =
    (kept as AutoAttackResult | undefined) ??
    ((await runBattery({ ...options, eps: eps! }, model, rule.written, given, context)).result as AutoAttackResult);
  if (kept === undefined && !result.interrupted) await state.keep(index, 0, result);
  const { norm, version } = values;
  const settings = { attack: attack.written, definition: 'autoattack', rule: rule.written, norm, eps: eps!, version };
  const more = {
    keep: 'best',
    loss: names.includes('apgd-ce') ? (options.loss ?? 'ce') : null,
    steps: names.some((name) => name !== 'square') ? (options.steps ?? batterySteps) : null,
    queries: names.includes('square') ? (options.queries ?? batteryQueries) : null,
    targeted: false,
    ilaSteps: null,
  };
  return { cell, result, minimal: false, interrupted: result.interrupted, settings: { ...settings, ...more } };
}

/**
 * Runs all cells in order, or those until the interruption, which comes last where it finished a batch. Cells that
 * diverge are recorded, and the others go on.
 *
 * @throws LinbpError `aborted` where nothing was finished; `diverged` where nothing else came out
 */
export async function runCells(cells: readonly Cell[], input: CellInput): Promise<FoundCells> {
  const several = new Set(cells.map(({ attack }) => attack.written)).size > 1;
  const found: FoundCells = { runs: [], diverged: [] };
  for (let from = 0; from < cells.length;) {
    const { attack, rule } = cells[from]!;
    const indexed = cells.map((cell, index) => [index, cell] as const).slice(from);
    const end = indexed.findIndex(([, cell]) => cell.attack !== attack || cell.rule !== rule);
    const group = indexed.slice(0, end < 0 ? undefined : end);
    const interrupted = isBattery(attack)
      ? await runBatteries(group, input, found)
      : await runGroup(group, input, several, found);
    if (interrupted) {
      expectRuns(found, true);
      break;
    }
    from += group.length;
  }
  expectRuns(found);
  return found;
}
