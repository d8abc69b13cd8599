import { expectFields, expectText } from '../arguments.js';
import { batchPixels } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { check, LinbpError } from '../errors.js';
import { divergence, expectFinite, firstNonFinite } from '../finite.js';
import type { ModelDefinition } from '../nn/definition.js';
import { finishFirst } from '../io/atExit.js';
import { Model } from '../nn/model.js';
import { nonFiniteWeight, whereNonFinite } from '../nn/nonFinite.js';
import { expectUsable, ModelPlace } from '../nn/place.js';
import { permutation } from '../random/permutation.js';
import '../runtime/dispose.js';
import { inTurns, Turns } from '../runtime/turns.js';
import { bestEpoch, outOfPatience, writeBest } from './best.js';
import type { BestWeights } from './best.js';
import {
  ensureWritableCheckpoint,
  isReachable,
  parseHistory,
  readCheckpoint,
  stateDictEntries,
  writeCheckpoint,
} from './checkpoint.js';
import type { ResumedRun } from './checkpoint.js';
import { Engine } from './engine.js';
import type { EngineLog, EngineStep, EngineWeights } from './engine.js';
import { evaluateFields, fitFields } from './fitOptions.js';
import type { EvaluateOptions, FitOptions } from './fitOptions.js';
import type { LossScaleState } from './lossScale.js';
import { EpochTally, meansOf, Pace, stepResults } from './progress.js';
import type { EpochResult, Evaluation, FitResult, StepResult, TrainingProgress } from './progress.js';
import { checkDataset, checkWhole, resolveSettings } from './settings.js';
import type { ResolvedSettings, TrainerOptions } from './settings.js';

/**
 * Trains a model: whole steps run on the device, and only losses come back, every `logEvery` steps. The same options
 * and seed give the same bits on the same device. Calls may overlap: those of `fit` run one after another, and
 * `evaluate`, `save` and `stateDict` see the weights between two blocks of its steps. Dispose it with
 * {@link Trainer.destroy} or `using`; the model stays.
 */
export class Trainer {
  readonly definition: ModelDefinition;
  /** Results of all finished epochs, those before a resume included. */
  readonly history: EpochResult[] = [];
  /** The weights of the best epoch that `fit` has seen with `keepBest`. */
  best: BestWeights | undefined;
  private readonly settings: ResolvedSettings;
  private readonly dataset: Dataset;
  private readonly testDataset: Dataset | undefined;
  private readonly engine: Engine;
  private readonly model: TrainerOptions['model'];
  private readonly reference: boolean;
  /** Calls of `fit`, one after another; and between its blocks of steps, whatever else asks for the weights. */
  private readonly fits = new Turns();
  private readonly turns = new Turns();
  private tally = new EpochTally();
  private epoch = 0;
  private step = 0;
  private ordered: number | undefined;
  private destroyed = false;

  private constructor(options: TrainerOptions, settings: ResolvedSettings, engine: Engine) {
    this.model = options.model;
    this.reference = options.device === 'reference';
    this.definition = options.model.definition;
    this.dataset = options.dataset;
    this.testDataset = options.testDataset;
    this.settings = settings;
    this.engine = engine;
  }

  /**
   * Checks the options, uploads the data set and compiles the step.
   *
   * @throws LinbpError `bad-range`, `bad-shape`, `unknown-rule`, `unknown-layer` before any work; `limit-exceeded`
   */
  static async create(options: TrainerOptions): Promise<Trainer> {
    const settings = resolveSettings(options);
    const { model, device = 'gpu', dataset, onCompile } = options;
    const compiling = { onCompile, samples: settings.samples };
    const place = await ModelPlace.open(model, device);
    const engine = await Engine.create(place, settings.step, dataset, settings.batch, compiling);
    return new Trainer(options, settings, engine);
  }

  /** All settings that affect the run's exact output, as name-text pairs. */
  get description(): Readonly<Record<string, string>> {
    return this.settings.fingerprint;
  }

  /** `kernel variant` of each dispatch of a step; empty for the reference. */
  get kernels(): readonly string[] {
    return this.engine.kernels;
  }

  /** Steps since the beginning. */
  get steps(): number {
    return this.step;
  }

  /**
   * Trains until `epochs` are complete. Finished epochs stand in {@link Trainer.history}, also when it rejects.
   *
   * @throws LinbpError `bad-range` for options; `not-writable` for the checkpoint's files, before any work; `diverged`,
   *   naming rule and learning rate, when a loss or a weight is no longer finite (the last checkpoint stays); `aborted`
   */
  async fit(options: FitOptions): Promise<FitResult> {
    this.alive();
    expectFields(options, fitFields);
    const { epochs, checkpoint } = options;
    checkWhole('epochs', epochs, 1, 1_000_000);
    if (options.steps !== undefined) checkWhole('steps', options.steps, 1, 2 ** 31);
    if (options.patience !== undefined) checkWhole('patience', options.patience, 1, 1_000_000);
    // Calls keep their order, and yet a file that cannot be written is told at once.
    const writable = checkpoint === undefined ? Promise.resolve() : ensureWritableCheckpoint(checkpoint);
    const [result] = await Promise.all([this.fits.run(() => writable.then(() => this.fitNow(options))), writable]);
    return result;
  }

  private async fitNow(options: FitOptions): Promise<FitResult> {
    this.alive();
    this.expectUsable();
    const { epochs, signal, checkpoint } = options;
    const before = { epochs: this.history.length, step: this.step };
    const perEpoch = Math.ceil(this.settings.samples / this.settings.batch);
    const planned = Math.min(Math.max(0, epochs * perEpoch - this.step), options.steps ?? Infinity);
    const pace = new Pace();
    const left = (): number => planned - (this.step - before.step);
    const stopIfAborted = async (): Promise<void> => {
      if (signal?.aborted !== true) return;
      if (checkpoint !== undefined) await this.save(checkpoint);
      throw new LinbpError('aborted', `training was aborted after step ${this.step}`);
    };
    await stopIfAborted();
    // An epoch whose steps are done may still lack its evaluation, where that was aborted.
    const patient = (): boolean => this.epochDone || !outOfPatience(this.history, options.patience ?? Infinity);
    while (this.epoch < epochs && (left() > 0 || this.epochDone) && patient()) {
      if (!this.epochDone) {
        const block = this.nextBlock(left());
        const began = performance.now();
        const { done, results } = await this.turns.run(async () => {
          const { done, log } = await this.engine.run(block, signal);
          const seconds = (performance.now() - began) / 1000;
          const ran = block.slice(0, done);
          pace.add(
            ran.reduce((sum, step) => sum + step.size, 0),
            seconds,
          );
          return { done, results: this.account(ran, log, seconds) };
        });
        if (done > 0) options.onProgress?.(this.progress(results, epochs, perEpoch, pace, left()));
        await stopIfAborted();
      }
      if (!this.epochDone) continue;
      let result: EpochResult;
      try {
        result = await this.finishEpoch(options);
      } catch (error) {
        if (error instanceof LinbpError && error.code === 'aborted') await stopIfAborted();
        throw error;
      }
      await finishFirst(this.tellEpoch(result, options));
    }
    // Each epoch's end has seen the weights already.
    if (this.tally.samples > 0) {
      if (checkpoint !== undefined) await this.save(checkpoint);
      else this.checkWeights(await this.turns.run(() => this.engine.weights()));
    }
    return { epochs: this.history.slice(before.epochs), steps: this.step - before.step, ...pace.totals() };
  }

  /**
   * Loss and accuracy over a data set, in eval mode, without changing anything.
   *
   * @throws LinbpError `bad-shape`, `bad-range`; `aborted`; `diverged` where a logit or a loss is not finite
   */
  async evaluate(dataset: Dataset, options: EvaluateOptions = {}): Promise<Evaluation> {
    this.alive();
    this.expectUsable();
    expectFields(options, evaluateFields);
    checkDataset(this.definition, dataset, 'dataset');
    const { loss, correct } = await this.turns.run(() => this.engine.evaluate(dataset, options));
    if (!Number.isFinite(loss))
      throw divergence(`the loss over ${dataset.name} is ${loss}`, await this.whereNonFinite(dataset));
    return { count: dataset.count, correct, accuracy: correct / dataset.count, loss: loss / dataset.count };
  }

  /** The loss scale and how many steps it has skipped; undefined in f32, where nothing is scaled. */
  async lossScale(): Promise<LossScaleState | undefined> {
    this.alive();
    return this.turns.run(() => this.engine.lossScaleState());
  }

  /** The present weights by PyTorch's keys: float32, or float64 from the reference. */
  async stateDict(): Promise<
    Map<string, { readonly shape: readonly number[]; readonly data: Float32Array | Float64Array }>
  > {
    this.alive();
    return stateDictEntries(this.definition, await this.turns.run(() => this.engine.weights()));
  }

  /**
   * Writes a checkpoint: `NAME.safetensors` with the weights alone, as PyTorch and `Model.load` take them, and
   * `NAME.state.safetensors` with everything needed to resume. Each file appears whole or not at all.
   *
   * @throws LinbpError `not-writable`; `diverged` instead of writing weights that are not finite
   */
  async save(path: string): Promise<void> {
    this.alive();
    expectText(path, 'path');
    return finishFirst(this.turns.run(() => this.saveNow(path)));
  }

  private async saveNow(path: string): Promise<void> {
    const snapshot = await this.engine.snapshot();
    this.checkWeights(snapshot);
    for (const [index, state] of snapshot.states.entries())
      expectFinite(state, (i) => `value ${i} of the optimizer's ${this.settings.step.optimizer.states[index]}`);
    const { samples, lossSum, correctSum, seconds } = this.tally;
    await writeCheckpoint(path, this.definition, this.settings.step.optimizer.states, {
      snapshot,
      position: { epoch: this.epoch, samples, step: this.step, lossSum, correctSum, seconds },
      history: JSON.stringify(this.history),
      fingerprint: this.settings.fingerprint,
      kernels: this.engine.kernels,
    });
  }

  /**
   * Goes back to a checkpoint that {@link Trainer.save} wrote under the same settings; training then continues bit
   * for bit as if it had not stopped.
   *
   * A schedule of another length (`maxEpochs`) is accepted: the rates of the epochs to come are then its own.
   *
   * @param path either file of the checkpoint
   * @throws LinbpError `missing-file`; `bad-file` for a damaged file, or one of other settings; `bad-argument` while
   * another call is at work. Calls of `fit`, `save` and `evaluate` that follow wait for it.
   */
  async resume(path: string): Promise<ResumedRun> {
    this.alive();
    expectText(path, 'path');
    check(
      !this.fits.busy && !this.turns.busy,
      'bad-argument',
      'the trainer is at work; resume before or after',
      'resume',
    );
    return inTurns([this.fits, this.turns], () => this.resumeNow(path));
  }

  private async resumeNow(path: string): Promise<ResumedRun> {
    const { states } = this.settings.step.optimizer;
    const found = await readCheckpoint(path, this.definition, states, this.settings.fingerprint);
    this.alive();
    const { position } = found;
    const history = parseHistory(found.history, position.epoch, path);
    check(
      isReachable(position, this.settings),
      'bad-file',
      `${path}: the position ${JSON.stringify(position)} does not occur in this run`,
      'resume',
    );
    this.engine.restore(found.snapshot);
    this.history.splice(0, this.history.length, ...history);
    this.epoch = position.epoch;
    this.step = position.step;
    this.tally = new EpochTally(position);
    this.ordered = undefined;
    this.best = undefined;
    return {
      sameKernels: found.kernels.join() === this.engine.kernels.join(),
      sameSchedule: found.fingerprint['maxEpochs'] === this.settings.fingerprint['maxEpochs'],
    };
  }

  /** Frees everything but the model. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.engine.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  /** The next steps of the present epoch: as many as the log holds, the epoch has and `left` allows. */
  private nextBlock(left: number): EngineStep[] {
    const { batch, seed, shuffle, schedule, step, samples: count } = this.settings;
    if (this.ordered !== this.epoch) {
      if (shuffle) this.engine.setOrder(permutation(this.dataset.count, seed, this.epoch));
      this.ordered = this.epoch;
    }
    const lr = schedule.rate(step.optimizer.lr, this.epoch);
    const block: EngineStep[] = [];
    for (let start = this.tally.samples; start < count && block.length < Math.min(left, step.logRows); start += batch) {
      const number = this.step + block.length + 1;
      block.push({
        start,
        size: Math.min(batch, count - start),
        fields: { step: number, ...step.optimizer.fields(number, lr) },
      });
    }
    return block;
  }

  private get epochDone(): boolean {
    return this.tally.samples >= this.settings.samples;
  }

  /** Adds finished steps to the epoch; throws `diverged` at the first loss that is not finite. */
  private account(steps: readonly EngineStep[], log: EngineLog['log'], seconds: number): StepResult[] {
    const results = stepResults(steps, log, this.step);
    const bad = results.find(({ loss }) => !Number.isFinite(loss));
    if (bad !== undefined)
      throw new LinbpError('diverged', this.divergence(`the loss is ${bad.loss}`, bad.step), { field: 'lr' });
    steps.forEach(({ size }, index) => this.tally.add(size, log[2 * index]!, log[2 * index + 1]!));
    this.tally.seconds += seconds;
    this.step += steps.length;
    return results;
  }

  /** The loss that would show it comes one step later. */
  private checkWeights(weights: EngineWeights): void {
    if (firstNonFinite(weights.parameters) < 0 && firstNonFinite(weights.buffers) < 0) return;
    const fault = nonFiniteWeight(stateDictEntries(this.definition, weights)) ?? 'a weight is not finite';
    throw divergence(this.divergence(fault, this.step), undefined, 'lr');
  }

  /** Throws `diverged` where the weights were not finite to begin with, `disposed` where their model is gone. */
  private expectUsable(): void {
    if (!this.reference) expectUsable(this.model, this.settings.step.precision);
    else if (this.step === 0 && !(this.model instanceof Model)) expectUsable(this.model);
  }

  private async whereNonFinite(dataset: Dataset): Promise<string | undefined> {
    const weights = stateDictEntries(this.definition, await this.engine.weights());
    const rounded = new Map(
      [...weights].map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]),
    );
    return whereNonFinite(this.definition, rounded, batchPixels(dataset, [0]), this.settings.step.precision);
  }

  private divergence(what: string, step: number): string {
    const { ruleText, schedule, step: settings } = this.settings;
    const lr = schedule.rate(settings.optimizer.lr, this.epoch);
    return (
      `training diverged: ${what} at step ${step} (epoch ${this.epoch + 1}) with rule ${ruleText} and ` +
      `learning rate ${Number(lr.toPrecision(6))}; try a smaller one`
    );
  }

  private progress(
    results: readonly StepResult[],
    epochs: number,
    stepsPerEpoch: number,
    pace: Pace,
    left: number,
  ): TrainingProgress {
    const { batch, schedule, step } = this.settings;
    const lr = schedule.rate(step.optimizer.lr, this.epoch);
    const place = { epoch: this.epoch + 1, epochs, step: this.step, stepsPerEpoch, lr };
    return { ...place, ...meansOf(results), ...pace.ahead(left * batch), steps: results };
  }

  private async finishEpoch(options: FitOptions): Promise<EpochResult> {
    const { lossSum, correctSum, samples, seconds } = this.tally;
    this.checkWeights(await this.turns.run(() => this.engine.weights()));
    const test =
      this.testDataset === undefined
        ? undefined
        : await this.evaluate(this.testDataset, options.signal === undefined ? {} : { signal: options.signal });
    const result: EpochResult = {
      epoch: this.epoch + 1,
      trainLoss: lossSum / samples,
      trainAccuracy: correctSum / samples,
      ...(test && { testLoss: test.loss, testAccuracy: test.accuracy }),
      seconds,
    };
    this.history.push(result);
    this.epoch += 1;
    this.tally = new EpochTally();
    if (options.keepBest === true && bestEpoch(this.history) === this.epoch) {
      this.best = { epoch: this.epoch, weights: await this.stateDict() };
      if (options.checkpoint !== undefined) await writeBest(options.checkpoint, this.definition, this.best);
    }
    return result;
  }

  /** Who hears of an epoch may end the process: then the epoch is kept, too. */
  private async tellEpoch(result: EpochResult, { onEpoch, checkpoint }: FitOptions): Promise<void> {
    await onEpoch?.(result);
    if (checkpoint !== undefined) await this.save(checkpoint);
  }

  private alive(): void {
    if (this.destroyed) throw new LinbpError('disposed', 'the trainer was destroyed');
  }
}
