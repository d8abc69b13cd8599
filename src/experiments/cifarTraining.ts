import { LinbpError } from '../errors.js';
import { instead } from '../names.js';
import { quoted } from '../quote.js';
import { cifar10Statistics, normalized } from '../nn/normalize.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { cropAndFlip } from '../train/augmentation.js';
import { sgd } from '../train/optimizers.js';
import { cosine } from '../train/schedules.js';
import { claim, percent, ruleTitle, short, shownInterval } from './format.js';
import { officialWeights } from './officialWeights.js';
import { interval, pairedInterval } from './statistics.js';
import { imagesText, loadHalves, trainOnce } from './trainingRuns.js';
import type { TrainingRun } from './trainingRuns.js';
import { seedsOf, sized } from './types.js';
import type {
  Curves,
  Experiment,
  ExperimentContext,
  ExperimentResult,
  ResultTable,
  Setting,
  Statement,
} from './types.js';

/** Networks by the rule that the official training code has for them. */
const rulesOf = {
  mobilenet_v2: 'linbp',
  resnet50: 'linbp',
  vgg16_bn: 'linbp',
  densenet161: 'linbp:preset=training',
} as const;
const networks = Object.keys(rulesOf) as (keyof typeof rulesOf)[];

const lr = 0.005;
const rules = ['bp', 'linbp'] as const;
type Rule = (typeof rules)[number];

interface NetworkRun extends TrainingRun {
  readonly network: string;
  readonly family: Rule;
}

type Figure = 'trainLoss' | 'testLoss' | 'testAccuracy';

function curvesOf(runs: readonly NetworkRun[], network: string, title: string, figure: Figure): Curves {
  return {
    title: `${network}: ${title}`,
    x: { title: 'epoch', whole: true },
    y: figure === 'testAccuracy' ? { title: 'accuracy', share: true } : { title: 'mean loss per image' },
    lines: rules.map((rule) => {
      const own = runs.filter((run) => run.network === network && run.family === rule);
      const length = Math.min(...own.map((run) => run.epochs.length));
      const bands = Array.from({ length }, (_, e) => interval(own.map((run) => run.epochs[e]![figure]!)));
      return {
        name: ruleTitle(rule),
        rule,
        points: bands.map(({ mean }, e) => [e + 1, mean]),
        band: bands.map(({ low, high }) => [low, high]),
      };
    }),
  };
}

/** Seeds at which neither rule diverged, and the training losses of their last epochs. */
function lastLosses(runs: readonly NetworkRun[], network: string): Record<Rule, number[]> {
  const of = (rule: Rule): NetworkRun[] => runs.filter((run) => run.network === network && run.family === rule);
  const both = of('bp').filter(
    ({ seed, diverged }) =>
      diverged === undefined && of('linbp').find((run) => run.seed === seed)?.diverged === undefined,
  );
  const losses = (rule: Rule): number[] =>
    both.map(
      ({ seed }) =>
        of(rule)
          .find((run) => run.seed === seed)!
          .epochs.at(-1)!.trainLoss,
    );
  return { bp: losses('bp'), linbp: losses('linbp') };
}

function statementOf(runs: readonly NetworkRun[], network: string): Statement {
  const { bp, linbp } = lastLosses(runs, network);
  const diverged = runs
    .filter((run) => run.network === network && run.diverged !== undefined)
    .map(({ family, seed }) => `${ruleTitle(family)} seed ${seed}`);
  const end = diverged.length === 0 ? '' : ` Diverged: ${diverged.join(', ')}.`;
  if (bp.length === 0) return { verdict: 'open', text: `${network}: no seed at which both rules train.${end}` };
  const gap = pairedInterval(bp, linbp);
  const text =
    `${network}: LinBP's training loss of the last epoch is below BP's, difference over ${bp.length} seeds ` +
    `${shownInterval(gap)}.${end}`;
  return claim(text, gap, 'below');
}

/** What was done here and what the official code does. */
function settingsOf(
  context: Pick<ExperimentContext, 'seed' | 'seeds'>,
  {
    table,
    epochs,
    batch,
    images,
  }: {
    readonly table: readonly string[];
    readonly epochs: number;
    readonly batch: number;
    readonly images: string;
  },
): Setting[] {
  return [
    {
      name: 'networks',
      ours: table.join(', '),
      official: 'mobilenet_v2 by default; vgg16_bn, resnet50, densenet161, squeezenet',
    },
    {
      name: 'linearized',
      ours: table.map((name) => `${name}: ${rulesOf[name as keyof typeof rulesOf]}`).join('; '),
      official: 'the same; squeezenet nothing',
    },
    {
      name: 'initial weights',
      ours: 'the distributions of the official networks, the same numbers for both rules',
      official:
        "torchvision's: Kaiming normal convolutions, linear layers normal 0.01 (VGG, MobileNet) or PyTorch's default",
    },
    {
      name: 'images',
      ours: images,
      official: 'CIFAR-10, 50000 and 10000',
    },
    {
      name: 'augmentation',
      ours: 'crop with padding 4, horizontal flip, on the device',
      official: 'crop of 32 with padding 4, horizontal flip',
    },
    {
      name: 'normalization',
      ours: `mean ${cifar10Statistics.means.join(', ')}; deviation ${cifar10Statistics.deviations.join(', ')}`,
      official: 'mean 0.4914, 0.4822, 0.4465; deviation 0.2023, 0.1994, 0.2010',
    },
    {
      name: 'optimizer',
      ours: `SGD ${lr}, momentum 0.9, weight decay 5e-4 on all`,
      official: 'SGD 0.005, momentum 0.9, weight decay 5e-4 on all',
    },
    { name: 'schedule', ours: 'cosine, T_max 200', official: 'cosine, T_max 200' },
    { name: 'epochs', ours: String(epochs), official: '100' },
    { name: 'batch', ours: `${batch}, the last partial batch kept`, official: '128; test 100' },
    { name: 'test accuracy', ours: 'of each epoch', official: 'best so far' },
    { name: 'seeds', ours: seedsOf(context).join(', '), official: '0' },
  ];
}

/** The figures of each run's last epoch. A run that diverged has none: its last finished epoch was not the last one. */
export function finalTable(runs: readonly NetworkRun[]): ResultTable {
  return {
    title: 'After the last epoch',
    columns: ['network', 'rule', 'seed', 'train loss', 'test loss', 'test accuracy'],
    rows: runs.map((each) => {
      const end = each.epochs.at(-1);
      const figures =
        end === undefined || each.diverged !== undefined
          ? ['diverged', '', '']
          : [short(end.trainLoss), short(end.testLoss!), percent(end.testAccuracy!)];
      return [each.network, ruleTitle(each.family), String(each.seed), ...figures];
    }),
  };
}

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { scale } = context;
  const chosen = context.networks ?? networks;
  const unknown = chosen.filter((name) => !(name in rulesOf));
  if (unknown.length > 0) {
    const [name = ''] = unknown;
    const message = `cifar10-training has no network ${quoted(name)}${instead(name, { names: networks })}`;
    throw new LinbpError('unknown-model', message, { field: 'networks' });
  }
  const epochs = sized(100, scale, 1);
  // Images shrink with the square of the scale, epochs with the scale: a step of the largest networks takes seconds
  // on a processor.
  const data = await loadHalves(context, 'cifar10', {
    train: sized(50_000, scale ** 2, 16),
    test: sized(10_000, scale ** 2, 8),
  });
  const batch = Math.min(128, Math.max(8, Math.floor(data.train.count / 2)));
  const runs: NetworkRun[] = [];
  for (const network of chosen as (keyof typeof rulesOf)[]) {
    const plain = modelDefinition(network);
    const definition = normalized(plain, cifar10Statistics);
    for (const seed of seedsOf(context)) {
      const initial = officialWeights(plain, seed);
      for (const family of rules) {
        const rule = family === 'bp' ? 'bp' : rulesOf[network];
        const recipe = {
          optimizer: sgd({ lr, momentum: 0.9, weightDecay: 5e-4 }),
          schedule: cosine(200),
          batch,
          epochs,
        };
        const plan = { definition, data, rule, ...recipe, seed, initial, inputs: cropAndFlip() };
        const done = await trainOnce(context, plan, network);
        runs.push({ ...done, network, family });
        const last = done.epochs.at(-1);
        const figures =
          last === undefined
            ? 'diverged'
            : `train loss ${short(last.trainLoss)}  test accuracy ${percent(last.testAccuracy!)}`;
        context.progress.line(`${network}  ${ruleTitle(family).padEnd(5)}  seed ${seed}  ${figures}`);
      }
    }
  }
  const table = Object.keys(rulesOf).filter((name) => chosen.includes(name));
  return {
    images: imagesText(data),
    settings: settingsOf(context, { table, epochs, batch, images: imagesText(data) }),
    curves: table.flatMap((network) => [
      curvesOf(runs, network, 'training loss', 'trainLoss'),
      curvesOf(runs, network, 'test loss', 'testLoss'),
      curvesOf(runs, network, 'test accuracy', 'testAccuracy'),
    ]),
    tables: [finalTable(runs)],
    statements: table.map((network) => statementOf(runs, network)),
    figures: { runs },
  };
}

/** Training of the official networks on CIFAR-10 with the official recipe. */
export const cifar10Training: Experiment = {
  name: 'cifar10-training',
  summary: 'trains MobileNetV2, ResNet-50, VGG-16 and DenseNet-161 with BP and LinBP by the official recipe',
  takes: ['seeds'],
  fewestSeeds: 1,
  networks: networks.join(', '),
  datasets: ['cifar10', 'cifar10-jpeg'],
  run,
};
