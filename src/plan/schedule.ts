import { resolveView } from '../graph/graph.js';
import type { Graph } from '../graph/graph.js';
import type { Node, Tensor } from '../graph/types.js';
import { maxWorkgroups } from '../kernels/grid.js';
import { halfOperands } from '../kernels/half.js';
import { loweringTable } from '../kernels/table.js';
import { lowerInSlices, moveGroup } from '../kernels/slice.js';
import type { Dispatch, Group, KernelDevice, Lowering, LoweringContext } from '../kernels/types.js';
import type { AttentionRegion } from '../passes/attention.js';
import { cutWorkgroups, foldWorkgroups } from '../wgsl/fold.js';
import { lowerAttention } from './attention.js';

/** A dispatch with the group it came from. */
export interface ScheduledDispatch extends Dispatch {
  readonly group: Group;
  readonly segment: string;
  /** Of the segment `derived`: the only segment that reads what it makes, where there is but one. */
  readonly reader?: string;
}

/** All dispatches of a program in running order, before memory is planned. */
export interface DispatchSchedule {
  readonly graph: Graph;
  /** In running order, those that run again among them. */
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
 * to be put inside wider ones, see {@link placeWindows}, `regions` what runs slice by slice, see
 * {@link attentionRegions}.
 */
export function schedule(
  graph: Graph,
  groups: readonly Group[],
  device: KernelDevice,
  stepWord: (field: string) => number,
  places: ReadonlyMap<Tensor, Tensor> = new Map(),
  regions: readonly AttentionRegion[] = [],
): DispatchSchedule {
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
      const [group, segment] = [current!, derivedSegment];
      derivations.push(...stored(make(tensor), device).map((part) => ({ ...part, group, segment })));
      return { tensor, dispatches: [] };
    },
  };
  const regionOf = new Map(regions.flatMap((region) => region.groups.map((group) => [group, region])));
  const running: Group[] = [];
  for (const group of groups) {
    const region = regionOf.get(group);
    if (region !== undefined && region.last !== group) continue;
    current = group;
    const { op, inputs, outputs, segment } = group.anchor;
    running.push(...(region?.groups ?? [group]));
    for (const part of region === undefined ? [] : lowerAttention(region, context, places))
      dispatches.push(...stored(part.dispatch, device).map((each) => ({ ...each, group: part.group, segment })));
    if (region !== undefined) continue;
    const early = op === 'batchNormScaleShift' && group.followers.length === 0 && !inputs.some(changes);
    const lower = loweringTable[group.anchor.op] as unknown as Lowering<Node['op']>;
    for (const dispatch of lowerInSlices(lower, moveGroup(group, places), context)) {
      const parts = stored(dispatch, device);
      const reader = early ? soleReader(graph, outputs) : {};
      if (early) derivations.push(...parts.map((part) => ({ ...part, group, segment: derivedSegment, ...reader })));
      else dispatches.push(...parts.map((part) => ({ ...part, group, segment })));
    }
  }
  return { graph, groups: running, places, dispatches: [...derivations, ...dispatches] };
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

/** Operations that moving a byte counts for, where it is estimated how long work takes. */
const operationsPerByte = 8;

/** How much work a dispatch is, in operations. */
export const operationsOf = ({ flops, bytes }: Pick<Dispatch, 'flops' | 'bytes'>): number =>
  flops + operationsPerByte * bytes;

/**
 * Most operations of one dispatch, and fewest workgroups of one that is part of another. What computes on the CPU does
 * 3 to 30 operations a nanosecond; a GPU that does less than 1,000 is rare, and wants many workgroups at a time.
 */
const partLimits = (software: boolean): { readonly operations: number; readonly workgroups: number } =>
  software ? { operations: 5e8, workgroups: 2 } : { operations: 5e10, workgroups: 4096 };

/**
 * A dispatch whose text reads and writes operands of 16 bits as they are stored, whose grid is one that the device
 * takes, in parts where it is much work: what nobody can interrupt must be short.
 */
function stored(dispatch: Dispatch, device: KernelDevice): Dispatch[] {
  const half = dispatch.operands.filter(({ tensor }) => tensor.dtype === 'f16').map(({ name }) => name);
  const { kernel, code } = dispatch;
  const folded = foldWorkgroups(
    kernel,
    halfOperands(code, half),
    dispatch.workgroups,
    device.maxWorkgroups ?? maxWorkgroups,
  );
  return inParts({ ...dispatch, ...folded }, device);
}

function inParts(dispatch: Dispatch, device: KernelDevice): Dispatch[] {
  const limits = { ...partLimits(device.software), ...device.partLimits };
  const [x, y, z] = dispatch.workgroups;
  const wanted = Math.min(Math.ceil(operationsOf(dispatch) / limits.operations), (x * y * z) / limits.workgroups);
  const cut = wanted >= 2 ? cutWorkgroups(dispatch.code, dispatch.workgroups, Math.floor(wanted)) : undefined;
  if (cut === undefined) return [dispatch];
  return cut.parts.map(({ workgroups, first }, index) => {
    const share = (workgroups[0] * workgroups[1] * workgroups[2]) / (x * y * z);
    return {
      ...dispatch,
      code: cut.code,
      // the parts before have written theirs
      operands: dispatch.operands.map((operand) =>
        index > 0 && operand.access === 'write' ? { ...operand, access: 'readWrite' as const } : operand,
      ),
      parameters: [...dispatch.parameters, { name: 'firstWorkgroup', type: 'u32' as const, value: first }],
      workgroups,
      flops: dispatch.flops * share,
      bytes: dispatch.bytes * share,
    };
  });
}

/** The tensor whose memory an operand touches. */
export function rootOf(tensor: Tensor): Tensor {
  return resolveView(tensor).root;
}
