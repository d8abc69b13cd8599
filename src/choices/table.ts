import { expectIterable, expectMembers } from '../arguments.js';
import { orderOf, problemKey } from '../kernels/choice.js';
import type { KernelChoice, KernelChoices, SumOrder, TuningProblem } from '../kernels/problem.js';
import { unrollName } from '../kernels/tiles.js';

/** A measured choice: what it took, and what the usual choice took beside it, in microseconds. */
export interface TunedEntry {
  readonly choice: KernelChoice;
  readonly microseconds: number;
  readonly usualMicroseconds: number;
}

/** The layer of a problem by the problem's key. */
const layerOf = (key: string): string => key.replace(/( mask)? n\d+$/, '');

/** Choices of kernels by problem, and the accumulation order that each layer keeps over all batch sizes. */
export class TuningTable implements KernelChoices {
  readonly entries = new Map<string, TunedEntry>();
  readonly orders = new Map<string, SumOrder>();

  find(problem: TuningProblem): KernelChoice | undefined {
    expectMembers(problem, 'problem', { layer: 'text' });
    return this.entries.get(problemKey(problem))?.choice;
  }

  order(problem: TuningProblem): SumOrder | undefined {
    expectMembers(problem, 'problem', { layer: 'text' });
    return this.orders.get(problem.layer);
  }

  /** Remembers a choice; the first choice for a layer decides its accumulation order at all batch sizes. */
  set(problem: TuningProblem, entry: TunedEntry): void {
    expectMembers(problem, 'problem', { layer: 'text', batch: 'number' });
    expectMembers(entry, 'entry', { choice: 'object' });
    this.entries.set(problemKey(problem), entry);
    const order = orderOf(entry.choice.kernel);
    if (order !== undefined && !this.orders.has(problem.layer)) this.orders.set(problem.layer, order);
  }

  /** Drops choices by the keys of their problems, and the orders of layers that have no choice any more. */
  forget(keys: Iterable<string>): void {
    expectIterable(keys, 'keys');
    for (const key of keys) this.entries.delete(key);
    const layers = new Set([...this.entries.keys()].map(layerOf));
    for (const layer of this.orders.keys()) if (!layers.has(layer)) this.orders.delete(layer);
  }

  /** Takes everything from another table; what it says wins. */
  merge(other: TuningTable): void {
    expectMembers(other, 'table', { entries: 'map', orders: 'map' });
    for (const [key, entry] of other.entries) this.entries.set(key, entry);
    for (const [layer, order] of other.orders) this.orders.set(layer, order);
  }
}

/**
 * What several tables measured on like adapters agree on: choices for problems that at least two of them hold, where
 * all that hold it chose the same and found it faster than the usual one. Times are those of the first.
 */
export function agreed(tables: readonly TuningTable[]): TuningTable {
  const common = new TuningTable();
  for (const key of new Set(tables.flatMap(({ entries }) => [...entries.keys()]))) {
    const found = tables.flatMap(({ entries }) => entries.get(key) ?? []);
    const [first] = found;
    if (first === undefined || found.length < 2) continue;
    if (!found.every((entry) => sameChoice(entry.choice, first.choice) && entry.microseconds < entry.usualMicroseconds))
      continue;
    common.entries.set(key, first);
    const order = orderOf(first.choice.kernel);
    if (order !== undefined) common.orders.set(layerOf(key), order);
  }
  return common;
}

/** A table of one choice, for every problem. */
export const onlyChoice = (choice: KernelChoice): KernelChoices => ({
  find: () => choice,
  order: () => orderOf(choice.kernel),
});

/** A choice for people to read, such as `gemm/conv 16x8x8 share 8`. */
export function choiceName(choice: KernelChoice): string {
  const { kernel, rows, columns, lanes, share, splits, stage } = choice;
  const staging =
    stage === undefined ? ` share ${share}` : `x${stage.ranks} stage ${stage.depth}${stage.vectors ? ' vectors' : ''}`;
  const split = splits === undefined ? '' : ` splits ${splits}`;
  return `${kernel} ${rows}x${columns}x${lanes}${staging}${split}${unrollName(choice)}`;
}

/** Whether two choices are the same. */
export const sameChoice = (left: KernelChoice, right: KernelChoice): boolean => choiceName(left) === choiceName(right);

export { problemKey };
