import { check } from '../../errors.js';
import { mnistRecipes, runMnistCell } from '../../experiments/mnist.js';
import type { MnistCell } from '../../experiments/mnist.js';
import type { Task } from '../../jobs/description.js';
import type { Session } from '../../jobs/runner.js';
import type { JobStore } from '../../jobs/store.js';
import { shownAdapter } from '../common.js';
import { silentContext } from './machine.js';
import type { Machine } from './machine.js';
import { storedHalf } from './trainSession.js';

const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** Makes the training runs of an experiment ready. */
export async function openReproduceSession(task: Task, store: JobStore, machine: Machine): Promise<Session> {
  const { recipe: name, train, test, cells: listed } = task.settings;
  check(name === 'mlp' || name === 'lenet5', 'bad-argument', 'the recipe must be mlp or lenet5', 'recipe');
  const valid = (cell: Partial<MnistCell> | null): boolean =>
    (cell?.rule === 'bp' || cell?.rule === 'linbp') &&
    [cell.seed, cell.epochs].every(isWhole) &&
    Number.isFinite(cell.lr) &&
    typeof cell.tested === 'boolean';
  check(
    Array.isArray(listed) && listed.length === task.count && listed.every(valid),
    'bad-argument',
    'the cells of an experiment need a rule, a learning rate, a seed and epochs each',
    'cells',
  );
  const cells = listed as MnistCell[];
  const data = { train: await storedHalf(store, train), test: await storedHalf(store, test) };
  const device = await machine.device();
  return {
    adapter: shownAdapter(device),
    async run(from, to, signal) {
      const { progress } = silentContext(signal);
      const runs = [];
      for (const cell of cells.slice(from, to))
        runs.push(await runMnistCell({ device, progress, signal }, mnistRecipes[name], data, cell));
      return Buffer.from(JSON.stringify(runs));
    },
    close: () => undefined,
  };
}
