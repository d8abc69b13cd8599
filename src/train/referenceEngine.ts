import type { EvaluateOptions } from './fitOptions.js';
import type { Dataset } from '../data/dataset.js';
import { packDataset } from '../data/feed.js';
import type { PackedDataset } from '../data/feed.js';
import { LinbpError } from '../errors.js';
import type { Tensor } from '../graph/types.js';
import { describeModel, isBuffer } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';
import { ReferenceRun } from '../reference/run.js';
import { batches } from './engine.js';
import type { Engine, EngineLog, EngineSnapshot, EngineStep, EngineWeights, EvaluationSums } from './engine.js';
import { buildEvaluation, buildTraining } from './step.js';
import type { StepSettings, TrainingGraph } from './step.js';

/** Batch of evaluations; the reference needs no large ones. */
const evaluationBatch = 64;

/** A state dict in the flat layout of a model's stores. */
export function flattenStateDict(
  definition: ModelDefinition,
  state: StateDict,
): { parameters: Float64Array; buffers: Float64Array } {
  const { layout } = describeModel(definition);
  const parameters = new Float64Array(layout.parameterElements);
  const buffers = new Float64Array(layout.bufferElements);
  for (const spec of layout.specs)
    (isBuffer(spec) ? buffers : parameters).set(state.get(spec.name)!.data, layout.offsets.get(spec.name)!);
  return { parameters, buffers };
}

interface Compiled {
  readonly built: TrainingGraph;
  readonly run: ReferenceRun;
}

/** Training by the float64 reference: the same graphs, node by node on the CPU. For small cases. */
export class ReferenceEngine implements Engine {
  readonly kernels: readonly string[] = [];
  private readonly settings: StepSettings;
  private readonly feed: PackedDataset;
  private order: Uint32Array;
  private learnable: Float64Array;
  private buffers: Float64Array;
  private states: Float64Array[];
  private readonly compiled = new Map<string, Compiled>();

  constructor(settings: StepSettings, dataset: Dataset, weights: StateDict) {
    const { layout } = describeModel(settings.definition);
    this.settings = settings;
    this.feed = packDataset(dataset);
    this.order = Uint32Array.from({ length: dataset.count }, (_, index) => index);
    ({ parameters: this.learnable, buffers: this.buffers } = flattenStateDict(settings.definition, weights));
    this.states = settings.optimizer.states.map(() => new Float64Array(layout.parameterElements));
  }

  setOrder(order: Uint32Array): void {
    this.order = order.slice();
  }

  async run(steps: readonly EngineStep[], signal?: AbortSignal): Promise<EngineLog> {
    const log: number[] = [];
    for (const { start, size, fields } of steps) {
      // A macrotask per step lets timers and signal handlers run.
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted === true) break;
      const { built, run } = this.compile(
        `train ${size}`,
        () => buildTraining(this.settings, this.feed, size),
        this.feed,
      );
      this.load(built, run, this.order);
      run.run('main', [{ start, row: 0, ...fields }]);
      this.learnable = Float64Array.from(run.get(built.stores.parameters));
      if (built.stores.buffers !== undefined) this.buffers = Float64Array.from(run.get(built.stores.buffers));
      this.states = built.states.map((state) => Float64Array.from(run.get(state)));
      log.push(...run.get(built.log).subarray(0, 2));
    }
    return { done: log.length / 2, log };
  }

  async evaluate(dataset: Dataset, { signal, onProgress }: EvaluateOptions = {}): Promise<EvaluationSums> {
    const feed = packDataset(dataset);
    const order = Uint32Array.from({ length: dataset.count }, (_, index) => index);
    const sums = { loss: 0, correct: 0 };
    for (const { start, size } of batches(dataset.count, evaluationBatch)) {
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted === true) throw new LinbpError('aborted', 'the evaluation was aborted');
      const built = buildEvaluation({ ...this.settings, logRows: 1 }, feed, size);
      const run = new ReferenceRun(built.graph);
      setFeed(run, built, feed);
      this.load(built, run, order);
      run.run('main', [{ start, row: 0 }]);
      const [loss, correct] = run.get(built.log);
      sums.loss += loss!;
      sums.correct += correct!;
      onProgress?.((start + size) / dataset.count);
    }
    return sums;
  }

  weights(): Promise<EngineWeights> {
    return Promise.resolve({ parameters: this.learnable.slice(), buffers: this.buffers.slice() });
  }

  lossScaleState(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  snapshot(): Promise<EngineSnapshot> {
    return Promise.resolve({
      parameters: this.learnable.slice(),
      buffers: this.buffers.slice(),
      states: this.states.map((state) => state.slice()),
    });
  }

  restore({ parameters, buffers, states }: EngineSnapshot): void {
    this.learnable = Float64Array.from(parameters);
    this.buffers = Float64Array.from(buffers);
    this.states = states.map((state) => Float64Array.from(state));
  }

  destroy(): void {
    this.compiled.clear();
  }

  private compile(key: string, build: () => TrainingGraph, feed: PackedDataset): Compiled {
    let found = this.compiled.get(key);
    if (found === undefined) {
      const built = build();
      found = { built, run: new ReferenceRun(built.graph) };
      setFeed(found.run, built, feed);
      this.compiled.set(key, found);
    }
    return found;
  }

  private load(built: TrainingGraph, run: ReferenceRun, order: Uint32Array): void {
    const values: [Tensor | undefined, ArrayLike<number>][] = [
      [built.feed.order, order],
      [built.stores.parameters, this.learnable],
      [built.stores.buffers, this.buffers],
      ...built.states.map((state, index): [Tensor, Float64Array] => [state, this.states[index]!]),
    ];
    for (const [tensor, data] of values) if (tensor !== undefined) run.set(tensor, data);
  }
}

function setFeed(run: ReferenceRun, built: TrainingGraph, feed: PackedDataset): void {
  run.set(built.feed.data, feed.images);
  run.set(built.feed.allLabels, feed.labels);
}
