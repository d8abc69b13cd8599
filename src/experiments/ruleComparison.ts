import { Cells } from './cells.js';
import { check } from '../errors.js';
import { positionTable } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import {
  commonSettings,
  finiteModels,
  craft,
  named,
  overVictims,
  splitImages,
  stagesOf,
  transferNetworks,
} from './crafting.js';
import type { Crafted } from './crafting.js';
import { claim, percent, shownPoints } from './format.js';
import { mean, pairedBootstrap } from './statistics.js';
import { sized } from './types.js';
import type { CurveLine, Curves, Experiment, ExperimentContext, ExperimentResult, Setting } from './types.js';

/** A rule and what the report calls it. */
type NamedRule = readonly [name: string, rule: string];

/** One rule: its images, and what they do to the source and, in the mean over the victims, to each image. */
interface ComparedRow {
  readonly name: string;
  readonly crafted: Crafted;
  readonly white: number;
  readonly transfer: number[];
}

/** Error rates against the start of the linear part, beside BP's. */
function startCurves(bp: ComparedRow, others: readonly ComparedRow[], starts: readonly string[] | undefined): Curves[] {
  const line = (name: string, rule: string, value: (row: ComparedRow) => number): CurveLine[] => {
    const points = (level?: number): (readonly [number, number])[] =>
      others.map((row, i) => [i + 1, level ?? value(row)] as const);
    return [
      { name: `LinBP, ${name}`, rule, points: points() },
      { name: `BP, ${name}`, rule: `${rule} of BP`, points: points(value(bp)), dashed: true },
    ];
  };
  if (starts === undefined) return [];
  return [
    {
      title: 'Error rate against the start',
      x: { title: 'LinBP starts at', names: starts },
      y: { title: 'error rate', share: true },
      lines: [
        ...line('white box', 'white box', (row) => row.white),
        ...line('transfer', 'transfer', (row) => mean(row.transfer)),
      ],
    },
  ];
}

/** The report of the rows, the first of which is BP. */
function comparisonOf(
  context: Pick<ExperimentContext, 'seed'>,
  source: string,
  rows: readonly [ComparedRow, ...ComparedRow[]],
  starts: readonly string[] | undefined,
): Omit<ExperimentResult, 'settings'> {
  const [bp, ...others] = rows;
  const against = (row: ComparedRow) => pairedBootstrap(bp.transfer, row.transfer, context.seed);
  const best = others.reduce((most, row) => (mean(row.transfer) > mean(most.transfer) ? row : most));
  return {
    curves: startCurves(bp, others, starts),
    tables: [
      {
        title: `Error rates of images made on ${source}`,
        columns: ['rule', 'white box', 'mean of the victims', 'difference to BP [95 %]'],
        rows: rows.map((row) => [
          row.name,
          percent(row.white),
          percent(mean(row.transfer)),
          row === bp ? '' : shownPoints(against(row)),
        ]),
      },
    ],
    statements: [
      {
        verdict: 'note',
        text:
          `The best of ${others.length} variants by transfer is ${best.name} with ` +
          `${percent(mean(best.transfer))}; BP has ${percent(mean(bp.transfer))}. It was chosen on the same images.`,
      },
      ...others.map((row) =>
        claim(`${row.name} transfers better than BP: ${shownPoints(against(row))}.`, against(row), 'above'),
      ),
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
}

/** Compares rules on one source by white-box error and by transfer to the other networks. */
async function compareRules(
  context: ExperimentContext,
  compared: (source: ModelDefinition) => {
    readonly rules: readonly NamedRule[];
    readonly what: Setting;
    readonly starts?: readonly string[];
  },
): Promise<ExperimentResult> {
  const models = await transferNetworks(context);
  const steps = sized(100, context.scale, 8);
  const cells = new Cells(context);
  try {
    const sound = await finiteModels(cells, models);
    const victims = named(sound);
    const source = victims[0]!;
    const { rules, what, starts } = compared(source.model.definition);
    const images = await splitImages(context, sound);
    const rows: ComparedRow[] = [];
    const compare = async ([name, rule]: NamedRule): Promise<void> => {
      const crafted = await craft(context, source, victims, rule, images.rest, steps);
      const transfer = overVictims(crafted);
      rows.push({ name, crafted, white: mean(crafted.fooled.get(source.name)!), transfer });
      context.progress.line(`${name}: white box ${percent(rows.at(-1)!.white)}, transfer ${percent(mean(transfer))}`);
    };
    const [bp, ...others] = rules;
    await compare(bp!);
    const kept = await cells.finite(others, ([name]) => name, compare);
    cells.expectSome(kept.length, 'variant');
    const keptStarts = starts?.filter((_, index) => kept.includes(others[index]!));
    const result = comparisonOf(context, source.name, rows as [ComparedRow, ...ComparedRow[]], keptStarts);
    return {
      ...result,
      figures: { ...result.figures, diverged: cells.diverged },
      settings: [{ name: 'source', ours: source.name, official: '—' }, what, ...commonSettings(images, steps)],
    };
  } finally {
    for (const model of models) model.destroy();
  }
}

/** The stem, and the first ReLU of every later block; or every ReLU of a network without blocks. */
function startPlaces(definition: ModelDefinition): string[] {
  const { positions } = positionTable(definition);
  const starts = positions.filter(
    ({ stage, block }, i) => i === 0 || stage !== positions[i - 1]!.stage || block !== positions[i - 1]!.block,
  );
  // That of the first block differs from the stem by one ReLU.
  return (stagesOf(definition).length === 0 ? positions : [starts[0]!, ...starts.slice(2)]).map(({ name }) => name);
}

/** Where linearization starts. */
export const position: Experiment = {
  name: 'position',
  summary: 'where LinBP starts: white-box error and transfer for each start on ResNet-20',
  networks: 'resnet20 as the source, resnet32, resnet56',
  run: (context) =>
    compareRules(context, (source) => {
      const starts = startPlaces(source);
      return {
        rules: [['BP', 'bp'], ...starts.map((start): NamedRule => [`LinBP from ${start}`, `linbp:from=${start}`])],
        what: { name: 'linearized from', ours: starts.join(', '), official: 'one position per network' },
        starts,
      };
    }),
};

/** How the branch gradients are normalized. */
export const normalization: Experiment = {
  name: 'normalization',
  summary: "gradient normalization with LinBP: none, the branch's norm matched to BP's, the activation's norm matched",
  networks: 'resnet20 as the source, resnet32, resnet56',
  run: (context) =>
    compareRules(context, (source) => {
      const stage = stagesOf(source)[1];
      check(
        stage !== undefined,
        'bad-argument',
        `normalization needs a network with residual stages; ${source.name} has none`,
        'networks',
      );
      return {
        rules: [
          ['BP', 'bp'],
          ['LinBP, branches, not normalized', 'linbp:from=2_0'],
          ['LinBP, branch norm of BP', 'linbp:from=2_0,match=block,lambda=1'],
          ['LinBP, half the branch norm of BP', 'linbp:from=2_0,match=block,lambda=0.5'],
          ['LinBP, all, not normalized', `linbp:from=${stage}`],
          ['LinBP, all, activation norm of BP', `linbp:from=${stage},match=activation,scope=sample`],
        ],
        what: {
          name: 'normalization',
          ours: 'per image; see the results',
          official: "branch norm of BP (ImageNet's ResNet-50 only), none elsewhere",
        },
      };
    }),
};
