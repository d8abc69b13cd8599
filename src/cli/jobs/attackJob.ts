import type { Dataset } from '../../data/dataset.js';
import { putImages } from '../../jobs/images.js';
import type { ModelDefinition } from '../../nn/definition.js';
import type { StateDict } from '../../nn/model.js';
import type { Cell } from '../attack/cells.js';
import type { AttackValues } from '../attack/options.js';
import { expectRuns, orDiverged } from '../attack/run.js';
import type { CellRun, FoundCells } from '../attack/run.js';
import { targetShiftOf } from '../attack/targets.js';
import type { VerbContext } from '../verb.js';
import { attackValueNames, decodeRun } from './attackSession.js';
import { distribute } from './distribute.js';
import type { WorkersReport } from './distribute.js';
import { mergeParts } from './mergeJobs.js';
import { putNetwork } from './network.js';

/** What the cells of a verb share. */
interface Shared {
  readonly values: AttackValues;
  readonly definition: ModelDefinition;
  readonly weights: StateDict;
  readonly dataset: Dataset;
}

/** One cell, cut into jobs. */
async function cellInJobs(
  cell: Cell,
  several: boolean,
  { values, definition, weights, dataset }: Shared,
  context: VerbContext,
): Promise<{ readonly run: CellRun; readonly report: WorkersReport }> {
  const began = performance.now();
  const chosen = Object.fromEntries(attackValueNames.map((name) => [name, values[name]]));
  const { attack, rule, eps } = cell;
  const named = { attack: attack.written, rule: rule.written, eps };
  const { parts, report } = await distribute(
    {
      ...values,
      kind: 'attack',
      count: dataset.count,
      settings: async (store) => ({
        network: await putNetwork(store, values, weights),
        images: await putImages(store, dataset),
        values: { ...chosen, ...named, device: values.device === 'reference' ? 'reference' : 'gpu' },
        shift: targetShiftOf(values, definition),
        several,
      }),
    },
    context,
  );
  const runs = parts.map(({ bytes }) => decodeRun(bytes));
  const seconds = (performance.now() - began) / 1000;
  const merging = { norm: values.norm, classes: definition.classes, batch: values.batch, seconds };
  const result = mergeParts(
    runs.map((run) => run.result),
    merging,
  );
  return { run: { ...runs[0]!, cell, result }, report };
}

/** The cells of an attack one after another, each cut into jobs. */
export async function cellsInJobs(
  cells: readonly Cell[],
  shared: Shared,
  context: VerbContext,
): Promise<FoundCells & { readonly workers: WorkersReport[] }> {
  const several = new Set(cells.map(({ attack }) => attack.written)).size > 1;
  const found: FoundCells = { runs: [], diverged: [] };
  const workers: WorkersReport[] = [];
  for (const cell of cells) {
    const done = await orDiverged(cell, found, () => cellInJobs(cell, several, shared, context));
    if (done === undefined) continue;
    found.runs.push(done.run);
    workers.push(done.report);
  }
  expectRuns(found);
  return { ...found, workers };
}
