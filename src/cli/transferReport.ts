import type { AttackFlag } from '../attacks/alarms.js';
import { withoutFigures } from '../experiments/cells.js';
import type { DivergedCell } from '../experiments/cells.js';
import { claim, percent, shownPoints } from '../experiments/format.js';
import { fooledShare, transferGap, transferred } from '../experiments/transferMatrix.js';
import type { CleanRight, MatrixRow, StartSweep } from '../experiments/transferMatrix.js';
import type { Statement } from '../experiments/types.js';
import { plainTable } from '../profile/textTable.js';
import { machineFacts } from '../report/machine.js';
import { facts, htmlTable, page, pageFooter, paragraph, verdictList } from '../report/page.js';
import type { Section } from '../report/page.js';
import type { AdapterInfo } from '../runtime/adapter.js';
import { packageVersion } from '../version.js';
import { settingFacts } from './settingFacts.js';

/** Everything that a matrix found. */
export interface Matrix {
  readonly rows: readonly MatrixRow[];
  readonly sweeps: readonly StartSweep[];
  /** What has no figures, because something was not finite. */
  readonly diverged: readonly DivergedCell[];
  readonly clean: CleanRight;
  readonly seed: number;
  readonly count: number;
  readonly heldOut: number;
  readonly resized: readonly {
    readonly model: string;
    readonly from: readonly number[];
    readonly to: readonly number[];
  }[];
  readonly cleanErrors: readonly {
    readonly model: string;
    readonly error: number;
    readonly low: number;
    readonly high: number;
  }[];
}

/** One source, attack, rule and victim. */
export interface MatrixCell {
  readonly source: string;
  readonly attack: string;
  readonly rule: string;
  readonly victim: string;
  readonly whiteBox: boolean;
  readonly steps: number;
  readonly alpha: number;
  readonly gradients: number;
  readonly seeds: number;
  /** Of the images that the victim gets right clean; null where there are none. */
  readonly success: number | null;
  readonly low: number | null;
  readonly high: number | null;
  /** Of all images, those wrong clean among them. */
  readonly error: number;
}

const meanOf = (groups: readonly (readonly number[])[]): number => {
  const all = groups.flat();
  return all.reduce((sum, each) => sum + each, 0) / all.length;
};

function cellsOf({ rows, clean, seed }: Matrix): MatrixCell[] {
  return rows.flatMap((row) =>
    [...row.wrong].map(([victim, wrong]): MatrixCell => {
      const found = fooledShare(row, clean, victim, seed);
      const { source, attack, rule, steps, alpha, gradients } = row;
      return {
        ...{ source, attack, rule, victim, whiteBox: victim === source, steps, alpha, gradients, seeds: wrong.length },
        ...{ success: found?.mean ?? null, low: found?.low ?? null, high: found?.high ?? null },
        error: meanOf(wrong),
      };
    }),
  );
}

/** Each rule against the first one, attack by attack: the mean over the victims besides the source. */
function comparisonsOf({ rows, clean, seed }: Matrix) {
  return rows.flatMap((row) => {
    const base = rows.find((each) => each.source === row.source && each.attack === row.attack)!;
    const gap = base === row ? undefined : transferGap(base, row, clean, seed);
    if (gap === undefined) return [];
    const { source, attack, rule } = row;
    const what = `From ${source}, ${attack} under ${rule} transfers better than under ${base.rule}`;
    const statement = claim(`${what}: ${shownPoints(gap)} at ${row.gradients} gradients.`, gap, 'above');
    return [
      { source, attack, rule, baseline: base.rule, difference: gap.mean, low: gap.low, high: gap.high, ...statement },
    ];
  });
}

/** Images of another network that do more than those made on the victim itself. */
function matrixFlags(cells: readonly MatrixCell[]): AttackFlag[] {
  return cells.flatMap((cell): AttackFlag[] => {
    if (!cell.whiteBox || cell.rule !== 'bp' || cell.success === null) return [];
    const better = cells.filter(
      ({ victim, source, success }) =>
        victim === cell.victim && source !== victim && success !== null && success > cell.success! + 0.02,
    );
    const [worst] = better.sort((a, b) => b.success! - a.success!);
    if (worst === undefined) return [];
    const message =
      `images made on ${worst.source} (${worst.attack}, ${worst.rule}) fool ` +
      `${percent(worst.success!)} on ${cell.victim}, those made on itself with ${cell.attack} ` +
      `${percent(cell.success)}: its gradients are probably masked`;
    return [{ name: 'gradient-masking', message }];
  });
}

const csvCell = (value: unknown): string => {
  const text = value === null || value === undefined ? '' : String(value as string | number);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** The fields of `--json` and of `report.json`, and the cells as comma-separated values. */
export function matrixFields(matrix: Matrix) {
  const { count, heldOut, resized, cleanErrors, sweeps } = matrix;
  const cells = cellsOf(matrix);
  const names = Object.keys(cells[0]!) as (keyof MatrixCell)[];
  const lines = cells.map((cell) => names.map((name) => csvCell(cell[name])).join(','));
  const means = matrix.rows.map((row) => {
    const { source, attack, rule, gradients, steps, alpha, random } = row;
    return { source, attack, rule, gradients, steps, alpha, random, transfer: transferred(row, matrix.clean) ?? null };
  });
  return {
    ...{ count, heldOut, resized, cleanErrors, starts: sweeps, cells, means, diverged: matrix.diverged },
    comparisons: comparisonsOf(matrix),
    flags: matrixFlags(cells),
    csv: `${[names.join(','), ...lines].join('\n')}\n`,
  };
}

type Fields = ReturnType<typeof matrixFields>;

const shown = ({ success, low, high, whiteBox }: MatrixCell): string =>
  success === null
    ? 'none right'
    : `${(100 * success).toFixed(1)} [${(100 * low!).toFixed(0)}, ${(100 * high!).toFixed(0)}]${whiteBox ? '*' : ''}`;

/** Rows of the matrix as text: one for each source, attack and rule, one column a victim. */
function textRows({ rows, clean }: Matrix, { cells }: Fields): { readonly head: string[]; readonly body: string[][] } {
  const victims = [...clean.keys()];
  const body = rows.map(({ source, attack, rule, gradients }) => [
    ...[source, attack, rule, String(gradients)],
    ...victims.map((victim) => {
      const own = (cell: MatrixCell): boolean => cell.source === source && cell.attack === attack && cell.rule === rule;
      return shown(cells.find((cell) => own(cell) && cell.victim === victim)!);
    }),
  ]);
  return { head: ['source', 'attack', 'rule', 'gradients', ...victims], body };
}

const sizeText = (size: readonly number[]): string => size.join(' x ');

/** What the terminal shows. */
export function matrixLines(matrix: Matrix, fields: Fields, width: number): string[] {
  const { head, body } = textRows(matrix, fields);
  return [
    `${matrix.count} images; wrong after the attack, of those right before, in % with 95 % interval; * white box`,
    ...plainTable([head, ...body], { width, left: head.map((_, at) => at), drop: [3] }),
    ...matrix.cleanErrors.map(
      ({ model, error, low, high }) => `clean error of ${model} ${percent(error)} [${percent(low)}, ${percent(high)}]`,
    ),
    ...matrix.resized.map(
      ({ model, from, to }) => `${model} sees images resized from ${sizeText(from)} to ${sizeText(to)}`,
    ),
    ...matrix.sweeps.flatMap(sweepLines),
    ...matrixSentences(matrix, fields),
    ...fields.flags.map(({ message }) => `warning: ${message}`),
  ];
}

/** A sweep as bars. */
function sweepLines({ source, attack, rule, start, tried }: StartSweep): string[] {
  const width = Math.max(...tried.map((each) => each.start.length));
  return [
    `start of ${rule} on ${source}, by ${attack} on the held-out images: ${start}`,
    ...tried.map((each) => {
      const bar = '#'.repeat(Math.round(30 * each.success));
      return (
        `  ${each.start.padEnd(width)}  ` +
        `${percent(each.success).padStart(7)}  ${bar}${each.start === start ? ' <' : ''}`
      );
    }),
  ];
}

const verdictWords: Readonly<Record<Statement['verdict'], string>> = {
  holds: 'holds',
  fails: 'does not hold',
  open: 'open',
  note: 'note',
};

/** What was found, in sentences: the best row of each source, then how the rules compare. */
export function matrixSentences({ rows, clean, diverged }: Matrix, { comparisons }: Fields): string[] {
  const best = [...new Set(rows.map(({ source }) => source))].flatMap((source) => {
    const tried = rows
      .filter((row) => row.source === source)
      .map((row) => ({ row, share: transferred(row, clean) }))
      .filter((each): each is typeof each & { share: number } => each.share !== undefined)
      .sort((a, b) => b.share - a.share);
    const [first] = tried;
    if (first === undefined) return [];
    const { attack, rule, gradients } = first.row;
    const others = [...clean.keys()].filter((name) => name !== source).length;
    const where = others === 1 ? 'the other network' : `${others} other networks`;
    if (first.share === 0) {
      const tries = tried.length === 1 ? `${attack} under ${rule}` : `any of the ${tried.length} rows`;
      return [`No image made on ${source} by ${tries} turns a right answer of ${where} wrong: nothing transfers.`];
    }
    const second = tried[1]?.share;
    const most = second === undefined ? '' : second < first.share ? ', the most here' : ', and no other row does more';
    return [
      `Images made on ${source} by ${attack} under ${rule} (${gradients} gradients each) turn ` +
        `${percent(first.share)} of right answers of ${where} wrong${most}.`,
    ];
  });
  const compared = comparisons.map(({ verdict, text }) => `${verdictWords[verdict]}: ${text}`);
  const without = diverged.map(({ cell, cause }) => withoutFigures(cell, cause));
  return best.length + compared.length > 0
    ? [...best, ...compared, ...without]
    : ['No network but the sources themselves was attacked.', ...without];
}

/** The matrix as colored cells; undefined where a victim has no image right. */
async function matrixPicture({ rows, clean }: Matrix, { cells }: Fields): Promise<string | undefined> {
  const victims = [...clean.keys()];
  const values = rows.map((row) =>
    victims.map((victim) => {
      const own = cells.find(
        (cell) =>
          cell.source === row.source && cell.attack === row.attack && cell.rule === row.rule && cell.victim === victim,
      );
      return own?.success ?? NaN;
    }),
  );
  if (values.flat().some(Number.isNaN)) return undefined;
  const { figures, heatMap } = await import('../report/index.js');
  const figure = heatMap({
    title: 'transfer',
    columns: victims,
    rows: rows.map(({ source, attack, rule }) => `${source}, ${attack}\n${rule}`),
    columnTitle: 'attacked network',
    ...{ values, min: 0, max: 1, label: (share: number) => `${Math.round(100 * share)} %` },
  });
  return figures([
    {
      figure,
      caption:
        'Right answers that images turn wrong: rows say on which network, by which attack and rule they are made',
    },
  ]);
}

/** How success depends on where LinBP starts, on the images held out for it. */
async function startSection(sweeps: readonly StartSweep[]): Promise<Section> {
  const { figures, lineChart, palette, percentAxis } = await import('../report/index.js');
  const charts = sweeps.map(({ source, attack, rule, start, tried }) => {
    const points = tried.map(({ success }, n) => [n + 1, success] as const);
    const lines = [{ name: attack, color: palette.linbp, points }];
    const x = { title: 'LinBP starts at', names: tried.map((each) => each.start) };
    const figure = lineChart({ title: source, x, y: percentAxis('success on other networks'), lines });
    return { figure, caption: `${source}, ${rule}: ${start} is best on the held-out images.` };
  });
  return { title: 'Start of LinBP', body: figures(charts) };
}

/**
 * `report.html`.
 *
 * @param frame where it was computed, and the settings
 */
export async function matrixPage(
  matrix: Matrix,
  fields: Fields,
  frame: { readonly adapter: AdapterInfo; readonly settings: Readonly<Record<string, unknown>> },
): Promise<string> {
  const { head, body } = textRows(matrix, fields);
  const table = (titles: readonly string[], rows: readonly (readonly string[])[]): string =>
    htmlTable(
      titles.map((title, c) => ({ title, value: (row: readonly string[]) => row[c]! })),
      rows,
    );
  const picture = await matrixPicture(matrix, fields);
  const sections = [
    { title: 'What was found', body: verdictList(matrixSentences(matrix, fields)) },
    ...(picture === undefined ? [] : [{ title: 'Picture', body: picture }]),
    {
      title: 'Matrix',
      body:
        paragraph('Wrong after the attack, of the images right before, in % with 95 % interval; * is the white box.') +
        table(head, body),
    },
    {
      title: 'Clean errors',
      body: table(
        ['network', 'error', '95 % interval'],
        matrix.cleanErrors.map(({ model, error, low, high }) => [
          model,
          percent(error),
          `${percent(low)} to ${percent(high)}`,
        ]),
      ),
    },
    {
      title: 'Notes',
      body: [
        ...matrix.resized.map(
          ({ model, from, to }) => `${model} sees images resized from ${sizeText(from)} to ${sizeText(to)}.`,
        ),
        ...fields.flags.map(({ name, message }) => `${name}: ${message}`),
        `${matrix.count} images, ${matrix.heldOut} more held out.`,
      ]
        .map(paragraph)
        .join('\n'),
    },
  ];
  if (matrix.sweeps.length > 0) sections.push(await startSection(matrix.sweeps));
  const version = packageVersion();
  const machine = facts(machineFacts(frame.adapter, version)) + facts(settingFacts(frame.settings));
  sections.push({ title: 'Machine and settings', body: machine });
  const subtitle = 'Each attack spends the same number of gradients.';
  return page({ title: 'Transfer matrix', subtitle, sections, footer: pageFooter('transfer') });
}
