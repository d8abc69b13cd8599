import { byteLength } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { rootOf } from './schedule.js';
import type { Schedule } from './schedule.js';

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
 * Lifetimes of all values: from the first dispatch that touches them to the last. A value that crosses segments, or that
 * is an output of the graph, is kept for the whole program, because segments repeat and compose.
 */
export function lifetimes(schedule: Schedule): Map<Tensor, Lifetime> {
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
function arenaConflicts(schedule: Schedule): Map<Tensor, Set<Tensor>> {
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

interface Arena {
  readonly members: Tensor[];
  size: number;
}

/** Lowest offset in the arena at which no member alive at the same time lies. */
function lowestOffset(arena: Arena, bytes: number, life: Lifetime, lives: Map<Tensor, Lifetime>, placed: Map<Tensor, Placement>): number {
  const taken = arena.members
    .filter((member) => {
      const other = lives.get(member)!;
      return other.first <= life.last && life.first <= other.last;
    })
    .map((member) => placed.get(member)!)
    .sort((left, right) => left.offset - right.offset);
  let offset = 0;
  for (const { offset: start, bytes: length } of taken) {
    if (offset + bytes <= start) break;
    offset = Math.max(offset, start + length);
  }
  return offset;
}

interface Layout {
  readonly placed: Map<Tensor, Placement>;
  readonly arenas: readonly number[];
  readonly bytes: number;
}

/** Places values one by one in the given order, each in the arena that grows least, at the lowest free offset. */
function placeInOrder(order: readonly Tensor[], lives: Map<Tensor, Lifetime>, conflicts: Map<Tensor, Set<Tensor>>, maxArena: number): Layout {
  const placed = new Map<Tensor, Placement>();
  const arenas: Arena[] = [];
  for (const tensor of order) {
    const bytes = align(byteLength(tensor));
    const life = lives.get(tensor)!;
    const excluded = new Set<number>();
    for (const other of conflicts.get(tensor) ?? []) {
      const place = placed.get(other);
      if (place !== undefined) excluded.add(place.arena);
    }
    let best: { index: number; offset: number; growth: number } | undefined;
    for (const [index, arena] of arenas.entries()) {
      if (excluded.has(index)) continue;
      const offset = lowestOffset(arena, bytes, life, lives, placed);
      if (offset + bytes > maxArena) continue;
      const growth = Math.max(0, offset + bytes - arena.size);
      if (best === undefined || growth < best.growth) best = { index, offset, growth };
    }
    if (best === undefined) {
      best = { index: arenas.length, offset: 0, growth: bytes };
      arenas.push({ members: [], size: 0 });
    }
    const arena = arenas[best.index]!;
    arena.members.push(tensor);
    arena.size = Math.max(arena.size, best.offset + bytes);
    placed.set(tensor, { arena: best.index, offset: best.offset, bytes });
  }
  const sizes = arenas.map((arena) => arena.size);
  return { placed, arenas: sizes, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Orders worth trying; which one packs best depends on the network, and trying them all costs milliseconds. */
function placementOrders(lives: Map<Tensor, Lifetime>): Tensor[][] {
  const span = (tensor: Tensor): number => lives.get(tensor)!.last - lives.get(tensor)!.first + 1;
  const first = (tensor: Tensor): number => lives.get(tensor)!.first;
  const keys: ((tensor: Tensor) => number)[] = [
    (tensor) => -byteLength(tensor),
    (tensor) => -byteLength(tensor) * span(tensor),
    (tensor) => -span(tensor),
    (tensor) => first(tensor),
    (tensor) => -lives.get(tensor)!.last,
  ];
  const orders = keys.map((key) =>
    [...lives.keys()].sort((left, right) => key(left) - key(right) || byteLength(right) - byteLength(left) || first(left) - first(right)),
  );
  // Small values matter little by size but can force an arena to grow: the same orders with values below the median kept for last.
  const median = [...lives.keys()].map(byteLength).sort((a, b) => a - b)[lives.size >> 1] ?? 0;
  return [
    ...orders,
    ...orders.slice(1).map((order) => [...order.filter((t) => byteLength(t) > median), ...order.filter((t) => byteLength(t) <= median)]),
  ];
}

/**
 * Places every value in an arena by the best of several greedy orders. Values that one dispatch reads and writes lie in
 * different arenas, because WebGPU tracks use by buffer.
 * `maxArena` is the largest buffer the device grants; without `aliasing` every value keeps memory of its own.
 */
export function plan(schedule: Schedule, options: { readonly maxArena?: number; readonly aliasing?: boolean } = {}): Plan {
  const { maxArena = Infinity, aliasing = true } = options;
  const lives = lifetimes(schedule);
  if (!aliasing) for (const tensor of lives.keys()) lives.set(tensor, { first: 0, last: schedule.dispatches.length - 1 });
  const conflicts = arenaConflicts(schedule);
  const least = mostAlive(lives, schedule.dispatches.length);
  let best: Layout | undefined;
  for (const order of aliasing ? placementOrders(lives) : [[...lives.keys()]]) {
    const layout = placeInOrder(order, lives, conflicts, maxArena);
    if (best === undefined || layout.bytes < best.bytes) best = layout;
    if (best.bytes === least) break;
  }
  return {
    placements: best?.placed ?? new Map<Tensor, Placement>(),
    lifetimes: lives,
    arenas: best?.arenas ?? [],
    bytes: best?.bytes ?? 0,
    savedForBackwardBytes: savedForBackward(schedule),
  };
}

/** The most bytes alive during one dispatch: no plan can need less. */
function mostAlive(lives: Map<Tensor, Lifetime>, dispatches: number): number {
  const change = new Array<number>(dispatches + 1).fill(0);
  for (const [tensor, life] of lives) {
    change[life.first]! += align(byteLength(tensor));
    change[life.last + 1]! -= align(byteLength(tensor));
  }
  let alive = 0;
  return change.reduce((most, delta) => Math.max(most, (alive += delta)), 0);
}

function savedForBackward(schedule: Schedule): number {
  const written = new Set<Tensor>();
  const saved = new Set<Tensor>();
  for (const dispatch of schedule.dispatches) {
    const direction = dispatch.group.anchor.direction;
    for (const operand of dispatch.operands) {
      const root = rootOf(operand.tensor);
      if (root.kind !== 'value') continue;
      if (direction === 'forward' && operand.access !== 'read') written.add(root);
      if ((direction === 'inputGradient' || direction === 'weightGradient') && operand.access !== 'write' && written.has(root)) saved.add(root);
    }
  }
  return [...saved].reduce((sum, tensor) => sum + byteLength(tensor), 0);
}
