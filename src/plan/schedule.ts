import { resolveView } from '../graph/graph.js';
import type { Graph } from '../graph/graph.js';
import type { Node, Tensor } from '../graph/types.js';
import { maxWorkgroups } from '../kernels/grid.js';
import { halfOperands } from '../kernels/half.js';
import { loweringTable } from '../kernels/table.js';
import { lowerInSlices, moveGroup } from '../kernels/slice.js';
import type { Dispatch, Group, KernelDevice, Lowering, LoweringContext } from '../kernels/types.js';
import { foldWorkgroups } from '../wgsl/fold.js';

/** A dispatch with the group it came from. */
export interface ScheduledDispatch extends Dispatch {
  readonly group: Group;
  readonly segment: string;
  /** Of the segment `derived`: the only segment that reads what it makes, where there is but one. */
  readonly reader?: string;
}

/** All dispatches of a program in running order, before memory is planned. */
export interface Schedule {
  readonly graph: Graph;
  readonly groups: readonly Group[];
  /** Tensors that live inside wider ones, in their places there. */
  readonly places: ReadonlyMap<Tensor, Tensor>;
  readonly dispatches: readonly ScheduledDispatch[];
}

/**
 * The segment of what is derived from weights alone: their transforms, and the lines of batch norms. It runs once at
 * the beginning of each run.
 */
export const derivedSegment = 'derived';

/**
 * Chooses kernels for every group. `stepWord` gives the word of the step row that holds a field; `places` has tensors
 * to be put inside wider ones, see {@link placeWindows}.
 */
export function schedule(
  graph: Graph,
  groups: readonly Group[],
  device: KernelDevice,
  stepWord: (field: string) => number,
  places: ReadonlyMap<Tensor, Tensor> = new Map(),
): Schedule {
  const dispatches: ScheduledDispatch[] = [];
  const derivations: ScheduledDispatch[] = [];
  const derived = new Map<string, Tensor>();
  const mutated = new Set(graph.nodes.flatMap((node) => node.mutates.map((slot) => rootOf(node.inputs[slot]!))));
  const changes = (tensor: Tensor): boolean => rootOf(tensor).kind === 'value' || mutated.has(rootOf(tensor));
  let current: Group | undefined;
  let scratches = 0;
  const context: LoweringContext = {
    device,
    stepWord,
    scratch(name, shape, dtype = 'f32'): Tensor {
      scratches += 1;
      return { id: -scratches, name, shape, dtype, kind: 'value', producer: undefined, view: undefined };
    },
    derive(source, key, shape, make) {
      const { root, offset } = resolveView(source);
      const name = `${source.name} ${key}`;
      const place = `${root.id} ${offset} ${key}`;
      const known = changes(source) ? undefined : derived.get(place);
      if (known !== undefined) return { tensor: known, dispatches: [] };
      const tensor = context.scratch(name, shape);
      if (changes(source)) return { tensor, dispatches: [make(tensor)] };
      derived.set(place, tensor);
      derivations.push({ ...stored(make(tensor), device), group: current!, segment: derivedSegment });
      return { tensor, dispatches: [] };
    },
  };
  for (const group of groups) {
    current = group;
    const { op, inputs, outputs, segment } = group.anchor;
    const early = op === 'batchNormScaleShift' && group.followers.length === 0 && !inputs.some(changes);
    const lower = loweringTable[group.anchor.op] as unknown as Lowering<Node['op']>;
    for (const dispatch of lowerInSlices(lower, moveGroup(group, places), context)) {
      if (early)
        derivations.push({
          ...stored(dispatch, device),
          group,
          segment: derivedSegment,
          ...soleReader(graph, outputs),
        });
      else dispatches.push({ ...stored(dispatch, device), group, segment });
    }
  }
  return { graph, groups, places, dispatches: [...derivations, ...dispatches] };
}

/** The only segment that reads any of some tensors, where there is but one. */
function soleReader(graph: Graph, tensors: readonly Tensor[]): Pick<ScheduledDispatch, 'reader'> {
  const reads = (tensor: Tensor): boolean => tensors.includes(rootOf(tensor));
  if ([...graph.outputs.values()].some(reads)) return {};
  const [reader, ...others] = new Set(
    graph.nodes.filter(({ inputs }) => inputs.some(reads)).map(({ segment }) => segment),
  );
  return reader === undefined || others.length > 0 ? {} : { reader };
}

/**
 * A dispatch whose text reads and writes operands of 16 bits as they are stored, and whose grid is one that the device
 * takes.
 */
function stored(dispatch: Dispatch, { maxWorkgroups: most = maxWorkgroups }: KernelDevice): Dispatch {
  const half = dispatch.operands.filter(({ tensor }) => tensor.dtype === 'f16').map(({ name }) => name);
  const { kernel, code, workgroups } = dispatch;
  return { ...dispatch, ...foldWorkgroups(kernel, halfOperands(code, half), workgroups, most) };
}

/** The tensor whose memory an operand touches. */
export function rootOf(tensor: Tensor): Tensor {
  return resolveView(tensor).root;
}
