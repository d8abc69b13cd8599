import type { EvaluateOptions } from './fitOptions.js';
import { DeviceDataset } from '../data/feed.js';
import type { Dataset } from '../data/dataset.js';
import { LinbpError } from '../errors.js';
import type { Tensor } from '../graph/types.js';
import type { Model } from '../nn/model.js';
import { Program } from '../program/program.js';
import { BufferUsage } from '../runtime/flags.js';
import { batches } from './engine.js';
import type { EvaluationSums } from './engine.js';
import { buildEvaluation } from './step.js';
import type { StepSettings } from './step.js';

/** Batch of evaluations; accuracies do not depend on it. */
export const evaluationBatch = 256;

/**
 * Programs that evaluate a model on one data set: full batches and a last smaller one. The results are read back once.
 */
export class DeviceEvaluator {
  private readonly model: Model;
  private readonly data: DeviceDataset;
  private readonly programs: { readonly program: Program; readonly size: number; readonly count: number }[] = [];
  private readonly log: GPUBuffer;
  private readonly rows: number;

  private constructor(model: Model, data: DeviceDataset, log: GPUBuffer, rows: number) {
    this.model = model;
    this.data = data;
    this.log = log;
    this.rows = rows;
  }

  /** Compiles the evaluation; `onCompile` is called after each compiled pipeline of a program. */
  static async create(
    model: Model,
    dataset: Dataset,
    settings: Pick<StepSettings, 'loss' | 'objective' | 'precision'>,
    onCompile?: (done: number, total: number) => void,
  ): Promise<DeviceEvaluator> {
    const { device, definition } = model;
    const data = new DeviceDataset(dataset, device);
    const all = batches(dataset.count, evaluationBatch);
    const log = device.createBuffer({
      size: 8 * all.length,
      usage: BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST,
      kind: 'state',
      label: 'evaluation log',
    });
    const evaluator = new DeviceEvaluator(model, data, log, all.length);
    try {
      const order = data.createOrder();
      for (const size of new Set(all.map((batch) => batch.size))) {
        const mine = all.map((batch, row) => ({ ...batch, row })).filter((batch) => batch.size === size);
        const built = buildEvaluation({ ...settings, definition, logRows: all.length }, data.feed, size);
        const bindings = new Map<Tensor, GPUBuffer>([
          ...model.bindings(built.stores),
          ...data.bindings(built.feed, order),
          [built.log, log],
        ]);
        const steps = { fields: { start: 'u32', row: 'u32' }, rows: mine.length } as const;
        const options = {
          device,
          bindings,
          steps,
          precision: settings.precision ?? 'f32',
          ...(onCompile && { onProgress: onCompile }),
        };
        const program = await Program.compile(built.graph, options);
        evaluator.programs.push({ program, size, count: mine.length });
        mine.forEach(({ start, row }, index) => program.steps.set(index, { start, row }));
        program.uploadSteps();
      }
      return evaluator;
    } catch (error) {
      evaluator.destroy();
      throw error;
    }
  }

  /** Sums over the data set with the model's present weights. Throws `aborted`. */
  async run({ signal, onProgress }: EvaluateOptions = {}): Promise<EvaluationSums> {
    let before = 0;
    for (const { program, count } of this.programs) {
      const onChunk = (share: number): void => onProgress?.((before + share * count) / this.rows);
      await program.run([{ segment: 'main', repeat: count }], { ...(signal && { signal }), onChunk });
      before += count;
    }
    if (signal?.aborted === true) throw new LinbpError('aborted', 'the evaluation was aborted');
    const log = new Float32Array(await this.model.device.read(this.log, 0, 8 * this.rows));
    let loss = 0;
    let correct = 0;
    for (let row = 0; row < this.rows; row++) {
      loss += log[2 * row]!;
      correct += log[2 * row + 1]!;
    }
    return { loss, correct };
  }

  destroy(): void {
    for (const { program } of this.programs) program.destroy();
    this.log.destroy();
    this.data.destroy();
  }
}
