import { attacks } from '../attacks/builtin.js';
import type { AttackDefinition } from '../attacks/stages.js';
import type { AttackResult } from '../attacks/result.js';
import type { Dataset } from '../data/dataset.js';
import type { Model } from '../nn/model.js';
import { attackWith, cifarImages, lastStage, pretrained } from './attackRuns.js';
import { Cells } from './cells.js';
import { claim, percent, ruleTitle, short, shownPoints } from './format.js';
import { officialAttacks } from './officialConventions.js';
import { pairedBootstrap } from './statistics.js';
import type { Interval } from './statistics.js';
import { sized } from './types.js';
import type {
  Curves,
  Experiment,
  ExperimentContext,
  ExperimentResult,
  ResultTable,
  Setting,
  Statement,
} from './types.js';

/** Those with weights of their own input range, and the theory paper's, whose weights expect normalized pixels. */
const plainNetworks = ['resnet20', 'resnet32', 'resnet56', 'resnet8-mlperf-tiny', 'convnetjs-cnn'];
const normalizedNetworks = ['vgg16_bn', 'resnet50', 'mobilenet_v2', 'densenet161'];
const methods = ['fgsm', 'ifgsm', 'pgd', 'apgd'] as const;
/** In 255ths; the README's example is about 8. */
const radii = [1, 2, 8].map((levels) => levels / 255);
/** Where curves over steps are shown: small enough that not every image falls at once. */
const shownRadius = 1 / 255;
const steps = 5;

type Method = (typeof methods)[number];

interface Row {
  readonly network: string;
  readonly method: string;
  readonly rule: string;
  readonly eps: number;
  readonly result: AttackResult;
}

const successes = (result: AttackResult): number[] =>
  result.samples.filter((sample) => sample.cleanCorrect).map((sample) => (sample.success ? 1 : 0));

/** LinBP's success minus BP's; without bounds where no image was right before. */
const comparison = (bp: readonly number[], linbp: readonly number[], seed: number): Interval =>
  bp.length === 0 ? { mean: 0, low: -Infinity, high: Infinity } : pairedBootstrap(bp, linbp, seed);

function curvesOf(rows: readonly Row[], network: string): Curves[] {
  const own = rows.filter((row) => row.network === network);
  const lines = (method: string): Row[] => own.filter((row) => row.method === method);
  const overEps = methods.map((method): Curves => ({
    title: `${network}, ${method}: success against eps`,
    x: { title: 'eps in 255ths' },
    y: { title: 'success', share: true },
    lines: ['bp', 'linbp'].map((rule) => ({
      name: ruleTitle(rule),
      rule,
      points: lines(method)
        .filter((row) => row.rule === rule)
        .map((row) => [255 * row.eps, row.result.successRate]),
    })),
  }));
  const overSteps = methods.slice(1).map((method): Curves => ({
    title: `${network}, ${method}: success against step at eps ${short(255 * shownRadius)}/255`,
    x: { title: 'step', whole: true },
    y: { title: 'success', share: true },
    lines: lines(method)
      .filter((row) => row.eps === shownRadius)
      .map(({ rule, result }) => ({
        name: ruleTitle(rule),
        rule,
        points: result.curve.map(({ step, robustAccuracy }) => [
          step,
          result.cleanAccuracy === 0 ? 0 : 1 - robustAccuracy / result.cleanAccuracy,
        ]),
      })),
  }));
  return [...overEps, ...overSteps];
}

interface Pair {
  readonly bp: Row;
  readonly linbp: Row;
}

/** Each row of BP with that of LinBP. */
const pairsOf = (rows: readonly Row[]): Pair[] =>
  rows
    .filter((row) => row.rule === 'bp')
    .map((bp) => ({
      bp,
      linbp: rows.find(
        (row) => row.rule === 'linbp' && row.network === bp.network && row.method === bp.method && row.eps === bp.eps,
      )!,
    }));

function statementsOf(pairs: readonly Pair[], seed: number): Statement[] {
  return methods.map((method): Statement => {
    const own = pairs.filter(({ bp }) => bp.method === method && bp.eps === shownRadius);
    const gap = comparison(
      own.flatMap(({ bp }) => successes(bp.result)),
      own.flatMap(({ linbp }) => successes(linbp.result)),
      seed,
    );
    const words =
      `At eps ${short(255 * shownRadius)}/255, LinBP's ${method} succeeds more often than BP's over all ` +
      `networks: difference ${shownPoints(gap)}.`;
    return claim(words, gap, 'above');
  });
}

function tablesOf(pairs: readonly Pair[], seed: number): ResultTable[] {
  const gapOf = ({ bp, linbp }: Pair): Interval => comparison(successes(bp.result), successes(linbp.result), seed);
  return [
    {
      title: 'Success of the images that were right before',
      columns: ['network', 'attack', 'eps', 'clean accuracy', 'BP', 'LinBP', 'difference [95 %]'],
      rows: pairs.map((pair) => [
        ...[pair.bp.network, pair.bp.method, `${short(255 * pair.bp.eps)}/255`, percent(pair.bp.result.cleanAccuracy)],
        ...[percent(pair.bp.result.successRate), percent(pair.linbp.result.successRate), shownPoints(gapOf(pair))],
      ]),
    },
  ];
}

/** What was run beside what the paper ran. */
function settingsOf(ran: {
  readonly networks: readonly string[];
  readonly places: readonly string[];
  readonly images: number;
  readonly apgdSteps: number;
  readonly official: boolean;
}): Setting[] {
  const { networks, places, images, apgdSteps, official } = ran;
  return [
    {
      name: 'networks',
      ours: networks.join(', '),
      official: 'vgg16_bn, resnet50, mobilenet_v2, densenet161, squeezenet, WRN-28-10',
    },
    { name: 'linearized from', ours: places.join('; '), official: 'a table per network; ResNet: layer4' },
    {
      name: 'images',
      ours: `the first ${images} of CIFAR-10's test set`,
      official: 'test images of a list of its own, one at a time',
    },
    {
      name: 'eps',
      ours: radii.map((eps) => `${short(255 * eps)}/255`).join(', '),
      official: '0.0313 in the example',
    },
    { name: 'steps', ours: `${steps}; APGD ${apgdSteps}`, official: '5 in the example; APGD 100' },
    {
      name: 'step size',
      ours:
        `${official ? '2/255 of normalized values' : 'eps/steps; PGD 2.5 eps/steps'}; ` +
        'APGD 2 eps, halved per image',
      official: '2/255 of normalized values; APGD 2 eps, halved per image',
    },
    {
      name: 'APGD',
      ours: 'cross entropy, eps in pixels, inside [0, 1], under either conventions',
      official:
        'its start is clamped in another space than its steps, so only figures of networks without ' +
        'normalization can be compared',
    },
    {
      name: 'box',
      ours: official ? 'twice eps in normalized values' : 'eps in pixels, and [0, 1]',
      official: 'twice eps in normalized values, no limit to [0, 1]',
    },
    {
      name: 'objective',
      ours: official ? 'minus the true logit; PGD: cross entropy' : 'cross entropy',
      official: 'minus the true logit; PGD: cross entropy',
    },
    { name: 'judged at', ours: official ? 'the last iterate' : 'the best iterate', official: 'the last iterate' },
  ];
}

/** All attacks on one network under both rules; nothing where one diverges, as rules are compared on a network. */
async function attackNetwork(
  context: ExperimentContext,
  cells: Cells,
  model: Model,
  {
    linbp,
    table,
    stepsOf,
    images,
    batch,
  }: {
    readonly linbp: string;
    readonly table: Record<Method, AttackDefinition>;
    readonly stepsOf: Record<Method, number>;
    readonly images: Dataset;
    readonly batch: number;
  },
): Promise<Row[] | undefined> {
  const network = model.definition.name;
  const official = context.compat === 'official';
  let cell = network;
  const own: Row[] = [];
  const attackAll = async (method: Method): Promise<void> => {
    for (const rule of ['bp', 'linbp']) {
      cell = `${network} ${method} ${rule}`;
      const keep = official && method !== 'apgd' ? ('last' as const) : ('best' as const);
      const settings = {
        model,
        attack: table[method],
        rules: rule === 'bp' ? 'bp' : linbp,
        batch,
        seed: context.seed,
      };
      const counted = { ...settings, steps: stepsOf[method], keep };
      const results = await attackWith(context, counted, images, radii, cell);
      results.forEach((result, index) => own.push({ network, method, rule, eps: radii[index]!, result }));
    }
  };
  return cells.run(
    () => cell,
    async () => {
      for (const method of methods) await attackAll(method);
      return own;
    },
  );
}

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const official = context.compat === 'official';
  const table: Record<Method, AttackDefinition> = official ? officialAttacks : attacks;
  // Images grow with the square of the scale: on a processor each costs seconds.
  const images = await cifarImages(context, sized(10_000, context.scale ** 2, 6));
  const apgdSteps = sized(100, context.scale, steps);
  const stepsOf = { fgsm: 1, ifgsm: steps, pgd: steps, apgd: apgdSteps } as const;
  const models = await pretrained(
    context,
    context.networks ?? [...plainNetworks, ...normalizedNetworks],
    context.networks?.length ?? 1,
    normalizedNetworks,
  );
  const batch = Math.min(32, images.count);
  const rows: Row[] = [];
  const places: string[] = [];
  const cells = new Cells(context);
  try {
    for (const model of models) {
      const network = model.definition.name;
      // Where the paper's code has a place for the network it is that one.
      const linbp =
        model.definition.presets?.['default'] === undefined ? `linbp:from=${lastStage(model.definition)}` : 'linbp';
      places.push(`${network}: ${linbp}`);
      const plan = { linbp, table, stepsOf, images, batch };
      const whole = await attackNetwork(context, cells, model, plan);
      if (whole === undefined) continue;
      rows.push(...whole);
      context.progress.line(`${network}: attacked ${images.count} images`);
    }
  } finally {
    for (const model of models) model.destroy();
  }
  cells.expectSome(rows.length, 'network');
  const pairs = pairsOf(rows);
  const networks = models.map(({ definition }) => definition.name);
  return {
    settings: settingsOf({ networks, places, images: images.count, apgdSteps, official }),
    curves: [...new Set(rows.map((row) => row.network))].flatMap((network) => curvesOf(rows, network)),
    tables: tablesOf(pairs, context.seed),
    statements: statementsOf(pairs, context.seed),
    figures: {
      diverged: cells.diverged,
      results: rows.map(({ network, method, rule, eps, result }) => ({
        network,
        method,
        rule,
        eps,
        successRate: result.successRate,
        curve: result.curve,
      })),
    },
  };
}

/** White-box attacks on the pretrained CIFAR-10 networks with the gradient of BP and of LinBP. */
export const whiteboxCifar10: Experiment = {
  name: 'whitebox-cifar10',
  summary: 'attacks pretrained CIFAR-10 networks with BP and LinBP: success against eps and step',
  takes: ['compat'],
  networks: 'all that have weights',
  run,
};
