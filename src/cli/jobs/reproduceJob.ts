import type { TrainingRun } from '../../experiments/trainingRuns.js';
import type { CellRunner } from '../../experiments/types.js';
import { putImages } from '../../jobs/images.js';
import type { VerbContext } from '../verb.js';
import { distribute } from './distribute.js';
import type { WorkersReport } from './distribute.js';
import type { JobValues } from './options.js';
import { cellResults } from './trainJob.js';

/** Has the training runs of experiments done as jobs; `onReport` gets where they were done. */
export function runsInJobs(
  values: JobValues & { readonly device: 'auto' | 'software'; readonly adapter: string | undefined },
  context: VerbContext,
  onReport: (report: WorkersReport) => void,
): CellRunner {
  return async ({ recipe, data, cells }) => {
    const { parts, report } = await distribute(
      {
        ...values,
        kind: 'reproduce',
        count: cells.length,
        batch: 1,
        cells: true,
        settings: async (store) => ({
          recipe,
          cells,
          train: await putImages(store, data.train),
          test: await putImages(store, data.test),
        }),
      },
      context,
    );
    onReport(report);
    return cellResults<TrainingRun>(parts);
  };
}
