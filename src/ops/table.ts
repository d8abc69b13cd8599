import type { OpName } from '../graph/types.js';
import * as activation from './activation.js';
import * as batchNorm from './batchNorm.js';
import * as channels from './channels.js';
import * as convolution from './convolution.js';
import type { OpDefinition } from './definition.js';
import * as custom from './custom.js';
import * as dropout from './dropout.js';
import * as imageMaps from './imageMaps.js';
import * as elementwise from './elementwise.js';
import * as layout from './layout.js';
import * as linear from './linear.js';
import * as loss from './loss.js';
import * as normalize from './normalize.js';
import * as pointwise from './pointwise.js';
import * as pooling from './pooling.js';
import * as reduce from './reduce.js';
import * as softmax from './softmax.js';
import * as source from './source.js';

/** Every op there is; a missing one is a compile error. */
export const opTable: { readonly [K in OpName]: OpDefinition<K> } = {
  ...activation,
  ...batchNorm,
  ...channels,
  ...convolution,
  ...custom,
  ...dropout,
  ...imageMaps,
  ...elementwise,
  ...layout,
  ...linear,
  ...loss,
  ...normalize,
  ...pointwise,
  ...pooling,
  ...reduce,
  ...softmax,
  ...source,
};
