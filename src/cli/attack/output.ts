import { join } from 'node:path';
import { median } from '../../bench/rows.js';
import { wilson } from '../../experiments/statistics.js';
import type { Dataset } from '../../data/dataset.js';
import { writePng } from '../../io/png.js';
import { writeSafetensors } from '../../io/safetensors.js';
import { plainTable } from '../../profile/textTable.js';
import { batteryFields } from '../battery.js';
import { percent, pixelRange } from '../common.js';
import { hasFigures } from '../victims.js';
import type { TriedVictim } from '../victims.js';
import type { RecordedRun } from './curves.js';
import { shownEps } from '../../attacks/shownEps.js';

/** A run with what its images do to other models. */
export interface TriedRun extends RecordedRun {
  readonly victims: readonly TriedVictim[];
}

/** A name for a cell's folder. */
export function slugOf(index: number, { settings }: TriedRun): string {
  const eps = Number.isFinite(settings.eps) ? shownEps(settings.eps) : 'minimal';
  const text = `${settings.attack}-${settings.rule}-${eps}`.replace(/[^A-Za-z0-9.=]+/g, '-').slice(0, 80);
  return `${String(index + 1).padStart(2, '0')}-${text}`;
}

async function writePngs(
  folder: string,
  dataset: Dataset,
  count: number,
  levels: (n: number) => Uint8Array,
): Promise<void> {
  const { channels, height, width } = dataset;
  if (channels !== 1 && channels !== 3) return;
  for (let n = 0; n < count; n++) {
    const name = `${String(n).padStart(5, '0')}_${dataset.labels[n]}.png`;
    await writePng(join(folder, name), { channels, height, width, data: levels(n) });
  }
}

/**
 * PNG files `00000_3.png` (number, label), which `--dataset folder:PATH` reads again, and all tensors. Several runs
 * have a folder each for their adversarial images; the clean ones are written once.
 */
export async function writeImages(
  folder: string,
  pngs: number,
  dataset: Dataset,
  runs: readonly TriedRun[],
  targets: Int32Array | undefined,
): Promise<void> {
  const { channels, height, width } = dataset;
  const size = channels * height * width;
  const most = Math.max(...runs.map(({ result }) => result.count));
  const clean = pixelRange(dataset, 0, most);
  await writePngs(join(folder, 'clean'), dataset, Math.min(pngs, most), (n) =>
    Uint8Array.from(clean.subarray(n * size, (n + 1) * size), (pixel) => Math.round(255 * pixel)),
  );
  for (const [index, run] of runs.entries()) {
    const own = runs.length === 1 ? folder : join(folder, slugOf(index, run));
    const { count, images, images8 } = run.result;
    await writePngs(join(own, 'adversarial'), dataset, Math.min(pngs, count), (n) =>
      images8.slice(n * size, (n + 1) * size),
    );
    const shape = [count, channels, height, width];
    await writeSafetensors(join(own, 'adversarial.safetensors'), {
      adversarial: { shape, data: images },
      adversarial8: { shape, data: images8 },
      clean: { shape, data: clean.subarray(0, count * size) },
      labels: { shape: [count], data: Int32Array.from(dataset.labels.subarray(0, count)) },
      ...(targets && { targets: { shape: [count], data: targets.subarray(0, count) } }),
    });
  }
}

/** The fields of one run in `--json` and `report.json`. */
export function runFields({ result, victims, images }: TriedRun): Record<string, unknown> {
  const { count, cleanCorrect, robustCorrect, cleanAccuracy, robustAccuracy, successRate, saved } = result;
  const { linf, l2, curve, gradients, forwards, overflows, dispatches, submits, readbacks } = result;
  return {
    ...{ count, cleanCorrect, robustCorrect, cleanAccuracy, robustAccuracy, successRate, saved, victims },
    ...{ linf, l2, curve, gradients, forwards, overflows, dispatches, submits, readbacks },
    imageGradientsPerSecond: result.imageGradientsPerSecond,
    ...batteryFields(result),
    images,
  };
}

const interval = (right: number, count: number): string => {
  const { low, high } = wilson(right, count);
  return `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} %`;
};

/** Columns of a table of runs, for the terminal and the page. */
export const runColumns: readonly {
  readonly title: string;
  readonly value: (run: TriedRun) => string;
  readonly number?: true;
}[] = [
  { title: 'attack', value: ({ settings }) => settings.attack },
  { title: 'rule', value: ({ settings }) => settings.rule },
  { title: 'eps', value: ({ settings: { eps } }) => (Number.isFinite(eps) ? shownEps(eps) : 'none') },
  { title: 'clean', value: ({ result }) => percent(result.cleanAccuracy), number: true },
  { title: 'robust', value: ({ result }) => percent(result.robustAccuracy), number: true },
  { title: '95 % interval', value: ({ result }) => interval(result.robustCorrect, result.count), number: true },
  { title: 'in 8 bits', value: ({ result }) => percent(result.saved.robustAccuracy), number: true },
  { title: 'gradients', value: ({ result }) => String(Math.round(result.gradients / result.count)), number: true },
  { title: 'forwards', value: ({ result }) => String(Math.round(result.forwards / result.count)), number: true },
];

/** A table of several runs for the terminal; gradients and forwards are those of one image. */
export function tableLines(runs: readonly TriedRun[], width: number): string[] {
  const cells = [runColumns.map(({ title }) => title), ...runs.map((run) => runColumns.map(({ value }) => value(run)))];
  const left = runColumns.flatMap(({ number }, at) => (number === true ? [] : [at]));
  return plainTable(cells, { width, left });
}

/** Median length of the changes that fooled, in the norm of the attack; undefined where none did. */
export function medianChange({ images, settings }: Pick<TriedRun, 'images' | 'settings'>): number | undefined {
  const lengths = images.filter(({ success }) => success).map((image) => image[settings.norm as 'linf' | 'l2' | 'l1']);
  return lengths.length === 0 ? undefined : median(lengths);
}

/** The lines about one run. */
export function runLines(run: TriedRun): string[] {
  const { result, victims, minimal, settings } = run;
  const lines = [
    `clean accuracy   ${percent(result.cleanAccuracy)}`,
    `robust accuracy  ${percent(result.robustAccuracy)} (as saved in 8 bits ${percent(result.saved.robustAccuracy)})`,
    `success rate     ${percent(result.successRate)} of the images right before`,
    `largest change   linf ${result.linf.largest.toFixed(5)} ` +
      `(${(255 * result.linf.largest).toFixed(1)}/255), l2 ${result.l2.largest.toFixed(4)} (as saved)`,
    `gradients        ${result.gradients} in ${result.seconds.toFixed(1)} s, ` +
      `${result.imageGradientsPerSecond.toFixed(0)} a second`,
  ];
  const middle = minimal ? medianChange(run) : undefined;
  if (middle !== undefined)
    lines.push(`median ${settings.norm}      ${middle.toPrecision(4)} of the images that were fooled`);
  if (result.overflows > 0)
    lines.push(`overflows        ${result.overflows} of these in f16; their images kept their place for a step`);
  for (const victim of victims) {
    const { model } = victim;
    if (!hasFigures(victim)) lines.push(`victim ${model}: diverged`);
    else
      lines.push(
        `victim ${model}: clean ${percent(victim.cleanAccuracy)}, robust ` +
          `${percent(victim.robustAccuracy)}, success ${percent(victim.successRate)}`,
      );
  }
  return lines;
}
