import { attackFlags, flagAbout, outputFlags, runNames } from '../../attacks/alarms.js';
import type { AttackFlag, JudgedRun } from '../../attacks/alarms.js';
import type { Dataset } from '../../data/dataset.js';
import type { AttackNorm } from '../../attacks/stages.js';
import { pixelRange } from '../common.js';
import type { Classifier } from '../inference.js';
import { noiseAccuracy } from './noise.js';
import type { RecordedRun } from './curves.js';

/** Images whose outputs are looked at. */
const few = 16;

/** Alarms of AutoAttack's stages. Equal ones are one, which names its runs unless it is about all that were run. */
function batteryFlags(runs: readonly RecordedRun[]): AttackFlag[] {
  const found = new Map<string, { flag: AttackFlag; about: RecordedRun['settings'][] }>();
  for (const { result, settings } of runs) {
    for (const flag of 'flags' in result ? result.flags : []) {
      const key = JSON.stringify([flag.name, flag.message]);
      const entry = found.get(key) ?? { flag, about: [] };
      entry.about.push(settings);
      found.set(key, entry);
    }
  }
  const { whole } = runNames(runs.map(({ settings }) => settings));
  return [...found.values()].map(({ flag, about }) => {
    const general = about.length === runs.length && (runs.length === 1 || flag.name !== 'gradient-masking');
    const message = general ? flag.message : `${about.map(whole).join(', ')}: ${flag.message}`;
    return flagAbout({ ...flag, message }, about);
  });
}

/**
 * The alarms of all finished runs, those of AutoAttack's stages among them. Random noise is tried once for each ball in
 * which a gradient attack left images right.
 */
export async function judgeRuns(
  runs: readonly RecordedRun[],
  classify: Classifier,
  dataset: Dataset,
  options: { readonly seed: number; readonly batch: number; readonly signal: AbortSignal },
): Promise<AttackFlag[]> {
  const noises = new Map<string, number | undefined>();
  const judged: JudgedRun[] = [];
  for (const { settings, result, minimal, interrupted } of runs) {
    if (interrupted) continue;
    const norm = settings.norm as AttackNorm;
    const { attack, rule, eps } = settings;
    const key = `${norm} ${eps}`;
    const wanted = result.gradients > 0 && result.robustCorrect > 0 && Number.isFinite(eps) && eps > 0;
    if (wanted && !noises.has(key)) {
      const right = result.samples.map(({ cleanCorrect }) => cleanCorrect);
      const { seed, batch, signal } = options;
      noises.set(key, await noiseAccuracy(classify, dataset, right, { norm, eps, seed, batch }, signal));
    }
    const noise = wanted ? noises.get(key) : undefined;
    const alpha = typeof settings['alpha'] === 'number' ? settings['alpha'] : 0;
    const targeted = settings['targeted'] === true;
    judged.push({ attack, rule, norm, eps, minimal, targeted, alpha, result, ...(noise !== undefined && { noise }) });
  }
  const logits = options.signal.aborted
    ? []
    : await classify.logits(pixelRange(dataset, 0, Math.min(few, dataset.count)));
  const classes = logits.length / Math.min(few, dataset.count);
  const all = runs.map(({ settings }) => settings);
  const network = outputFlags(logits, classes).map((flag) => flagAbout(flag, all));
  return [...network, ...batteryFlags(runs), ...attackFlags(judged, all)];
}
