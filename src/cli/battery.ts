import { autoAttack } from '../attacks/autoattack.js';
import type { AutoAttackOptions, AutoAttackResult } from '../attacks/autoattack.js';
import type { AttackSettings } from '../attacks/options.js';
import type { AttackResult } from '../attacks/result.js';
import type { BatteryJournal } from './attack/state.js';
import type { HostModel, Model } from '../nn/model.js';
import { percent } from './common.js';
import type { Dataset } from '../data/dataset.js';
import type { VerbContext } from './verb.js';

/** Options of AutoAttack that a cell of the verb has. */
type BatteryOptions = Omit<AutoAttackOptions, 'model' | 'rules' | 'images'>;

/** Images to attack. */
export interface CraftingInput {
  readonly dataset: Dataset;
  readonly targets?: Int32Array | undefined;
  /** What the random numbers of each image are keyed by; its index unless given. */
  readonly sampleIds?: Uint32Array;
  /** Where an interrupted battery goes on, and what keeps it. */
  readonly journal?: BatteryJournal | undefined;
}

/** What a run settled, for the report. */
export type Settled = Partial<Pick<AttackSettings, 'eps' | 'alpha' | 'steps' | 'restarts' | 'randomStart' | 'keep'>>;

/** What a cell's run found, and with which settings. */
export interface Ran {
  readonly result: AttackResult | AutoAttackResult;
  readonly settings: Settled;
  readonly ilaSteps: number | null;
}

/** AutoAttack on all images; each stage's figure is printed as it is known. */
export async function runBattery(
  options: BatteryOptions,
  model: Model | HostModel,
  rules: string,
  { dataset, sampleIds, journal }: CraftingInput,
  { signal, progress, print }: VerbContext,
): Promise<Ran> {
  const result = await autoAttack({
    ...{ ...options, model, rules, images: dataset, signal },
    ...(sampleIds && { sampleIds }),
    ...(journal?.resume && { resume: journal.resume }),
    ...(journal && { onState: journal.keep }),
    onProgress: (stage, share) => progress.update(stage, share, ''),
    onStage({ name, robustAccuracy, seconds }) {
      progress.clear();
      print(`robust accuracy after ${name.padEnd(8)} ${percent(robustAccuracy)}  (${seconds.toFixed(1)} s)`);
    },
  });
  progress.clear();
  return { result, settings: { eps: options.eps, keep: 'best' }, ilaSteps: null };
}

/** What AutoAttack has beside an attack's result. */
export const batteryFields = (result: AttackResult | AutoAttackResult): object =>
  'stages' in result ? { stages: result.stages, brokenBy: result.brokenBy } : {};
