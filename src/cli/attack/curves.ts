import { wilson } from '../../experiments/statistics.js';
import type { Dataset } from '../../data/dataset.js';
import { batteryQueries, batterySteps } from '../../attacks/autoattack.js';
import type { AttackFlag } from '../../attacks/alarms.js';
import type { ModelDefinition } from '../../nn/definition.js';
import type { ImageRecord } from './records.js';
import type { CellRun } from './run.js';
import { shownEps } from '../../attacks/shownEps.js';

/** Robust accuracy against the radius of the ball. */
export interface SecurityCurve {
  readonly attack: string;
  readonly rule: string;
  readonly norm: string;
  /** By growing eps, from the clean accuracy at 0 on; `low` and `high` bound Wilson's 95 % interval. */
  readonly points: readonly {
    readonly eps: number;
    readonly robustAccuracy: number;
    readonly low: number;
    readonly high: number;
  }[];
}

/** A cell with what is said about each image. */
export interface RecordedRun extends CellRun {
  readonly images: readonly ImageRecord[];
}

const mostPoints = 100;

/**
 * One curve for each attack and rule. That of an attack that looks for the smallest perturbation needs one run only.
 */
export function securityCurves(runs: readonly RecordedRun[]): SecurityCurve[] {
  const curves = new Map<string, { run: RecordedRun; points: Map<number, number> }>();
  for (const run of runs) {
    if (run.interrupted) continue;
    const { attack, rule, norm, eps } = run.settings;
    const key = JSON.stringify([attack, rule]);
    const entry = curves.get(key) ?? { run, points: new Map([[0, run.result.cleanCorrect]]) };
    curves.set(key, entry);
    if (!run.minimal) entry.points.set(eps, run.result.robustCorrect);
    else {
      const distances = run.images
        .filter(({ success }) => success)
        .map((image) => image[norm as 'linf' | 'l2' | 'l1'])
        .sort((a, b) => a - b);
      const every = Math.max(1, Math.ceil(distances.length / mostPoints));
      for (let n = every - 1; n < distances.length; n += every)
        entry.points.set(distances[n]!, run.result.cleanCorrect - (n + 1));
      if (distances.length > 0) entry.points.set(distances.at(-1)!, run.result.cleanCorrect - distances.length);
    }
  }
  return [...curves.values()].map(({ run, points }) => {
    const { attack, rule, norm } = run.settings;
    const sorted = [...points].filter(([eps]) => Number.isFinite(eps)).sort(([a], [b]) => a - b);
    return {
      ...{ attack, rule, norm },
      points: sorted.map(([eps, right]) => {
        const { mean, low, high } = wilson(right, run.result.count);
        return { eps, robustAccuracy: mean, low, high };
      }),
    };
  });
}

const hundredths = (share: number): string => (100 * share).toFixed(2);

/** Whether an alarm is about a run; one that names no runs is about all. */
const isAbout = ({ runs }: AttackFlag, { settings }: CellRun): boolean =>
  runs === undefined ||
  runs.some(
    ({ attack, rule, eps }) =>
      attack === settings.attack && rule === settings.rule && (eps ?? Infinity) === settings.eps,
  );

/**
 * One run in the form of RobustBench's model files (`model_info/DATASET/NORM/MODEL.json`), with fields of our own.
 *
 * @param all alarms of all runs; the entry has those about its run
 */
export function robustBenchEntry(
  run: CellRun,
  definition: ModelDefinition,
  dataset: Dataset,
  all: readonly AttackFlag[],
): Readonly<Record<string, unknown>> {
  const { settings, result } = run;
  const flags = all.filter((flag) => isAbout(flag, run));
  const battery = settings['definition'] === 'autoattack';
  const official =
    battery &&
    settings.rule === 'bp' &&
    settings['steps'] === batterySteps &&
    (settings['queries'] ?? batteryQueries) === batteryQueries &&
    ['standard', 'plus'].includes(settings['version'] as string);
  const robust = hundredths(result.robustAccuracy);
  return {
    ...{ link: '', name: definition.name, authors: '', additional_data: null, number_forward_passes: 1 },
    ...{ dataset: dataset.name, venue: '', architecture: definition.name },
    eps: Number.isFinite(settings.eps) ? shownEps(settings.eps) : null,
    clean_acc: hundredths(result.cleanAccuracy),
    reported: robust,
    autoattack_acc: official ? robust : null,
    unreliable: flags.some(({ name }) => name === 'gradient-masking' || name === 'zero-gradient'),
    ...{ threat_model: settings.norm === 'linf' ? 'Linf' : settings.norm.toUpperCase(), attack: settings.attack },
    ...{ rule: settings.rule, images: result.count, flags: flags.map(({ name }) => name) },
  };
}
