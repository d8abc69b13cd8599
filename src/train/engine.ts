import type { EvaluateOptions } from './fitOptions.js';
import type { Dataset } from '../data/dataset.js';
import { PlacedDataset } from '../data/feed.js';
import { check, LinbpError } from '../errors.js';
import type { Tensor } from '../graph/types.js';
import type { ModelPlace } from '../nn/place.js';
import { DeviceExecutor, openExecutor } from '../program/executor.js';
import type { Executor } from '../program/executor.js';
import type { Program } from '../program/program.js';
import { openStore } from '../program/store.js';
import type { Store } from '../program/store.js';
import { keepRecent } from '../runtime/recent.js';
import { batches, Evaluator } from './evaluator.js';
import type { EvaluationSums } from './evaluator.js';
import { lossScaleStates } from './lossScale.js';
import type { LossScaleState } from './lossScale.js';
import { buildTraining } from './step.js';
import type { StepSettings } from './step.js';

/** One step to run: `size` samples from entry `start` of the order on. */
export interface EngineStep {
  readonly start: number;
  readonly size: number;
  /** The optimizer's fields and `step`. */
  readonly fields: Readonly<Record<string, number>>;
}

/** What came of a block of steps. */
export interface EngineLog {
  /** Steps that ran; fewer than asked for only when the signal fired. */
  readonly done: number;
  /** Sum of the losses and number correct of each step, in pairs. */
  readonly log: ArrayLike<number>;
}

/**
 * Learnable weights and running statistics in their flat layouts: float32 from a device, float64 from the reference.
 */
export interface EngineWeights {
  readonly parameters: Float32Array | Float64Array;
  readonly buffers: Float32Array | Float64Array;
}

/** Everything that training changes, as flat arrays. */
export interface EngineSnapshot extends EngineWeights {
  /** One per optimizer state. */
  readonly states: readonly (Float32Array | Float64Array)[];
  /** Where gradients are stored as f16. */
  readonly lossScale?: LossScaleState;
}

/** Data sets whose evaluations stay on the device: the test images of every epoch, and a few others. */
const keptEvaluators = 4;

/** Frees what is or will be there. */
const destroyed = (evaluator: Promise<Evaluator>): void =>
  void evaluator.then(
    (ready) => ready.destroy(),
    () => undefined,
  );

/** How an {@link Engine} compiles its programs. */
export interface EngineCompileOptions {
  /** Fuse pointwise chains into their producers; default true. */
  readonly fuse?: boolean;
  /** Called after each compiled pipeline of a program. */
  readonly onCompile?: ((done: number, total: number) => void) | undefined;
  /** Samples of an epoch, where it does not take all of the data set. */
  readonly samples?: number;
}

/**
 * Training where the model is. The data set, parameters, gradients, optimizer states and the log stay there; on a
 * device a block of steps is encoded without writing any buffer, each step inside one submit, and the log is read once
 * per block.
 */
export class Engine {
  private readonly model: ModelPlace;
  private readonly settings: StepSettings;
  private readonly options: EngineCompileOptions;
  private readonly data: PlacedDataset;
  private readonly order: Store;
  private readonly log: Store;
  private readonly gradients: Store;
  private readonly states: readonly Store[];
  private readonly lossScale: readonly Store[];
  /** By batch size: the full batch and the last one of an epoch. */
  private readonly executors = new Map<number, Executor>();
  /** Of a device, which need not be compiled again. */
  private readonly evaluators = new Map<Dataset, Promise<Evaluator>>();

  private constructor(model: ModelPlace, settings: StepSettings, dataset: Dataset, options: EngineCompileOptions) {
    const { parameters } = model;
    this.model = model;
    this.settings = settings;
    this.options = options;
    this.data = new PlacedDataset(dataset, model.device);
    this.order = this.data.createOrder();
    const store = (elements: number, label: string): Store =>
      openStore(model.device, { elements, kind: 'state', label });
    this.log = store(2 * settings.logRows, 'training log');
    this.gradients = store(parameters.elements, 'gradients');
    this.states = settings.optimizer.states.map((name) => store(parameters.elements, name));
    this.lossScale = settings.lossScale === undefined ? [] : lossScaleStates.map((name) => store(1, name));
    if (settings.lossScale !== undefined)
      this.setLossScale({ scale: settings.lossScale.initial, goodSteps: 0, skippedSteps: 0 });
  }

  /** Compiles the step for the full batch and, where the batch does not divide the data set, for the rest. */
  static async create(
    model: ModelPlace,
    settings: StepSettings,
    dataset: Dataset,
    batch: number,
    options: EngineCompileOptions = {},
  ): Promise<Engine> {
    const engine = new Engine(model, settings, dataset, options);
    try {
      for (const size of new Set(batches(options.samples ?? dataset.count, batch).map((each) => each.size)))
        await engine.compile(size);
      return engine;
    } catch (error) {
      engine.destroy();
      throw error;
    }
  }

  private async compile(size: number): Promise<void> {
    const { model, settings } = this;
    const { fuse = true, onCompile } = this.options;
    const built = buildTraining(settings, this.data.feed, size);
    const stores = new Map<Tensor, Store>([
      ...model.stores(built.stores),
      ...this.data.stores(built.feed, this.order),
      [built.log, this.log],
      [built.gradients!, this.gradients],
      ...built.states.map((state, index): [Tensor, Store] => [state, this.states[index]!]),
      ...built.lossScale.map((state, index): [Tensor, Store] => [state, this.lossScale[index]!]),
    ]);
    const own = Object.keys(settings.optimizer.fields(1, settings.optimizer.lr)).map((name) => [name, 'f32'] as const);
    const fields = { start: 'u32', row: 'u32', step: 'u32', ...Object.fromEntries(own) } as const;
    // The log is as long as a block, and only one step of a block has the size of the rest.
    const rows = this.executors.size === 0 ? settings.logRows : 1;
    const executor: Executor = await openExecutor(built.graph, {
      ...{ device: model.device, stores, fuse, steps: { fields, rows } },
      precision: settings.precision ?? 'f32',
      ...(onCompile && { onProgress: onCompile }),
    });
    this.executors.set(size, executor);
  }

  /** The device's program of a step of `size` samples. */
  program(size: number): Program {
    const executor = this.executors.get(size);
    check(executor instanceof DeviceExecutor, 'internal', 'training does not run on a device', 'device');
    return executor.program;
  }

  /** `kernel variant` of every dispatch of a step, in order; empty for the reference. */
  get kernels(): readonly string[] {
    const [executor] = this.executors.values();
    return executor!.kernels;
  }

  /** Sets the order in which the samples of the training set are taken. */
  setOrder(order: Uint32Array): void {
    this.order.write(order);
  }

  /** Runs steps one after another, at most as many as the log has rows; only the last may have a size of its own. */
  run(steps: readonly EngineStep[], signal?: AbortSignal): Promise<EngineLog> {
    return this.model.turns.run(() => this.runNow(steps, signal));
  }

  private async runNow(steps: readonly EngineStep[], signal?: AbortSignal): Promise<EngineLog> {
    const sizes = [...new Set(steps.map((step) => step.size))];
    let done = 0;
    try {
      for (const size of sizes) {
        const mine = steps.filter((step) => step.size === size);
        const executor = this.executors.get(size)!;
        const before = done;
        executor.setSteps(mine.map(({ start, fields }, index) => ({ start, row: before + index, ...fields })));
        await executor.run([{ segment: 'main', repeat: mine.length }], {
          onChunk: (share) => (done = before + Math.round(share * mine.length)),
          ...(signal && { signal }),
        });
      }
    } catch (error) {
      if (!(error instanceof LinbpError) || error.code !== 'aborted') throw error;
    }
    return { done, log: done === 0 ? [] : await this.log.read(2 * done) };
  }

  /** Sums over a data set, with the model in eval mode. Throws `aborted`. */
  async evaluate(dataset: Dataset, options: EvaluateOptions = {}): Promise<EvaluationSums> {
    const { model } = this;
    if (model.device === 'reference') {
      // Nothing is compiled, so nothing is kept.
      const evaluator = await Evaluator.create(model, dataset, this.settings);
      return model.turns.run(() => evaluator.run(options)).finally(() => evaluator.destroy());
    }
    const evaluator =
      this.evaluators.get(dataset) ?? Evaluator.create(model, dataset, this.settings, this.options.onCompile);
    evaluator.catch(() => this.evaluators.get(dataset) === evaluator && this.evaluators.delete(dataset));
    keepRecent(this.evaluators, dataset, evaluator, keptEvaluators, destroyed);
    const ready = await evaluator;
    return model.turns.run(() => ready.run(options));
  }

  weights(): Promise<EngineWeights> {
    return this.model.turns.run(() => this.readWeights());
  }

  private async readWeights(): Promise<EngineWeights> {
    const { parameters, buffers } = this.model;
    return {
      parameters: await floats(parameters),
      buffers: buffers === undefined ? new Float32Array(0) : await floats(buffers),
    };
  }

  snapshot(): Promise<EngineSnapshot> {
    return this.model.turns.run(async () => {
      const states: (Float32Array | Float64Array)[] = [];
      for (const state of this.states) states.push(await floats(state));
      const lossScale = await this.lossScaleState();
      return { ...(await this.readWeights()), states, ...(lossScale && { lossScale }) };
    });
  }

  /** Undefined where nothing is scaled. */
  async lossScaleState(): Promise<LossScaleState | undefined> {
    if (this.lossScale.length === 0) return undefined;
    const values: number[] = [];
    for (const store of this.lossScale) values.push((await floats(store))[0]!);
    return { scale: values[0]!, goodSteps: values[1]!, skippedSteps: values[2]! };
  }

  private setLossScale(state: LossScaleState): void {
    for (const [index, name] of lossScaleStates.entries()) this.lossScale[index]!.write(Float32Array.of(state[name]));
  }

  restore({ parameters, buffers, states, lossScale }: EngineSnapshot): void {
    this.model.replaced();
    this.model.parameters.write(parameters);
    this.model.buffers?.write(buffers);
    states.forEach((state, index) => this.states[index]!.write(state));
    if (lossScale !== undefined) this.setLossScale(lossScale);
  }

  destroy(): void {
    for (const executor of this.executors.values()) executor.destroy();
    for (const evaluator of this.evaluators.values()) destroyed(evaluator);
    for (const store of [this.log, this.gradients, ...this.states, ...this.lossScale]) store.destroy();
    this.data.destroy();
  }
}

const floats = (store: Store): Promise<Float32Array | Float64Array> =>
  store.read() as Promise<Float32Array | Float64Array>;
