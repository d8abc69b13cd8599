import type { KernelDevice } from '../device.js';
import { inFours } from '../staging.js';
import { bindingBase } from '../types.js';
import type { WeightProblem } from '../weightProblem.js';

/**
 * Whether neighboring columns are neighbors in memory that load as vec4: on the CPU, where a load of four numbers
 * costs half of four loads.
 */
export const readsColumns = (
  { x, columns, bStrides }: WeightProblem,
  { software, plainCompiler }: KernelDevice,
): boolean =>
  software &&
  plainCompiler !== true &&
  bStrides.channel === 1 &&
  inFours(columns, bindingBase(x), bStrides.batch, bStrides.h, bStrides.w);
