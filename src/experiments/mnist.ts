import { modelDefinition } from '../nn/zoo/index.js';
import { sgd } from '../train/optimizers.js';
import { constant, exponential } from '../train/schedules.js';
import { percent } from './format.js';
import { batch, lossOf, rules } from './mnistFigures.js';
import type { MnistRecipe } from './mnistFigures.js';
import { mnistResult } from './mnistReport.js';
import { imagesText, loadHalves, trainOnce } from './trainingRuns.js';
import type { DataHalves, RunContext, TrainingRun } from './trainingRuns.js';
import { seedsOf, sized } from './types.js';
import type { Experiment, ExperimentContext, ExperimentResult } from './types.js';

/** The widest rates tell where LinBP fails and BP does not. */
const sweptRates = [0.02, 0.05, 0.1, 0.2, 0.4];

/** One training run of an MNIST experiment: plain data, so that it can be a job. */
export interface MnistCell {
  readonly rule: 'bp' | 'linbp';
  readonly seed: number;
  readonly lr: number;
  readonly epochs: number;
  /** Evaluate the test set after every epoch. */
  readonly tested: boolean;
}

/** Trains one cell. */
export function runMnistCell(
  context: RunContext,
  recipe: MnistRecipe,
  data: DataHalves,
  { rule, seed, lr, epochs, tested }: MnistCell,
): Promise<TrainingRun> {
  const definition = modelDefinition(recipe.model);
  const plan = { definition, data, batch, rule, seed, epochs, tested, optimizer: sgd({ lr }) };
  return trainOnce(context, { ...plan, schedule: recipe.schedule() }, `${recipe.model} lr ${lr}`);
}

/** All cells one after another, or as jobs where the context has others do them. */
async function runAll(
  context: ExperimentContext,
  recipe: MnistRecipe,
  data: DataHalves,
  cells: readonly MnistCell[],
): Promise<TrainingRun[]> {
  if (context.runCells !== undefined)
    return (await context.runCells({ recipe: recipe.model, data, cells })) as TrainingRun[];
  const runs: TrainingRun[] = [];
  for (const cell of cells) {
    const run = await runMnistCell(context, recipe, data, cell);
    runs.push(run);
    const { rule, seed, lr, tested } = cell;
    const accuracy = run.diverged === undefined && tested ? run.epochs.at(-1)?.testAccuracy : undefined;
    const test = accuracy === undefined ? '' : `  test accuracy ${percent(accuracy)}`;
    context.progress.line(`lr ${lr}  ${rule.padEnd(5)}  seed ${seed}  train loss ${lossOf(run)}${test}`);
  }
  return runs;
}

/**
 * Training of an MNIST network from the same weights on the same batches under both rules, and a sweep of the
 * learning rate.
 */
export async function runMnist(context: ExperimentContext, recipe: MnistRecipe): Promise<ExperimentResult> {
  const { scale } = context;
  const { rates } = recipe;
  const epochs = sized(50, scale, 3);
  const sweepEpochs = sized(10, scale, 2);
  const data = await loadHalves(context, 'mnist', {
    train: sized(60_000, scale, 20 * batch),
    test: sized(10_000, scale, 256),
  });
  const seeds = seedsOf(context);
  const base = seeds.flatMap((seed) =>
    rules.map((rule): MnistCell => ({ rule, seed, lr: recipe.lr, epochs, tested: true })),
  );
  const sweep = seeds.flatMap((seed) =>
    rates.flatMap((lr) => rules.map((rule): MnistCell => ({ rule, seed, lr, epochs: sweepEpochs, tested: false }))),
  );
  const runs = await runAll(context, recipe, data, [...base, ...sweep]);
  return mnistResult(
    context,
    recipe,
    { epochs, sweepEpochs, images: imagesText(data), count: data.train.count },
    runs.slice(0, base.length),
    runs.slice(base.length),
  );
}

/** The official settings, and the sweep. */
export const mnistRecipes: Readonly<Record<MnistRecipe['model'], MnistRecipe>> = {
  mlp: { model: 'mlp', lr: 0.001, schedule: constant, scheduleText: 'constant', rates: sweptRates },
  lenet5: {
    model: 'lenet5',
    lr: 0.005,
    schedule: () => exponential(0.98),
    scheduleText: 'times 0.98 after each epoch',
    rates: sweptRates,
  },
};

/** The theory paper's MLP on MNIST. */
export const mnistMlp: Experiment = {
  name: 'mnist-mlp',
  summary: 'trains the MLP with BP and LinBP, and sweeps the learning rate',
  datasets: ['mnist', 'fashion-mnist', 'digits'],
  takes: ['seeds'],
  inCells: true,
  run: (context) => runMnist(context, mnistRecipes.mlp),
};

/** The theory paper's LeNet-5 on MNIST. */
export const mnistLenet5: Experiment = {
  name: 'mnist-lenet5',
  summary: 'trains LeNet-5 with BP and LinBP, and sweeps the learning rate',
  datasets: ['mnist', 'fashion-mnist', 'digits'],
  takes: ['seeds'],
  inCells: true,
  run: (context) => runMnist(context, mnistRecipes.lenet5),
};
