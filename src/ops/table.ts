import type { OpName } from '../graph/types.js';
import * as activation from './activation.js';
import * as convolution from './convolution.js';
import type { OpDefinition } from './definition.js';
import * as linear from './linear.js';
import * as loss from './loss.js';
import * as pointwise from './pointwise.js';
import * as pooling from './pooling.js';
import * as source from './source.js';

/** Every op there is; a missing one is a compile error. */
export const opTable: { readonly [K in OpName]: OpDefinition<K> } = {
  ...activation,
  ...convolution,
  ...linear,
  ...loss,
  ...pointwise,
  ...pooling,
  ...source,
};
