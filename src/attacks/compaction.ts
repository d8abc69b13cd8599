import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import type { Executor } from '../program/executor.js';
import type { RunOptions, SegmentRun } from '../program/program.js';
import type { AttackGraph } from './attackGraph.js';
import type { AttackArrays } from './input.js';
import { expectWhole } from './options.js';
import type { AttackSettings } from './options.js';
import { poolOf } from './pool.js';
import type { ImagePool, PoolValues } from './pool.js';
import { sumOfPasses } from './result.js';
import type { Passes, RawOutcome } from './result.js';
import { isSingle, queriesIterate } from './schedule.js';
import type { Schedule } from './schedule.js';
import { mixesImages } from './selections.js';

/** An attack's graph for one batch size, and what runs it. */
export interface Compiled {
  readonly attack: AttackGraph;
  readonly executor: Executor;
}

/** Gives an executor its steps and the inputs of some images of a batch. */
type WriteInputs = (compiled: Compiled, rows: readonly number[]) => void;

/** How a batch gets smaller while it runs. */
export interface Compaction {
  /**
   * Steps, of whatever segment, between two looks at which images are fooled; without, or where images may not leave,
   * none does.
   */
  readonly every: number | undefined;
  /** The same attack for fewer images. */
  readonly smaller: (size: number) => Promise<Compiled>;
  readonly write: WriteInputs;
}

/** Throws `bad-range` or `bad-argument` for steps between two looks that images cannot leave the batch after. */
export function expectCompactEvery(every: number | undefined, { rules, model }: AttackSettings): void {
  if (every === undefined) return;
  expectWhole(every, 1, 2 ** 31, 'compactEvery');
  check(!mixesImages(rules, model), 'bad-argument', `${together}, so none can leave it`, 'compactEvery');
}

/** Why nothing may leave a batch under rules with `scope=batch`. */
export const together = 'with scope=batch an image depends on the others of its batch';

type Values = Float32Array | Uint32Array;

/** Numbers of the chosen rows of [N, ...]. */
function rowsOf<T extends Values>(values: T, rows: readonly number[], stride: number): T {
  const picked = new (values.constructor as new (length: number) => T)(rows.length * stride);
  for (const [k, row] of rows.entries()) picked.set(values.subarray(row * stride, (row + 1) * stride), k * stride);
  return picked;
}

export const allRows = (size: number): number[] => Array.from({ length: size }, (_, row) => row);

/** For the batch that begins at image `first`. */
export function inputWriter(
  settings: AttackSettings,
  schedule: Schedule,
  arrays: AttackArrays,
  first: number,
): WriteInputs {
  const { images, start = images, labels, targets, sampleIds, count } = arrays;
  const pixels = images.length / count;
  return ({ attack, executor }, rows) => {
    const own = rows.map((row) => first + row);
    executor.setSteps(schedule.rows);
    executor.write(attack.clean, rowsOf(images, own, pixels));
    if (attack.origin !== attack.clean) executor.write(attack.origin, rowsOf(start, own, pixels));
    executor.write(attack.labels, rowsOf(labels, own, 1));
    executor.write(attack.sampleIds, rowsOf(sampleIds, own, 1));
    if (settings.targeted) executor.write(attack.targets!, rowsOf(targets!, own, 1));
    if (attack.pool !== undefined) writePool(executor, attack.pool, poolOf(arrays, own));
  };
}

/** Writes the images that attacks mix into others. */
function writePool(executor: Executor, pool: ImagePool, { images, first, own, count }: PoolValues): void {
  executor.write(pool.images, images);
  executor.write(pool.first, first);
  executor.write(pool.own, own);
  executor.write(pool.count, Float32Array.of(count));
}

/** Whether nothing of an image changes once it is fooled, so that it may leave the batch. */
function canCompact(settings: AttackSettings): boolean {
  const { definition, keep, stopAtSuccess, reference } = settings;
  if (reference) return false;
  if (definition.plan !== undefined) return definition.plan.fooled !== undefined;
  return stopAtSuccess && keep === 'best' && isSingle(settings) && queriesIterate(settings);
}

/** Everything a batch remembers of its images, by row of the whole batch. */
class Memory {
  private readonly values: Values[] = [];

  async read({ attack, executor }: Compiled, rows: readonly number[]): Promise<void> {
    for (const [k, tensor] of attack.perImage.entries()) {
      const own = tensor.dtype === 'u32' ? await executor.readU32(tensor) : await executor.read(tensor);
      const stride = strideOf(tensor);
      // The first ones read are those of the whole batch.
      const whole = (this.values[k] ??= own);
      for (const [place, row] of rows.entries())
        whole.set(own.subarray(place * stride, (place + 1) * stride), row * stride);
    }
  }

  write({ attack, executor }: Compiled, rows: readonly number[]): void {
    for (const [k, tensor] of attack.perImage.entries())
      executor.write(tensor, rowsOf(this.values[k]!, rows, strideOf(tensor)));
  }
}

const strideOf = (tensor: Tensor): number => elementCount(tensor.shape.slice(1));

/** Runs cut so that each piece but the last has `every` iterations. */
function pieces(runs: readonly SegmentRun[], every: number): SegmentRun[][] {
  const found: SegmentRun[][] = [[]];
  let room = every;
  for (const { segment, row = 0, repeat = 1 } of runs) {
    for (let done = 0; done < repeat;) {
      const count = Math.min(room, repeat - done);
      found.at(-1)!.push({ segment, row: row + done, repeat: count });
      done += count;
      room -= count;
      if (room > 0) continue;
      found.push([]);
      room = every;
    }
  }
  return found.filter((piece) => piece.length > 0);
}

/** The smallest of size, size / 2, size / 4, ... that holds so many images: few sizes, so few programs. */
function sizeFor(images: number, size: number): number {
  let found = size;
  while (Math.ceil(found / 2) >= images && found > 1) found = Math.ceil(found / 2);
  return found;
}

/** The rows that the next steps need, those of images that are not done among them, as many as some program holds. */
function staying(rows: readonly number[], live: readonly number[]): readonly number[] {
  // places that are left over are filled up with images that are done
  const room = sizeFor(live.length, rows.length) - live.length;
  const needed = new Set(live);
  const fill = rows.filter((row) => !needed.has(row)).slice(0, room);
  return [...live, ...fill].sort((a, b) => a - b);
}

const indexOf = (runs: readonly SegmentRun[], name: string): number =>
  runs.findIndex(({ segment }) => segment === name);
const iterations = (part: readonly SegmentRun[]): number => part.reduce((sum, { repeat = 1 }) => sum + repeat, 0);

/** What a part of a run takes of each image. */
const passesOf = ({ passes }: AttackGraph, part: readonly SegmentRun[]): Passes =>
  sumOfPasses(
    part.flatMap(({ segment, repeat = 1 }) => {
      const each = passes.get(segment);
      return each === undefined ? [] : [{ gradients: repeat * each.gradients, forwards: repeat * each.forwards }];
    }),
  );

/**
 * Runs a batch of which fooled images leave: after every so many steps the flags of success are read, and once half of
 * the places are free, what is remembered of the others moves into the same program for fewer images. At the end all is
 * put together again in the first one. An image's numbers do not depend on its batch, so its results keep their bits.
 *
 * @returns the passes of each image until it was seen to be fooled, which do not depend on its batch either: what the
 *   batch does with it after that is not counted
 */
export async function runBatchOf(
  full: Compiled,
  size: number,
  { settings, schedule }: { readonly settings: AttackSettings; readonly schedule: Schedule },
  { signal, onChunk, ...options }: RunOptions,
  { every, smaller, write }: Compaction,
): Promise<Passes[]> {
  const { runs } = schedule;
  const [begun, ends] = [indexOf(runs, 'remember') + 1, indexOf(runs, 'finish')];
  const total = iterations(runs);
  let done = 0;
  // The saved images are evaluated after the run.
  const spent = Array.from({ length: size }, (): Passes => ({ gradients: 0, forwards: 1 }));
  const everyRow = allRows(size);
  const go = async ({ executor }: Compiled, part: readonly SegmentRun[], live: readonly number[], skipped = 0) => {
    const own = iterations(part);
    await executor.run(part, {
      ...options,
      ...(signal !== undefined && { signal }),
      onChunk: (share) => onChunk?.((done + skipped + share * own) / total),
    });
    done += own + skipped;
    const each = passesOf(full.attack, part);
    for (const row of live) spent[row] = sumOfPasses([spent[row]!, each]);
  };
  if (every === undefined || !canCompact(settings)) {
    await go(full, runs, everyRow);
    return spent;
  }
  await go(full, runs.slice(0, begun), everyRow);
  const memory = new Memory();
  const moveTo = async (next: Compiled, own: readonly number[]): Promise<void> => {
    write(next, own);
    // What is made of weights is made at the beginning, as in the whole batch; all else that it sets is remembered.
    await next.executor.run(runs.slice(0, 1), options);
    memory.write(next, own);
  };
  const middle = pieces(runs.slice(begun, ends), every);
  let [now, rows]: [Compiled, readonly number[]] = [full, everyRow];
  let left = iterations(runs.slice(begun, ends));
  for (const piece of middle) {
    const fooled = await now.executor.read(now.attack.fooled);
    const live = rows.filter((_, place) => fooled[place]! < 0.5);
    if (live.length === 0) break;
    const kept = staying(rows, live);
    if (kept.length < rows.length) {
      await memory.read(now, rows);
      [now, rows] = [await smaller(kept.length), kept];
      await moveTo(now, rows);
    }
    await go(now, piece, live);
    left -= iterations(piece);
  }
  if (now !== full) {
    await memory.read(now, rows);
    memory.write(full, everyRow);
  }
  await go(full, runs.slice(ends), everyRow, left);
  return spent;
}

/**
 * Where images stop at success, what their logs hold after it is what they held at it: the images may have left the
 * batch. The two last columns, of the result and the saved result, stay.
 */
export function holdLogs(
  { losses, margins, aims }: Pick<RawOutcome, 'losses' | 'margins' | 'aims'>,
  columns: number,
  { first, size }: { readonly first: number; readonly size: number },
): void {
  const targeted = aims.length > 0;
  const logs = targeted ? [losses, margins, aims] : [losses, margins];
  for (let begin = first * columns; begin < (first + size) * columns; begin += columns) {
    const end = begin + columns - 2;
    const own = (targeted ? aims : margins).subarray(begin, end);
    const at = own.findIndex((margin) => (targeted ? margin < 0 : margin > 0));
    if (at >= 0) for (const log of logs) log.fill(log[begin + at]!, begin + at, end);
  }
}
