/** Something to be placed: how many bytes, and the first and the last dispatch that needs them. */
export interface Item {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
  /** How long it is needed, where the count of dispatches is not what should order items by. */
  readonly span?: number;
  /** Items, by index, that must lie in other arenas. */
  readonly apart: readonly number[];
}

/** Arenas and offsets of items, by index. */
export interface Packing {
  readonly arenaOf: Int32Array;
  readonly offsets: Float64Array;
  /** Size of each arena. */
  readonly arenas: readonly number[];
  readonly bytes: number;
}

/** A packing, the order in which its items were placed, and the items of each arena by offset. */
interface Layout extends Packing {
  readonly order: readonly number[];
  readonly members: readonly (readonly number[])[];
}

/**
 * Places items one by one, each in the arena that grows least, at the lowest free offset. Returns undefined as soon
 * as the arenas exceed `most` bytes.
 */
function placeInOrder(
  items: readonly Item[],
  order: readonly number[],
  maxArena: number,
  most = Infinity,
): Layout | undefined {
  const arenaOf = new Int32Array(items.length).fill(-1);
  const offsets = new Float64Array(items.length);
  const members: number[][] = [];
  const arenas: number[] = [];
  /** Item for which each arena was last ruled out. */
  const ruledOut: number[] = [];
  let bytes = 0;
  for (const index of order) {
    const item = items[index]!;
    for (const other of item.apart) if (arenaOf[other]! >= 0) ruledOut[arenaOf[other]!] = index;
    let best = arenas.length;
    let offset = 0;
    let growth = Infinity;
    for (let arena = 0; arena < arenas.length; arena++) {
      if (ruledOut[arena] === index) continue;
      let free = 0;
      for (const other of members[arena]!) {
        const { first, last, bytes: length } = items[other]!;
        if (first > item.last || last < item.first) continue;
        const begin = offsets[other]!;
        if (free + item.bytes <= begin) break;
        if (begin + length > free) free = begin + length;
      }
      const grows = Math.max(0, free + item.bytes - arenas[arena]!);
      if (grows < growth && free + item.bytes <= maxArena) [best, offset, growth] = [arena, free, grows];
    }
    if (best === arenas.length) {
      growth = item.bytes;
      members.push([]);
      arenas.push(0);
      ruledOut.push(-1);
    }
    bytes += growth;
    if (bytes > most) return undefined;
    arenas[best]! += growth;
    arenaOf[index] = best;
    offsets[index] = offset;
    const list = members[best]!;
    let place = list.length;
    while (place > 0 && offsets[list[place - 1]!]! > offset) place -= 1;
    list.splice(place, 0, index);
  }
  return { arenaOf, offsets, arenas, bytes, order, members };
}

/** Orders worth trying; which one packs best depends on the network. */
function greedyOrders(items: readonly Item[]): number[][] {
  const span = (item: Item): number => item.span ?? item.last - item.first + 1;
  const keys: ((item: Item) => number)[] = [
    (item) => -item.bytes,
    (item) => -item.bytes * span(item),
    (item) => -span(item),
    (item) => item.first,
    (item) => -item.last,
  ];
  const orders = keys.map((key) =>
    Array.from(items.keys()).sort((a, b) => {
      const [left, right] = [items[a]!, items[b]!];
      return key(left) - key(right) || right.bytes - left.bytes || left.first - right.first;
    }),
  );
  // Small items matter little by size but can force an arena to grow: the same orders with items below the median
  // kept for last.
  const median = items.map(({ bytes }) => bytes).sort((a, b) => a - b)[items.length >> 1] ?? 0;
  const isLarge = (index: number): boolean => items[index]!.bytes > median;
  return [
    ...orders,
    ...orders.slice(1).map((order) => [...order.filter(isLarge), ...order.filter((index) => !isLarge(index))]),
  ];
}

/** The most bytes that are needed at one time: no packing can do with less. */
export function mostAlive(items: readonly Pick<Item, 'bytes' | 'first' | 'last'>[]): number {
  const change: number[] = [];
  for (const { bytes, first, last } of items) {
    change[first] = (change[first] ?? 0) + bytes;
    change[last + 1] = (change[last + 1] ?? 0) - bytes;
  }
  let alive = 0;
  let most = 0;
  for (const delta of change) most = Math.max(most, (alive += delta ?? 0));
  return most;
}

/** Whole numbers below a bound, always the same ones: a plan depends on nothing but its schedule. */
function numbers(): (below: number) => number {
  let state = 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** One of each so many steps of the search moves an item at random besides. */
const randomMoves = 3;

/**
 * Improves a layout step by step: an item that ends where its arena ends is the reason for its size, so one of them
 * is placed earlier, and the new layout stays where it is no larger.
 */
function improve(
  items: readonly Item[],
  start: Layout,
  steps: number,
  bound: number,
  maxArena: number,
  below: (bound: number) => number,
): Layout {
  let current = start;
  const move = (order: number[], from: number, to: number): void => {
    order.splice(to, 0, ...order.splice(from, 1));
  };
  for (let step = 0; step < steps && current.bytes > bound; step++) {
    const { members, offsets, arenas } = current;
    const last = members.flatMap((list, arena) =>
      list.filter((index) => offsets[index]! + items[index]!.bytes === arenas[arena]),
    );
    const order = [...current.order];
    const from = order.indexOf(last[below(last.length)]!);
    move(order, from, below(from + 1));
    if (below(randomMoves) === 0) move(order, below(order.length), below(order.length));
    current = placeInOrder(items, order, maxArena, current.bytes) ?? current;
  }
  return current;
}

/**
 * Items of at least a 24th of the largest come first, then those of a 256th, then all: what is large decides, the
 * small fills gaps.
 */
const stages = [24, 256, Infinity];
/** Pairs of items that one search may look at, and the most steps it may take: about a tenth of a second. */
const work = 2e7;
const mostSteps = 8000;
/** Layouts that each stage begins to improve. */
const beginnings = 4;

/**
 * Packs items into arenas: the best of several greedy orders, and where that needs more than what is alive at once,
 * the best that a search of bounded length finds. Without `search` the items are placed in the order given.
 */
export function pack(
  items: readonly Item[],
  options: { readonly maxArena: number; readonly search: boolean },
): Packing {
  const { maxArena, search } = options;
  const place = (order: readonly number[]): Layout => placeInOrder(items, order, maxArena)!;
  const smallest = (layouts: Layout[]): Layout[] => layouts.sort((left, right) => left.bytes - right.bytes);
  if (!search || items.length === 0) return place([...items.keys()]);
  const orders = greedyOrders(items);
  const greedy = smallest(orders.map(place));
  const bound = mostAlive(items);
  if (greedy[0]!.bytes === bound) return greedy[0]!;
  const below = numbers();
  const largest = Math.max(...items.map(({ bytes }) => bytes));
  let found: Layout | undefined;
  for (const share of stages) {
    const before = new Set(found?.order);
    const belongs = (index: number): boolean => share === Infinity || items[index]!.bytes * share >= largest;
    const added = orders.map((order) => order.filter((index) => belongs(index) && !before.has(index)));
    if (added[0]!.length === 0) continue;
    const starts = smallest([
      ...added.map((order) => place([...(found?.order ?? []), ...order])),
      ...(share === Infinity ? greedy : []),
    ]);
    const count = starts[0]!.order.length;
    const steps = Math.min(mostSteps, work / count ** 2) / beginnings;
    const least = mostAlive(starts[0]!.order.map((index) => items[index]!));
    found = smallest(
      starts.slice(0, beginnings).map((start) => improve(items, start, steps, least, maxArena, below)),
    )[0]!;
  }
  return found!;
}
