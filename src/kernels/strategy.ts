import type { Group } from '../passes/group.js';
import type { KernelDevice } from './device.js';
import type { KernelChoice, ProductKernel, SumOrder, TuningProblem } from './problem.js';
import type { Dispatch, LoweringContext } from './types.js';

/** What is known of a product's kernel without a product. */
export interface KernelTraits {
  /** Its name: that of its shader file, without extension, unless it shares another kernel's. */
  readonly name: ProductKernel;
  /** In which order it adds up. */
  readonly order: SumOrder;
  /** Where operands lie while they are multiplied. */
  readonly operands: 'registers' | 'workgroup memory' | 'subgroup matrices';
  /** Its loops can be unrolled or not as a choice says; otherwise it decides itself. */
  readonly unrolls: boolean;
  /** It rounds its operands to f16, so the tuner leaves it out unless told otherwise. */
  readonly roundsOperands?: boolean;
  /** Why a choice of this kernel cannot run a problem on a device, or undefined where it can. */
  unfit(choice: KernelChoice, problem: TuningProblem, device: KernelDevice): string | undefined;
  /** Choices that the tuner tries, from one that says how lanes work together. Those that are unfit do no harm. */
  candidates(start: KernelChoice, problem: TuningProblem, device: KernelDevice): KernelChoice[];
}

/**
 * One way to compute products of a kind, which `P` describes. A strategy is one file, its shader, and a line of
 * products.ts.
 */
export interface ProductStrategy<P> extends KernelTraits {
  /** Whether it computes a product correctly on a device, whatever its tile. */
  suits(problem: P, device: KernelDevice): boolean;
  /**
   * The choices with which it usually runs a product that it suits, the preferred one first; none where it is a
   * candidate of the tuner only. Which accumulation order comes first must follow from the layer alone, whatever the
   * batch.
   */
  usual(problem: P, tuning: TuningProblem, device: KernelDevice): KernelChoice[];
  /** The dispatches of a product with a choice of this kernel. */
  lower(problem: P, choice: KernelChoice, group: Group, context: LoweringContext): Dispatch[];
}
