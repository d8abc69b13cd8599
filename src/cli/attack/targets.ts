import { batchLabels } from '../../data/dataset.js';
import type { Dataset } from '../../data/dataset.js';
import type { ModelDefinition } from '../../nn/definition.js';
import type { AttackValues } from './options.js';

/** Classes from label to target: the papers' maps of 10 and of 1,000 classes unless told. */
export const targetShiftOf = (
  { targetShift }: Pick<AttackValues, 'targetShift'>,
  { classes }: Pick<ModelDefinition, 'classes'>,
): number => targetShift ?? (classes === 1000 ? 500 : 1);

/** The class `shift` after the label of each image, in a circle. */
export function shiftedLabels(dataset: Dataset, shift: number, classes: number): Int32Array {
  const all = Array.from({ length: dataset.count }, (_, n) => n);
  return batchLabels(dataset, all).map((label) => (label + shift) % classes);
}
