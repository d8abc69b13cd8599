import type { AttackFlag } from '../../attacks/alarms.js';
import type { AttackedSample, AttackResult } from '../../attacks/result.js';
import type { Dataset } from '../../data/dataset.js';
import type { EightBitImage } from '../../io/png.js';
import {
  contactSheet,
  facts,
  figures,
  htmlTable,
  lineChart,
  machineFacts,
  page,
  pageFooter,
  palette,
  paragraph,
  percentAxis,
  ruleName,
  verdictList,
} from '../../report/index.js';
import type { CaptionedFigure, Section, SheetEntry } from '../../report/index.js';
import type { AdapterInfo } from '../../runtime/adapter.js';
import { packageVersion } from '../../version.js';
import { counted } from '../../quote.js';
import { percent, pixelRange } from '../common.js';
import { settingFacts } from '../settingFacts.js';
import { withoutFigures } from '../../experiments/cells.js';
import type { DivergedCell as LostVictim } from '../../experiments/cells.js';
import { hasFigures } from '../victims.js';
import type { TriedVictim } from '../victims.js';
import { nameOfCell } from './cells.js';
import type { SecurityCurve } from './curves.js';
import { medianChange, runColumns } from './output.js';
import type { TriedRun } from './output.js';
import type { DivergedCell } from './run.js';
import { shownEps } from '../../attacks/shownEps.js';

/** What attacks found, for {@link attackReport}. */
export interface AttackFindings {
  readonly model: string;
  readonly dataset: Dataset;
  readonly runs: readonly TriedRun[];
  readonly flags: readonly AttackFlag[];
  readonly curves: readonly SecurityCurve[];
  /** Of {@link attackSentences}. */
  readonly sentences: readonly string[];
  readonly settings: Readonly<Record<string, unknown>>;
  /** Absent for the float64 reference. */
  readonly adapter: AdapterInfo | undefined;
}

/** Pairs of images on the page at most: each takes some kilobytes. */
const mostPairs = 48;

const accuracyLeft = ({ result }: TriedRun): number => result.saved.robustAccuracy;

/** The run that leaves the least accuracy, the first of equal ones; of those on all images, where there are some. */
function strongest(all: readonly TriedRun[]): TriedRun {
  const whole = all.filter(({ interrupted }) => !interrupted);
  const runs = whole.length > 0 ? whole : all;
  return runs.reduce((least, run) => (accuracyLeft(run) < accuracyLeft(least) ? run : least));
}

const ball = ({ settings: { norm, eps } }: TriedRun): string =>
  Number.isFinite(eps) ? `${norm}, eps ${shownEps(eps)}` : `${norm}, smallest change found`;

/** What attacks did, in sentences: the same in the terminal and on the page. */
export function attackSentences(
  model: string,
  runs: readonly TriedRun[],
  diverged: readonly DivergedCell[] = [],
  victimsLost: readonly LostVictim[] = [],
): string[] {
  const run = strongest(runs);
  const { result, victims, settings, minimal } = run;
  const who =
    runs.length === 1
      ? `The attack under ${ruleName(settings.rule)}`
      : `The strongest of ${runs.length} attacks, ${settings.attack} under ${ruleName(settings.rule)},`;
  const middle = minimal && !Number.isFinite(settings.eps) ? medianChange(run) : undefined;
  // Images on the decision boundary say little about accuracy: how far away it is does.
  const own =
    middle === undefined
      ? [
          `${who} leaves ` +
            `${percent(accuracyLeft(run))} of ${result.count} images right on ${model}, which has ` +
            `${percent(result.cleanAccuracy)} right without it (${ball(run)}, as saved in 8 bits).`,
        ]
      : [
          `The smallest changes that fool ${model} have a median ${settings.norm} of ${middle.toPrecision(4)}, on ` +
            `${counted(result.cleanCorrect - result.robustCorrect, 'image')} of the ${result.cleanCorrect} that it ` +
            `has right (${settings.attack} under ${ruleName(settings.rule)}).`,
          `Rounded to 8 bits, images so near to the boundary may be right again: ${percent(accuracyLeft(run))} of ` +
            `${result.count} are.`,
        ];
  const others = victims
    .filter(hasFigures)
    .map(
      (victim) =>
        `On ${victim.model}, which the attack never touched, ${percent(victim.robustAccuracy)} stay right ` +
        `of ${percent(victim.cleanAccuracy)} before.`,
    );
  const without = [
    ...diverged.map(({ cell, error }) => withoutFigures(nameOfCell(cell), error.message)),
    ...victimsLost.map(({ cell, cause }) => withoutFigures(cell, cause)),
  ];
  return [...own, ...others, ...without];
}

function curveFigures({ curve }: AttackResult): CaptionedFigure[] {
  if (curve.length < 2) return [];
  const x = { title: 'gradient steps', whole: true };
  const points = (of: (point: (typeof curve)[number]) => number): [number, number][] =>
    curve.filter(({ restart }) => restart === 0).map((point) => [point.step, of(point)]);
  const accuracy = lineChart({
    title: 'robust accuracy by step',
    x,
    y: percentAxis('robust accuracy'),
    lines: [{ name: 'robust accuracy', color: palette.bp, points: points(({ robustAccuracy }) => robustAccuracy) }],
  });
  const loss = lineChart({
    title: 'mean objective by step',
    x,
    y: { title: 'mean objective' },
    lines: [{ name: 'objective', color: palette.linbp, points: points(({ loss: value }) => value) }],
  });
  return [
    { figure: accuracy, caption: 'Robust accuracy by step' },
    { figure: loss, caption: 'What the attack maximizes, mean over the images, by step' },
  ];
}

const nameOf = ({ classNames }: Dataset, label: number): string => classNames?.[label] ?? String(label);

/** Images that were fooled first, then others, in the order of the data set. */
function sheet(dataset: Dataset, { result }: TriedRun): SheetEntry[] {
  const { channels, height, width } = dataset;
  if (channels !== 1 && channels !== 3) return [];
  const size = channels * height * width;
  const order = [...result.samples.keys()].sort(
    (a, b) => Number(result.samples[b]!.savedSuccess) - Number(result.samples[a]!.savedSuccess) || a - b,
  );
  return order
    .slice(0, mostPairs)
    .sort((a, b) => a - b)
    .map((n) => {
      const sample = result.samples[n]!;
      const image = (data: Uint8Array): EightBitImage => ({ channels, height, width, data });
      const clean = Uint8Array.from(pixelRange(dataset, n, n + 1), (pixel) => Math.round(255 * pixel));
      return {
        before: image(clean),
        after: image(result.images8.slice(n * size, (n + 1) * size)),
        title: `${n}: ${nameOf(dataset, sample.label)}`,
        labelBefore: nameOf(dataset, sample.cleanClass),
        labelAfter: nameOf(dataset, sample.finalClass),
        verdict: sample.finalClass === sample.label ? 'right' : 'wrong',
      };
    });
}

function sampleTable(dataset: Dataset, { result }: TriedRun): string {
  type Row = AttackedSample & { readonly place: number };
  return htmlTable<Row>(
    [
      { title: 'image', value: ({ place }) => String(place), number: true },
      { title: 'label', value: ({ label }) => nameOf(dataset, label) },
      { title: 'before', value: ({ cleanClass }) => nameOf(dataset, cleanClass) },
      { title: 'after', value: ({ finalClass }) => nameOf(dataset, finalClass) },
      {
        title: 'as saved',
        value: ({ cleanCorrect, savedSuccess }) =>
          savedSuccess ? 'fooled' : cleanCorrect ? 'withstood' : 'wrong before',
      },
      {
        title: 'first fooled at step',
        value: ({ firstStep }) => (firstStep === null ? '–' : String(firstStep)),
        number: true,
      },
      { title: 'objective before', value: ({ cleanLoss }) => cleanLoss.toFixed(4), number: true },
      { title: 'objective after', value: ({ loss }) => loss.toFixed(4), number: true },
      { title: 'L∞ as saved, of 255', value: ({ linf }) => (255 * linf).toFixed(2), number: true },
      { title: 'L2 as saved', value: ({ l2 }) => l2.toFixed(4), number: true },
    ],
    result.samples.map((sample, place) => ({ ...sample, place })),
  );
}

function victimTable(victims: readonly TriedVictim[]): string {
  const column = (title: string, of: 'cleanAccuracy' | 'robustAccuracy' | 'successRate') => ({
    title: `${title}, %`,
    value: (victim: TriedVictim): string =>
      hasFigures(victim) ? (100 * victim[of]).toFixed(2) : of === 'cleanAccuracy' ? 'diverged' : '',
    number: true as const,
  });
  return htmlTable<TriedVictim>(
    [
      { title: 'network', value: ({ model }) => model },
      column('clean accuracy', 'cleanAccuracy'),
      column('accuracy left', 'robustAccuracy'),
      column('success rate', 'successRate'),
    ],
    victims,
  );
}

function securityFigure(curves: readonly SecurityCurve[]): string {
  const drawn = curves.filter(({ points }) => points.length > 2);
  if (drawn.length === 0) return '';
  const { bp, linbp, third, fourth, fifth, sixth } = palette;
  const colors = [bp, linbp, third, fourth, fifth, sixth];
  const lines = drawn.map(({ attack, rule, points }, n) => ({
    name: `${attack}, ${rule}`,
    color: colors[n % colors.length]!,
    points: points.map(({ eps, robustAccuracy }) => [eps, robustAccuracy] as const),
    band: points.map(({ low, high }) => [low, high] as const),
  }));
  const x = { title: `eps (${drawn[0]!.norm}), in pixels of [0, 1]` };
  const figure = lineChart({ title: 'Robust accuracy against eps', x, y: percentAxis('robust accuracy'), lines });
  return figures([{ figure, caption: 'Security curves with 95 % intervals; each begins with the clean accuracy.' }]);
}

function alarms(flags: readonly AttackFlag[]): string {
  if (flags.length === 0)
    return paragraph('None. Alarms look for masked and zero gradients; that there is none proves nothing.');
  return flags.map(({ name, message }) => paragraph(`${name}: ${message}`)).join('\n');
}

/** Pictures, curves and images of a run. */
function runBody(model: string, dataset: Dataset, run: TriedRun): Section[] {
  const curves = curveFigures(run.result);
  const pairs = sheet(dataset, run);
  const shown =
    `${pairs.length} of ${run.result.count} images, before and ` +
    `after; the words are what ${model} sees before images are rounded to 8 bits, red where it is wrong.`;
  return [
    ...(pairs.length === 0 ? [] : [{ title: 'Images', body: paragraph(shown) + contactSheet(pairs) }]),
    ...(curves.length === 0 ? [] : [{ title: 'Curves', body: figures(curves) }]),
    ...(run.victims.length === 0 ? [] : [{ title: 'Other networks', body: victimTable(run.victims) }]),
    { title: 'Every image', body: sampleTable(dataset, run) },
  ];
}

/** The report of attacks: verdict, then pictures, curves and images of the strongest, then all runs and alarms. */
export function attackReport(found: AttackFindings): string {
  const { model, dataset, runs, flags, curves, sentences, settings, adapter } = found;
  const run = strongest(runs);
  const security = securityFigure(curves);
  const table = htmlTable(
    runColumns.map(({ title, value, number }) => ({ title, value, ...(number && { number }) })),
    runs,
  );
  const hardest = `${run.settings.attack}, ${ruleName(run.settings.rule)}, ${ball(run)}`;
  const counted = 'Robust accuracy counts the images that are right both clean and attacked, of all images.';
  const machine = adapter === undefined ? '' : facts(machineFacts(adapter, packageVersion()));
  return page({
    title: `Attack on ${model}`,
    subtitle:
      `${run.result.count} images of ${dataset.name}; ` +
      (runs.length === 1 ? 'one run' : `${runs.length} runs, details of the strongest: ${hardest}`),
    sections: [
      { title: 'What was found', body: verdictList(sentences) },
      ...(security === '' ? [] : [{ title: 'Security curves', body: security }]),
      ...runBody(model, dataset, run),
      { title: 'Runs', body: table + paragraph(counted) },
      { title: 'Alarms', body: alarms(flags) },
      { title: 'Machine and settings', body: machine + facts(settingFacts(settings)) },
    ],
    footer: pageFooter('attack', `${run.result.gradients} gradients in ${run.result.seconds.toFixed(1)} s`),
  });
}
