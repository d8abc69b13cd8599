import type { Dataset } from '../../data/dataset.js';
import { LinbpError } from '../../errors.js';
import type { SweepCell, SweepCellResult } from '../../experiments/sweep.js';
import type { PartResult } from '../../jobs/collect.js';
import { putImages } from '../../jobs/images.js';
import type { ModelDefinition } from '../../nn/definition.js';
import { startWeights } from '../trainOptions.js';
import type { TrainValues } from '../trainOptions.js';
import type { ShownAdapter, VerbContext } from '../verb.js';
import { distribute } from './distribute.js';
import type { WorkersReport } from './distribute.js';
import { putNetwork } from './network.js';
import { trainValueNames } from './trainSession.js';

/** A training run as JSON has it: its rule, rate and seed, figures of epochs that are finite, losses that are. */
function isRun(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { rule, lr, seed, epochs, losses = [] } = value as Readonly<Record<string, unknown>>;
  // JSON writes null for what is not finite, and null counts as 0 in sums.
  const finite = (each: unknown): boolean =>
    typeof each === 'object' && each !== null && Object.values(each).every((figure) => Number.isFinite(figure));
  return (
    [typeof rule === 'string', Number.isFinite(lr), Number.isSafeInteger(seed)].every(Boolean) &&
    [Array.isArray(epochs) && epochs.every(finite), Array.isArray(losses) && finite(losses)].every(Boolean)
  );
}

/** Results of cells as they came, in the order of the cells. Throws `bad-file`. */
export function cellResults<T>(parts: readonly PartResult[]): T[] {
  const refuse = (cause?: unknown): never => {
    throw new LinbpError('bad-file', 'these are no results of cells', { field: 'store', cause });
  };
  return parts.flatMap(({ bytes, from, to }) => {
    let results: unknown;
    try {
      results = JSON.parse(Buffer.from(bytes).toString('utf8'));
    } catch (cause) {
      return refuse(cause);
    }
    return Array.isArray(results) && results.length === to - from && results.every(isRun) ? (results as T[]) : refuse();
  });
}

/** The cells of a sweep, each a job. */
export async function sweepInJobs(
  cells: readonly SweepCell[],
  values: TrainValues,
  definition: ModelDefinition,
  halves: { readonly dataset: Dataset; readonly testDataset?: Dataset },
  context: VerbContext,
): Promise<{ readonly results: SweepCellResult[]; readonly workers: WorkersReport; readonly adapter: ShownAdapter }> {
  const { parts, report, adapter } = await distribute(
    {
      ...values,
      kind: 'train',
      count: cells.length,
      batch: 1,
      cells: true,
      settings: async (store) => {
        const start: Record<string, string> = {};
        let network;
        for (const seed of new Set(cells.map((cell) => cell.seed))) {
          network = await putNetwork(store, values, await startWeights(values, definition, seed));
          start[seed] = network.weights;
        }
        return {
          network,
          start,
          cells,
          train: await putImages(store, halves.dataset),
          test: halves.testDataset === undefined ? undefined : await putImages(store, halves.testDataset),
          values: Object.fromEntries(trainValueNames.map((name) => [name, values[name]])),
          device: values.device === 'reference' ? 'reference' : 'gpu',
        };
      },
    },
    context,
  );
  return { results: cellResults<SweepCellResult>(parts), workers: report, adapter };
}
