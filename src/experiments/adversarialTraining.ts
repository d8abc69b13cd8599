import { batchLabels, subset } from '../data/dataset.js';
import { initialState, Model } from '../nn/model.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { sgd } from '../train/optimisers.js';
import { Trainer } from '../train/trainer.js';
import { pgdInputs } from './adversarialInputs.js';
import { attackWith } from './attackRuns.js';
import { claim, percent, short, shownPoints } from './format.js';
import { interval, pairedBootstrap } from './statistics.js';
import { loadHalves } from './trainingRuns.js';
import { seedsOf, sized } from './types.js';
import type { CurveLine, Experiment, ExperimentContext, ExperimentResult, Statement } from './types.js';

const batch = 64;
const eps = 0.1;
const innerSteps = 5;
const alpha = (2.5 * eps) / innerSteps;
/** Steps of the PGD that judges; always with BP's gradient. */
const judgeSteps = 20;
/** Rule of the inner attack, rule of the weight update. */
const combinations = [
  ['bp', 'bp'],
  ['linbp', 'bp'],
  ['bp', 'linbp'],
  ['linbp', 'linbp'],
] as const;

interface AdversarialRun {
  readonly attackRule: string;
  readonly weightRule: string;
  readonly seed: number;
  /** Mean loss on the inner attack's images, per epoch. */
  readonly losses: readonly number[];
  readonly testAccuracy: readonly number[];
  /** Right under the judging attack (1) or not (0), per test image. */
  readonly robust: readonly number[];
}

const nameOf = ({ attackRule, weightRule }: Pick<AdversarialRun, 'attackRule' | 'weightRule'>): string => {
  const shown = (rule: string): string => (rule === 'bp' ? 'BP' : 'LinBP');
  return `attack ${shown(attackRule)}, weights ${shown(weightRule)}`;
};

const rate = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { scale, device, signal, progress } = context;
  const definition = modelDefinition('lenet5');
  const epochs = sized(40, scale, 3);
  const data = await loadHalves(context, 'mnist', { train: sized(60_000, scale, 16 * batch), test: sized(10_000, scale, 128) });
  const judged = subset(data.test, Math.min(data.test.count, sized(10_000, scale, 64)));
  const runs: AdversarialRun[] = [];
  for (const seed of seedsOf(context)) {
    for (const [attackRule, weightRule] of combinations) {
      using model = Model.create(definition, { device });
      model.setStateDict(initialState(definition, seed));
      using trainer = await Trainer.create({
        ...{ model, dataset: data.train, testDataset: data.test, rules: weightRule, batch, seed },
        inputs: pgdInputs({ rules: attackRule, eps, alpha, steps: innerSteps }),
        optimiser: sgd({ lr: 0.05, momentum: 0.9, weightDecay: 2e-4 }),
      });
      await trainer.fit({
        epochs,
        signal,
        onProgress: ({ step, stepsPerEpoch, loss }) =>
          progress.update(`${nameOf({ attackRule, weightRule })} seed ${seed}`, step / (stepsPerEpoch * epochs), `loss ${loss.toFixed(4)}`),
      });
      const settings = { model, attack: 'pgd', steps: judgeSteps, batch, seed: context.seed } as const;
      const [result] = await attackWith(context, settings, judged, [eps], 'evaluation');
      const history = trainer.history;
      const found: AdversarialRun = {
        ...{ attackRule, weightRule, seed },
        losses: history.map((epoch) => epoch.trainLoss),
        testAccuracy: history.map((epoch) => epoch.testAccuracy!),
        robust: result!.samples.map((sample) => (sample.robustCorrect ? 1 : 0)),
      };
      runs.push(found);
      const figures = `clean ${percent(found.testAccuracy.at(-1)!)}, under PGD ${percent(rate(found.robust))}`;
      progress.line(`${nameOf(found)}  seed ${seed}  ${figures}`);
    }
  }
  const of = (attackRule: string, weightRule: string): AdversarialRun[] =>
    runs.filter((each) => each.attackRule === attackRule && each.weightRule === weightRule);
  const line = ([attackRule, weightRule]: (typeof combinations)[number], pick: (each: AdversarialRun) => readonly number[]): CurveLine => {
    const bands = Array.from({ length: epochs }, (_, e) => interval(of(attackRule, weightRule).map((each) => pick(each)[e]!)));
    const rule = attackRule === weightRule ? attackRule : `${attackRule} and ${weightRule}`;
    const points = bands.map(({ mean }, e) => [e + 1, mean] as const);
    return { name: nameOf({ attackRule, weightRule }), rule, points, band: bands.map(({ low, high }) => [low, high]), dashed: attackRule !== 'bp' };
  };
  const pooled = (pairs: readonly AdversarialRun[]): number[] => pairs.flatMap((each) => each.robust);
  const base = pooled(of('bp', 'bp'));
  const statements = combinations.slice(1).map(([attackRule, weightRule]): Statement => {
    const gap = pairedBootstrap(base, pooled(of(attackRule, weightRule)), context.seed);
    return claim(`${nameOf({ attackRule, weightRule })}: more robust than BP in both, accuracy under PGD by ${shownPoints(gap)}.`, gap, 'above');
  });
  const classes = new Set(
    batchLabels(
      judged,
      Array.from({ length: judged.count }, (_, i) => i),
    ),
  ).size;
  return {
    settings: [
      { name: 'network', ours: 'lenet5', official: 'MobileNetV2 on CIFAR-10' },
      {
        name: 'images',
        ours: `${data.train.name}, ${data.train.count} to train, ${data.test.count} to test, ${judged.count} of ${classes} classes attacked`,
        official: 'CIFAR-10',
      },
      {
        name: 'inner attack',
        ours: `PGD, ${innerSteps} steps of ${short(alpha)}, eps ${eps}, random start, one program with the weight update`,
        official: '5 steps; eps and step size not known (base code: 0.0314 and 0.00784)',
      },
      { name: 'network during the inner attack', ours: 'train mode', official: 'train mode in the base code' },
      { name: 'batch', ours: String(batch), official: '128 in the base code' },
      {
        name: 'optimiser',
        ours: 'SGD, learning rate 0.05, momentum 0.9, weight decay 2e-4',
        official: 'SGD, learning rate 0.01, momentum 0.9, weight decay 2e-4 in the base code',
      },
      { name: 'epochs', ours: String(epochs), official: '100' },
      { name: 'judged by', ours: `PGD with BP, ${judgeSteps} steps`, official: 'PGD and APGD-CE' },
    ],
    curves: [
      {
        title: "Loss on the inner attack's images",
        x: { title: 'epoch' },
        y: { title: 'mean loss per image' },
        lines: combinations.map((each) => line(each, ({ losses }) => losses)),
      },
      {
        title: 'Accuracy on clean test images',
        x: { title: 'epoch' },
        y: { title: 'accuracy', share: true },
        lines: combinations.map((each) => line(each, ({ testAccuracy }) => testAccuracy)),
      },
    ],
    tables: [
      {
        title: 'After the last epoch',
        columns: ['rules', 'seed', 'loss under the inner attack', 'clean accuracy', 'accuracy under PGD'],
        rows: runs.map((each) => [
          nameOf(each),
          String(each.seed),
          short(each.losses.at(-1)!),
          percent(each.testAccuracy.at(-1)!),
          percent(rate(each.robust)),
        ]),
      },
    ],
    statements,
    figures: { runs },
  };
}

/** Adversarial training with the rule of the inner attack and that of the weight update chosen apart. */
export const adversarialTraining: Experiment = {
  name: 'adversarial-training',
  summary: 'PGD training of LeNet-5 with BP or LinBP in the inner attack and in the weight update, all four combinations',
  run,
};
