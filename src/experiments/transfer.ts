import { subset, take } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { initialState, Model } from '../nn/model.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { adam } from '../train/optimisers.js';
import { Trainer } from '../train/trainer.js';
import { attackWith, cifarImages, pretrained, rightForAll, rightness } from './attackRuns.js';
import { claim, percent, shownPoints } from './format.js';
import { groupedBootstrap, mean, pairedBootstrap } from './statistics.js';
import { imagesText, loadHalves } from './trainingRuns.js';
import { seedsOf, sized } from './types.js';
import type { Curves, Experiment, ExperimentContext, ExperimentResult, ResultTable, Setting, Statement } from './types.js';

const eps = 8 / 255;
const alpha = 1 / 255;

/** A network that is shown images, and by which name. */
interface Victim {
  readonly name: string;
  readonly model: Model;
}

const named = (models: readonly Model[]): Victim[] => models.map((model) => ({ name: model.definition.name, model }));

/** What the images of one rule on one source do: per victim 1 for each image that it gets wrong. */
interface Crafted {
  readonly rule: string;
  readonly source: string;
  readonly fooled: ReadonlyMap<string, readonly number[]>;
}

/** Attacks the source under a rule with a fixed budget of gradients and shows the images, as saved in 8 bits, to all networks. */
async function craft(
  context: ExperimentContext,
  source: Victim,
  victims: readonly Victim[],
  rule: string,
  images: Dataset,
  steps: number,
): Promise<Crafted> {
  const batch = Math.min(32, images.count);
  // The last iterate, as in the transfer papers: the best one would be chosen by the source's own loss.
  const settings = { model: source.model, attack: 'ifgsm', rules: rule, alpha, steps, batch, seed: context.seed, keep: 'last' } as const;
  const [result] = await attackWith(context, settings, images, [eps], `${source.name} ${rule}`);
  const saved = Float32Array.from(result!.images8, (level) => level / 255);
  const fooled = new Map<string, readonly number[]>();
  for (const { name, model } of victims) {
    const right = await rightness(model, saved, Array.from(images.labels), batch);
    fooled.set(
      name,
      right.map((each) => 1 - each),
    );
  }
  return { rule, source: source.name, fooled };
}

/** For each image the share of the networks, the source aside, that it fools. */
function overVictims({ source, fooled }: Crafted, counted: (name: string) => boolean = () => true): number[] {
  const victims = [...fooled].filter(([name]) => name !== source && counted(name)).map(([, each]) => each);
  return victims[0]!.map((_, n) => mean(victims.map((each) => each[n]!)));
}

interface Images {
  readonly heldOut: Dataset;
  readonly rest: Dataset;
}

/** Images that all networks get right, a quarter of them held out for choosing a start layer. */
async function splitImages(context: ExperimentContext, models: readonly Model[]): Promise<Images> {
  const wanted = sized(5000, context.scale ** 2, 12);
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

/** The best start of LinBP on the held-out images, with the success of each. */
async function chooseStart(
  context: ExperimentContext,
  source: Victim,
  victims: readonly Victim[],
  starts: readonly string[],
  heldOut: Dataset,
  steps: number,
): Promise<{ readonly start: string; readonly tried: readonly { readonly start: string; readonly success: number }[] }> {
  const tried: { readonly start: string; readonly success: number }[] = [];
  for (const start of starts) {
    const crafted = await craft(context, source, victims, `linbp:from=${start}`, heldOut, steps);
    tried.push({ start, success: mean(overVictims(crafted)) });
  }
  // Among equals the last one, which changes the gradient least.
  return { start: tried.reduce((best, each) => (each.success >= best.success ? each : best)).start, tried };
}

interface SourceRow {
  readonly bp: Crafted;
  readonly linbp: Crafted;
  readonly start: string;
  readonly tried: readonly { readonly start: string; readonly success: number }[];
}

const pretrainedNames = ['resnet20', 'resnet32', 'resnet56'];
/** Starts of LinBP that are tried. */
const resnetStarts = ['all', 'layer2', 'layer3', '3_0'];
const smallStarts = ['all', 'relu2', 'relu3'];
const small = 'convnetjs-cnn';
const isSmall = (name: string): boolean => name.startsWith(small);

/** Small networks of at least five seeds, trained on CIFAR-10 with BP. The caller destroys them. */
async function trainSmall(context: ExperimentContext): Promise<{ readonly victims: Victim[]; readonly text: string }> {
  const definition = modelDefinition(small);
  const data = await loadHalves(context, 'cifar10', { train: sized(50_000, context.scale, 128), test: sized(10_000, context.scale, 32) });
  const epochs = sized(30, context.scale, 8);
  const victims: Victim[] = [];
  const accuracies: number[] = [];
  try {
    for (const seed of seedsOf({ ...context, seeds: Math.max(5, context.seeds) })) {
      const name = `${small} seed ${seed}`;
      const model = Model.create(definition, { device: context.device });
      victims.push({ name, model });
      model.setStateDict(initialState(definition, seed));
      using trainer = await Trainer.create({ model, dataset: data.train, testDataset: data.test, optimiser: adam({ lr: 0.002 }), batch: 32, seed });
      await trainer.fit({
        epochs,
        signal: context.signal,
        onProgress: ({ step, stepsPerEpoch }) => context.progress.update(name, step / (stepsPerEpoch * epochs)),
      });
      accuracies.push(trainer.history.at(-1)!.testAccuracy!);
    }
  } catch (error) {
    for (const { model } of victims) model.destroy();
    throw error;
  }
  const text = `${small} from ${victims.length} seeds: ${epochs} epochs of ${imagesText(data)}; Adam 0.002, batch 32; test accuracy ${percent(mean(accuracies))}`;
  context.progress.line(text);
  return { victims, text };
}

async function runTransfer(context: ExperimentContext): Promise<ExperimentResult> {
  const models = pretrained(context, pretrainedNames, 2);
  const steps = sized(100, context.scale, 8);
  const own: Victim[] = [];
  try {
    const { victims: trained, text: trainedText } = await trainSmall(context);
    own.push(...trained);
    const resnets = named(models);
    const all = [...resnets, ...trained];
    const images = await splitImages(context, models);
    const rows: SourceRow[] = [];
    for (const source of all) {
      const trainedHere = isSmall(source.name);
      const { start, tried } = await chooseStart(context, source, resnets, trainedHere ? smallStarts : resnetStarts, images.heldOut, steps);
      const bp = await craft(context, source, all, 'bp', images.rest, steps);
      const linbp = await craft(context, source, all, `linbp:from=${start}`, images.rest, steps);
      rows.push({ bp, linbp, start, tried });
      const [one, other] = [bp, linbp].map((crafted) => percent(mean(overVictims(crafted, (name) => !isSmall(name)))));
      context.progress.line(`${source.name}: transfer to the ResNets ${one} with BP, ${other} with LinBP from ${start}`);
    }
    const names = resnets.map(({ name }) => name);
    const toSmall = (crafted: Crafted): string => percent(mean(overVictims(crafted, isSmall)));
    const matrix: ResultTable = {
      title: 'Error rate of each victim on the adversarial images',
      columns: ['source', 'rule', ...names, 'mean of the other ResNets', `${small}, mean of the other seeds`],
      rows: rows.flatMap(({ bp, linbp, start }) =>
        [bp, linbp].map((crafted) => [
          ...[crafted.source, crafted === bp ? 'BP' : `LinBP from ${start}`],
          ...names.map((victim) => percent(mean(crafted.fooled.get(victim)!)) + (victim === crafted.source ? ' (white box)' : '')),
          ...[percent(mean(overVictims(crafted, (name) => !isSmall(name)))), toSmall(crafted)],
        ]),
      ),
    };
    return {
      settings: [
        {
          name: 'sources and victims',
          ours: `${names.join(', ')}, pretrained; ${trainedText}`,
          official: 'VGG-19-bn to WRN-28-10, ResNeXt-29, DenseNet-BC-190, PyramidNet-272, GDAS',
        },
        ...commonSettings(images, steps),
        {
          name: 'linearised from',
          ours: `the best of ${resnetStarts.join(', ')} (${small}: ${smallStarts.join(', ')}) on the held-out images`,
          official: 'features.23 of VGG-19',
        },
      ],
      curves: [],
      tables: [
        matrix,
        {
          title: 'Held-out images: mean error rate of the other ResNets by start of LinBP',
          columns: ['source', 'start', 'error rate'],
          rows: rows.flatMap(({ bp, tried }) => tried.map(({ start, success }) => [bp.source, start, percent(success)])),
        },
      ],
      statements: transferStatements(context, rows, steps),
      figures: {
        starts: rows.map(({ bp, start, tried }) => ({ source: bp.source, start, tried })),
        results: rows.flatMap(({ bp, linbp }) => [bp, linbp].map((each) => ({ ...each, fooled: Object.fromEntries(each.fooled) }))),
      },
    };
  } finally {
    for (const model of models) model.destroy();
    for (const { model } of own) model.destroy();
  }
}

/** Per pretrained source to the other ResNets, and to and from the networks trained here, over seeds and images. */
function transferStatements(context: ExperimentContext, rows: readonly SourceRow[], steps: number): Statement[] {
  const [resnets, trained] = [rows.filter(({ bp }) => !isSmall(bp.source)), rows.filter(({ bp }) => isSmall(bp.source))];
  const budget = `at ${steps} gradients each`;
  const between = resnets.map(({ bp, linbp, start }): Statement => {
    const to = (crafted: Crafted): number[] => overVictims(crafted, (name) => !isSmall(name));
    const gap = pairedBootstrap(to(bp), to(linbp), context.seed);
    return claim(
      `From ${bp.source} to the other ResNets, LinBP (from ${start}) transfers better than BP ${budget}: ${shownPoints(gap)}.`,
      gap,
      'above',
    );
  });
  const down = resnets.map(({ bp, linbp, start }): Statement => {
    // One group a seed; what a victim gets wrong without an attack is the same on both sides.
    const groups = (crafted: Crafted): (readonly number[])[] => [...crafted.fooled].filter(([name]) => isSmall(name)).map(([, each]) => each);
    const gap = groupedBootstrap(groups(bp), groups(linbp), context.seed);
    const what = `From ${bp.source} to ${small} of ${trained.length} seeds, LinBP (from ${start}) transfers better than BP ${budget}`;
    return claim(`${what}: ${shownPoints(gap)}, over seeds and images.`, gap, 'above');
  });
  const to = (pick: (row: SourceRow) => Crafted): number[][] => trained.map((row) => overVictims(pick(row), (name) => !isSmall(name)));
  const gap = groupedBootstrap(
    to(({ bp }) => bp),
    to(({ linbp }) => linbp),
    context.seed,
  );
  const what = `From ${small} of ${trained.length} seeds to the ResNets, LinBP transfers better than BP ${budget}`;
  return [...between, ...down, claim(`${what}: ${shownPoints(gap)}, over seeds and images.`, gap, 'above')];
}

/** Compares rules on one source by white-box error and by transfer to the other networks. */
async function compareRules(
  context: ExperimentContext,
  rules: readonly (readonly [name: string, rule: string])[],
  what: Setting,
  curve: string | undefined,
): Promise<ExperimentResult> {
  const models = pretrained(context, pretrainedNames, 2);
  const steps = sized(100, context.scale, 8);
  try {
    const victims = named(models);
    const source = victims[0]!;
    const images = await splitImages(context, models);
    const rows: { readonly name: string; readonly crafted: Crafted; readonly white: number; readonly transfer: number[] }[] = [];
    for (const [name, rule] of rules) {
      const crafted = await craft(context, source, victims, rule, images.rest, steps);
      const transfer = overVictims(crafted);
      rows.push({ name, crafted, white: mean(crafted.fooled.get(source.name)!), transfer });
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
      settings: [{ name: 'source', ours: source.name, official: '—' }, what, ...commonSettings(images, steps)],
      curves,
      tables: [
        {
          title: `Error rates of images made on ${source.name}`,
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
