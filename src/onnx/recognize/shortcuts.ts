import type { Pair } from '../../graph/types.js';
import type { DataValue, Step } from '../lower/steps.js';
import { isStep } from '../lower/steps.js';
import { producersOf, substitute } from './rewrite.js';

/** Every stride-th pixel of whole channels; undefined for other slices. */
function pixelStride(step: Step | undefined): Pair | undefined {
  if (!isStep(step, 'slice')) return undefined;
  const { cut } = step.attributes;
  const { shape } = step.inputs[0] as DataValue;
  const whole = cut.every(({ start, step: by, size }, axis) => start === 0 && size === Math.ceil(shape[axis]! / by));
  const [images, channels, rows, columns] = cut;
  return whole && cut.length === 4 && images!.step === 1 && channels!.step === 1
    ? [rows!.step, columns!.step]
    : undefined;
}

/** Whether zeros are added in front of or behind the channels of images and nowhere else. */
function padsChannels(step: Step): step is Step & Step<'pad'> {
  if (!isStep(step, 'pad')) return false;
  const { pads, mode, value } = step.attributes;
  const channelsOnly = pads.length === 8 && pads.every((count, i) => count === 0 || (i % 4 === 1 && count > 0));
  return channelsOnly && mode === 'constant' && value === 0;
}

/** Joins the slice and the padding of residual shortcuts without weights (option A). */
export function recognizeShortcuts(
  steps: readonly Step[],
  results: readonly DataValue[],
): { steps: Step[]; results: DataValue[] } {
  const producers = producersOf(steps);
  const joined = steps.map((step): Step => {
    if (!padsChannels(step)) return step;
    const slice = producers.get(step.inputs[0] as DataValue);
    const stride = pixelStride(slice);
    const attributes = { ...step.attributes, stride: stride ?? [1, 1] };
    const inputs = stride === undefined ? step.inputs : slice!.inputs;
    return { ...step, attributes, inputs } as unknown as Step;
  });
  return substitute(joined, new Map(), results);
}
