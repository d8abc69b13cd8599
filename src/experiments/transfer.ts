import { subset, take } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import type { Model } from '../nn/model.js';
import { attackWith, cifarImages, pretrained, rightForAll, rightness } from './attackRuns.js';
import { claim, percent, shownPoints } from './format.js';
import { mean, pairedBootstrap } from './statistics.js';
import { sized } from './types.js';
import type { Curves, Experiment, ExperimentContext, ExperimentResult, ResultTable, Setting, Statement } from './types.js';

const eps = 8 / 255;
const alpha = 1 / 255;

/** What the images of one rule on one source do: per victim 1 for each image that it gets wrong. */
interface Crafted {
  readonly rule: string;
  readonly source: string;
  readonly fooled: ReadonlyMap<string, readonly number[]>;
}

/** Attacks the source under a rule with a fixed budget of gradients and shows the images, as saved in 8 bits, to all networks. */
async function craft(
  context: ExperimentContext,
  source: Model,
  all: readonly Model[],
  rule: string,
  images: Dataset,
  steps: number,
): Promise<Crafted> {
  const batch = Math.min(32, images.count);
  const name = source.definition.name;
  // The last iterate, as in the transfer papers: the best one would be chosen by the source's own loss.
  const settings = { model: source, attack: 'ifgsm', rules: rule, alpha, steps, batch, seed: context.seed, keep: 'last' } as const;
  const [result] = await attackWith(context, settings, images, [eps], `${name} ${rule}`);
  const saved = Float32Array.from(result!.images8, (level) => level / 255);
  const fooled = new Map<string, readonly number[]>();
  for (const victim of all) {
    const right = await rightness(victim, saved, Array.from(images.labels), batch);
    fooled.set(
      victim.definition.name,
      right.map((each) => 1 - each),
    );
  }
  return { rule, source: name, fooled };
}

/** For each image the share of the other networks that it fools. */
function overVictims({ source, fooled }: Crafted): number[] {
  const victims = [...fooled].filter(([name]) => name !== source).map(([, each]) => each);
  return victims[0]!.map((_, n) => mean(victims.map((each) => each[n]!)));
}

interface Images {
  readonly heldOut: Dataset;
  readonly rest: Dataset;
}

/** Images that all networks get right, a quarter of them held out for choosing a start layer. */
async function splitImages(context: ExperimentContext, models: readonly Model[]): Promise<Images> {
  const wanted = sized(5000, context.scale, 16);
  const found = await rightForAll(models, await cifarImages(context, Math.ceil(1.4 * wanted)), wanted, 32);
  const held = Math.max(1, Math.floor(found.count / 4));
  const rest = Array.from({ length: found.count - held }, (_, i) => held + i);
  return { heldOut: subset(found, held), rest: take(found, rest) };
}

const commonSettings = (images: Images, steps: number): Setting[] => [
  {
    name: 'images',
    ours: `${images.rest.count} of CIFAR-10's test set that all networks get right, ${images.heldOut.count} more held out`,
    official: 'test images of a list of its own',
  },
  {
    name: 'attack',
    ours: 'I-FGSM, cross entropy, last iterate, saved in 8 bits',
    official: 'I-FGSM and others, cross entropy, last iterate, saved in 8 bits',
  },
  { name: 'eps', ours: '8/255 of pixels', official: '0.03 of pixels' },
  { name: 'step size and steps', ours: `1/255, ${steps} for each rule`, official: '1/255, 100' },
];

async function runTransfer(context: ExperimentContext): Promise<ExperimentResult> {
  const models = pretrained(context, ['resnet20', 'resnet32', 'resnet56'], 2);
  const steps = sized(100, context.scale, 10);
  const starts = ['all', 'layer2', 'layer3', '3_0'];
  try {
    const images = await splitImages(context, models);
    const rows: { readonly bp: Crafted; readonly linbp: Crafted; readonly start: string }[] = [];
    const sweep: { readonly source: string; readonly start: string; readonly success: number }[] = [];
    for (const source of models) {
      const name = source.definition.name;
      for (const start of starts) {
        const tried = await craft(context, source, models, `linbp:from=${start}`, images.heldOut, steps);
        sweep.push({ source: name, start, success: mean(overVictims(tried)) });
      }
      const { start } = sweep.filter((each) => each.source === name).reduce((best, each) => (each.success > best.success ? each : best));
      const bp = await craft(context, source, models, 'bp', images.rest, steps);
      const linbp = await craft(context, source, models, `linbp:from=${start}`, images.rest, steps);
      rows.push({ bp, linbp, start });
      context.progress.line(
        `${name}: transfer ${percent(mean(overVictims(bp)))} with BP, ${percent(mean(overVictims(linbp)))} with LinBP from ${start}`,
      );
    }
    const names = models.map(({ definition }) => definition.name);
    const matrix: ResultTable = {
      title: 'Error rate of each victim on the adversarial images',
      columns: ['source', 'rule', ...names, 'mean of the others'],
      rows: rows.flatMap(({ bp, linbp, start }) =>
        [bp, linbp].map((crafted) => [
          ...[crafted.source, crafted === bp ? 'BP' : `LinBP from ${start}`],
          ...names.map((victim) => percent(mean(crafted.fooled.get(victim)!)) + (victim === crafted.source ? ' (white box)' : '')),
          percent(mean(overVictims(crafted))),
        ]),
      ),
    };
    const statements = rows.map(({ bp, linbp, start }): Statement => {
      const gap = pairedBootstrap(overVictims(bp), overVictims(linbp), context.seed);
      return claim(
        `From ${bp.source}, LinBP (from ${start}) transfers better than BP at ${steps} gradients each: ${shownPoints(gap)}.`,
        gap,
        'above',
      );
    });
    return {
      settings: [
        {
          name: 'sources and victims',
          ours: names.join(', '),
          official: 'VGG-19-bn to WRN-28-10, ResNeXt-29, DenseNet-BC-190, PyramidNet-272, GDAS',
        },
        ...commonSettings(images, steps),
        { name: 'linearised from', ours: `the best of ${starts.join(', ')} on the held-out images`, official: 'features.23 of VGG-19' },
      ],
      curves: [],
      tables: [
        matrix,
        {
          title: 'Held-out images: mean error rate of the victims by start of LinBP',
          columns: ['source', ...starts],
          rows: names.map((name) => [name, ...sweep.filter((each) => each.source === name).map((each) => percent(each.success))]),
        },
      ],
      statements,
      figures: { sweep, results: rows.flatMap(({ bp, linbp }) => [bp, linbp].map((each) => ({ ...each, fooled: Object.fromEntries(each.fooled) }))) },
    };
  } finally {
    for (const model of models) model.destroy();
  }
}

/** Compares rules on one source by white-box error and by transfer to the other networks. */
async function compareRules(
  context: ExperimentContext,
  rules: readonly (readonly [name: string, rule: string])[],
  what: Setting,
  curve: string | undefined,
): Promise<ExperimentResult> {
  const models = pretrained(context, ['resnet20', 'resnet32', 'resnet56'], 2);
  const steps = sized(100, context.scale, 10);
  try {
    const [source] = models as [Model];
    const images = await splitImages(context, models);
    const rows: { readonly name: string; readonly crafted: Crafted; readonly white: number; readonly transfer: number[] }[] = [];
    for (const [name, rule] of rules) {
      const crafted = await craft(context, source, models, rule, images.rest, steps);
      const transfer = overVictims(crafted);
      rows.push({ name, crafted, white: mean(crafted.fooled.get(source.definition.name)!), transfer });
      context.progress.line(`${name}: white box ${percent(rows.at(-1)!.white)}, transfer ${percent(mean(transfer))}`);
    }
    const [bp, ...others] = rows as [(typeof rows)[number], ...typeof rows];
    const against = (row: (typeof rows)[number]) => pairedBootstrap(bp.transfer, row.transfer, context.seed);
    const best = others.reduce((most, row) => (mean(row.transfer) > mean(most.transfer) ? row : most));
    const line = (name: string, rule: string, value: (row: (typeof rows)[number]) => number) => ({
      name,
      rule,
      points: others.map((row, i) => [i + 1, value(row)] as const),
    });
    const curves: Curves[] =
      curve === undefined
        ? []
        : [
            {
              title: `Error rate against the start (${curve})`,
              x: { title: 'number of the start, from the input on' },
              y: { title: 'error rate', share: true },
              lines: [line('white box', 'bp', (row) => row.white), line('transfer', 'linbp', (row) => mean(row.transfer))],
            },
          ];
    return {
      settings: [{ name: 'source', ours: source.definition.name, official: '—' }, what, ...commonSettings(images, steps)],
      curves,
      tables: [
        {
          title: `Error rates of images made on ${source.definition.name}`,
          columns: ['rule', 'white box', 'mean of the victims', 'difference to BP [95 %]'],
          rows: rows.map((row) => [row.name, percent(row.white), percent(mean(row.transfer)), row === bp ? '' : shownPoints(against(row))]),
        },
      ],
      statements: [
        {
          verdict: 'note',
          text: `The best of ${others.length} variants by transfer is ${best.name} with ${percent(mean(best.transfer))}; BP has ${percent(mean(bp.transfer))}. It was chosen on the same images.`,
        },
        ...others.map((row) => claim(`${row.name} transfers better than BP: ${shownPoints(against(row))}.`, against(row), 'above')),
      ],
      figures: {
        results: rows.map(({ name, crafted, white, transfer }) => ({
          name,
          rule: crafted.rule,
          white,
          transfer: mean(transfer),
          perImage: transfer,
        })),
      },
    };
  } finally {
    for (const model of models) model.destroy();
  }
}

/** Source by victims over the pretrained ResNets, at equal numbers of gradients. */
export const transferCifar10: Experiment = {
  name: 'transfer-cifar10',
  summary: 'transfer between pretrained CIFAR-10 ResNets, with the start of LinBP chosen on held-out images',
  run: runTransfer,
};

const startBlocks = ['relu', 'layer1.1', 'layer2.0', 'layer2.1', 'layer3.0', 'layer3.1', 'layer3.2'];

/** Where linearisation starts. */
export const position: Experiment = {
  name: 'position',
  summary: 'where LinBP starts: white-box error and transfer for each start on ResNet-20',
  run: (context) =>
    compareRules(
      context,
      [['BP', 'bp'], ...startBlocks.map((start) => [`LinBP from ${start}`, `linbp:from=${start}.relu1`.replace('relu.relu1', 'relu')] as const)],
      { name: 'linearised from', ours: startBlocks.join(', '), official: 'one position per network' },
      startBlocks.join(', '),
    ),
};

/** How the branch gradients are normalised. */
export const normalisation: Experiment = {
  name: 'normalisation',
  summary: "gradient normalisation with LinBP: none, the branch's norm matched to BP's, the activation's norm matched",
  run: (context) =>
    compareRules(
      context,
      [
        ['BP', 'bp'],
        ['LinBP, branches, not normalised', 'linbp:from=2_0'],
        ['LinBP, branch norm of BP', 'linbp:from=2_0,match=block,lambda=1'],
        ['LinBP, half the branch norm of BP', 'linbp:from=2_0,match=block,lambda=0.5'],
        ['LinBP, all, not normalised', 'linbp:from=layer2'],
        ['LinBP, all, activation norm of BP', 'linbp:from=layer2,match=activation,scope=sample'],
      ],
      { name: 'normalisation', ours: 'per image; see the results', official: "branch norm of BP (ImageNet's ResNet-50 only), none elsewhere" },
      undefined,
    ),
};
