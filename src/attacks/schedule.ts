import { elementCount } from '../graph/types.js';
import type { SegmentRun } from '../program/program.js';
import type { StepRow } from '../reference/run.js';
import type { AttackSettings } from './options.js';
import { queriesPoint } from './stages.js';
import type { PlanSettings } from './stages.js';

/** Fields of the step table that every attack has. */
export const stepFields = {
  /** Column of the log that an evaluation writes; {@link noColumn} for none. */
  column: 'u32',
  radius: 'f32',
  alpha: 'f32',
  seed: 'u32',
  draw0: 'u32',
  draw1: 'u32',
  query: 'u32',
  first: 'f32',
  window: 'f32',
  /** Rank of the target among the classes other than the label, from 1. */
  rank: 'u32',
  /** Number of the sample within a step, and of the copy of each transform that has several. */
  sample: 'f32',
  copy0: 'f32',
  copy1: 'f32',
  copy2: 'f32',
  copy3: 'f32',
  /** Counter of each transform's random draws. */
  pick0: 'u32',
  pick1: 'u32',
  pick2: 'u32',
  pick3: 'u32',
  /** 1 with radii that shrink: the point that APGD begins at says how sparse its steps are. */
  again: 'f32',
  /** 1 where an evaluated iterate may become the result. */
  counts: 'f32',
} as const;

/** No log has as many columns. */
export const noColumn = 2 ** 32 - 1;

/** One logged evaluation of an iterate. */
export interface Logged {
  readonly column: number;
  readonly restart: number;
  /** Gradients spent per image before it. */
  readonly step: number;
}

/** Everything that happens to one batch, in order. */
export interface Schedule {
  readonly rows: readonly StepRow[];
  readonly runs: readonly SegmentRun[];
  /** Columns of the log: the clean images, the logged iterates, the result, the saved result. */
  readonly columns: number;
  readonly logged: readonly Logged[];
  /** The row with which the saved images are evaluated. */
  readonly savedRow: number;
  /** Gradients and forward passes of one image, as the catalog says them; runs count those of their program. */
  readonly gradients: number;
  readonly forwards: number;
}

/**
 * Keeps images inside the ball in exact arithmetic, not only up to rounding: a pixel of [0, 1] is rounded to float32,
 * by at most 2^-25, and so is the radius. Of an L2 or L1 ball the norm is rounded too, and the roundings of the pixels
 * add up. The reference computes in float64, and its images are rounded towards the clean ones.
 */
export function innerRadius({ norm, eps, reference, model }: AttackSettings): number {
  if (reference || !Number.isFinite(eps)) return Math.min(eps, 1e6);
  if (norm === 'linf') return Math.max(0, eps - 2 ** -24);
  const pixels = elementCount(model.input);
  return Math.max(0, eps * (1 - 2 ** -18) - (norm === 'l2' ? Math.sqrt(pixels) : pixels) * 2 ** -25);
}

/** The length of each window, by the number of the step before which it ends. */
function windowEnds(windows: readonly number[]): Map<number, number> {
  let end = 0;
  return new Map(windows.map((length) => [(end += length), length]));
}

/** What a plan's phases see of the settings. */
export function planSettings(settings: AttackSettings): PlanSettings {
  const { norm, eps, alpha, steps, restarts, model, parameters } = settings;
  return {
    ...{ norm, eps: Math.min(eps, 1e6), alpha, steps, restarts, parameters },
    classes: model.classes,
    pixels: model.input,
  };
}

class Writer {
  readonly rows: StepRow[] = [];
  readonly runs: SegmentRun[] = [];
  readonly logged: Logged[] = [];
  columns = 0;

  constructor(private readonly base: StepRow) {}

  /** One iteration of a segment with a row of its own. */
  row(segment: string, values: StepRow): void {
    const row = this.rows.length;
    this.rows.push({ ...this.base, query: row, column: noColumn, ...values });
    const last = this.runs.at(-1);
    if (last?.segment === segment && last.row! + last.repeat! === row)
      this.runs[this.runs.length - 1] = { ...last, repeat: last.repeat! + 1 };
    else this.runs.push({ segment, row, repeat: 1 });
  }

  /** A segment that reads no row. */
  plain(segment: string): void {
    this.runs.push({ segment, row: 0, repeat: 1 });
  }
}

/**
 * The number of gradients that one gradient of a step is the mean of: by transform, and last the draws of an
 * expectation.
 */
export const copiesOf = ({ definition, parameters, eot }: AttackSettings): number[] => [
  ...(definition.transforms ?? []).map(({ copies }) => copies?.(parameters) ?? 1),
  eot,
];

/** Whether a transform has something done before each copy. */
export const isPrepared = ({ definition }: AttackSettings): boolean =>
  (definition.transforms ?? []).some(({ prepare }) => prepare !== undefined);

/** Whether an attack's step is one segment: one gradient, at the point that the transforms make of the iterate. */
export const isSingle = (settings: AttackSettings): boolean =>
  settings.definition.sampling === undefined &&
  copiesOf(settings).every((count) => count === 1) &&
  !isPrepared(settings);

/** The counters of the transforms' random draws, all alike. */
const picks = (count: number): StepRow => ({ pick0: count, pick1: count, pick2: count, pick3: count });

/** Whether iterates are evaluated as the network is run anyway: only then do they cost nothing. */
export const queriesIterate = ({ definition }: AttackSettings): boolean =>
  definition.sampling === undefined && queriesPoint(definition);

/** Gradients of one step. */
function gradientsPerStep(settings: AttackSettings): number {
  const { sampling } = settings.definition;
  const copies = copiesOf(settings).reduce((product, count) => product * count, 1) * (isPrepared(settings) ? 2 : 1);
  if (sampling === undefined) return copies;
  return copies * ((sampling.base ? 1 : 0) + sampling.count(settings.parameters) * sampling.points.length);
}

/** Segments of one step of an attack with several gradients a step, see `buildSteps`. */
function writeStep(writer: Writer, settings: AttackSettings, values: StepRow): void {
  const { definition, parameters } = settings;
  const { sampling } = definition;
  const counts = copiesOf(settings);
  const total = counts.reduce((product, count) => product * count, 1);
  const draws = (definition.transforms ?? []).map((transform) => transform.draws?.(parameters));
  const prepared = isPrepared(settings);
  const average = (sample: number): void => {
    const base = writer.rows.length;
    for (let copy = 0; copy < total; copy++) {
      let rest = copy;
      const query = base + copy;
      const row: Record<string, number> = { ...values, ...picks(query), column: noColumn, sample, query };
      // what is left at the end is the number of the draw of an expectation
      const numbers = draws.map((_, index) => {
        const number = rest % counts[index]!;
        rest = Math.floor(rest / counts[index]!);
        return number;
      });
      for (const [index, number] of numbers.entries()) {
        row[`copy${index}`] = number;
        const [shared, count] = [draws[index], counts[index]!];
        if (shared !== undefined) row[`pick${index}`] = base + rest * count + Math.floor((number * shared) / count);
      }
      if (prepared) writer.row('prepare', row);
      writer.row('copy', row);
    }
  };
  writer.row('look', values);
  if (sampling === undefined || sampling.base) {
    average(0);
    writer.row('base', { ...values, column: noColumn });
  }
  for (let sample = 0; sample < (sampling?.count(parameters) ?? 0); sample++) {
    for (let point = 0; point < sampling!.points.length; point++) {
      writer.row(`sample${point}`, { ...values, column: noColumn, sample });
      average(sample);
    }
    writer.row('collect', { ...values, column: noColumn, sample });
  }
  writer.row('move', { ...values, column: noColumn });
}

/**
 * The radii that a restart's steps are spent on, see `shrinkRadius` of the attack's options. As in the official code
 * the first two take 0.3 of the steps each, rounded up, and the last the others; of 1, 2 and 4 steps that would leave
 * it none, so it keeps one at least.
 */
function radiusParts({ steps, shrinkRadius }: AttackSettings): { readonly factor: number; readonly steps: number }[] {
  if (!shrinkRadius) return [{ factor: 1, steps }];
  const part = Math.min(Math.ceil(0.3 * steps), Math.floor((steps - 1) / 2));
  return [
    { factor: 3, steps: part },
    { factor: 2, steps: part },
    { factor: 1, steps: steps - 2 * part },
  ].filter((each) => each.steps > 0);
}

function writeRestarts(writer: Writer, settings: AttackSettings): void {
  const { definition, steps, restarts, alpha, norm } = settings;
  const radius = innerRadius(settings);
  const single = isSingle(settings);
  const logs = queriesIterate(settings) || settings.keep === 'best';
  const ranks = definition.rankedTargets === undefined ? 1 : settings.rankedTargets;
  for (let restart = 0; restart < ranks * restarts; restart++) {
    const rank = 1 + Math.floor(restart / restarts);
    const draws = { draw0: 2 * restart, draw1: 2 * restart + 1, rank };
    if (definition.rankedTargets !== undefined) writer.row('aim', draws);
    let spent = 0;
    const log = (): number => {
      writer.logged.push({
        column: writer.columns,
        restart,
        step: (restart * steps + spent) * gradientsPerStep(settings),
      });
      return writer.columns++;
    };
    for (const [index, part] of radiusParts(settings).entries()) {
      const windows = windowEnds(definition.windows?.(part.steps, norm) ?? []);
      const values = { ...draws, radius: part.factor * radius, alpha: part.factor * alpha };
      writer.row(index === 0 ? 'start' : 'again', values);
      for (let step = 0; step < part.steps; step++) {
        const counts = part.factor === 1;
        const column = logs && counts ? log() : noColumn;
        const numbers = {
          first: step === 0 ? 1 : 0,
          window: windows.get(step) ?? 0,
          counts: counts ? 1 : 0,
          again: settings.shrinkRadius ? 1 : 0,
        };
        const row = { ...values, column, ...numbers };
        if (single) {
          const query = 1 + restart * (steps + 1) + spent;
          writer.row('step', { ...row, ...picks(query), query });
        } else writeStep(writer, settings, row);
        spent++;
      }
      writer.row('evaluate', {
        ...values,
        column: part.factor === 1 ? log() : noColumn,
        counts: part.factor === 1 ? 1 : 0,
      });
    }
  }
}

/** Lays out the whole of an attack on one batch. */
export function layOut(settings: AttackSettings): Schedule {
  const { alpha, seed, definition } = settings;
  const radius = innerRadius(settings);
  const own = Object.fromEntries(Object.keys(definition.plan?.fields ?? {}).map((field) => [field, 0]));
  const zeros = Object.fromEntries(Object.keys(stepFields).map((field) => [field, 0]));
  const writer = new Writer({ ...zeros, ...own, counts: 1, radius, alpha, seed, draw1: 1, rank: 1 });
  writer.plain('begin');
  writer.row('evaluate', { column: writer.columns++ });
  writer.plain('remember');
  let cost;
  if (definition.plan === undefined) {
    writeRestarts(writer, settings);
    cost = costOf(settings);
  } else {
    const plan = planSettings(settings);
    cost = definition.plan.cost(plan);
    for (const { segment, rows } of definition.plan.phases(plan)) for (const row of rows) writer.row(segment, row);
  }
  writer.plain('finish');
  writer.row('evaluate', { column: writer.columns++ });
  const savedRow = writer.rows.length;
  writer.rows.push({ ...writer.rows[savedRow - 1]!, query: savedRow, column: writer.columns++ });
  const { rows, runs, columns, logged } = writer;
  // The clean images, the result and the saved result are forward passes of every attack.
  return { rows, runs, columns, logged, savedRow, gradients: cost.gradients, forwards: cost.forwards + 3 };
}

/** Forward passes besides those of gradients: the last iterate of each restart, and iterates that no query looks at. */
function costOf(settings: AttackSettings): { gradients: number; forwards: number } {
  const { steps, restarts, definition } = settings;
  const ranks = definition.rankedTargets === undefined ? 1 : settings.rankedTargets;
  const gradients = ranks * restarts * steps * gradientsPerStep(settings);
  const parts = radiusParts(settings).length;
  const ends = ranks * restarts * parts;
  const looks = queriesIterate(settings) || settings.keep === 'last' ? 0 : ranks * restarts * steps;
  return { gradients, forwards: gradients + ends + looks };
}
