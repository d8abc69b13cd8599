import { expectMembers } from '../arguments.js';
import { check } from '../errors.js';
import type { ModelDefinition } from './definition.js';

/** Means and standard deviations of a data set's pixels in [0, 1], one number per channel. */
export interface PixelStatistics {
  /** Finite, one per channel. */
  readonly means: readonly number[];
  /** Finite and above 0, one per channel. */
  readonly deviations: readonly number[];
}

/**
 * The statistics with which the theory paper's code normalizes CIFAR-10. Its deviations are, as is widespread, means of
 * the deviations of single images; the deviations over all pixels are (0.2471, 0.2435, 0.2616).
 */
export const cifar10Statistics: PixelStatistics = {
  means: [0.4914, 0.4822, 0.4465],
  deviations: [0.2023, 0.1994, 0.201],
};

/**
 * The same network with (x - mean) / deviation per channel in front, as part of every program made of it. Images remain
 * [N, C, H, W] with pixels in [0, 1], so attacks and their eps stay in pixel units. Normalizing twice composes: the new
 * statistics apply to the pixels first.
 *
 * @param definition is not changed
 * @param statistics one mean and one deviation for each channel of `definition.input`
 * @throws LinbpError `bad-shape` for another number of means or deviations; `bad-range` unless all are finite in
 * float32 and deviations positive; `bad-argument` for what is no definition or no lists
 */
export function normalized(definition: ModelDefinition, statistics: PixelStatistics): ModelDefinition {
  expectMembers(definition, 'definition', { input: 'list', build: 'function' });
  expectMembers(statistics, 'statistics', { means: 'list', deviations: 'list' });
  const { means, deviations } = statistics;
  const channels = definition.input[0];
  const text = `${means.join()}/${deviations.join()}`;
  check(
    means.length === channels && deviations.length === channels,
    'bad-shape',
    `normalize must hold ${channels} mean(s) and ${channels} deviation(s), got ${text}`,
    'normalize',
  );
  // What devices compute with, in float32.
  const scale = deviations.map((deviation) => 1 / deviation);
  const shift = means.map((mean, channel) => -mean / deviations[channel]!);
  check(
    deviations.every((deviation) => deviation > 0) &&
      [...scale, ...shift].every((value) => Number.isFinite(Math.fround(value))),
    'bad-range',
    `normalize must hold finite means and positive deviations, got ${text}`,
    'normalize',
  );
  return {
    ...definition,
    normalization: definition.normalization === undefined ? text : `${text}, ${definition.normalization}`,
    build: (net, images) => definition.build(net, net.preprocess(images, scale, shift)),
  };
}
