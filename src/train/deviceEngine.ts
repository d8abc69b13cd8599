import type { EvaluateOptions } from './fitOptions.js';
import type { Dataset } from '../data/dataset.js';
import { DeviceDataset } from '../data/feed.js';
import { LinbpError } from '../errors.js';
import type { Tensor } from '../graph/types.js';
import type { Model } from '../nn/model.js';
import { Program } from '../program/program.js';
import type { CompileOptions } from '../program/program.js';
import { BufferUsage } from '../runtime/flags.js';
import { batches } from './engine.js';
import type { Engine, EngineLog, EngineSnapshot, EngineStep, EngineWeights, EvaluationSums } from './engine.js';
import { DeviceEvaluator } from './evaluator.js';
import { lossScaleStates } from './lossScale.js';
import type { LossScaleState } from './lossScale.js';
import { buildTraining } from './step.js';
import type { StepSettings } from './step.js';

/** How a {@link DeviceEngine} compiles its programs. */
export interface EngineCompileOptions {
  /** Fuse pointwise chains into their producers; default true. */
  readonly fuse?: boolean;
  /** Called after each compiled pipeline of a program. */
  readonly onCompile?: ((done: number, total: number) => void) | undefined;
  /** Samples of an epoch, where it does not take all of the data set. */
  readonly samples?: number;
}

/**
 * Training on a device. The data set, parameters, gradients, optimizer states and the log stay there; a block of
 * steps is encoded without writing any buffer, each step inside one submit, and the log is read once per block.
 */
export class DeviceEngine implements Engine {
  private readonly model: Model;
  private readonly settings: StepSettings;
  private readonly compileOptions: Pick<CompileOptions, 'device' | 'precision' | 'fuse' | 'onProgress'>;
  private readonly data: DeviceDataset;
  private readonly order: GPUBuffer;
  private readonly log: GPUBuffer;
  private readonly gradients: GPUBuffer;
  private readonly states: GPUBuffer[];
  private readonly lossScale: GPUBuffer[];
  /** By batch size: the full batch and the last one of an epoch. */
  private readonly programs = new Map<number, Program>();
  private readonly evaluators = new Map<Dataset, Promise<DeviceEvaluator>>();

  private constructor(
    model: Model,
    settings: StepSettings,
    dataset: Dataset,
    { fuse = true, onCompile }: EngineCompileOptions,
  ) {
    const { device, description } = model;
    this.model = model;
    this.settings = settings;
    this.compileOptions = {
      device,
      precision: settings.precision ?? 'f32',
      fuse,
      ...(onCompile && { onProgress: onCompile }),
    };
    this.data = new DeviceDataset(dataset, device);
    this.order = this.data.createOrder();
    const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
    const store = (elements: number, label: string): GPUBuffer =>
      device.createBuffer({ size: 4 * elements, usage, kind: 'state', label });
    this.log = store(2 * settings.logRows, 'training log');
    this.gradients = store(description.layout.parameterElements, 'gradients');
    this.states = settings.optimizer.states.map((name) => store(description.layout.parameterElements, name));
    this.lossScale = settings.lossScale === undefined ? [] : lossScaleStates.map((name) => store(1, name));
    if (settings.lossScale !== undefined)
      this.setLossScale({ scale: settings.lossScale.initial, goodSteps: 0, skippedSteps: 0 });
  }

  /** Compiles the step for the full batch and, where the batch does not divide the data set, for the rest. */
  static async create(
    model: Model,
    settings: StepSettings,
    dataset: Dataset,
    batch: number,
    options: EngineCompileOptions = {},
  ): Promise<DeviceEngine> {
    const engine = new DeviceEngine(model, settings, dataset, options);
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
    const built = buildTraining(settings, this.data.feed, size);
    const bindings = new Map<Tensor, GPUBuffer>([
      ...model.bindings(built.stores),
      ...this.data.bindings(built.feed, this.order),
      [built.log, this.log],
      [built.gradients!, this.gradients],
      ...built.states.map((state, index): [Tensor, GPUBuffer] => [state, this.states[index]!]),
      ...built.lossScale.map((state, index): [Tensor, GPUBuffer] => [state, this.lossScale[index]!]),
    ]);
    const own = Object.keys(settings.optimizer.fields(1, settings.optimizer.lr)).map((name) => [name, 'f32'] as const);
    const fields = { start: 'u32', row: 'u32', step: 'u32', ...Object.fromEntries(own) } as const;
    // The log is as long as a block, and only one step of a block has the size of the rest.
    const rows = this.programs.size === 0 ? settings.logRows : 1;
    this.programs.set(
      size,
      await Program.compile(built.graph, { ...this.compileOptions, bindings, steps: { fields, rows } }),
    );
  }

  /** The program of a step of `size` samples. */
  program(size: number): Program {
    return this.programs.get(size)!;
  }

  get kernels(): readonly string[] {
    const [program] = this.programs.values();
    return program!.dispatches.map(({ source }) => `${source.kernel} ${source.variant}`.trim());
  }

  setOrder(order: Uint32Array): void {
    this.model.device.write(this.order, 0, order);
  }

  run(steps: readonly EngineStep[], signal?: AbortSignal): Promise<EngineLog> {
    return this.model.turns.run(() => this.runNow(steps, signal));
  }

  private async runNow(steps: readonly EngineStep[], signal?: AbortSignal): Promise<EngineLog> {
    const sizes = [...new Set(steps.map((step) => step.size))];
    let done = 0;
    try {
      for (const size of sizes) {
        const mine = steps.filter((step) => step.size === size);
        const program = this.program(size);
        const before = done;
        mine.forEach(({ start, fields }, index) => program.steps.set(index, { start, row: before + index, ...fields }));
        program.uploadSteps(mine.length);
        await program.run([{ segment: 'main', repeat: mine.length }], {
          onChunk: (share) => (done = before + Math.round(share * mine.length)),
          ...(signal && { signal }),
        });
      }
    } catch (error) {
      if (!(error instanceof LinbpError) || error.code !== 'aborted') throw error;
    }
    return { done, log: done === 0 ? [] : new Float32Array(await this.model.device.read(this.log, 0, 8 * done)) };
  }

  async evaluate(dataset: Dataset, options: EvaluateOptions = {}): Promise<EvaluationSums> {
    let evaluator = this.evaluators.get(dataset);
    if (evaluator === undefined) {
      evaluator = DeviceEvaluator.create(this.model, dataset, this.settings, this.compileOptions.onProgress);
      this.evaluators.set(dataset, evaluator);
      evaluator.catch(() => this.evaluators.delete(dataset));
    }
    const ready = await evaluator;
    return this.model.turns.run(() => ready.run(options));
  }

  weights(): Promise<EngineWeights> {
    return this.model.turns.run(() => this.readWeights());
  }

  private async readWeights(): Promise<EngineWeights> {
    const { parameters, buffers } = this.model;
    return {
      parameters: await this.floats(parameters),
      buffers: buffers === undefined ? new Float32Array(0) : await this.floats(buffers),
    };
  }

  snapshot(): Promise<EngineSnapshot> {
    return this.model.turns.run(async () => {
      const states: Float32Array[] = [];
      for (const state of this.states) states.push(await this.floats(state));
      const lossScale = await this.lossScaleState();
      return { ...(await this.readWeights()), states, ...(lossScale && { lossScale }) };
    });
  }

  async lossScaleState(): Promise<LossScaleState | undefined> {
    if (this.lossScale.length === 0) return undefined;
    const values: number[] = [];
    for (const buffer of this.lossScale) values.push((await this.floats(buffer))[0]!);
    return { scale: values[0]!, goodSteps: values[1]!, skippedSteps: values[2]! };
  }

  private setLossScale(state: LossScaleState): void {
    for (const [index, name] of lossScaleStates.entries())
      this.model.device.write(this.lossScale[index]!, 0, Float32Array.of(state[name]));
  }

  private async floats(buffer: GPUBuffer): Promise<Float32Array> {
    return new Float32Array(await this.model.device.read(buffer));
  }

  restore({ parameters, buffers, states, lossScale }: EngineSnapshot): void {
    const { device } = this.model;
    this.model.weightsReplaced();
    device.write(this.model.parameters, 0, Float32Array.from(parameters));
    if (this.model.buffers !== undefined) device.write(this.model.buffers, 0, Float32Array.from(buffers));
    states.forEach((state, index) => device.write(this.states[index]!, 0, Float32Array.from(state)));
    if (lossScale !== undefined) this.setLossScale(lossScale);
  }

  destroy(): void {
    for (const program of this.programs.values()) program.destroy();
    for (const evaluator of this.evaluators.values()) {
      evaluator.then(
        (ready) => ready.destroy(),
        () => undefined,
      );
    }
    for (const buffer of [this.log, this.gradients, ...this.states, ...this.lossScale]) buffer.destroy();
    this.data.destroy();
  }
}
