import { stillShare } from './alarms.js';
import type { AttackFlag } from './alarms.js';
import type { AutoAttackStage, AutoAttackStageName } from './autoattackState.js';
import { together } from './compaction.js';
import type { AttackedSample } from './result.js';
import type { AttackNorm } from './stages.js';

/** Robust accuracy that Square, and FAB, may take from white-box stages before it looks like masked gradients. */
const suspicious: Readonly<Partial<Record<AutoAttackStageName, number>>> = { square: 0.002, 'fab-t': 0.02, fab: 0.02 };

/** Networks here draw no random numbers, and nothing stands in front of them. */
export const notRandom: AttackFlag = {
  name: 'not-randomized',
  message: 'version rand is for randomized networks; this one is not, so use version standard',
};

/** Rules with `scope=batch`. */
export const dependsOnBatch: AttackFlag = {
  name: 'depends-on-batch',
  message: `${together}: figures depend on the batch size, and images that a stage broke stay in it`,
};

/** Images that stay right although a stage of gradient steps found nothing that changes their loss. */
export function zeroGradient(samples: readonly AttackedSample[]): AttackFlag[] {
  const right = samples.filter(({ cleanCorrect }) => cleanCorrect).length;
  const still = samples.filter(({ robustCorrect, unmoved }) => robustCorrect && unmoved === true).length;
  if (still <= stillShare * right) return [];
  const message =
    `in a stage of APGD no step changed the loss of ${still} of ${right} images that stay right; ` +
    'their gradients are zero or masked';
  return [{ name: 'zero-gradient', message }];
}

/** What a reader of the stages' figures has to know. */
export function flagsOf(
  stages: readonly AutoAttackStage[],
  norm: AttackNorm,
  classes: number,
  count: number,
): AttackFlag[] {
  const flags: AttackFlag[] = [];
  if (classes < 4)
    flags.push({ name: 'few-classes', message: `with ${classes} classes the margin takes the place of DLR` });
  if (norm === 'l1' && stages.some(({ name }) => name.startsWith('fab')))
    flags.push({ name: 'no-l1-square', message: 'Square has no L1 form here; the verdict rests on APGD and FAB' });
  for (const [index, { name, robustCorrect }] of stages.entries()) {
    const most = suspicious[name];
    const before = stages[index - 1]?.robustCorrect;
    if (before === undefined || most === undefined) continue;
    const broke = (before - robustCorrect) / count;
    if (broke <= most) continue;
    const points = (100 * broke).toFixed(1);
    const message =
      `${name} took ${points} points of robust accuracy that the ` +
      'gradient steps before it left: gradients are probably masked';
    flags.push({ name: 'gradient-masking', message });
  }
  return flags;
}
