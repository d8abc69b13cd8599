import { initialState, Model } from '../nn/model.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { adam } from '../train/optimizers.js';
import { Trainer } from '../train/trainer.js';
import { Cells } from './cells.js';
import {
  chooseStart,
  commonSettings,
  craft,
  finiteModels,
  named,
  overVictims,
  splitImages,
  formsOf,
  transferNetworks,
} from './crafting.js';
import type { Crafted, Victim } from './crafting.js';
import { claim, percent, shownPoints } from './format.js';
import { crossedBootstrap, mean, pairedBootstrap } from './statistics.js';
import { reportTwelve, runTwelve } from './twelveAttacks.js';
import { imagesText, loadHalves } from './trainingRuns.js';
import { seedsOf, sized } from './types.js';
import type { Experiment, ExperimentContext, ExperimentResult, ResultTable, Statement } from './types.js';

interface SourceRow {
  readonly bp: Crafted;
  readonly linbp: Crafted;
  readonly start: string;
  readonly tried: readonly { readonly start: string; readonly success: number }[];
}

const small = 'convnetjs-cnn';
const isSmall = (name: string): boolean => name.startsWith(`${small} seed `);

/** Small networks of at least five seeds, trained on CIFAR-10 with BP. The caller destroys them. */
async function trainSmall(
  context: ExperimentContext,
  cells: Cells,
): Promise<{ readonly victims: Victim[]; readonly text: string }> {
  const definition = modelDefinition(small);
  const data = await loadHalves(context, 'cifar10', {
    train: sized(50_000, context.scale, 128),
    test: sized(10_000, context.scale, 32),
  });
  const epochs = sized(30, context.scale, 4);
  const victims: Victim[] = [];
  const accuracies: number[] = [];
  try {
    for (const seed of seedsOf({ ...context, seeds: Math.max(5, context.seeds) })) {
      const name = `${small} seed ${seed}`;
      const model = Model.create(definition, { device: context.device });
      victims.push({ name, model });
      model.setStateDict(initialState(definition, seed));
      using trainer = await Trainer.create({
        model,
        dataset: data.train,
        testDataset: data.test,
        optimizer: adam({ lr: 0.002 }),
        batch: 32,
        seed,
      });
      const trained = await cells.run(`training ${name}`, () =>
        trainer.fit({
          epochs,
          signal: context.signal,
          onProgress: ({ step, stepsPerEpoch }) => context.progress.update(name, step / (stepsPerEpoch * epochs)),
        }),
      );
      if (trained === undefined) {
        victims.pop();
        model.destroy();
        continue;
      }
      accuracies.push(trainer.history.at(-1)!.testAccuracy!);
    }
  } catch (error) {
    for (const { model } of victims) model.destroy();
    throw error;
  }
  cells.expectSome(Math.max(0, victims.length - 1), `pair of ${small}`);
  const text =
    `${small} from ${victims.length} seeds: ${epochs} epochs of ${imagesText(data)}; Adam 0.002, batch 32; ` +
    `test accuracy ${percent(mean(accuracies))}`;
  context.progress.line(text);
  return { victims, text };
}

/** Everything that was measured. */
interface Findings {
  readonly context: ExperimentContext;
  readonly resnets: readonly Victim[];
  /** How the networks of other seeds were trained. */
  readonly trainedText: string;
  readonly images: Parameters<typeof commonSettings>[0];
  /** Starts of LinBP that were tried, by network. */
  readonly triedStarts: ReadonlyMap<string, readonly string[]>;
  readonly rows: readonly SourceRow[];
  readonly twelve: Parameters<typeof reportTwelve>[0];
  readonly steps: number;
  readonly diverged: Cells['diverged'];
}

/** Error rates by source, rule and victim. */
function matrixOf(resnets: readonly Victim[], rows: readonly SourceRow[]): ResultTable {
  const names = resnets.map(({ name }) => name);
  const toSmall = (crafted: Crafted): string => percent(mean(overVictims(crafted, isSmall)));
  return {
    title: 'Error rate of each victim on the adversarial images',
    columns: ['source', 'rule', ...names, 'mean of the other ResNets', `${small}, mean of the other seeds`],
    rows: rows.flatMap(({ bp, linbp, start }) =>
      [bp, linbp].map((crafted) => [
        ...[crafted.source, crafted === bp ? 'BP' : `LinBP from ${start}`],
        ...names.map(
          (victim) => percent(mean(crafted.fooled.get(victim)!)) + (victim === crafted.source ? ' (white box)' : ''),
        ),
        ...[percent(mean(overVictims(crafted, (name) => !isSmall(name)))), toSmall(crafted)],
      ]),
    ),
  };
}

/** The tables, and what they say. */
function report(found: Findings): ExperimentResult {
  const { context, resnets, trainedText, images, triedStarts, rows, twelve, steps, diverged } = found;
  const twelveReport = reportTwelve(twelve, context.seed);
  const names = resnets.map(({ name }) => name);
  return {
    settings: [
      {
        name: 'sources and victims',
        ours: `${names.join(', ')}, pretrained; ${trainedText}`,
        official: 'VGG-19-bn to WRN-28-10, ResNeXt-29, DenseNet-BC-190, PyramidNet-272, GDAS',
      },
      ...commonSettings(images, steps),
      {
        name: 'linearized from',
        ours:
          'the best on the held-out images of ' +
          `${[...triedStarts].map(([network, starts]) => `${starts.join(', ')} (${network})`).join('; ')}`,
        official: 'features.23 of VGG-19',
      },
      ...twelveReport.settings,
    ],
    curves: [],
    tables: [
      matrixOf(resnets, rows),
      twelveReport.table,
      {
        title: 'Held-out images: mean error rate of the other ResNets by start of LinBP',
        columns: ['source', 'start', 'error rate'],
        rows: rows.flatMap(({ bp, tried }) => tried.map(({ start, success }) => [bp.source, start, percent(success)])),
      },
    ],
    statements: [...transferStatements(context, rows, steps), ...twelveReport.statements],
    figures: {
      diverged,
      starts: rows.map(({ bp, start, tried }) => ({ source: bp.source, start, tried })),
      attacks: twelve.pairs.flatMap(({ bp, linbp }) =>
        [bp, linbp].map((each) => ({ ...each, wrong: Object.fromEntries(each.wrong) })),
      ),
      results: rows.flatMap(({ bp, linbp }) =>
        [bp, linbp].map((each) => ({ ...each, fooled: Object.fromEntries(each.fooled) })),
      ),
    },
  };
}

async function runTransfer(context: ExperimentContext): Promise<ExperimentResult> {
  const models = await transferNetworks(context);
  const cells = new Cells(context);
  const steps = sized(100, context.scale, 8);
  const own: Victim[] = [];
  try {
    const { victims: trained, text: trainedText } = await trainSmall(context, cells);
    own.push(...trained);
    const sound = await finiteModels(cells, models);
    const resnets = named(sound);
    const all = [...resnets, ...trained];
    const images = await splitImages(context, sound);
    const triedStarts = new Map(all.map(({ model: { definition } }) => [definition.name, formsOf(definition)]));
    const rows: SourceRow[] = [];
    const attackFrom = async (source: Victim): Promise<void> => {
      const { start, tried } = await chooseStart(
        context,
        source,
        resnets,
        formsOf(source.model.definition),
        images.heldOut,
        steps,
        cells,
      );
      const bp = await craft(context, source, all, 'bp', images.rest, steps);
      const linbp = await craft(context, source, all, `linbp:from=${start}`, images.rest, steps);
      rows.push({ bp, linbp, start, tried });
      const [one, other] = [bp, linbp].map((crafted) => percent(mean(overVictims(crafted, (name) => !isSmall(name)))));
      context.progress.line(
        `${source.name}: transfer to the ResNets ${one} with BP, ${other} with LinBP from ${start}`,
      );
    };
    const kept = await cells.finite(all, ({ name }) => `source ${name}`, attackFrom);
    cells.expectSome(rows.length, 'source');
    const twelve = await runTwelve(
      context,
      resnets.slice(0, 2).filter((source) => kept.includes(source)),
      all,
      new Map(rows.map(({ bp, start }) => [bp.source, start])),
      images.rest,
      cells,
    );
    return report({
      context,
      resnets,
      trainedText,
      images,
      triedStarts,
      rows,
      twelve,
      steps,
      diverged: cells.diverged,
    });
  } finally {
    for (const model of models) model.destroy();
    for (const { model } of own) model.destroy();
  }
}

/** Per pretrained source to the other ResNets, and to and from the networks trained here, over seeds and images. */
function transferStatements(context: ExperimentContext, rows: readonly SourceRow[], steps: number): Statement[] {
  const [resnets, trained] = [
    rows.filter(({ bp }) => !isSmall(bp.source)),
    rows.filter(({ bp }) => isSmall(bp.source)),
  ];
  const budget = `at ${steps} gradients each`;
  const between = resnets.map(({ bp, linbp, start }): Statement => {
    const to = (crafted: Crafted): number[] => overVictims(crafted, (name) => !isSmall(name));
    const gap = pairedBootstrap(to(bp), to(linbp), context.seed);
    return claim(
      `From ${bp.source} to the other ResNets, LinBP (from ` +
        `${start}) transfers better than BP ${budget}: ${shownPoints(gap)}.`,
      gap,
      'above',
    );
  });
  const down = resnets.map(({ bp, linbp, start }): Statement => {
    // One group a seed; what a victim gets wrong without an attack is the same on both sides.
    const groups = (crafted: Crafted): (readonly number[])[] =>
      [...crafted.fooled].filter(([name]) => isSmall(name)).map(([, each]) => each);
    const gap = crossedBootstrap(groups(bp), groups(linbp), context.seed);
    const what =
      `From ${bp.source} to ${small} of ${trained.length} ` +
      `seeds, LinBP (from ${start}) transfers better than BP ${budget}`;
    return claim(`${what}: ${shownPoints(gap)}, over seeds and images.`, gap, 'above');
  });
  const to = (pick: (row: SourceRow) => Crafted): number[][] =>
    trained.map((row) => overVictims(pick(row), (name) => !isSmall(name)));
  const gap = crossedBootstrap(
    to(({ bp }) => bp),
    to(({ linbp }) => linbp),
    context.seed,
  );
  const what = `From ${small} of ${trained.length} seeds to the ResNets, LinBP transfers better than BP ${budget}`;
  return [...between, ...down, claim(`${what}: ${shownPoints(gap)}, over seeds and images.`, gap, 'above')];
}

/** Source by victims over the pretrained ResNets, at equal numbers of gradients. */
export const transferCifar10: Experiment = {
  name: 'transfer-cifar10',
  summary: 'transfer of twelve attacks at equal budgets between CIFAR-10 ResNets, with and without LinBP',
  takes: ['seeds'],
  networks: 'resnet20, resnet32, resnet56',
  run: runTransfer,
};
