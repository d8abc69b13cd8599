import { densenet } from './denseNetwork.js';
import { withPresets } from './presets.js';

/** The attack code linearizes from `transition3` on, the training code from `denseblock4` on. */
const presets = {
  default: ({ stage }: { stage?: string }) => ['transition3', 'denseblock4', 'final'].includes(stage ?? ''),
  training: ({ stage }: { stage?: string }) => ['denseblock4', 'final'].includes(stage ?? ''),
};

export const densenet121 = withPresets(
  densenet('densenet121', { stem: 64, growth: 32, blocks: [6, 12, 24, 16] }),
  presets,
);
export const densenet161 = withPresets(
  densenet('densenet161', { stem: 96, growth: 48, blocks: [6, 12, 36, 24] }),
  presets,
);
