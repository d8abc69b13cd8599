import { modelDefinition } from '../nn/zoo/index.js';
import { sgd } from '../train/optimizers.js';
import { constant, exponential } from '../train/schedules.js';
import { percent } from './format.js';
import { batch, lossOf, rules } from './mnistFigures.js';
import type { MnistRecipe } from './mnistFigures.js';
import { mnistResult } from './mnistReport.js';
import { imagesText, loadHalves, trainOnce } from './trainingRuns.js';
import type { TrainingRun } from './trainingRuns.js';
import { seedsOf, sized } from './types.js';
import type { Experiment, ExperimentContext, ExperimentResult } from './types.js';

/** The widest rates tell where LinBP fails and BP does not. */
const sweptRates = [0.02, 0.05, 0.1, 0.2, 0.4];

/**
 * Training of an MNIST network from the same weights on the same batches under both rules, and a sweep of the
 * learning rate.
 */
export async function runMnist(context: ExperimentContext, recipe: MnistRecipe): Promise<ExperimentResult> {
  const { scale } = context;
  const { rates } = recipe;
  const definition = modelDefinition(recipe.model);
  const epochs = sized(50, scale, 3);
  const sweepEpochs = sized(10, scale, 2);
  const data = await loadHalves(context, 'mnist', {
    train: sized(60_000, scale, 20 * batch),
    test: sized(10_000, scale, 256),
  });
  const plan = { definition, data, batch };
  const base: TrainingRun[] = [];
  const sweep: TrainingRun[] = [];
  for (const seed of seedsOf(context)) {
    for (const rule of rules) {
      const run = await trainOnce(
        context,
        { ...plan, rule, seed, epochs, optimizer: sgd({ lr: recipe.lr }), schedule: recipe.schedule() },
        `${recipe.model} lr ${recipe.lr}`,
      );
      base.push(run);
      const last = run.epochs.at(-1);
      context.progress.line(
        `lr ${recipe.lr}  ${rule.padEnd(5)}  seed ${seed}  train loss ${lossOf(run)}  test accuracy ${percent(last?.testAccuracy ?? 0)}`,
      );
    }
  }
  for (const seed of seedsOf(context)) {
    for (const lr of rates) {
      for (const rule of rules) {
        const settings = {
          rule,
          seed,
          epochs: sweepEpochs,
          optimizer: sgd({ lr }),
          schedule: recipe.schedule(),
          tested: false,
        };
        sweep.push(await trainOnce(context, { ...plan, ...settings }, `${recipe.model} lr ${lr}`));
      }
    }
    context.progress.line(`learning rates ${rates.join(', ')}: seed ${seed} done`);
  }
  return mnistResult(
    context,
    recipe,
    { epochs, sweepEpochs, images: imagesText(data), count: data.train.count },
    base,
    sweep,
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
  summary: 'trains the MLP on MNIST with BP and LinBP, and sweeps the learning rate',
  datasets: ['mnist', 'fashion-mnist', 'digits'],
  run: (context) => runMnist(context, mnistRecipes.mlp),
};

/** The theory paper's LeNet-5 on MNIST. */
export const mnistLenet5: Experiment = {
  name: 'mnist-lenet5',
  summary: 'trains LeNet-5 on MNIST with BP and LinBP, and sweeps the learning rate',
  datasets: ['mnist', 'fashion-mnist', 'digits'],
  run: (context) => runMnist(context, mnistRecipes.lenet5),
};
