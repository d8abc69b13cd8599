import { LinbpError } from '../errors.js';
import type { Tensor } from '../graph/types.js';
import type { Plan } from './plan.js';
import { rootOf } from './schedule.js';
import type { Schedule, ScheduledDispatch } from './schedule.js';

/** Which value last wrote each stretch of an arena. */
class Ownership {
  private spans: { start: number; end: number; owner: Tensor }[] = [];

  write(start: number, end: number, owner: Tensor): void {
    const next: typeof this.spans = [];
    for (const span of this.spans) {
      if (span.start < start) next.push({ ...span, end: Math.min(span.end, start) });
      if (span.end > end) next.push({ ...span, start: Math.max(span.start, end) });
    }
    next.push({ start, end, owner });
    this.spans = next.filter((span) => span.start < span.end).sort((left, right) => left.start - right.start);
  }

  /** Who owns [start, end), or undefined when it is not one owner. */
  owner(start: number, end: number): Tensor | undefined {
    const inside = this.spans.filter((span) => span.start < end && span.end > start);
    if (inside.length !== 1 || inside[0]!.start > start || inside[0]!.end < end) return undefined;
    return inside[0]!.owner;
  }
}

/**
 * Re-derives, independently of the planner, everything that makes a plan safe, by running the schedule on paper twice
 * (segments repeat): every read finds the value it means; no arena is read-only and writable in one dispatch; the ranges a
 * dispatch writes are disjoint; outputs survive; offsets are multiples of 256; nothing leaves its arena. Throws `internal` at the first breach.
 */
export function checkPlan(schedule: Schedule, plan: Plan): void {
  const fail = (dispatch: ScheduledDispatch, text: string): never => {
    throw new LinbpError('internal', `memory plan: ${dispatch.kernel} (${dispatch.group.anchor.layer}): ${text}`, { field: 'plan' });
  };
  const arenas = plan.arenas.map(() => new Ownership());
  for (let pass = 0; pass < 2; pass++) {
    for (const dispatch of schedule.dispatches) {
      const uses = dispatch.operands
        .map((operand) => ({ operand, root: rootOf(operand.tensor) }))
        .filter(({ root }) => root.kind === 'value')
        .map(({ operand, root }) => {
          const place = plan.placements.get(root);
          if (place === undefined) return fail(dispatch, `${root.name} has no memory`);
          if (place.offset % 256 !== 0) fail(dispatch, `${root.name} begins at ${place.offset}, not a multiple of 256`);
          if (place.offset + place.bytes > plan.arenas[place.arena]!) fail(dispatch, `${root.name} ends outside its arena`);
          return { operand, root, place };
        });
      for (const { operand, root, place } of uses) {
        if (operand.access === 'write') continue;
        const owner = arenas[place.arena]!.owner(place.offset, place.offset + place.bytes);
        if (owner !== root) fail(dispatch, `reads ${root.name}, but finds ${owner?.name ?? 'the remains of several values'}`);
      }
      for (const left of uses) {
        for (const right of uses) {
          if (left.operand.access !== 'read' && right.operand.access === 'read' && left.place.arena === right.place.arena) {
            fail(dispatch, `arena ${left.place.arena} is written (${left.root.name}) and read (${right.root.name})`);
          }
          const disjoint = left.place.offset + left.place.bytes <= right.place.offset || right.place.offset + right.place.bytes <= left.place.offset;
          const both = left.operand.access !== 'read' && right.operand.access !== 'read' && left.root !== right.root;
          if (both && left.place.arena === right.place.arena && !disjoint) fail(dispatch, `${left.root.name} and ${right.root.name} overlap`);
        }
      }
      for (const { operand, root, place } of uses) {
        if (operand.access !== 'read') arenas[place.arena]!.write(place.offset, place.offset + place.bytes, root);
      }
    }
    for (const [name, output] of schedule.graph.outputs) {
      const root = rootOf(output);
      const place = plan.placements.get(root);
      if (place !== undefined && arenas[place.arena]!.owner(place.offset, place.offset + place.bytes) !== root) {
        throw new LinbpError('internal', `memory plan: the output ${name} is lost before the end: it is overwritten by another value`, {
          field: 'plan',
        });
      }
    }
  }
}
