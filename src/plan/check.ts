import { LinbpError } from '../errors.js';
import { elementCount, imagePitch } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { Contents, Meaning } from './contents.js';
import type { Placement, Plan } from './plan.js';
import { rootOf } from './schedule.js';
import type { DispatchSchedule, ScheduledDispatch } from './schedule.js';

/** A stretch of an arena and the value that last wrote it. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly owner: Tensor;
}

/** Which value last wrote each stretch of an arena. */
class Ownership {
  /** Disjoint, in ascending order. */
  private readonly spans: Span[] = [];

  write(start: number, end: number, owner: Tensor): void {
    const from = this.firstEndingBehind(start);
    let to = from;
    while (to < this.spans.length && this.spans[to]!.start < end) to += 1;
    const [left, right] = [this.spans[from], this.spans[to - 1]];
    const rest: Span[] = [{ start, end, owner }];
    if (to > from && left!.start < start) rest.unshift({ ...left!, end: start });
    if (to > from && right!.end > end) rest.push({ ...right!, start: end });
    this.spans.splice(from, to - from, ...rest);
  }

  /** Who owns [start, end), or undefined when it is not one owner. */
  owner(start: number, end: number): Tensor | undefined {
    const span = this.spans[this.firstEndingBehind(start)];
    return span !== undefined && span.start <= start && span.end >= end ? span.owner : undefined;
  }

  private firstEndingBehind(place: number): number {
    let [low, high] = [0, this.spans.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.spans[middle]!.end <= place) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What is inside those values in which several tensors live side by side; windows begin and end within an image. */
function sharedContents(schedule: DispatchSchedule): Map<Tensor, Contents> {
  const meaning = new Meaning(schedule.graph);
  const shared = new Map<Tensor, Contents>();
  for (const { operands } of schedule.dispatches) {
    for (const { tensor } of operands) {
      const root = rootOf(tensor);
      if (root.kind !== 'value' || root === tensor || imagePitch(tensor) === elementCount(tensor.shape.slice(1)))
        continue;
      shared.set(root, shared.get(root) ?? new Contents(meaning));
    }
  }
  return shared;
}

/** A place of the plan that a dispatch uses. */
interface Use {
  readonly operand: ScheduledDispatch['operands'][number];
  readonly root: Tensor;
  readonly place: Placement;
}

function fail(dispatch: ScheduledDispatch, text: string): never {
  throw new LinbpError('internal', `memory plan: ${dispatch.kernel} (${dispatch.group.anchor.layer}): ${text}`, {
    field: 'plan',
  });
}

/** The values a dispatch uses, each inside its arena at a multiple of 256. */
function usesOf(dispatch: ScheduledDispatch, plan: Plan): Use[] {
  return dispatch.operands
    .map((operand) => ({ operand, root: rootOf(operand.tensor) }))
    .filter(({ root }) => root.kind === 'value')
    .map(({ operand, root }) => {
      const place = plan.placements.get(root);
      if (place === undefined) return fail(dispatch, `${root.name} has no memory`);
      if (place.offset % 256 !== 0) fail(dispatch, `${root.name} begins at ${place.offset}, not a multiple of 256`);
      if (place.offset + place.bytes > plan.arenas[place.arena]!) fail(dispatch, `${root.name} ends outside its arena`);
      return { operand, root, place };
    });
}

/** No arena is read-only and writable in one dispatch, and the ranges that a dispatch writes are disjoint. */
function checkOverlaps(dispatch: ScheduledDispatch, uses: readonly Use[]): void {
  for (const left of uses) {
    for (const right of uses) {
      if (left.operand.access !== 'read' && right.operand.access === 'read' && left.place.arena === right.place.arena) {
        fail(dispatch, `arena ${left.place.arena} is written (${left.root.name}) and read (${right.root.name})`);
      }
      const disjoint =
        left.place.offset + left.place.bytes <= right.place.offset ||
        right.place.offset + right.place.bytes <= left.place.offset;
      const both = left.operand.access !== 'read' && right.operand.access !== 'read' && left !== right;
      if (both && left.place.arena === right.place.arena && !disjoint)
        fail(dispatch, `${left.operand.tensor.name} and ${right.operand.tensor.name} overlap`);
    }
  }
}

function checkOutputs(schedule: DispatchSchedule, plan: Plan, arenas: readonly Ownership[]): void {
  for (const [name, output] of schedule.graph.outputs) {
    const root = rootOf(output);
    const place = plan.placements.get(root);
    if (place !== undefined && arenas[place.arena]!.owner(place.offset, place.offset + place.bytes) !== root) {
      throw new LinbpError(
        'internal',
        `memory plan: the output ${name} is lost before the end: it is overwritten by another value`,
        {
          field: 'plan',
        },
      );
    }
  }
}

/**
 * Re-derives, independently of the planner, everything that makes a plan safe, by running the schedule on paper twice
 * (segments repeat): every read finds the value it means, and where several tensors live inside one value the
 * elements it means; no arena is read-only and writable in one dispatch; the ranges a dispatch writes are disjoint;
 * outputs survive; offsets are multiples of 256; nothing leaves its arena. Throws `internal` at the first breach.
 */
export function checkPlan(schedule: DispatchSchedule, plan: Plan): void {
  const arenas = plan.arenas.map(() => new Ownership());
  const shared = sharedContents(schedule);
  for (let pass = 0; pass < 2; pass++) {
    for (const dispatch of schedule.dispatches) {
      const uses = usesOf(dispatch, plan);
      for (const { operand, root, place } of uses) {
        if (operand.access === 'write') continue;
        const owner = arenas[place.arena]!.owner(place.offset, place.offset + place.bytes);
        if (owner !== root)
          fail(dispatch, `reads ${root.name}, but finds ${owner?.name ?? 'the remains of several values'}`);
        const { tensor } = operand;
        if (shared.get(root)?.has(tensor) === false)
          fail(dispatch, `reads ${tensor.name}, but ${root.name} holds something else in its place`);
      }
      checkOverlaps(dispatch, uses);
      for (const { operand, root, place } of uses) {
        if (operand.access === 'read') continue;
        const arena = arenas[place.arena]!;
        const contents = shared.get(root);
        if (arena.owner(place.offset, place.offset + place.bytes) !== root) contents?.clear();
        contents?.write(operand.tensor);
        arena.write(place.offset, place.offset + place.bytes, root);
      }
    }
    checkOutputs(schedule, plan, arenas);
  }
}
