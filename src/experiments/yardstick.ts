import { batchPixels, subset } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import type { Model } from '../nn/model.js';
import { attackWith, cifarImages, pretrained, rightness } from './attackRuns.js';
import { Cells } from './cells.js';
import { claim, percent, shownPoints } from './format.js';
import { mean, pairedBootstrap } from './statistics.js';
import { sized } from './types.js';
import type { Experiment, ExperimentContext, ExperimentResult, ResultTable, Statement } from './types.js';

const eps = 8 / 255;

/**
 * Accuracies on the first 500 exact test images under BP, measured with PyTorch from the same weights (float images,
 * no random start). Its float32 loss gradient p - 1 at the label is 0 for confident images, which `ce-rounded`
 * reproduces; FGSM shows the difference.
 */
const measured = {
  clean: { source: 0.91, victim: 0.94 },
  fgsm: { source: 0.14, victim: 0.37 },
  tenSteps: { source: 0, victim: 0.124 },
} as const;

/**
 * Rules of the table: LinBP from each stage, the form that keeps the true length of each branch's gradient, and BPA.
 */
const variants: readonly (readonly [name: string, rule: string])[] = [
  ['LinBP from layer1', 'linbp:from=layer1'],
  ['LinBP from layer2', 'linbp:from=layer2'],
  ['LinBP from layer3', 'linbp:from=layer3'],
  ['LinBP block-matched from layer1', 'linbp:from=1_0,match=block'],
  ['LinBP block-matched from layer2', 'linbp:from=2_0,match=block'],
  ['LinBP block-matched from layer3', 'linbp:from=3_0,match=block'],
  ['BPA from layer2', 'bpa:from=layer2'],
];

interface Column {
  readonly title: string;
  readonly images: Dataset;
  readonly attack: 'fgsm' | 'ifgsm';
  readonly steps: number;
}

/** Right (1) or wrong (0) of each adversarial image, on the network it was made with and on the other one. */
interface Cell {
  readonly source: readonly number[];
  readonly victim: readonly number[];
}

async function judge(
  images: Float32Array,
  labels: ArrayLike<number>,
  source: Model,
  victim: Model,
  batch: number,
): Promise<Cell> {
  return {
    source: await rightness(source, images, labels, batch),
    victim: await rightness(victim, images, labels, batch),
  };
}

async function cell(
  context: ExperimentContext,
  column: Column,
  rule: string,
  source: Model,
  victim: Model,
  loss: 'ce' | 'ce-rounded',
): Promise<Cell> {
  const { images, attack, steps, title } = column;
  const batch = Math.min(50, images.count);
  const alpha = attack === 'fgsm' ? eps : 1 / 255;
  const settings = {
    model: source,
    attack,
    loss,
    rules: rule,
    alpha,
    steps,
    batch,
    seed: context.seed,
    keep: 'last',
  } as const;
  const [result] = await attackWith(context, settings, images, [eps], `${rule}, ${title}`);
  return judge(result!.images, Array.from(images.labels), source, victim, batch);
}

const shown = ({ source, victim }: Cell): string[] => [percent(mean(source)), percent(mean(victim))];

const orGaps = (cell: Cell | undefined): string[] => (cell === undefined ? ['', ''] : shown(cell));

/** Whether a figure is within a point of what was measured; said only for the same 500 images. */
function beside(
  what: string,
  found: Cell,
  expected: { readonly source: number; readonly victim: number },
  comparable: boolean,
): Statement {
  const gap = Math.max(Math.abs(mean(found.source) - expected.source), Math.abs(mean(found.victim) - expected.victim));
  const [source, victim] = shown(found);
  return {
    verdict: !comparable ? 'note' : gap <= 0.01 + 1e-9 ? 'holds' : 'fails',
    text:
      `${what}: ResNet-20 ${source}, ResNet-56 ${victim}; PyTorch's figures on 500 images are ` +
      `${percent(expected.source)} and ${percent(expected.victim)}.`,
  };
}

/**
 * What one column says about the rules: the best start of plain LinBP, the best rule, and where there is no gain over
 * BP.
 */
function conclusions(title: string, bp: Cell, rows: readonly (readonly [string, Cell])[], seed: number): Statement[] {
  const wrong = ({ victim }: Cell): number[] => victim.map((right) => 1 - right);
  const gap = (each: Cell) => pairedBootstrap(wrong(bp), wrong(each), seed);
  const best = (some: typeof rows) =>
    some.reduce((most, row) => (mean(row[1].victim) < mean(most[1].victim) ? row : most));
  const plain = best(rows.filter(([name]) => /^LinBP from/.test(name)));
  const useless = rows.filter(([, each]) => gap(each).low <= 0);
  const harmful = rows.filter(([, each]) => gap(each).high < 0);
  const names = (some: typeof rows): string => some.map(([name]) => name).join(', ') || 'none';
  return [
    claim(
      `${title}: the start that transfers best is that of "${plain[0]}"; against BP ` +
        `${shownPoints(gap(plain[1]))} of ResNet-56's error.`,
      gap(plain[1]),
      'above',
    ),
    {
      verdict: 'note',
      text:
        `${title}: of all rules ${best(rows)[0]} transfers best, ResNet-56 keeps ` +
        `${percent(mean(best(rows)[1].victim))} (BP ${percent(mean(bp.victim))}).`,
    },
    {
      verdict: 'note',
      text:
        `${title}: no gain over BP that these images could show: ` +
        `${names(useless)}. Certainly worse than BP: ${names(harmful)}.`,
    },
  ];
}

/** The columns at a scale: at most 500 images (or as many as asked for) at 1 and 10 steps, a fifth of them at 100. */
async function columnsOf(context: ExperimentContext): Promise<Column[]> {
  const wanted = context.images ?? sized(500, context.scale, 12);
  const images = await cifarImages(context, wanted);
  const few = subset(images, Math.max(1, Math.round(images.count / 5)));
  const many = sized(100, context.scale, 12);
  return [
    { title: `FGSM, ${images.count} images`, images, attack: 'fgsm', steps: 1 },
    { title: `10 steps, ${images.count} images`, images, attack: 'ifgsm', steps: 10 },
    { title: `${many} steps, ${few.count} images`, images: few, attack: 'ifgsm', steps: many },
  ];
}

/** A rule's cells at ten steps and at many. */
interface Row {
  readonly name: string;
  readonly rule: string;
  readonly ten: Cell;
  readonly many: Cell;
}

/** Everything that was measured. */
interface Findings {
  readonly columns: readonly Column[];
  readonly all: Dataset;
  readonly clean: Cell;
  /** BP with the loss gradient rounded as in the measurement. */
  readonly rounded: { readonly fgsm: Cell | undefined; readonly ten: Cell | undefined };
  readonly bp: { readonly fgsm: Cell; readonly ten: Cell };
  readonly bpMany: Cell;
  readonly rows: readonly Row[];
  readonly seed: number;
  readonly diverged: Cells['diverged'];
}

/** The table, and what it says beside PyTorch's figures. */
function report({ columns, all, clean, rounded, bp, bpMany, rows, seed, diverged }: Findings): ExperimentResult {
  const table: ResultTable = {
    title: 'Accuracy on images made on ResNet-20 at 8/255 (cross entropy, no random start, last iterate)',
    columns: ['rule', ...columns.flatMap(({ title }) => [`ResNet-20: ${title}`, `ResNet-56: ${title}`])],
    rows: [
      ['clean', ...shown(clean), ...shown(clean), '', ''],
      ['BP, loss gradient rounded as in the measurement', ...orGaps(rounded.fgsm), ...orGaps(rounded.ten), '', ''],
      ['BP', ...shown(bp.fgsm), ...shown(bp.ten), ...shown(bpMany)],
      ...rows.map((row) => [row.name, '', '', ...shown(row.ten), ...shown(row.many)]),
    ],
  };
  const comparable = all.count === 500;
  return {
    settings: [
      {
        name: 'images',
        ours: `the first ${all.count} exact test images of CIFAR-10, right or wrong`,
        official: '—',
      },
      { name: 'step size', ours: 'FGSM 8/255, otherwise 1/255', official: '1/255' },
    ],
    curves: [],
    tables: [table],
    statements: [
      beside('Clean accuracy', clean, measured.clean, comparable),
      ...(rounded.fgsm === undefined
        ? []
        : [beside('FGSM with the loss gradient rounded', rounded.fgsm, measured.fgsm, comparable)]),
      ...(rounded.ten === undefined
        ? []
        : [beside('10 steps with the loss gradient rounded', rounded.ten, measured.tenSteps, comparable)]),
      {
        verdict: 'note',
        text:
          'With the accurate gradient, which is not 0 at the label of ' +
          'confident images, the same attacks are stronger: FGSM leaves ' +
          `${shown(bp.fgsm).join(' and ')}, 10 steps ${shown(bp.ten).join(' and ')}.`,
      },
      ...conclusions(
        columns[1]!.title,
        bp.ten,
        rows.map((row) => [row.name, row.ten] as const),
        seed,
      ),
      ...conclusions(
        columns[2]!.title,
        bpMany,
        rows.map((row) => [row.name, row.many] as const),
        seed,
      ),
    ],
    figures: { clean, rounded, bp: { ...bp, many: bpMany }, rows, diverged },
  };
}

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const models = await pretrained(context, ['resnet20', 'resnet56'], 2);
  const [source, victim] = models as [Model, Model];
  try {
    const columns = await columnsOf(context);
    const [fgsm, ten, many] = columns as [Column, Column, Column];
    const all = ten.images;
    const clean = await judge(pixels(all), Array.from(all.labels), source, victim, Math.min(50, all.count));
    const filled = async (
      column: Column,
      name: string,
      rule: string,
      loss: 'ce' | 'ce-rounded' = 'ce',
    ): Promise<Cell> => {
      const found = await cell(context, column, rule, source, victim, loss);
      context.progress.line(
        `${column.title}, ${name}: ResNet-20 keeps ` +
          `${percent(mean(found.source))}, ResNet-56 ${percent(mean(found.victim))}`,
      );
      return found;
    };
    const cells = new Cells(context);
    const roundedAt = (column: Column): Promise<Cell | undefined> => {
      const name = 'BP with a rounded loss gradient';
      return cells.run(`${column.title}, ${name}`, () => filled(column, name, 'bp', 'ce-rounded'));
    };
    const rounded = { fgsm: await roundedAt(fgsm), ten: await roundedAt(ten) };
    const bp = { fgsm: await filled(fgsm, 'BP', 'bp'), ten: await filled(ten, 'BP', 'bp') };
    const tens: (Cell | undefined)[] = [];
    for (const [name, rule] of variants)
      tens.push(await cells.run(`${ten.title}, ${name}`, () => filled(ten, name, rule)));
    const bpMany = await filled(many, 'BP', 'bp');
    const rows: Row[] = [];
    for (const [index, [name, rule]] of variants.entries()) {
      const first = tens[index];
      if (first === undefined) continue;
      const last = await cells.run(`${many.title}, ${name}`, () => filled(many, name, rule));
      if (last !== undefined) rows.push({ name, rule, ten: first, many: last });
    }
    cells.expectSome(rows.filter(({ name }) => /^LinBP from/.test(name)).length, 'start of LinBP');
    return report({ columns, all, clean, rounded, bp, bpMany, rows, seed: context.seed, diverged: cells.diverged });
  } finally {
    for (const model of models) model.destroy();
  }
}

/** The first images of a data set as pixels in [0, 1]. */
const pixels = (dataset: Dataset): Float32Array =>
  batchPixels(
    dataset,
    Array.from({ length: dataset.count }, (_, i) => i),
  );

/** The accuracies that the pretrained networks are known to keep, and the same table for every form of LinBP. */
export const yardstick: Experiment = {
  name: 'yardstick',
  summary:
    'FGSM and I-FGSM on ResNet-20 and on to ResNet-56 beside ' +
    'figures measured with PyTorch, and the same table for LinBP and BPA',
  takes: ['images'],
  run,
};
