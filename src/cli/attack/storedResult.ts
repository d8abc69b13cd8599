import type { AttackResult } from '../../attacks/result.js';
import { firstNonFinite } from '../../finite.js';

/** The arrays of a result, which are stored as tensors; the rest is JSON. */
type Arrays = Pick<AttackResult, 'images' | 'images8' | 'losses'>;

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const hasNumbers = (value: Fields, names: readonly string[]): boolean =>
  names.every((name) => Number.isFinite(value[name]));
const hasFlags = (value: Fields, names: readonly string[]): boolean =>
  names.every((name) => typeof value[name] === 'boolean');

const isSample = (value: unknown): boolean =>
  isFields(value) &&
  hasNumbers(value, ['id', 'label', 'cleanLoss', 'loss', 'cleanClass', 'finalClass', 'linf', 'l2']) &&
  hasFlags(value, ['cleanCorrect', 'robustCorrect', 'success', 'savedRobustCorrect', 'savedSuccess']) &&
  (value['firstStep'] === null || Number.isFinite(value['firstStep']));

const isPoint = (value: unknown): boolean =>
  isFields(value) && hasNumbers(value, ['step', 'restart', 'loss', 'robustAccuracy']);

const isStage = (value: unknown): boolean =>
  isFields(value) &&
  typeof value['name'] === 'string' &&
  hasNumbers(value, ['attacked', 'robustCorrect', 'robustAccuracy', 'gradients', 'forwards', 'seconds']);

const isExtreme = (value: unknown): boolean => isFields(value) && hasNumbers(value, ['largest', 'mean']);

const figures = ['robustCorrect', 'robustAccuracy', 'successRate'];
const counts = ['cleanCorrect', 'cleanAccuracy', 'gradients', 'forwards', 'overflows', 'dispatches', 'submits'];

/** What stands in the way of taking stored values for the result of an attack, in words; undefined for nothing. */
export function faultOfResult(rest: unknown, { images, images8, losses }: Arrays): string | undefined {
  if (!isFields(rest)) return 'its record is no object';
  const { count, samples, passes, curve, saved, stages, brokenBy } = rest;
  if (!Number.isSafeInteger(count) || (count as number) <= 0) return 'its number of images is none';
  const lists: [string, unknown, number | undefined, (value: unknown) => boolean][] = [
    ['samples', samples, count as number, isSample],
    ['passes', passes, count as number, (each) => isFields(each) && hasNumbers(each, ['gradients', 'forwards'])],
    ['curve', curve, undefined, isPoint],
    ...(stages === undefined
      ? []
      : ([
          ['stages', stages, undefined, isStage],
          ['brokenBy', brokenBy, count as number, (each) => each === null || typeof each === 'string'],
        ] as [string, unknown, number | undefined, (value: unknown) => boolean][])),
  ];
  for (const [name, list, length, fits] of lists)
    if (!Array.isArray(list) || (length !== undefined && list.length !== length) || !list.every(fits))
      return `its ${name} are no list of what they should be`;
  const sound =
    hasNumbers(rest, [...figures, ...counts, 'readbacks', 'seconds']) &&
    isFields(saved) &&
    hasNumbers(saved, figures) &&
    isExtreme(rest['linf']) &&
    isExtreme(rest['l2']);
  if (!sound) return 'a figure of it is missing or not finite';
  if (images.length === 0 || images.length % (count as number) !== 0 || images8.length !== images.length)
    return 'its images are not as many as it says';
  if (losses.length !== (curve as unknown[]).length * (count as number)) return 'its losses are not as many as it says';
  return firstNonFinite(images) >= 0 || firstNonFinite(losses) >= 0 ? 'a pixel or a loss is not finite' : undefined;
}
