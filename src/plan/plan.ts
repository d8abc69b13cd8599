import { byteLength } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { pack } from './pack.js';
import type { Item } from './pack.js';
import { rootOf } from './schedule.js';
import type { DispatchSchedule } from './schedule.js';

/** Where a value lives: bytes into one of the plan's arenas. */
export interface Placement {
  readonly arena: number;
  readonly offset: number;
  readonly bytes: number;
}

/** First and last dispatch (inclusive) between which a value's memory must be kept. */
export interface Lifetime {
  readonly first: number;
  readonly last: number;
}

/** Where every value of a program lies in memory. */
export interface Plan {
  readonly placements: ReadonlyMap<Tensor, Placement>;
  readonly lifetimes: ReadonlyMap<Tensor, Lifetime>;
  /** Size of each arena in bytes. */
  readonly arenas: readonly number[];
  /** Sum of the arenas: what the program's step-lived values need. */
  readonly bytes: number;
  /** Bytes of values written by forward dispatches and read by backward ones. */
  readonly savedForBackwardBytes: number;
}

const align = (bytes: number): number => Math.ceil(bytes / 256) * 256;

/**
 * Lifetimes of all values: from the first dispatch that touches them to the last. A value that crosses segments, or
 * that is an output of the graph, is kept for the whole program, because segments repeat and compose.
 */
export function lifetimes(schedule: DispatchSchedule): Map<Tensor, Lifetime> {
  const found = new Map<Tensor, Lifetime>();
  const segments = new Map<Tensor, string>();
  const crossing = new Set<Tensor>([...schedule.graph.outputs.values()].map(rootOf));
  for (const [index, dispatch] of schedule.dispatches.entries()) {
    for (const operand of dispatch.operands) {
      const root = rootOf(operand.tensor);
      if (root.kind !== 'value') continue;
      const old = found.get(root);
      found.set(root, { first: old?.first ?? index, last: index });
      if (old !== undefined && segments.get(root) !== dispatch.segment) crossing.add(root);
      segments.set(root, dispatch.segment);
    }
  }
  for (const tensor of crossing) {
    if (found.has(tensor)) found.set(tensor, { first: 0, last: schedule.dispatches.length - 1 });
  }
  return found;
}

/** Pairs of values that may not share an arena: one is read and the other written by the same dispatch. */
function arenaConflicts(schedule: DispatchSchedule): Map<Tensor, Set<Tensor>> {
  const conflicts = new Map<Tensor, Set<Tensor>>();
  const note = (left: Tensor, right: Tensor): void => {
    let set = conflicts.get(left);
    if (set === undefined) conflicts.set(left, (set = new Set()));
    set.add(right);
  };
  for (const dispatch of schedule.dispatches) {
    const roots = dispatch.operands
      .map((operand) => ({ root: rootOf(operand.tensor), writes: operand.access !== 'read' }))
      .filter(({ root }) => root.kind === 'value');
    for (const left of roots) {
      for (const right of roots) {
        if (left.writes && !right.writes && left.root !== right.root) {
          note(left.root, right.root);
          note(right.root, left.root);
        }
      }
    }
  }
  return conflicts;
}

/**
 * Places every value in an arena, in as little memory as {@link pack} finds. Values that one dispatch reads and
 * writes lie in different arenas, because WebGPU tracks use by buffer.
 * `maxArena` is the largest buffer the device grants; without `aliasing` every value keeps memory of its own.
 */
export function plan(
  schedule: DispatchSchedule,
  options: { readonly maxArena?: number; readonly aliasing?: boolean } = {},
): Plan {
  const { maxArena = Infinity, aliasing = true } = options;
  const lives = lifetimes(schedule);
  if (!aliasing)
    for (const tensor of lives.keys()) lives.set(tensor, { first: 0, last: schedule.dispatches.length - 1 });
  const conflicts = arenaConflicts(schedule);
  const values = [...lives.keys()];
  const indices = new Map(values.map((tensor, index) => [tensor, index]));
  // Long lives are long in groups of the graph: into how many dispatches a kernel cuts its group says nothing.
  const ordinals = new Map(schedule.groups.map((group, ordinal) => [group, ordinal]));
  const times = schedule.dispatches.map(({ group }) => ordinals.get(group) ?? -1);
  const items = values.map((tensor): Item => {
    const apart = [...(conflicts.get(tensor) ?? [])].map((other) => indices.get(other)!);
    const { first, last } = lives.get(tensor)!;
    return { bytes: align(byteLength(tensor)), first, last, span: times[last]! - times[first]! + 1, apart };
  });
  const packing = pack(items, { maxArena, search: aliasing });
  const place = (index: number): Placement => ({
    arena: packing.arenaOf[index]!,
    offset: packing.offsets[index]!,
    bytes: items[index]!.bytes,
  });
  return {
    placements: new Map(values.map((tensor, index) => [tensor, place(index)])),
    lifetimes: lives,
    arenas: packing.arenas,
    bytes: packing.bytes,
    savedForBackwardBytes: savedForBackward(schedule),
  };
}

function savedForBackward(schedule: DispatchSchedule): number {
  const written = new Set<Tensor>();
  const saved = new Set<Tensor>();
  for (const dispatch of schedule.dispatches) {
    const direction = dispatch.group.anchor.direction;
    for (const operand of dispatch.operands) {
      const root = rootOf(operand.tensor);
      if (root.kind !== 'value') continue;
      if (direction === 'forward' && operand.access !== 'read') written.add(root);
      if (
        (direction === 'inputGradient' || direction === 'weightGradient') &&
        operand.access !== 'write' &&
        written.has(root)
      )
        saved.add(root);
    }
  }
  return [...saved].reduce((sum, tensor) => sum + byteLength(tensor), 0);
}
