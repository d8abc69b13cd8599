import { check, LinbpError } from '../errors.js';
import { expectFields, expectObject, onlyFields } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { describeModel } from '../nn/definition.js';
import { Model } from '../nn/model.js';
import { argmax } from '../nn/predict.js';
import { whereNonFinite } from '../nn/nonFinite.js';
import { expectUsable, hostWeights, ModelPlace } from '../nn/place.js';
import { openExecutor } from '../program/executor.js';
import type { Executor } from '../program/executor.js';
import type { DeviceCounters } from '../runtime/device.js';
import { keepRecent } from '../runtime/recent.js';
import { Turns } from '../runtime/turns.js';
import { buildAttackGraph } from './attackGraph.js';
import { expectOptions } from './available.js';
import { badEntry, checkFinishedImages, logDivergence } from './check.js';
import type { FinishedImages } from './check.js';
import { allRows, expectCompactEvery, holdLogs, inputWriter, runBatchOf } from './compaction.js';
import type { Compiled } from './compaction.js';
import { checkInput, imageCount } from './input.js';
import type { AttackArrays, AttackInput } from './input.js';
import { attackFields, expectAlpha, expectEps, expectWhole, settle } from './options.js';
import type { AttackOptions, AttackSettings } from './options.js';
import { emptyOutcome, finiteOrZero, roundedTowards, saveImages, sumOfPasses, summarize } from './result.js';
import type { AttackResult, Passes, RawOutcome } from './result.js';
import { expectChunkMilliseconds } from '../program/chunks.js';
import { layOut, stepFields } from './schedule.js';
import type { Schedule } from './schedule.js';

/**
 * One use of a compiled attack. Numbers given here replace those of the options for this run; nothing is compiled anew.
 */
export interface AttackRun extends AttackInput {
  readonly eps?: number;
  readonly alpha?: number;
  readonly seed?: number;
  /** Stops between chunks of work with an `aborted` error; see {@link AttackRun.keepFinished}. */
  readonly signal?: AbortSignal;
  /**
   * When stopped by the signal, resolve with the images of the batches finished until then, if there are any; default
   * false.
   */
  readonly keepFinished?: boolean;
  /**
   * Called after each chunk of work with the share of all work handed to the device, 0 to 1, and the images finished.
   */
  readonly onProgress?: (share: number, images: number) => void;
  /**
   * Images that are fooled leave the batch, in steps of halves of it: looked for before the first and after every so
   * many steps, at the price of one number per image read back, and of all that is remembered of an image each time the
   * batch shrinks and at the end. Results keep their bits; so rules with `scope=batch` refuse it. Attacks
   * that go on after a success ignore it.
   */
  readonly compactEvery?: number;
  /** Longest submit in milliseconds to aim for; default 100. */
  readonly chunkMilliseconds?: number;
}

/** The fields of {@link AttackRun}. */
const runFields: FieldNames<AttackRun> = {
  images: true,
  labels: true,
  targets: true,
  sampleIds: true,
  start: true,
  partners: true,
  eps: true,
  alpha: true,
  seed: true,
  signal: 'signal',
  keepFinished: 'flag',
  onProgress: 'function',
  compactEvery: true,
  chunkMilliseconds: true,
};

/** Programs that an attack keeps from run to run: those of a batch that gets smaller are eight at most. */
const keptPrograms = 8;

/** Reads what a batch, the images from `first` on of `count`, logged while it ran. */
async function readLogs(
  { attack, executor }: Compiled,
  columns: number,
  raw: RawOutcome,
  first: number,
  count: number,
): Promise<void> {
  raw.losses.set(await executor.read(attack.lossLog), first * columns);
  raw.margins.set(await executor.read(attack.marginLog), first * columns);
  if (attack.queries !== undefined) {
    if (raw.queries.length === 0) raw.queries = new Float32Array(count);
    raw.queries.set(await executor.read(attack.queries), first);
  }
  if (attack.aimLog !== undefined) raw.aims.set(await executor.read(attack.aimLog), first * columns);
  if (attack.scales !== undefined)
    for (const steps of await executor.read(attack.scales.overflows)) raw.overflows += steps;
}

/**
 * An attack compiled for a model: all steps and restarts of a batch run as one program without a read-back in between,
 * unless `compactEvery` is set. Larger sets of images are looped over it. Dispose it with {@link Attack.destroy} or
 * `using`.
 */
export class Attack {
  readonly settings: AttackSettings;
  private readonly options: AttackOptions;
  private readonly place: ModelPlace;
  /** By batch size: the full one and that of a partial last batch. */
  private readonly compiled = new Map<number, Promise<Compiled>>();
  /** What they run on, as far as they are compiled. */
  private readonly executors = new Set<Executor>();
  private readonly turns = new Turns();
  private destroyed = false;

  private constructor(options: AttackOptions, settings: AttackSettings, place: ModelPlace) {
    this.options = options;
    this.settings = settings;
    this.place = place;
  }

  /**
   * Checks the options and compiles the program of a full batch.
   *
   * @throws LinbpError `bad-range`, `bad-argument`, `unknown-option`, `unknown-rule`, `unknown-layer` for options
   * that cannot be meant, before any work; `limit-exceeded`, `gpu-error` from compiling
   */
  static async compile(options: AttackOptions): Promise<Attack> {
    const settings = settle(options);
    const attack = new Attack(options, settings, new ModelPlace(options.model, options.device ?? 'gpu'));
    await attack.executor(settings.batch);
    return attack;
  }

  /** The compiled graph for a batch size, by default the full one. For inspection by tests and profilers. */
  async executor(batch = this.settings.batch): Promise<Compiled> {
    const entry = this.compiled.get(batch) ?? this.build(batch);
    // The most recently used come last.
    this.compiled.delete(batch);
    this.compiled.set(batch, entry);
    entry.catch(() => this.compiled.get(batch) === entry && this.compiled.delete(batch));
    return entry;
  }

  /** Frees the programs of batches that were not used lately, between two runs; the full batch stays. */
  private trim(): void {
    const full = this.compiled.get(this.settings.batch);
    if (full === undefined) return;
    keepRecent(this.compiled, this.settings.batch, full, keptPrograms, (entry) => {
      entry.then(
        ({ executor }) => {
          this.executors.delete(executor);
          executor.destroy();
        },
        () => undefined,
      );
    });
  }

  private async build(batch: number): Promise<Compiled> {
    const { place, settings } = this;
    const { onCompile } = this.options;
    const { rows, columns } = layOut(settings);
    const attack = buildAttackGraph(place.definition, settings, batch, columns);
    const executor: Executor = await openExecutor(attack.graph, {
      device: place.device,
      stores: place.stores(attack.stores),
      steps: { fields: { ...stepFields, ...settings.definition.plan?.fields }, rows: rows.length },
      fuse: settings.fuse,
      precision: settings.precision,
      weightsSegment: 'begin',
      ...(onCompile === undefined ? {} : { onProgress: onCompile }),
    });
    this.executors.add(executor);
    return { attack, executor };
  }

  /** Of all batch sizes together. */
  private counters(): DeviceCounters {
    const sum = { submits: 0, readbacks: 0, dispatches: 0 };
    for (const { counters } of this.executors)
      for (const name of Object.keys(sum) as (keyof DeviceCounters)[]) sum[name] += counters[name];
    return sum;
  }

  /**
   * Attacks images. Success is judged on the ordinary forward pass, of the float images and again of the images as
   * saved in 8 bits. Results depend on the images, their sample ids and the seed only, not on batch size, order or
   * chunking; rules with `scope=batch` are the exception. Calls may overlap: each waits for those before it, and none
   * sees the images of another.
   *
   * @throws LinbpError `bad-shape`, `bad-range`, `bad-argument`, `bad-dtype` naming the field, before any work;
   * `aborted`, unless finished images are to be kept; `disposed`; `diverged` where a logit, a loss, a gradient or a
   * pixel is not finite; `bad-range` for an image outside the ball, which only a custom attack can make
   */
  async run(run: AttackRun): Promise<AttackResult> {
    this.expectAlive();
    expectObject(run, 'run');
    expectFields(run, runFields);
    expectChunkMilliseconds(run.chunkMilliseconds);
    const settings = this.overridden(run);
    expectCompactEvery(run.compactEvery, settings);
    const arrays = checkInput(run, this.options.model.definition, settings);
    return this.turns.run(() => this.runAll(run, settings, arrays));
  }

  /** Work during which nobody else changes the model's weights; the reference has copies of its own. */
  private weightsTurn<T>({ reference }: AttackSettings, work: () => Promise<T>): Promise<T> {
    const { model } = this.options;
    return model instanceof Model && !reference ? model.turns.run(work) : work();
  }

  private expectAlive(): void {
    check(!this.destroyed, 'disposed', 'the attack was destroyed');
    expectUsable(this.options.model, this.settings.precision);
  }

  private async runAll(run: AttackRun, settings: AttackSettings, arrays: AttackArrays): Promise<AttackResult> {
    this.expectAlive();
    this.trim();
    const { batch } = settings;
    const schedule = layOut(settings);
    const raw = emptyOutcome(arrays, schedule.columns);
    const images8 = new Uint8Array(arrays.images.length);
    const counted: DeviceCounters = { submits: 0, readbacks: 0, dispatches: 0 };
    const started = performance.now();
    const passes: Passes[] = [];
    let done = 0;
    let diverged: { readonly first: number; readonly size: number } | undefined;
    if (settings.reference) await this.place.refresh();
    try {
      // One turn for all batches, so that none sees weights that were set meanwhile.
      await this.weightsTurn(settings, async () => {
        while (done < arrays.count) {
          const size = Math.min(batch, arrays.count - done);
          const compiled = await this.executor(size);
          const before = this.counters();
          const part = { first: done, size };
          const plan = { settings, schedule };
          const { passes: own, ...images } = await this.runBatch(compiled, plan, arrays, part, raw, images8, run);
          passes.push(...own);
          if (badEntry(raw, schedule, part) !== undefined) return void (diverged = part);
          checkFinishedImages(images, settings, settings.definition.ownBall);
          const after = this.counters();
          for (const name of Object.keys(counted) as (keyof DeviceCounters)[])
            counted[name] += after[name] - before[name];
          done += size;
        }
      });
      // What finds the layer asks for the weights, in a turn of its own.
      if (diverged !== undefined) await this.expectFinite(schedule, raw, arrays, diverged);
    } catch (error) {
      const stopped = error instanceof LinbpError && error.code === 'aborted';
      if (!stopped || run.keepFinished !== true || done === 0) throw error;
    }
    const seconds = (performance.now() - started) / 1000;
    const { gradients, forwards } = sumOfPasses(passes);
    return {
      ...summarize(raw, arrays, images8, settings, schedule.logged, done),
      interrupted: done < arrays.count,
      gradients,
      forwards,
      passes,
      overflows: raw.overflows,
      ...counted,
      seconds,
      imageGradientsPerSecond: gradients / seconds,
    };
  }

  /** The settings of a run with another radius; throws `bad-range`. */
  settingsFor(eps: number | undefined): AttackSettings {
    return this.overridden(eps === undefined ? {} : { eps });
  }

  private overridden(run: Pick<AttackRun, 'eps' | 'alpha' | 'seed'>): AttackSettings {
    const { settings, options } = this;
    const eps = run.eps ?? settings.eps;
    const seed = run.seed ?? settings.seed;
    if (eps !== Infinity || settings.definition.minimal !== true) expectEps(eps, settings.norm);
    expectOptions(settings.definition, { alpha: run.alpha });
    const alpha = run.alpha ?? options.alpha ?? settings.definition.defaultAlpha(eps, settings.steps, settings.norm);
    expectAlpha(alpha);
    expectWhole(seed, 0, 2 ** 32 - 1, 'seed');
    return { ...settings, eps, alpha, seed };
  }

  private async runBatch(
    compiled: Compiled,
    { settings, schedule }: { readonly settings: AttackSettings; readonly schedule: Schedule },
    arrays: AttackArrays,
    part: { readonly first: number; readonly size: number },
    raw: RawOutcome,
    images8: Uint8Array,
    run: AttackRun,
  ): Promise<FinishedImages & { readonly passes: readonly Passes[] }> {
    const { attack, executor } = compiled;
    const { first, size } = part;
    const { eps, norm } = settings;
    const { columns, savedRow } = schedule;
    const { classes } = settings.model;
    const pixels = arrays.images.length / arrays.count;
    const of = (values: Float32Array): Float32Array => values.subarray(first * pixels, (first + size) * pixels);
    const clean = of(arrays.images);
    const write = inputWriter(settings, schedule, arrays, first);
    write(compiled, allRows(size));
    const options = {
      ...(run.signal === undefined ? {} : { signal: run.signal }),
      ...(run.chunkMilliseconds === undefined ? {} : { chunkMilliseconds: run.chunkMilliseconds }),
      onChunk: (share: number): void =>
        run.onProgress?.((first + share * size) / arrays.count, first + (share === 1 ? size : 0)),
    };
    const smaller = (images: number): Promise<Compiled> => this.executor(images);
    const passes = await runBatchOf(compiled, size, { settings, schedule }, options, {
      ...{ every: run.compactEvery, smaller, write },
    });

    const adversarial = roundedTowards(clean, await executor.exact(attack.iterate));
    of(raw.images).set(adversarial);
    raw.cleanClasses.set(argmax(await executor.read(attack.cleanLogits), classes), first);
    raw.finalClasses.set(argmax(await executor.read(attack.network.logits), classes), first);
    for (let n = first; n < first + size; n++) {
      raw.cleanCorrect[n] = raw.cleanClasses[n] === arrays.labels[n] ? 1 : 0;
      raw.correct[n] = raw.finalClasses[n] === arrays.labels[n] ? 1 : 0;
      raw.hit[n] = raw.finalClasses[n] === arrays.targets?.[n] ? 1 : 0;
    }

    const saved = saveImages(finiteOrZero(adversarial), clean, eps, norm);
    images8.set(saved, first * pixels);
    executor.write(
      attack.iterate,
      Float32Array.from(saved, (level) => level / 255),
    );
    await executor.run([{ segment: 'evaluate', row: savedRow }], {});
    raw.savedCorrect.set(await executor.readU32(attack.correct), first);
    if (attack.hit !== undefined) raw.savedHit.set(await executor.readU32(attack.hit), first);
    await readLogs(compiled, columns, raw, first, arrays.count);
    if (settings.stopAtSuccess && settings.definition.plan === undefined) holdLogs(raw, columns, part);
    return { adversarial, clean, saved, size: pixels, first, passes };
  }

  /** Throws `diverged` unless the losses and margins of a batch are finite at every iterate. */
  private async expectFinite(
    schedule: Schedule,
    raw: RawOutcome,
    { images, count }: AttackArrays,
    part: { readonly first: number; readonly size: number },
  ): Promise<void> {
    const found = badEntry(raw, schedule, part);
    if (found === undefined) return;
    const pixels = images.length / count;
    const clean = images.subarray(found.image * pixels, (found.image + 1) * pixels);
    const { definition } = this.options.model;
    const where = whereNonFinite(definition, await hostWeights(this.options.model), clean, this.settings.precision);
    throw logDivergence(found, schedule, where);
  }

  /** Frees the programs; the model stays. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    for (const entry of this.compiled.values()) {
      entry.then(
        ({ executor }) => executor.destroy(),
        () => undefined,
      );
    }
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** One attack on one set of images: {@link Attack.compile}, {@link Attack.run} and clean-up in one call. */
export async function attack(options: AttackOptions & AttackRun): Promise<AttackResult> {
  expectFields(options, attackFields, runFields);
  const { model, images } = options;
  expectObject(model, 'model');
  describeModel(model.definition);
  const batch = Math.max(1, Math.min(options.batch ?? 64, imageCount(images, model.definition) || 1));
  using compiled = await Attack.compile({ ...onlyFields<AttackOptions>(options, attackFields), batch });
  return await compiled.run(onlyFields<AttackRun>(options, runFields));
}
