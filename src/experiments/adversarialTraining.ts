import { pgdInputs } from '../attacks/pgdInputs.js';
import { batchLabels, subset } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { initialState, Model } from '../nn/model.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { cropAndFlip, inOrder } from '../train/augmentation.js';
import { sgd } from '../train/optimizers.js';
import type { InputStage } from '../train/step.js';
import { Trainer } from '../train/trainer.js';
import { attackWith } from './attackRuns.js';
import { Cells } from './cells.js';
import { claim, percent, ruleTitle, short, shownPoints } from './format.js';
import { crossedBootstrap, interval } from './statistics.js';
import { imagesText, loadHalves } from './trainingRuns.js';
import type { DataHalves } from './trainingRuns.js';
import { seedsOf, sized } from './types.js';
import type {
  CurveLine,
  Curves,
  Experiment,
  ExperimentContext,
  ExperimentResult,
  ResultTable,
  Setting,
  Statement,
} from './types.js';

const innerSteps = 5;
/** Steps of the attacks that judge; always with BP's gradient. */
const judgeSteps = 20;

/** What is trained, and against what. */
interface Recipe {
  readonly network: string;
  readonly byDefault: 'mnist' | 'cifar10';
  readonly eps: number;
  readonly alpha: number;
  readonly lr: number;
  /** Applied to the images before the inner attack. */
  readonly augmentation?: InputStage;
  /** Sizes at a scale: images to train, to test and to attack, images a step, epochs. */
  readonly sizes: (scale: number) => {
    readonly train: number;
    readonly test: number;
    readonly judged: number;
    readonly batch: number;
    readonly epochs: number;
  };
}

export const mnistRecipe: Recipe = {
  network: 'lenet5',
  byDefault: 'mnist',
  eps: 0.1,
  alpha: (2.5 * 0.1) / innerSteps,
  lr: 0.05,
  sizes: (scale) => ({
    train: sized(60_000, scale, 4 * 64),
    test: sized(10_000, scale, 128),
    judged: sized(10_000, scale, 16),
    batch: 64,
    epochs: sized(40, scale, 2),
  }),
};

/** The official learning rate, with what its base code has where the official settings are not known. */
const cifarRecipe: Recipe = {
  network: 'mobilenet_v2',
  byDefault: 'cifar10',
  eps: 0.0314,
  alpha: 0.00784,
  lr: 0.01,
  augmentation: cropAndFlip(),
  sizes: (scale) => {
    const train = sized(50_000, scale ** 2, 16);
    const test = sized(10_000, scale ** 2, 8);
    return {
      train,
      test,
      judged: test,
      batch: Math.min(128, Math.max(8, Math.floor(train / 2))),
      epochs: sized(100, scale, 1),
    };
  },
};
/** Rule of the inner attack, rule of the weight update. */
const combinations = [
  ['bp', 'bp'],
  ['linbp', 'bp'],
  ['bp', 'linbp'],
  ['linbp', 'linbp'],
] as const;

type Combination = (typeof combinations)[number];

/** What one combination from one seed gave. */
export interface AdversarialRun {
  readonly attackRule: string;
  readonly weightRule: string;
  readonly seed: number;
  /** Mean loss on the inner attack's images, per epoch. */
  readonly losses: readonly number[];
  readonly testAccuracy: readonly number[];
  /** Right under the judging PGD (1) or not (0), per attacked image. */
  readonly robust: readonly number[];
  /** The same under APGD-CE. */
  readonly robustApgd: readonly number[];
}

const nameOf = ({ attackRule, weightRule }: Pick<AdversarialRun, 'attackRule' | 'weightRule'>): string =>
  `attack ${ruleTitle(attackRule)}, weights ${ruleTitle(weightRule)}`;

const rate = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Those of one combination. */
const ofRules = (runs: readonly AdversarialRun[], [attackRule, weightRule]: Combination): AdversarialRun[] =>
  runs.filter((each) => each.attackRule === attackRule && each.weightRule === weightRule);

/** The mean of `pick` over seeds, epoch by epoch, with its interval. */
function lineOf(
  runs: readonly AdversarialRun[],
  combination: Combination,
  pick: (each: AdversarialRun) => readonly number[],
): CurveLine {
  const [attackRule, weightRule] = combination;
  const own = ofRules(runs, combination);
  const bands = own[0]!.losses.map((_, e) => interval(own.map((each) => pick(each)[e]!)));
  const rule = attackRule === weightRule ? attackRule : `${attackRule} and ${weightRule}`;
  return {
    name: nameOf({ attackRule, weightRule }),
    rule,
    points: bands.map(({ mean }, e) => [e + 1, mean] as const),
    band: bands.map(({ low, high }) => [low, high]),
    dashed: attackRule !== 'bp',
  };
}

function statementsOf(runs: readonly AdversarialRun[], seed: number): Statement[] {
  return combinations.slice(1).flatMap(([attackRule, weightRule]): Statement[] =>
    (['PGD', 'APGD-CE'] as const).map((judge): Statement => {
      const pick = (each: AdversarialRun): readonly number[] => (judge === 'PGD' ? each.robust : each.robustApgd);
      const gap = crossedBootstrap(
        ofRules(runs, ['bp', 'bp']).map(pick),
        ofRules(runs, [attackRule, weightRule]).map(pick),
        seed,
      );
      const what = `${nameOf({ attackRule, weightRule })}: more robust than BP in both, accuracy under ${judge} by`;
      return claim(`${what} ${shownPoints(gap)}, over seeds and images.`, gap, 'above');
    }),
  );
}

/** What was run beside what the paper ran. */
function settingsOf(
  { network, eps, alpha, lr, augmentation }: Recipe,
  { batch, epochs }: { readonly batch: number; readonly epochs: number },
  images: string,
): Setting[] {
  return [
    { name: 'network', ours: network, official: 'MobileNetV2 on CIFAR-10 (--dataset cifar10)' },
    {
      name: 'images',
      ours: images,
      official: 'CIFAR-10',
    },
    {
      name: 'augmentation',
      ours: augmentation?.name ?? 'none',
      official: 'crop with padding 4 and flip in the base code',
    },
    {
      name: 'inner attack',
      ours:
        `PGD, ${innerSteps} steps of ${short(alpha)}, eps ` +
        `${eps}, random start, one program with the weight update`,
      official: '5 steps; eps and step size not known (base code: 0.0314 and 0.00784)',
    },
    { name: 'network during the inner attack', ours: 'train mode', official: 'train mode in the base code' },
    { name: 'batch', ours: String(batch), official: '128 in the base code' },
    {
      name: 'optimizer',
      ours: `SGD, learning rate ${lr}, momentum 0.9, weight decay 2e-4`,
      official: 'SGD, learning rate 0.01, momentum 0.9, weight decay 2e-4 in the base code',
    },
    { name: 'epochs', ours: String(epochs), official: '100' },
    { name: 'judged by', ours: `PGD and APGD-CE with BP, ${judgeSteps} steps each`, official: 'PGD and APGD-CE' },
  ];
}

const curvesOf = (runs: readonly AdversarialRun[]): Curves[] => [
  {
    title: "Loss on the inner attack's images",
    x: { title: 'epoch', whole: true },
    y: { title: 'mean loss per image' },
    lines: combinations.map((each) => lineOf(runs, each, ({ losses }) => losses)),
  },
  {
    title: 'Accuracy on clean test images',
    x: { title: 'epoch', whole: true },
    y: { title: 'accuracy', share: true },
    lines: combinations.map((each) => lineOf(runs, each, ({ testAccuracy }) => testAccuracy)),
  },
];

const tablesOf = (runs: readonly AdversarialRun[]): ResultTable[] => [
  {
    title: 'After the last epoch',
    columns: ['rules', 'seed', 'loss under the inner attack', 'clean accuracy', 'accuracy under PGD', 'under APGD-CE'],
    rows: runs.map((each) => [
      nameOf(each),
      String(each.seed),
      short(each.losses.at(-1)!),
      percent(each.testAccuracy.at(-1)!),
      percent(rate(each.robust)),
      percent(rate(each.robustApgd)),
    ]),
  },
];

interface Halves {
  readonly data: DataHalves;
  /** Test images that are attacked. */
  readonly judged: Dataset;
  readonly batch: number;
  readonly epochs: number;
}

/** Trains with one combination from one seed, and attacks the result with BP's gradient. */
async function trainOne(
  context: ExperimentContext,
  recipe: Recipe,
  { data, judged, batch, epochs }: Halves,
  seed: number,
  [attackRule, weightRule]: Combination,
): Promise<AdversarialRun> {
  const { device, signal, progress } = context;
  const { eps, alpha, lr, augmentation } = recipe;
  const definition = modelDefinition(recipe.network);
  using model = Model.create(definition, { device });
  model.setStateDict(initialState(definition, seed));
  const attacked = pgdInputs({ rules: attackRule, eps, alpha, steps: innerSteps });
  using trainer = await Trainer.create({
    ...{ model, dataset: data.train, testDataset: data.test, rules: weightRule, batch, seed },
    inputs: augmentation === undefined ? attacked : inOrder(augmentation, attacked),
    optimizer: sgd({ lr, momentum: 0.9, weightDecay: 2e-4 }),
  });
  await trainer.fit({
    epochs,
    signal,
    onProgress: ({ step, stepsPerEpoch, loss }) =>
      progress.update(
        `${nameOf({ attackRule, weightRule })} seed ${seed}`,
        step / (stepsPerEpoch * epochs),
        `loss ${loss.toFixed(4)}`,
      ),
  });
  const judge = async (attack: 'pgd' | 'apgd'): Promise<number[]> => {
    const settings = { model, attack, steps: judgeSteps, batch: Math.min(batch, judged.count), seed: context.seed };
    const [result] = await attackWith(context, settings, judged, [eps], `evaluation by ${attack}`);
    return result!.samples.map((sample) => (sample.robustCorrect ? 1 : 0));
  };
  const history = trainer.history;
  const found: AdversarialRun = {
    ...{ attackRule, weightRule, seed },
    losses: history.map((epoch) => epoch.trainLoss),
    testAccuracy: history.map((epoch) => epoch.testAccuracy!),
    robust: await judge('pgd'),
    robustApgd: await judge('apgd'),
  };
  const figures =
    `clean ${percent(found.testAccuracy.at(-1)!)}, under PGD ${percent(rate(found.robust))}, under ` +
    `APGD-CE ${percent(rate(found.robustApgd))}`;
  progress.line(`${nameOf(found)}  seed ${seed}  ${figures}`);
  return found;
}

/**
 * All combinations from every seed. A run that diverges is recorded, and its seed left out: combinations are compared
 * over the same seeds.
 *
 * @param train what trains one; tests give another
 */
export async function runRecipe(
  context: ExperimentContext,
  recipe: Recipe = context.dataset?.startsWith('cifar10') === true ? cifarRecipe : mnistRecipe,
  train = trainOne,
): Promise<ExperimentResult> {
  const { epochs, batch, ...sizes } = recipe.sizes(context.scale);
  const data = await loadHalves(context, recipe.byDefault, sizes);
  const judged = subset(data.test, Math.min(data.test.count, sizes.judged));
  const runs: AdversarialRun[] = [];
  const cells = new Cells(context);
  for (const seed of seedsOf(context)) {
    const ofSeed: AdversarialRun[] = [];
    const add = async (combination: Combination): Promise<void> => {
      ofSeed.push(await train(context, recipe, { data, judged, batch, epochs }, seed, combination));
    };
    const named = ([attackRule, weightRule]: Combination): string =>
      `${nameOf({ attackRule, weightRule })}, seed ${seed}`;
    const finished = await cells.finite(combinations, named, add);
    if (finished.length === combinations.length) runs.push(...ofSeed);
  }
  cells.expectSome(runs.length, 'seed');
  const classes = new Set(
    batchLabels(
      judged,
      Array.from({ length: judged.count }, (_, i) => i),
    ),
  ).size;
  const images = `${imagesText(data)}, ${judged.count} of ${classes} classes attacked`;
  return {
    images,
    settings: settingsOf(recipe, { batch, epochs }, images),
    curves: curvesOf(runs),
    tables: tablesOf(runs),
    statements: statementsOf(runs, context.seed),
    figures: { runs, diverged: cells.diverged },
  };
}

/** Adversarial training with the rule of the inner attack and that of the weight update chosen apart. */
export const adversarialTraining: Experiment = {
  name: 'adversarial-training',
  summary:
    'PGD training with BP or LinBP in the inner attack and in the weight update, all four combinations; ' +
    'LeNet-5, or MobileNetV2 for images of CIFAR-10',
  takes: ['seeds'],
  datasets: ['mnist', 'fashion-mnist', 'digits', 'cifar10', 'cifar10-jpeg'],
  run: (context) => runRecipe(context),
};
