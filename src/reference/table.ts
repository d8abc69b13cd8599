import type { Node, OpName } from '../graph/types.js';
import * as activation from './activation.js';
import * as batchNorm from './batchNorm.js';
import * as channels from './channels.js';
import * as convolution from './convolution.js';
import * as custom from './custom.js';
import * as dropout from './dropout.js';
import * as fields from './fields.js';
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
import type { Reference, ReferenceArray, ReferenceContext } from './types.js';

/** The float64 reference of every op; a missing one is a compile error. */
export const referenceTable: { readonly [K in OpName]: Reference<K> } = {
  ...activation,
  ...batchNorm,
  ...channels,
  ...convolution,
  ...custom,
  ...dropout,
  ...fields,
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

/** Computes one node; see {@link Reference}. */
export function referenceNode(
  node: Node,
  inputs: readonly ReferenceArray[],
  context: ReferenceContext,
): ReferenceArray[] {
  return (referenceTable[node.op] as unknown as Reference<OpName>)(node, inputs, context);
}
