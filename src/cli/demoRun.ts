import { Attack } from '../attacks/attack.js';
import type { AttackResult } from '../attacks/result.js';
import { loadDataset } from '../data/load.js';
import { subset } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { LinbpError } from '../errors.js';
import { initialState, Model } from '../nn/model.js';
import type { ModelDefinition } from '../nn/definition.js';
import { measureCeilings } from '../profile/ceilings.js';
import { profileInTurns } from '../profile/profile.js';
import type { Profile } from '../profile/profile.js';
import { createWorkload } from '../profile/workloads.js';
import type { Workload } from '../profile/workloads.js';
import type { Device } from '../runtime/device.js';
import { adam } from '../train/optimizers.js';
import type { EpochResult, StepResult } from '../train/progress.js';
import { Trainer } from '../train/trainer.js';
import { pixelRange } from './common.js';
import { duration } from './progress.js';
import type { VerbContext } from './verb.js';

/** The two rules that the demo compares, with the network's preset for LinBP. */
export const demoRules = ['bp', 'linbp'] as const;
export type DemoRule = (typeof demoRules)[number];

/** Settings of the training that do not depend on the machine's speed. */
export const demoTraining = { batch: 32, lr: 0.002, epochs: 8 } as const;
/** Images of the steps whose shaders are timed. */
export const profileBatch = 64;
/** Radii of the attacks, the most telling one first: should time run short, the last ones are left out. */
export const demoAttack = { steps: 20, batch: 64, radii: [0.1, 0.2, 0.05, 0.15, 0.025, 0.3] } as const;

/** How long the parts may take, in seconds since the start. */
export interface Budget {
  /** Nothing optional begins after this. */
  readonly total: number;
  /** No further epoch is begun that would end after this. */
  readonly training: number;
  /** No further attack is begun that would end after this. */
  readonly attacks: number;
  elapsed(): number;
}

/**
 * Shares out a budget. Only two thirds are planned for, because a machine that slows down meanwhile must still keep
 * to the whole.
 */
export function budgetOf(seconds: number): Budget {
  const started = performance.now();
  return {
    total: seconds,
    training: 0.4 * seconds,
    attacks: 0.6 * seconds,
    elapsed: () => (performance.now() - started) / 1000,
  };
}

/** MNIST where the data folder has it, otherwise the digits drawn by code. */
export async function demoDatasets(
  data: string | undefined,
  context: VerbContext,
): Promise<{ train: Dataset; test: Dataset }> {
  const load = async (dataset: string): Promise<{ train: Dataset; test: Dataset }> => {
    const folder = data === undefined ? {} : { dataFolder: data };
    return {
      train: await loadDataset({ dataset, split: 'train', ...folder }),
      test: await loadDataset({ dataset, split: 'test', ...folder }),
    };
  };
  if (data === undefined && (process.env['LINBP_DATA'] ?? '') === '') return load('digits');
  try {
    return await load('mnist');
  } catch (error) {
    if (!(error instanceof LinbpError) || error.code !== 'missing-data') throw error;
    context.progress.line(`note: no MNIST there (${error.message}); using the data set digits`);
    return load('digits');
  }
}

/** What became of one training run. */
export interface DemoTraining {
  readonly rule: DemoRule;
  readonly model: Model;
  readonly epochs: readonly EpochResult[];
  readonly steps: readonly StepResult[];
  readonly imagesPerSecond: number;
  readonly seconds: number;
}

/** The trained networks and what they were trained and tested on. */
export interface DemoTrainings {
  readonly runs: readonly DemoTraining[];
  readonly train: Dataset;
  readonly test: Dataset;
  /** Test accuracy of the weights that both runs begin with. */
  readonly initialAccuracy: number;
  /** Images a second of the trial run that the sizes were chosen by. */
  readonly measuredRate: number;
}

const optimizer = (): ReturnType<typeof adam> => adam({ lr: demoTraining.lr });

/** Images a second of a training step, on weights that are thrown away. Compiles all pipelines on the way. */
async function measureRate(device: Device, definition: ModelDefinition, train: Dataset, seed: number): Promise<number> {
  using model = Model.create(definition, { device, seed });
  const { batch } = demoTraining;
  using trainer = await Trainer.create({
    model,
    dataset: subset(train, Math.min(train.count, 64 * batch)),
    optimizer: optimizer(),
    batch,
    logEvery: 4,
  });
  await trainer.fit({ epochs: 1, steps: 4 }); // the driver compiles in the first ones
  // The best of several: what else the machine does passes, and later epochs are only begun while time lasts.
  let best = 0;
  for (let run = 0; run < 4; run++) {
    const began = performance.now();
    const { images } = await trainer.fit({ epochs: 1, steps: 8 });
    best = Math.max(best, (1000 * images) / (performance.now() - began));
  }
  return best;
}

/** How many images an epoch should have so that all epochs of both runs end in time; whole batches. */
export function epochSize(rate: number, seconds: number, available: number): number {
  const { batch, epochs } = demoTraining;
  // Evaluation and reading back cost about a tenth.
  const wanted = (0.9 * rate * seconds) / (demoRules.length * epochs);
  const most = Math.max(batch, Math.floor(available / batch) * batch);
  return Math.min(most, Math.max(8 * batch, Math.floor(wanted / batch) * batch));
}

/**
 * Trains a network under each rule from the same weights on the same images in the same order, an epoch of each in
 * turn.
 */
export async function demoTrain(
  device: Device,
  definition: ModelDefinition,
  data: { readonly train: Dataset; readonly test: Dataset },
  seed: number,
  budget: Budget,
  context: VerbContext,
): Promise<DemoTrainings> {
  const { progress, signal } = context;
  progress.line('measuring the speed of a training step');
  const measuredRate = await measureRate(device, definition, data.train, seed);
  const size = epochSize(measuredRate, budget.training - budget.elapsed(), data.train.count);
  const train = subset(data.train, size, seed);
  const test = subset(data.test, Math.max(256, Math.min(data.test.count, 2000, Math.floor(size / 2))));
  progress.line(
    `${measuredRate.toFixed(0)} images/s: up to ${demoTraining.epochs} epochs of ${train.count} images for each rule`,
  );
  const { batch } = demoTraining;
  const weights = initialState(definition, seed);
  const runs = [];
  for (const rule of demoRules) {
    const model = Model.create(definition, { device });
    model.setStateDict(weights);
    const trainer = await Trainer.create({
      model,
      dataset: train,
      testDataset: test,
      rules: rule,
      optimizer: optimizer(),
      batch,
      seed,
      logEvery: 5,
    });
    runs.push({ rule, model, trainer, steps: [] as StepResult[], images: 0, seconds: 0 });
  }
  try {
    const initialAccuracy = (await runs[0]!.trainer.evaluate(test)).accuracy;
    let longest = 0;
    for (let epoch = 1; epoch <= demoTraining.epochs; epoch++) {
      // Two epochs at least, because a curve needs points.
      if (epoch > 2 && budget.elapsed() + longest > budget.training) break;
      const began = budget.elapsed();
      for (const run of runs) {
        const { images, seconds } = await run.trainer.fit({
          epochs: epoch,
          signal,
          onProgress(state) {
            run.steps.push(...state.steps);
            const share = state.step / (state.stepsPerEpoch * demoTraining.epochs);
            progress.update(
              `training with ${run.rule}`,
              share,
              `epoch ${epoch}  loss ${state.loss.toFixed(4)}  ${state.imagesPerSecond.toFixed(0)} images/s`,
            );
          },
          onEpoch: (result) =>
            progress.line(
              `${run.rule.padEnd(5)}  epoch ${result.epoch}  train loss ${result.trainLoss.toFixed(4)}  test accuracy ${(100 * result.testAccuracy!).toFixed(2)} %  ${duration(result.seconds)}`,
            ),
        });
        run.images += images;
        run.seconds += seconds;
      }
      longest = Math.max(longest, budget.elapsed() - began);
    }
    return {
      runs: runs.map(({ rule, model, trainer, steps, images, seconds }) => ({
        rule,
        model,
        epochs: [...trainer.history],
        steps,
        seconds,
        imagesPerSecond: seconds > 0 ? images / seconds : 0,
      })),
      train,
      test,
      initialAccuracy,
      measuredRate,
    };
  } catch (error) {
    for (const { model } of runs) model.destroy();
    throw error;
  } finally {
    for (const { trainer } of runs) trainer.destroy();
  }
}

/** One attack on the network trained with bp. */
export interface DemoAttack {
  readonly rule: DemoRule;
  readonly eps: number;
  readonly result: AttackResult;
  /** What the network under attack sees in the saved images, [N]. */
  readonly predictions: Int32Array;
  /** Accuracy of the other network, which the attack never saw, on the saved images. */
  readonly transferAccuracy: number;
}

/** The attacks and the images they began with. */
export interface DemoAttacks {
  readonly images: Dataset;
  readonly attacks: readonly DemoAttack[];
  /** Accuracy of the other network on the clean images. */
  readonly transferCleanAccuracy: number;
}

async function classify(model: Model, images: Float32Array): Promise<Int32Array> {
  const logits = await model.logits(images, { batch: demoAttack.batch });
  const { classes } = model.definition;
  return Int32Array.from({ length: logits.length / classes }, (_, n) => {
    const own = logits.subarray(n * classes, (n + 1) * classes);
    return own.reduce((best, value, index) => (value > own[best]! ? index : best), 0);
  });
}

const accuracy = (predictions: Int32Array, labels: ArrayLike<number>): number =>
  predictions.reduce((sum, prediction, n) => sum + (prediction === labels[n] ? 1 : 0), 0) / predictions.length;

/**
 * Attacks the first network with PGD, its gradient under each rule in turn, at one radius after another while time
 * lasts.
 */
export async function demoAttacks(
  trainings: DemoTrainings,
  seed: number,
  budget: Budget,
  context: VerbContext,
): Promise<DemoAttacks> {
  const { progress, signal } = context;
  const { steps, batch, radii } = demoAttack;
  const [attacked, other] = trainings.runs.map((run) => run.model) as [Model, Model];
  const compiled: { readonly rule: DemoRule; readonly attack: Attack }[] = [];
  try {
    for (const rule of demoRules)
      compiled.push({
        rule,
        attack: await Attack.compile({ model: attacked, rules: rule, eps: radii[0], steps, batch, seed }),
      });
    const trial = subset(trainings.test, Math.min(batch, trainings.test.count));
    let perImage = Infinity;
    for (const { attack } of compiled) {
      await attack.run({ images: trial, signal }); // the driver compiles in the first one
      const { seconds } = await attack.run({ images: trial, signal });
      perImage = Math.min(perImage, seconds / trial.count);
    }
    const wanted = (budget.attacks - budget.elapsed()) / (perImage * compiled.length * radii.length);
    const count = Math.min(trainings.test.count, 1024, Math.max(batch, Math.floor(wanted / batch) * batch));
    const images = subset(trainings.test, count);
    progress.line(
      `${(1 / perImage).toFixed(0)} images/s under ${steps}-step PGD: attacking ${images.count} images at ${radii.length} radii`,
    );
    const attacks: DemoAttack[] = [];
    let longest = 0;
    for (const [index, eps] of radii.entries()) {
      if (index > 1 && budget.elapsed() + longest > budget.attacks + 0.1 * budget.total) {
        progress.line(`time is short: ${radii.length - index} radii are left out`);
        break;
      }
      const start = budget.elapsed();
      for (const { rule, attack } of compiled) {
        const onProgress = (share: number): void =>
          progress.update(`attacking with ${rule}`, (index + share) / radii.length, `eps ${eps}`);
        const result = await attack.run({ images, eps, signal, onProgress });
        const saved = Float32Array.from(result.images8, (level) => level / 255);
        const predictions = await classify(attacked, saved);
        attacks.push({
          rule,
          eps,
          result,
          predictions,
          transferAccuracy: accuracy(await classify(other, saved), images.labels),
        });
        progress.line(
          `${rule.padEnd(5)}  eps ${eps.toString().padEnd(5)}  accuracy ${(100 * result.cleanAccuracy).toFixed(1)} % -> ${(100 * result.robustAccuracy).toFixed(1)} %`,
        );
      }
      longest = Math.max(longest, budget.elapsed() - start);
    }
    const clean = await classify(other, pixelRange(images, 0, images.count));
    return { images, attacks, transferCleanAccuracy: accuracy(clean, images.labels) };
  } finally {
    for (const { attack } of compiled) attack.destroy();
  }
}

/** Times of every shader of a training step and of an attack step under each rule. */
export interface DemoProfiles {
  readonly train: readonly Profile[];
  readonly attack: readonly Profile[];
}

export async function demoProfiles(
  device: Device,
  definition: ModelDefinition,
  seed: number,
  budget: Budget,
  context: VerbContext,
): Promise<DemoProfiles> {
  context.progress.line('timing every shader');
  const repeats = budget.elapsed() < 0.75 * budget.total ? 7 : 3;
  const weights = initialState(definition, seed);
  const ceilings = await measureCeilings(device);
  const profiles = { train: [] as Profile[], attack: [] as Profile[] };
  for (const what of ['train', 'attack'] as const) {
    const workloads: (Workload & { readonly label: string })[] = [];
    try {
      for (const rule of demoRules) {
        workloads.push({
          ...(await createWorkload(what, { device, definition, weights, rule, batch: profileBatch })),
          label: rule,
        });
      }
      const takers = workloads.map(({ program, segments, row, label }) => ({
        program,
        options: { segments, row, repeats, label, ceilings },
      }));
      profiles[what].push(...(await profileInTurns(takers)));
    } finally {
      for (const workload of workloads) workload.destroy();
    }
  }
  return profiles;
}
