import { join } from 'node:path';
import { isThere } from '../../io/folders.js';
import type { Dataset } from '../../data/dataset.js';
import { batchPixels, subset } from '../../data/dataset.js';
import { dataFolderOrEnvironment } from '../../data/files.js';
import { attackWith, cifarImages, pretrained } from '../../experiments/attackRuns.js';
import { Cells } from '../../experiments/cells.js';
import type { DivergedCell } from '../../experiments/cells.js';
import { elementCount } from '../../graph/types.js';
import { pairedBootstrap, wilson } from '../../experiments/statistics.js';
import type { Interval } from '../../experiments/statistics.js';
import type { DataHalves } from '../../experiments/trainingRuns.js';
import type { ExperimentContext } from '../../experiments/types.js';
import { Model } from '../../nn/model.js';
import { modelDefinition } from '../../nn/zoo/index.js';
import { parseRules } from '../../rules/parse.js';
import { adam } from '../../train/optimizers.js';
import { Trainer } from '../../train/trainer.js';
import type { Budget } from './budget.js';
import { cifarRules, digitRules, ownRule } from './contenders.js';
import type { Contender } from './contenders.js';

/** The networks and images on which rules compete. */
interface Match {
  readonly images: Dataset;
  readonly source: Model;
  readonly victims: readonly Model[];
  readonly eps: number;
  readonly rules: readonly Contender[];
  /** What the networks are and how they came about, in sentences. */
  readonly networks: string;
}

/** Accuracy left on one network that the attack never touched. */
export interface VictimAccuracy {
  readonly model: string;
  readonly accuracy: number;
  /** Wilson's 95 % interval over images. */
  readonly low: number;
  readonly high: number;
  /** 1 for each image that is still classified right. */
  readonly right: readonly number[];
  /** What the network sees in each image. */
  readonly predictions: readonly number[];
}

/** What one rule's images do to the other networks. */
export interface LeaderboardRow extends Contender {
  readonly victims: readonly VictimAccuracy[];
  /** Mean accuracy over the networks minus that of the true gradient, with its paired 95 % bootstrap interval. */
  readonly difference: Interval;
  /** [N, C, H, W] in 8 bits. */
  readonly images8: Uint8Array;
}

/** The leaderboard and what it was measured on. */
export interface Leaderboard {
  readonly images: Dataset;
  readonly source: string;
  readonly networks: string;
  readonly eps: number;
  readonly steps: number;
  readonly clean: readonly VictimAccuracy[];
  /** The true gradient first, then in order of strength. */
  readonly rows: readonly LeaderboardRow[];
  /** Rules without figures, and networks without logits. */
  readonly diverged: readonly DivergedCell[];
}

const steps = 10;
const batch = 64;

/** What the cell of a network is called; that of a rule is called by its notation. */
export const networkCell = (name: string): string => `network ${name}`;

const cifarNames = ['resnet20', 'resnet56', 'resnet32', 'resnet8-mlperf-tiny'] as const;
const digitNames = ['lenet5-clntrained', 'lenet5', 'mlp', 'mlp-300-100'] as const;

/** Whether the folder of data holds the pretrained CIFAR-10 networks and images of the leaderboard. */
export async function hasCifar(dataFolder: string | undefined): Promise<boolean> {
  const folder = dataFolderOrEnvironment(dataFolder);
  if (folder === undefined || !(await isThere(join(folder, 'cifar10')))) return false;
  const files = cifarNames.map((name) => join(folder, 'models', 'cifar10', `${name}.safetensors`));
  return (await Promise.all(files.map(isThere))).every(Boolean);
}

async function cifarMatch(context: ExperimentContext): Promise<Match> {
  const images = await cifarImages(context, 1000);
  const [source, ...victims] = await pretrained(context, cifarNames, cifarNames.length);
  const networks =
    'resnet56 and resnet32 are deeper ResNets of the same family, resnet8-mlperf-tiny is a small one of another ' +
    'design (MLPerf Tiny). All four networks, the attacked one and these three, are pretrained on CIFAR-10.';
  return { images, source: source!, victims, eps: 8 / 255, rules: cifarRules, networks };
}

/** Trains the four networks on the digits, with the true gradient, for as many epochs as the time allows. */
async function digitsMatch(
  context: ExperimentContext,
  data: DataHalves,
  budget: Budget,
  share: number,
): Promise<Match> {
  const models: Model[] = [];
  const count = Math.min(8000, data.train.count);
  const each = budget.until(share) / digitNames.length;
  try {
    for (const [index, name] of digitNames.entries()) {
      const model = Model.create(modelDefinition(name), { device: context.device, seed: context.seed + index });
      models.push(model);
      await trainVictim(context, model, subset(data.train, count, context.seed), each);
    }
  } catch (error) {
    for (const model of models) model.destroy();
    throw error;
  }
  const [source, ...victims] = models;
  const networks =
    'It is a LeNet with 32 and 64 filters of 3 x 3. lenet5 is a smaller one, with 6 and 16 filters of 5 x 5; mlp and ' +
    'mlp-300-100 have no convolutions. All four networks, the attacked one and these three, were trained here from ' +
    `weights of their own, on up to ${count} images of ${data.train.name} without attacks.`;
  return { images: data.test, source: source!, victims, eps: 0.15, rules: digitRules, networks };
}

async function trainVictim(context: ExperimentContext, model: Model, dataset: Dataset, seconds: number): Promise<void> {
  const { name } = model.definition;
  using trainer = await Trainer.create({
    model,
    dataset,
    optimizer: adam({ lr: 0.002 }),
    batch: 32,
    seed: context.seed,
  });
  const began = performance.now();
  const steps = Math.ceil(dataset.count / 32);
  const most = 3 * steps;
  let done = 0;
  // At least a sixth of an epoch, so that there is a network; then on in pieces while the time lasts.
  while (done < most && (done < steps / 6 || (performance.now() - began) / 1000 < seconds)) {
    const piece = Math.min(Math.ceil(steps / 6), most - done);
    await trainer.fit({ epochs: 3, steps: piece, signal: context.signal });
    done += piece;
    context.progress.update(`training ${name} on ${dataset.name}`, done / most);
  }
}

/** What a network sees in images [N, C, H, W] in [0, 1]. */
async function classify(model: Model, pixels: Float32Array, labels: ArrayLike<number>): Promise<VictimAccuracy> {
  const logits = await model.logits(pixels, { batch });
  const { classes, name } = model.definition;
  const predictions = Array.from(labels, (_, n) => {
    const own = logits.subarray(n * classes, (n + 1) * classes);
    return own.indexOf(Math.max(...own));
  });
  const right = predictions.map((prediction, n) => (prediction === labels[n] ? 1 : 0));
  const { mean, low, high } = wilson(
    right.reduce((sum: number, each) => sum + each, 0),
    right.length,
  );
  return { model: name, accuracy: mean, low, high, right, predictions };
}

const meanPerImage = (victims: readonly VictimAccuracy[]): number[] =>
  victims[0]!.right.map((_, n) => victims.reduce((sum, { right }) => sum + right[n]!, 0) / victims.length);

/**
 * Attacks one network under each rule with the same budget of gradients, and shows the images to networks that the
 * attack never saw.
 *
 * @param shares of the budget that must not be passed by the training of networks, and by the attacks
 */
export async function runLeaderboard(
  context: ExperimentContext,
  data: DataHalves,
  budget: Budget,
  shares: { readonly networks: number; readonly attacks: number },
): Promise<Leaderboard> {
  const match = (await hasCifar(context.dataFolder))
    ? await cifarMatch(context)
    : await digitsMatch(context, data, budget, shares.networks);
  try {
    return await compete(context, match, budget, shares.attacks);
  } finally {
    for (const model of [match.source, ...match.victims]) model.destroy();
  }
}

/** The other networks whose logits are finite. Throws `diverged` where there are none. */
async function finiteVictims(cells: Cells, victims: readonly Model[]): Promise<Model[]> {
  const look = (model: Model): Promise<unknown> => model.logits(new Float32Array(elementCount(model.definition.input)));
  const sound = await cells.finite(victims, ({ definition }) => networkCell(definition.name), look);
  cells.expectSome(sound.length, 'other network');
  return sound;
}

async function compete(context: ExperimentContext, match: Match, budget: Budget, share: number): Promise<Leaderboard> {
  const { source, eps } = match;
  const cells = new Cells(context);
  const victims = await finiteVictims(cells, match.victims);
  const trial = subset(match.images, Math.min(batch, match.images.count));
  const attackUnder = async ({ rule }: Contender, images: Dataset): Promise<Uint8Array> => {
    const settings = {
      model: source,
      attack: 'ifgsm',
      rules: parseRules(rule, [ownRule.rule]),
      steps,
      batch,
      keep: 'last',
      seed: context.seed,
    } as const;
    const [result] = await attackWith(context, settings, images, [eps], `attacking with ${rule}`);
    return result!.images8;
  };
  // Once for the driver's compiler, once for the time.
  await attackUnder(match.rules[0]!, trial);
  const began = performance.now();
  await attackUnder(match.rules[0]!, trial);
  const perImage = (performance.now() - began) / 1000 / trial.count;
  const wanted = Math.floor(budget.until(share) / (1.5 * match.rules.length * perImage) / batch) * batch;
  const images = subset(match.images, Math.min(match.images.count, 256, Math.max(batch, wanted)));
  const labels = Array.from(images.labels);
  context.progress.line(
    `leaderboard: ${images.count} images, ${match.rules.length} backward rules, source ${source.definition.name}`,
  );
  const show = async (pixels: Float32Array): Promise<VictimAccuracy[]> => {
    const seen: VictimAccuracy[] = [];
    for (const victim of victims) seen.push(await classify(victim, pixels, labels));
    return seen;
  };
  const clean = await show(
    batchPixels(
      images,
      labels.map((_, n) => n),
    ),
  );
  const rows: LeaderboardRow[] = [];
  const enter = async (contender: Contender): Promise<void> => {
    const images8 = await attackUnder(contender, images);
    const seen = await show(Float32Array.from(images8, (level) => level / 255));
    const difference = pairedBootstrap(meanPerImage(rows[0]?.victims ?? seen), meanPerImage(seen), context.seed);
    rows.push({ ...contender, victims: seen, difference, images8 });
  };
  // All others are compared with the true gradient.
  await enter(match.rules[0]!);
  await cells.finite(match.rules.slice(1), ({ rule }) => rule, enter);
  const [truth, ...others] = rows;
  others.sort((a, b) => a.difference.mean - b.difference.mean);
  const { networks } = match;
  return {
    ...{ images, networks, eps, steps, clean },
    source: source.definition.name,
    rows: [truth!, ...others],
    diverged: cells.diverged,
  };
}
