import type { ModelDefinition } from '../../nn/definition.js';
import { initialState } from '../../nn/model.js';
import { measureCeilings } from '../../profile/ceilings.js';
import { profileInTurns } from '../../profile/profile.js';
import type { Profile } from '../../profile/profile.js';
import { createWorkload } from '../../profile/workloads.js';
import type { Workload } from '../../profile/workloads.js';
import type { Device } from '../../runtime/device.js';
import type { Budget } from './budget.js';

/** Images of the steps whose shaders are timed. */
export const profileBatch = 64;

/** Times of every shader of a training step and of an attack step under each rule. */
export interface DemoProfiles {
  readonly train: readonly Profile[];
  readonly attack: readonly Profile[];
}

/** A step to be timed: its network and the rules to compare. */
export interface ProfiledStep {
  readonly definition: ModelDefinition;
  readonly rules: readonly string[];
}

/** Times a step of a network under each rule, in turns. */
export async function profileRules(
  device: Device,
  steps: Readonly<Record<'train' | 'attack', ProfiledStep>>,
  seed: number,
  budget: Budget,
): Promise<DemoProfiles> {
  const repeats = budget.elapsed() < 0.85 * budget.total ? 7 : 3;
  const ceilings = await measureCeilings(device);
  const profiles = { train: [] as Profile[], attack: [] as Profile[] };
  for (const what of ['train', 'attack'] as const) {
    const { definition, rules } = steps[what];
    const weights = initialState(definition, seed);
    const workloads: (Workload & { readonly label: string })[] = [];
    try {
      for (const rule of rules) {
        const options = { device, definition, weights, rule, batch: profileBatch };
        workloads.push({ ...(await createWorkload(what, options)), label: rule });
      }
      const takers = workloads.map(({ program, segments, row, label }) => ({
        program,
        options: { segments, row, repeats, label, ceilings },
      }));
      profiles[what].push(...(await profileInTurns(takers)));
    } finally {
      for (const workload of workloads) workload.destroy();
    }
  }
  return profiles;
}
