import { coloredDigits } from '../data/coloredDigits.js';
import { subset } from '../data/dataset.js';
import type { Dataset, Split } from '../data/dataset.js';
import { drawDigits } from '../data/digits.js';
import { loadDataset } from '../data/load.js';
import { LinbpError } from '../errors.js';
import { initialState, Model } from '../nn/model.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';
import type { Optimizer } from '../train/optimizers.js';
import type { EpochResult } from '../train/progress.js';
import type { Schedule } from '../train/schedules.js';
import type { InputStage } from '../train/step.js';
import { Trainer } from '../train/trainer.js';
import { Cells } from './cells.js';
import type { ExperimentContext } from './types.js';

/** Both halves of a data set. */
export interface DataHalves {
  readonly train: Dataset;
  readonly test: Dataset;
}

/** Images of a stand-in at most. */
const mostDrawn: Readonly<Record<Split, number>> = { train: 12_000, test: 2000 };

/** What takes the place of a data set that is not there. */
const standIns = {
  mnist: { name: 'digits', draw: (split: Split, count: number) => drawDigits({ split, count }) },
  cifar10: { name: 'colored digits', draw: (split: Split, count: number) => coloredDigits(split, count) },
};

/**
 * Loads a data set, or with a note a stand-in drawn by code where the default one is not there and none was asked for.
 *
 * @param sizes images to keep; the training images are a random choice of the first seed
 */
export async function loadHalves(
  context: ExperimentContext,
  byDefault: 'mnist' | 'cifar10',
  sizes: { readonly train: number; readonly test: number },
): Promise<DataHalves> {
  const load = async (from: (split: Split) => Promise<Dataset>): Promise<DataHalves> => {
    const [train, test] = [await from('train'), await from('test')];
    return {
      train: subset(train, Math.min(sizes.train, train.count), context.seed),
      test: subset(test, Math.min(sizes.test, test.count)),
    };
  };
  const folder = context.dataFolder === undefined ? {} : { dataFolder: context.dataFolder };
  // Drawn images are all independent: no more of them are drawn than are kept.
  const drawn = (split: Split): number => Math.min(sizes[split], mostDrawn[split]);
  const dataset = context.dataset ?? byDefault;
  try {
    return await load((split) =>
      loadDataset({ dataset, split, ...folder, ...(dataset === 'digits' && { limit: drawn(split) }) }),
    );
  } catch (error) {
    if (context.dataset !== undefined || !(error instanceof LinbpError) || error.code !== 'missing-data') throw error;
    const standIn = standIns[byDefault];
    context.progress.line(`note: no ${byDefault} there; using ${standIn.name}`);
    return load((split) => Promise.resolve(standIn.draw(split, drawn(split))));
  }
}

/** What the settings table says about a data set. */
export function imagesText({ train, test }: DataHalves): string {
  return (
    `${train.name}, ${train.count} to train, ${test.count} to ` +
    `test${train.note === undefined ? '' : ` (${train.note})`}`
  );
}

/** One training run to do. */
export interface RunPlan {
  readonly definition: ModelDefinition;
  readonly data: DataHalves;
  readonly rule: string;
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly batch: number;
  readonly epochs: number;
  readonly seed: number;
  /** Initial weights; PyTorch's defaults drawn from the seed unless given. */
  readonly initial?: StateDict;
  /** What happens to the images of a step first. */
  readonly inputs?: InputStage;
  /** Evaluate the test set after every epoch; default true. */
  readonly tested?: boolean;
}

/** What a training run gets of an experiment's context. */
export type RunContext = Pick<ExperimentContext, 'device' | 'progress' | 'signal'>;

/** What became of it. */
export interface TrainingRun {
  readonly rule: string;
  readonly seed: number;
  readonly lr: number;
  readonly epochs: readonly EpochResult[];
  /** Loss of every step, before its update. */
  readonly losses: readonly number[];
  /** Set where the loss stopped being finite, with what the trainer said. */
  readonly diverged?: true;
  readonly cause?: string;
}

/**
 * Trains from the initial weights of the seed; under the same seed every rule sees the same images in the same order.
 * A loss that is no longer finite ends the run and is part of the result.
 */
export async function trainOnce(context: RunContext, plan: RunPlan, label: string): Promise<TrainingRun> {
  const { definition, data, rule, optimizer, schedule, batch, epochs, seed } = plan;
  using model = Model.create(definition, { device: context.device });
  model.setStateDict(plan.initial ?? initialState(definition, seed));
  using trainer = await Trainer.create({
    model,
    dataset: data.train,
    ...(plan.tested !== false && { testDataset: data.test }),
    ...(plan.inputs && { inputs: plan.inputs }),
    rules: rule,
    optimizer,
    schedule,
    batch,
    seed,
  });
  const losses: number[] = [];
  const cells = new Cells(context);
  await cells.run(`${label} ${rule} seed ${seed}`, () =>
    trainer.fit({
      epochs,
      signal: context.signal,
      onProgress({ step, stepsPerEpoch, loss, steps }) {
        for (const each of steps) losses.push(each.loss);
        context.progress.update(
          `${label} ${rule} seed ${seed}`,
          step / (stepsPerEpoch * epochs),
          `loss ${loss.toFixed(4)}`,
        );
      },
    }),
  );
  const [diverged] = cells.diverged;
  return {
    rule,
    seed,
    lr: optimizer.lr,
    epochs: [...trainer.history],
    losses,
    ...(diverged && { diverged: true as const, cause: diverged.cause }),
  };
}
