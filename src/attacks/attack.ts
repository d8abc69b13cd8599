import { check, LinbpError } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { Model } from '../nn/model.js';
import type { SegmentRun } from '../program/program.js';
import type { StepRow } from '../reference/run.js';
import type { DeviceCounters } from '../runtime/device.js';
import { buildAttackGraph } from './attackGraph.js';
import type { AttackGraph } from './attackGraph.js';
import { DeviceExecutor, ReferenceExecutor } from './executor.js';
import type { Executor } from './executor.js';
import { checkInput } from './input.js';
import type { AttackArrays, AttackInput } from './input.js';
import { expectAlpha, expectEps, expectWhole, settle } from './options.js';
import type { AttackOptions, AttackSettings } from './options.js';
import { saveImages, summarize } from './result.js';
import type { AttackResult, RawOutcome } from './result.js';

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
  /** Longest submit in milliseconds to aim for; default 100. */
  readonly chunkMilliseconds?: number;
}

interface Compiled {
  readonly attack: AttackGraph;
  readonly executor: Executor;
}

/**
 * Keeps images inside the ball in exact arithmetic, not only up to rounding: a pixel x +- radius is rounded to
 * float32, by at most 2^-25, and so is the radius. Of an L2 ball the norm is rounded too.
 */
function innerRadius({ norm, eps, reference }: AttackSettings): number {
  if (reference) return eps;
  return norm === 'linf' ? Math.max(0, eps - 2 ** -24) : eps * (1 - 2 ** -18);
}

/** The length of each window, by the number of the step before which it ends. */
function windowEnds(windows: readonly number[]): Map<number, number> {
  let end = 0;
  return new Map(windows.map((length) => [(end += length), length]));
}

/**
 * An attack compiled for a model: all steps and restarts of a batch run as one program without a read-back in between.
 * Larger sets of images are looped over it. Dispose it with {@link Attack.destroy} or `using`.
 */
export class Attack {
  readonly settings: AttackSettings;
  private readonly options: AttackOptions;
  /** By batch size: the full one and that of a partial last batch. */
  private readonly compiled = new Map<number, Promise<Compiled>>();
  private destroyed = false;

  private constructor(options: AttackOptions, settings: AttackSettings) {
    this.options = options;
    this.settings = settings;
  }

  /**
   * Checks the options and compiles the program of a full batch.
   *
   * @throws LinbpError `bad-range`, `bad-argument`, `unknown-option`, `unknown-rule`, `unknown-layer` for options
   * that cannot be meant, before any work; `limit-exceeded`, `gpu-error` from compiling
   */
  static async compile(options: AttackOptions): Promise<Attack> {
    const settings = settle(options);
    check(
      settings.reference || options.model instanceof Model,
      'bad-argument',
      'weights on the host run on the reference only',
      'model',
    );
    const attack = new Attack(options, settings);
    await attack.executor(settings.batch);
    return attack;
  }

  /** Rows of the step table: the clean images, every iterate, the result, the saved result. */
  private get rows(): number {
    return this.settings.restarts * (this.settings.steps + 1) + 3;
  }

  /** The compiled graph for a batch size, by default the full one. For inspection by tests and profilers. */
  async executor(batch = this.settings.batch): Promise<Compiled> {
    let entry = this.compiled.get(batch);
    if (entry === undefined) {
      entry = this.build(batch);
      this.compiled.set(batch, entry);
      entry.catch(() => this.compiled.delete(batch));
    }
    return entry;
  }

  private async build(batch: number): Promise<Compiled> {
    const { model, onCompile } = this.options;
    const attack = buildAttackGraph(model.definition, this.settings, batch, this.rows);
    if (this.settings.reference) {
      return {
        attack,
        executor: new ReferenceExecutor(attack, model instanceof Model ? await model.stateDict() : model.weights),
      };
    }
    check(model instanceof Model, 'internal', 'a device program needs a model on a device', 'model');
    const executor = await DeviceExecutor.compile(attack, this.rows, {
      device: model.device,
      fuse: this.settings.fuse,
      precision: this.settings.precision,
      weightsSegment: 'begin',
      bindings: model.bindings(attack.stores),
      ...(onCompile === undefined ? {} : { onProgress: onCompile }),
    });
    return { attack, executor };
  }

  /**
   * Attacks images. Success is judged on the ordinary forward pass, of the float images and again of the images as
   * saved in 8 bits. Results depend on the images, their sample ids and the seed only, not on batch size, order or
   * chunking.
   *
   * @throws LinbpError `bad-shape`, `bad-range`, `bad-argument`, `bad-dtype` naming the field, before any work;
   * `aborted`, unless finished images are to be kept; `disposed`
   */
  async run(run: AttackRun): Promise<AttackResult> {
    check(!this.destroyed, 'disposed', 'the attack was destroyed');
    const { model } = this.options;
    const settings = this.overridden(run);
    const arrays = checkInput(run, model.definition, settings);
    const { batch } = settings;
    const raw = emptyOutcome(arrays, this.rows);
    const images8 = new Uint8Array(arrays.images.length);
    const before = this.counters();
    const started = performance.now();
    let done = 0;
    try {
      while (done < arrays.count) {
        const size = Math.min(batch, arrays.count - done);
        const compiled = await this.executor(size);
        await this.runBatch(compiled, settings, arrays, { first: done, size }, raw, images8, run);
        done += size;
      }
    } catch (error) {
      const stopped = error instanceof LinbpError && error.code === 'aborted';
      if (!stopped || run.keepFinished !== true || done === 0) throw error;
    }
    const seconds = (performance.now() - started) / 1000;
    const after = this.counters();
    const gradients = done * settings.steps * settings.restarts;
    return {
      ...summarize(raw, arrays, images8, settings, done),
      interrupted: done < arrays.count,
      gradients,
      overflows: raw.overflows,
      dispatches: after.dispatches - before.dispatches,
      submits: after.submits - before.submits,
      readbacks: after.readbacks - before.readbacks,
      seconds,
      imageGradientsPerSecond: gradients / seconds,
    };
  }

  private overridden(run: AttackRun): AttackSettings {
    const { settings, options } = this;
    const eps = run.eps ?? settings.eps;
    const seed = run.seed ?? settings.seed;
    expectEps(eps, settings.norm);
    const alpha = run.alpha ?? options.alpha ?? settings.definition.defaultAlpha(eps, settings.steps);
    expectAlpha(alpha);
    expectWhole(seed, 0, 2 ** 32 - 1, 'seed');
    return { ...settings, eps, alpha, seed };
  }

  private counters(): DeviceCounters {
    const { model } = this.options;
    return model instanceof Model ? { ...model.device.counters } : { submits: 0, readbacks: 0, dispatches: 0 };
  }

  private stepRows(settings: AttackSettings): StepRow[] {
    const { alpha, seed, steps, definition } = settings;
    const radius = innerRadius(settings);
    const windows = windowEnds(definition.windows?.(steps) ?? []);
    return Array.from({ length: this.rows }, (_, column) => {
      const restart = Math.max(0, Math.floor((column - 1) / (steps + 1)));
      const step = column - 1 - restart * (steps + 1);
      return {
        column,
        radius,
        alpha,
        seed,
        draw0: 2 * restart,
        draw1: 2 * restart + 1,
        query: column,
        first: step === 0 ? 1 : 0,
        window: windows.get(step) ?? 0,
      };
    });
  }

  private async runBatch(
    { attack, executor }: Compiled,
    settings: AttackSettings,
    arrays: AttackArrays,
    part: { readonly first: number; readonly size: number },
    raw: RawOutcome,
    images8: Uint8Array,
    run: AttackRun,
  ): Promise<void> {
    const { first, size } = part;
    const { steps, restarts, eps, norm } = settings;
    const pixels = arrays.images.length / arrays.count;
    const of = (values: Float32Array): Float32Array => values.subarray(first * pixels, (first + size) * pixels);
    const clean = of(arrays.images);
    executor.setSteps(this.stepRows(settings));
    executor.write(attack.clean, clean);
    if (attack.origin !== attack.clean) executor.write(attack.origin, of(arrays.start ?? arrays.images));
    executor.write(attack.labels, arrays.labels.subarray(first, first + size));
    executor.write(attack.sampleIds, arrays.sampleIds.subarray(first, first + size));
    if (attack.targets !== undefined) executor.write(attack.targets, arrays.targets!.subarray(first, first + size));

    const runs: SegmentRun[] = [{ segment: 'begin' }, { segment: 'evaluate', row: 0 }, { segment: 'remember' }];
    for (let restart = 0; restart < restarts; restart++) {
      const row = 1 + restart * (steps + 1);
      runs.push(
        { segment: 'start', row },
        { segment: 'step', row, repeat: steps },
        { segment: 'evaluate', row: row + steps },
      );
    }
    runs.push({ segment: 'finish' }, { segment: 'evaluate', row: this.rows - 2 });
    const options = {
      ...(run.signal === undefined ? {} : { signal: run.signal }),
      ...(run.chunkMilliseconds === undefined ? {} : { chunkMilliseconds: run.chunkMilliseconds }),
      onChunk: (share: number): void =>
        run.onProgress?.((first + share * size) / arrays.count, first + (share === 1 ? size : 0)),
    };
    await executor.run(runs, options);

    const adversarial = await executor.read(attack.iterate);
    this.expectFinite(adversarial);
    of(raw.images).set(adversarial);
    raw.cleanCorrect.set(await executor.readU32(attack.cleanCorrect), first);
    raw.correct.set(await executor.readU32(attack.correct), first);
    if (attack.hit !== undefined) raw.hit.set(await executor.readU32(attack.hit), first);

    const saved = saveImages(adversarial, clean, eps, norm);
    images8.set(saved, first * pixels);
    executor.write(
      attack.iterate,
      Float32Array.from(saved, (level) => level / 255),
    );
    await executor.run([{ segment: 'evaluate', row: this.rows - 1 }], {});
    raw.savedCorrect.set(await executor.readU32(attack.correct), first);
    if (attack.hit !== undefined) raw.savedHit.set(await executor.readU32(attack.hit), first);
    raw.losses.set(await executor.read(attack.lossLog), first * this.rows);
    raw.margins.set(await executor.read(attack.marginLog), first * this.rows);
    if (attack.scales !== undefined)
      for (const steps of await executor.read(attack.scales.overflows)) raw.overflows += steps;
  }

  private expectFinite(images: Float32Array): void {
    const bad = images.findIndex((pixel) => !Number.isFinite(pixel));
    if (bad >= 0) {
      throw new LinbpError(
        'diverged',
        `${this.settings.definition.name} made pixel ${bad} ${images[bad]}: the gradient of the model is not finite`,
        {
          field: 'gradient',
        },
      );
    }
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

function emptyOutcome({ count, images }: AttackArrays, rows: number): RawOutcome {
  const flags = (): Uint8Array => new Uint8Array(count);
  return {
    images: new Float32Array(images.length),
    cleanCorrect: flags(),
    correct: flags(),
    hit: flags(),
    savedCorrect: flags(),
    savedHit: flags(),
    losses: new Float32Array(count * rows),
    margins: new Float32Array(count * rows),
    overflows: 0,
  };
}

/** One attack on one set of images: {@link Attack.compile}, {@link Attack.run} and clean-up in one call. */
export async function attack(options: AttackOptions & AttackRun): Promise<AttackResult> {
  const count =
    options.images instanceof Float32Array
      ? options.images.length / elementCount(options.model.definition.input)
      : options.images.count;
  const batch = Math.max(1, Math.min(options.batch ?? 64, Math.ceil(count) || 1));
  using compiled = await Attack.compile({ ...options, batch });
  return await compiled.run(options);
}
