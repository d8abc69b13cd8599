import { flagsOf } from '../../attacks/autoattackFlags.js';
import type { AutoAttackResult, AutoAttackStage } from '../../attacks/autoattack.js';
import type { AttackResult } from '../../attacks/result.js';
import type { AttackNorm } from '../../attacks/stages.js';
import { mergeResults } from '../attack/merge.js';

/** What the parts were made with. */
export interface MergeSettings {
  readonly norm: AttackNorm;
  readonly classes: number;
  /** Images a program. */
  readonly batch: number;
  /** Seconds that the whole took. */
  readonly seconds: number;
}

type Cost = 'dispatches' | 'submits' | 'readbacks';

/**
 * What one process counts: each batch costs the same, so parts of whole batches say what a batch costs. Where they do
 * not agree, the sum of what the parts cost.
 */
function counted(parts: readonly AttackResult[], batch: number, count: number, of: Cost): number {
  const batches = (images: number): number => Math.ceil(images / batch);
  const each = parts[0]![of] / batches(parts[0]!.count);
  const same = parts.every((part) => part[of] === each * batches(part.count));
  return same ? each * batches(count) : parts.reduce((sum, part) => sum + part[of], 0);
}

/**
 * The result of an attack on all images from those on consecutive ranges of them, with the same bits as one run.
 * `dispatches` and `readbacks` are what one run counts, where batches cost the same.
 *
 * @param parts in the order of the images, at least one
 */
export function mergeParts(parts: readonly AttackResult[], settings: MergeSettings): AttackResult | AutoAttackResult {
  const { batch, seconds } = settings;
  const merged = mergeResults(parts);
  const timed = { ...merged, seconds, imageGradientsPerSecond: merged.gradients / seconds };
  if ('stages' in parts[0]!) return withStages(timed, parts as readonly AutoAttackResult[], settings);
  const cost = (of: Cost): number => counted(parts, batch, merged.count, of);
  return { ...timed, dispatches: cost('dispatches'), submits: cost('submits'), readbacks: cost('readbacks') };
}

function withStages(
  merged: AttackResult,
  parts: readonly AutoAttackResult[],
  { norm, classes }: MergeSettings,
): AutoAttackResult {
  const stages = parts[0]!.stages.map(({ name }, k): AutoAttackStage => {
    const sum = (of: (stage: AutoAttackStage) => number): number =>
      parts.reduce((all, part) => all + of(part.stages[k]!), 0);
    const robustCorrect = sum((stage) => stage.robustCorrect);
    return {
      name,
      attacked: sum((stage) => stage.attacked),
      robustCorrect,
      robustAccuracy: robustCorrect / merged.count,
      gradients: sum((stage) => stage.gradients),
      forwards: sum((stage) => stage.forwards),
      seconds: sum((stage) => stage.seconds),
    };
  });
  const brokenBy = parts.flatMap((part) => part.brokenBy);
  // what the whole battery's figures say, and what is so of every part
  const flags = flagsOf(stages, norm, classes, merged.count);
  flags.push(...parts[0]!.flags.filter(({ name }) => name === 'not-randomized'));
  return { ...merged, stages, brokenBy, flags };
}
