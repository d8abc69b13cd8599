import type { Dataset } from '../../data/dataset.js';
import { check } from '../../errors.js';
import { runSweepCell } from '../../experiments/sweep.js';
import type { SweepCell } from '../../experiments/sweep.js';
import { isHash } from '../../jobs/description.js';
import type { Task } from '../../jobs/description.js';
import { checkStoredImages, getImages } from '../../jobs/images.js';
import type { Session } from '../../jobs/runner.js';
import type { JobStore } from '../../jobs/store.js';
import { quotedValue } from '../../quote.js';
import { chosenRules, referenceAdapter, shownAdapter } from '../common.js';
import { each, namesWith } from '../optionRoles.js';
import type { OptionRoles } from '../optionRoles.js';
import { readValues } from '../options.js';
import { chosenOptimizer, trainerSettings, trainOptions } from '../trainOptions.js';
import type { TrainValues } from '../trainOptions.js';
import { createTrainer } from '../trainRun.js';
import { silentContext } from './machine.js';
import type { Machine } from './machine.js';
import { getNetwork } from './network.js';

/**
 * What jobs get of each option of the verb: its value, what was made of it (network, images, cells), or nothing, since
 * it is of the command that submits or does not go with a sweep. A new option does not compile before it is here.
 */
const roles: OptionRoles<TrainValues> = {
  ...each(['epochs', 'batch', 'optimizer', 'momentum', 'nesterov', 'weightDecay'], 'value'),
  ...each(['schedule', 'gamma', 'warmup'], 'value'),
  ...each(['labelSmoothing', 'classWeights', 'dropLast', 'clipNorm', 'augment', 'precision'], 'value'),
  ...each(['model', 'classes', 'normalize', 'weights', 'newHead'], 'made'),
  ...each(['dataset', 'data', 'limit', 'resize', 'crop', 'split', 'validationSplit', 'testLimit'], 'made'),
  ...each(['rule', 'sweep', 'seed', 'seeds', 'device'], 'made'),
  ...each(['lr', 'patience', 'keepBest', 'resume', 'out', 'adapter'], 'nothing'),
  ...each(['queue', 'store', 'workers', 'shard', 'sameAdapter'], 'nothing'),
};

/** Options of the verb that decide how a cell trains, beside its rule, learning rate and seed. */
export const trainValueNames = namesWith(roles, 'value');

/** A half of a data set in the store, whole. */
export async function storedHalf(store: JobStore, value: unknown): Promise<Dataset> {
  const stored = checkStoredImages(value);
  return getImages(store, stored, 0, stored.count);
}

/** The cells of a description. Throws `bad-argument`. */
function checkSweepCells(value: unknown, count: number): SweepCell[] {
  const valid = (cell: Partial<SweepCell> | null): boolean =>
    typeof cell?.rule === 'string' && Number.isFinite(cell.lr) && cell.lr! > 0 && Number.isSafeInteger(cell.seed);
  check(
    Array.isArray(value) && value.length === count && value.every(valid),
    'bad-argument',
    'the cells of a sweep need a rule, a learning rate and a seed each',
    'cells',
  );
  return value as SweepCell[];
}

/** Makes the cells of a sweep ready. */
export async function openTrainSession(task: Task, store: JobStore, machine: Machine): Promise<Session> {
  const { network, start, train, test, values: given, cells: listed, device: where } = task.settings;
  const cells = checkSweepCells(listed, task.count);
  const states = (start ?? {}) as Readonly<Record<string, unknown>>;
  check(where === 'gpu' || where === 'reference', 'bad-argument', 'device must be gpu or reference', 'device');
  const { definition } = await getNetwork(store, network);
  for (const { rule } of cells) chosenRules(rule, definition);
  const known = trainValueNames as readonly string[];
  const unknown = Object.keys(given ?? {}).find((name) => !known.includes(name));
  check(unknown === undefined, 'bad-argument', `a job of a sweep has no option ${quotedValue(unknown)}`, 'values');
  const values = readValues((given ?? {}) as Record<string, unknown>, trainOptions);
  const dataset = await storedHalf(store, train);
  const testDataset = test === undefined || test === null ? undefined : await storedHalf(store, test);
  const device = where === 'reference' ? undefined : await machine.device();
  const adapter = device === undefined ? referenceAdapter : shownAdapter(device);
  const place = { device, adapter, close: () => undefined };
  return {
    adapter,
    async run(from, to, signal) {
      const settings = trainerSettings(
        values,
        definition,
        { dataset, ...(testDataset && { testDataset }) },
        silentContext(signal),
      );
      const results = [];
      for (const cell of cells.slice(from, to)) {
        const hash = states[String(cell.seed)];
        check(isHash(hash), 'bad-argument', `there are no weights for seed ${cell.seed}`, 'start');
        const { weights } = await getNetwork(store, { ...(network as object), weights: hash });
        const create = ({ rule, lr, seed }: SweepCell): ReturnType<typeof createTrainer> => {
          const optimizer = chosenOptimizer({ ...values, lr });
          return createTrainer(place, { ...settings, rules: rule, optimizer, seed }, weights, definition);
        };
        results.push(await runSweepCell(cell, { epochs: values.epochs, signal, create }));
      }
      return Buffer.from(JSON.stringify(results));
    },
    close: () => undefined,
  };
}
