import { layerKey, orderOf, problemKey } from '../kernels/choice.js';
import type { KernelChoice, KernelChoices, SumOrder, TuningProblem } from '../kernels/choice.js';

/** A measured choice: what it took, and what the usual choice took beside it, in microseconds. */
export interface TunedEntry {
  readonly choice: KernelChoice;
  readonly microseconds: number;
  readonly usualMicroseconds: number;
}

/** Choices of kernels by problem, and the order of sums that each layer keeps over all batch sizes. */
export class TuningTable implements KernelChoices {
  readonly entries = new Map<string, TunedEntry>();
  readonly orders = new Map<string, SumOrder>();

  find(problem: TuningProblem): KernelChoice | undefined {
    return this.entries.get(problemKey(problem))?.choice;
  }

  order(problem: TuningProblem): SumOrder | undefined {
    return this.orders.get(problem.layer);
  }

  /** Remembers a choice; the first choice for a layer decides the order of its sums at all batch sizes. */
  set(problem: TuningProblem, entry: TunedEntry): void {
    this.entries.set(problemKey(problem), entry);
    if (!this.orders.has(problem.layer)) this.orders.set(problem.layer, orderOf(entry.choice.kernel));
  }

  /** Takes everything from another table; what it says wins. */
  merge(other: TuningTable): void {
    for (const [key, entry] of other.entries) this.entries.set(key, entry);
    for (const [layer, order] of other.orders) this.orders.set(layer, order);
  }
}

/** A table of one choice, for every problem. */
export const onlyChoice = (choice: KernelChoice): KernelChoices => ({ find: () => choice, order: () => orderOf(choice.kernel) });

/** A choice for people to read, such as `gemm/conv 16x8x8 share 8`. */
export function choiceName({ kernel, rows, columns, lanes, share, splits, stage }: KernelChoice): string {
  const staging = stage === undefined ? ` share ${share}` : `x${stage.ranks} stage ${stage.depth}${stage.vectors ? ' vectors' : ''}`;
  return `${kernel} ${rows}x${columns}x${lanes}${staging}${splits === undefined ? '' : ` splits ${splits}`}`;
}

/** Whether two choices are the same. */
export const sameChoice = (left: KernelChoice, right: KernelChoice): boolean => choiceName(left) === choiceName(right);

export { layerKey, problemKey };
