import type { EvaluateOptions } from './fitOptions.js';
import { PlacedDataset } from '../data/feed.js';
import type { Dataset } from '../data/dataset.js';
import { LinbpError } from '../errors.js';
import type { Tensor } from '../graph/types.js';
import type { ModelPlace } from '../nn/place.js';
import { openExecutor } from '../program/executor.js';
import type { Executor } from '../program/executor.js';
import { openStore } from '../program/store.js';
import type { Store } from '../program/store.js';
import { buildEvaluation } from './step.js';
import type { StepSettings } from './step.js';

/** Batch of evaluations on a device; accuracies do not depend on it. */
export const evaluationBatch = 256;

/** The same of the reference, which needs no large ones. */
const referenceBatch = 64;

/** Sums over a data set. */
export interface EvaluationSums {
  readonly loss: number;
  readonly correct: number;
}

/** Bounds of the batches of a data set: full ones and, where they do not divide it, a smaller last one. */
export function batches(count: number, batch: number): { readonly start: number; readonly size: number }[] {
  return Array.from({ length: Math.ceil(count / batch) }, (_, index) => ({
    start: index * batch,
    size: Math.min(batch, count - index * batch),
  }));
}

/**
 * What evaluates a model on one data set: full batches and a last smaller one. The results are read back once.
 */
export class Evaluator {
  private readonly data: PlacedDataset;
  private readonly parts: { readonly executor: Executor; readonly count: number }[] = [];
  private readonly log: Store;
  private readonly rows: number;

  private constructor(data: PlacedDataset, log: Store, rows: number) {
    this.data = data;
    this.log = log;
    this.rows = rows;
  }

  /** Compiles the evaluation; `onCompile` is called after each compiled pipeline of a program. */
  static async create(
    model: ModelPlace,
    dataset: Dataset,
    settings: Pick<StepSettings, 'loss' | 'objective' | 'precision'>,
    onCompile?: (done: number, total: number) => void,
  ): Promise<Evaluator> {
    const { device, definition } = model;
    const data = new PlacedDataset(dataset, device);
    const all = batches(dataset.count, device === 'reference' ? referenceBatch : evaluationBatch);
    const log = openStore(device, { elements: 2 * all.length, kind: 'state', label: 'evaluation log' });
    const evaluator = new Evaluator(data, log, all.length);
    try {
      const order = data.createOrder();
      for (const size of new Set(all.map((batch) => batch.size))) {
        const mine = all.map((batch, row) => ({ ...batch, row })).filter((batch) => batch.size === size);
        const built = buildEvaluation({ ...settings, definition, logRows: all.length }, data.feed, size);
        const executor: Executor = await openExecutor(built.graph, {
          device,
          stores: new Map<Tensor, Store>([
            ...model.stores(built.stores),
            ...data.stores(built.feed, order),
            [built.log, log],
          ]),
          steps: { fields: { start: 'u32', row: 'u32' }, rows: mine.length },
          precision: settings.precision ?? 'f32',
          ...(onCompile && { onProgress: onCompile }),
        });
        evaluator.parts.push({ executor, count: mine.length });
        executor.setSteps(mine.map(({ start, row }) => ({ start, row })));
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
    for (const { executor, count } of this.parts) {
      const onChunk = (share: number): void => onProgress?.((before + share * count) / this.rows);
      await executor.run([{ segment: 'main', repeat: count }], { ...(signal && { signal }), onChunk });
      before += count;
    }
    if (signal?.aborted === true) throw new LinbpError('aborted', 'the evaluation was aborted');
    const log = await this.log.read();
    let loss = 0;
    let correct = 0;
    for (let row = 0; row < this.rows; row++) {
      loss += log[2 * row]!;
      correct += log[2 * row + 1]!;
    }
    return { loss, correct };
  }

  destroy(): void {
    for (const { executor } of this.parts) executor.destroy();
    this.log.destroy();
    this.data.destroy();
  }
}
