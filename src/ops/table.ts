import type { OpName } from '../graph/types.js';
import * as activation from './activation.js';
import * as batchNorm from './batchNorm.js';
import * as channels from './channels.js';
import * as convolution from './convolution.js';
import type { OpDefinition } from './definition.js';
import * as dropout from './dropout.js';
import * as imageMaps from './imageMaps.js';
import * as linear from './linear.js';
import * as logSoftmax from './logSoftmax.js';
import * as loss from './loss.js';
import * as pointwise from './pointwise.js';
import * as pooling from './pooling.js';
import * as source from './source.js';

/** Every op there is; a missing one is a compile error. */
export const opTable: { readonly [K in OpName]: OpDefinition<K> } = {
  ...activation,
  ...batchNorm,
  ...channels,
  ...convolution,
  ...dropout,
  ...imageMaps,
  ...linear,
  ...logSoftmax,
  ...loss,
  ...pointwise,
  ...pooling,
  ...source,
};
