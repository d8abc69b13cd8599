import { subset } from '../../data/dataset.js';
import type { Dataset } from '../../data/dataset.js';
import { outcomes } from '../../experiments/outcome.js';
import type { Outcome } from '../../experiments/outcome.js';
import { trainOnce } from '../../experiments/trainingRuns.js';
import type { DataHalves, TrainingRun } from '../../experiments/trainingRuns.js';
import type { ExperimentContext } from '../../experiments/types.js';
import { Model } from '../../nn/model.js';
import { modelDefinition } from '../../nn/zoo/index.js';
import type { Device } from '../../runtime/device.js';
import { sgd } from '../../train/optimizers.js';
import { constant } from '../../train/schedules.js';
import { Trainer } from '../../train/trainer.js';
import type { Budget } from './budget.js';

/** The rules whose training is compared, from the same weights on the same images in the same order. */
export const raceRules = ['bp', 'linbp'] as const;

/**
 * Plain SGD, without momentum and at a constant rate, as in the theory. At the first rates LinBP is expected ahead, at
 * the last ones it is expected to fail; `main` is the rate of the curves.
 */
export const raceSettings = {
  model: 'mlp',
  batch: 64,
  epochs: 3,
  rates: [0.05, 0.1, 0.2, 0.4],
  main: 0.1,
  /** Seeds at the main rate, and at each of the others. */
  seeds: 5,
  otherSeeds: 2,
  images: 6000,
} as const;

/** What one run of the race became. */
export interface RaceRun extends TrainingRun {
  readonly outcome: Outcome;
}

/** All runs of the race. */
export interface Race {
  readonly data: DataHalves;
  readonly runs: readonly RaceRun[];
  readonly classes: number;
}

/** Images a second of training, on weights that are thrown away. The driver compiles the shaders meanwhile. */
async function measureRate(device: Device, dataset: Dataset): Promise<number> {
  using model = Model.create(modelDefinition(raceSettings.model), { device });
  const images = subset(dataset, Math.min(dataset.count, 16 * raceSettings.batch));
  using trainer = await Trainer.create({
    model,
    dataset: images,
    optimizer: sgd({ lr: raceSettings.main }),
    batch: raceSettings.batch,
  });
  await trainer.fit({ epochs: 1 });
  const began = performance.now();
  await trainer.fit({ epochs: 3 });
  return (2000 * images.count) / (performance.now() - began);
}

interface Sizes {
  readonly images: number;
  readonly seeds: number;
  readonly otherSeeds: number;
}

/** The largest sizes that fit into the time; images go before seeds, since bands need seeds. */
export function raceSizes(rate: number, seconds: number, available: number): Sizes {
  const { batch, epochs, rates, images, seeds, otherSeeds } = raceSettings;
  // Evaluating and setting up a run cost about a third of its training.
  const affordable = (0.7 * rate * seconds) / (epochs * raceRules.length);
  const runs = (main: number, other: number): number => main + (rates.length - 1) * other;
  const most = Math.floor(Math.min(images, available) / batch) * batch;
  const fit = (main: number, other: number): number => Math.floor(affordable / runs(main, other) / batch) * batch;
  for (const [main, other] of [
    [seeds, otherSeeds],
    [3, 1],
  ] as const) {
    if (fit(main, other) >= Math.min(most, 1500))
      return { images: Math.min(most, fit(main, other)), seeds: main, otherSeeds: other };
  }
  return { images: Math.max(8 * batch, Math.min(most, fit(2, 1))), seeds: 2, otherSeeds: 1 };
}

/** Trains under each rule at each learning rate from several seeds. A run that diverges is a result. */
export async function runRace(
  context: ExperimentContext,
  halves: DataHalves,
  budget: Budget,
  share: number,
): Promise<Race> {
  const { model, batch, epochs, rates, main } = raceSettings;
  const rate = await measureRate(context.device, halves.train);
  const sizes = raceSizes(rate, budget.until(share), halves.train.count);
  const data = {
    train: subset(halves.train, sizes.images, context.seed),
    test: subset(halves.test, Math.min(512, halves.test.count)),
  };
  context.progress.line(
    `training ${model} with ${raceRules.join(' and ')}: ${sizes.images} images, ${epochs} epochs, ` +
      `${sizes.seeds} seeds at ${main}, ${sizes.otherSeeds} at ${rates.filter((each) => each !== main).join(', ')}`,
  );
  const runs: TrainingRun[] = [];
  for (const lr of [main, ...rates.filter((each) => each !== main)]) {
    for (let n = 0; n < (lr === main ? sizes.seeds : sizes.otherSeeds); n++) {
      for (const rule of raceRules) {
        const plan = {
          definition: modelDefinition(model),
          data,
          rule,
          optimizer: sgd({ lr, momentum: 0 }),
          schedule: constant(),
          batch,
          epochs,
          seed: context.seed + n,
        };
        runs.push(await trainOnce(context, plan, `training at rate ${lr}:`));
      }
    }
  }
  // The outcome of a rate depends on smaller ones, so all runs must be there; those of few seeds are compared alone.
  const { classes } = modelDefinition(model);
  const found = outcomes(runs, classes);
  return { data, classes, runs: runs.map((run) => ({ ...run, outcome: found.get(run)! })) };
}
