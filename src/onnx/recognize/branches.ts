import type { DataValue, Step } from '../lower/steps.js';
import { isStep } from '../lower/steps.js';
import { consumersOf, producersOf } from './rewrite.js';

/** A residual branch: what is computed from `input` to `output`, which `addition` adds or appends to a shortcut. */
export interface FoundBranch {
  readonly input: DataValue;
  readonly output: DataValue;
  readonly addition: Step;
  /** The steps inside, in order. */
  readonly steps: readonly Step[];
}

/** The nearest value through which every path from the pixels to each value goes. */
function dominators(steps: readonly Step[], x: DataValue): Map<DataValue, DataValue> {
  const immediate = new Map<DataValue, DataValue>([[x, x]]);
  const depth = new Map<DataValue, number>([[x, 0]]);
  for (const step of steps) {
    const inputs = step.inputs.filter((input): input is DataValue => input.kind === 'data' && immediate.has(input));
    const nearest = inputs.reduce<DataValue | undefined>((common, input) => {
      let [a, b] = [common ?? input, input];
      while (a !== b) {
        if (depth.get(a)! >= depth.get(b)!) a = immediate.get(a)!;
        else b = immediate.get(b)!;
      }
      return a;
    }, undefined);
    if (nearest === undefined) continue;
    immediate.set(step.output, nearest);
    depth.set(step.output, depth.get(nearest)! + 1);
  }
  return immediate;
}

/** Steps between a value and one that dominates it, or undefined where something inside is read outside. */
function between(
  from: DataValue,
  to: DataValue,
  producers: ReadonlyMap<DataValue, Step>,
  consumers: ReadonlyMap<DataValue, Step[]>,
  addition: Step,
): Step[] | undefined {
  const inside = new Set<Step>();
  const open = [to];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (value === from) continue;
    const step = producers.get(value);
    if (step === undefined) return undefined;
    if (inside.has(step)) continue;
    inside.add(step);
    for (const input of step.inputs) if (input.kind === 'data') open.push(input);
  }
  for (const step of inside)
    for (const reader of consumers.get(step.output) ?? [])
      if (!inside.has(reader) && !(step.output === to && reader === addition)) return undefined;
  return [...inside];
}

/** Whether steps compute something: a layer with weights. */
const hasLayer = (steps: readonly Step[]): boolean =>
  steps.some(({ op }) => op === 'conv' || op === 'linear' || op === 'matmul' || op === 'convTranspose');
const activations = (steps: readonly Step[]): number => steps.filter((step) => step.op === 'unary').length;

/** Finds residual branches: additions of a long way and a short way from one value. */
export function findBranches(steps: readonly Step[], x: DataValue): FoundBranch[] {
  const producers = producersOf(steps);
  const consumers = consumersOf(steps);
  const immediate = dominators(steps, x);
  const order = new Map(steps.map((step, i) => [step, i]));
  return steps.flatMap((step): FoundBranch[] => {
    const adds = isStep(step, 'binary') && step.attributes.kind === 'add';
    // Dense blocks append what the branch computes to its input.
    const appends = isStep(step, 'concat') && step.inputs.length === 2 && step.attributes.axis === 1;
    if (!adds && !appends) return [];
    const [a, b] = step.inputs;
    if (a?.kind !== 'data' || b?.kind !== 'data' || a === b) return [];
    const from = immediate.get(step.output);
    if (from === undefined || (adds ? a.shape.join() !== b.shape.join() : from !== a)) return [];
    const sides = [a, b].map((end) => ({ end, steps: between(from, end, producers, consumers, step) }));
    const [first, second] = sides as [(typeof sides)[0], (typeof sides)[0]];
    const length = ({ steps: found }: (typeof sides)[0]): number =>
      found === undefined ? -1 : found.length + 100 * activations(found);
    const [long, short] = length(first) >= length(second) ? [first, second] : [second, first];
    // The shortcut is the value itself or a layer without an activation.
    const shortcut =
      short.end === from || (short.steps !== undefined && activations(short.steps) === 0 && short.steps.length <= 6);
    if (long.steps === undefined || !shortcut || !hasLayer(long.steps)) return [];
    const inside = [...long.steps].sort((p, q) => order.get(p)! - order.get(q)!);
    return [{ input: from, output: long.end, addition: step, steps: inside }];
  });
}
