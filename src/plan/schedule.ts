import { LinbpError } from '../errors.js';
import { resolveView } from '../graph/graph.js';
import type { Graph } from '../graph/graph.js';
import type { Node, Tensor } from '../graph/types.js';
import { halfOperands } from '../kernels/half.js';
import { loweringTable } from '../kernels/table.js';
import { lowerInSlices } from '../kernels/slice.js';
import type { Dispatch, Group, KernelDevice, Lowering, LoweringContext } from '../kernels/types.js';

/** A dispatch with the group it came from. */
export interface ScheduledDispatch extends Dispatch {
  readonly group: Group;
  readonly segment: string;
}

/** All dispatches of a program in running order, before memory is planned. */
export interface Schedule {
  readonly graph: Graph;
  readonly groups: readonly Group[];
  readonly dispatches: readonly ScheduledDispatch[];
}

/** Chooses kernels for every group. `stepWord` gives the word of the step row that holds a field. */
export function schedule(graph: Graph, groups: readonly Group[], device: KernelDevice, stepWord: (field: string) => number): Schedule {
  const dispatches: ScheduledDispatch[] = [];
  let scratches = 0;
  const context: LoweringContext = {
    device,
    stepWord,
    scratch(name, shape, dtype = 'f32'): Tensor {
      scratches += 1;
      return { id: -scratches, name, shape, dtype, kind: 'value', producer: undefined, view: undefined };
    },
  };
  for (const group of groups) {
    const lower = loweringTable[group.anchor.op] as unknown as Lowering<Node['op']>;
    for (const dispatch of lowerInSlices(lower, group, context)) {
      if (dispatch.workgroups.some((count) => count > 65535)) {
        throw new LinbpError(
          'limit-exceeded',
          `${dispatch.kernel} (${group.anchor.layer}) needs ${dispatch.workgroups.join(' x ')} workgroups; 65535 an axis are possible`,
          {
            field: group.anchor.layer,
          },
        );
      }
      const half = dispatch.operands.filter(({ tensor }) => tensor.dtype === 'f16').map(({ name }) => name);
      dispatches.push({ ...dispatch, code: halfOperands(dispatch.code, half), group, segment: group.anchor.segment });
    }
  }
  return { graph, groups, dispatches };
}

/** The tensor whose memory an operand touches. */
export function rootOf(tensor: Tensor): Tensor {
  return resolveView(tensor).root;
}
