import { LinbpError } from '../errors.js';
import type { KernelChoice, ProductKernel } from '../kernels/problem.js';
import { kernelDevice } from '../program/kernelDevice.js';
import type { CompiledDispatch } from '../program/program.js';
import type { Device } from '../runtime/device.js';
import { candidates } from '../tune/candidates.js';
import { checkable, standalone } from '../tune/standalone.js';
import { CheckedProblem, TimedProblem, toleranceOf } from '../tune/trial.js';

/** Whether a device multiplies subgroup matrices of f16. */
export const hasHalfMatrices = (device: Device): boolean =>
  kernelDevice(device).matrices?.shapes.some(({ component }) => component === 'f16') === true;

/**
 * The fastest tile of one kernel for a product, of those that agree with the float64 reference; undefined where there
 * is none. Unlike the tuner it tries no other kernels, and remembers nothing.
 *
 * Throws `device-lost` and `disposed`.
 */
export async function fastestOf(
  kernel: ProductKernel,
  device: Device,
  dispatch: CompiledDispatch,
): Promise<KernelChoice | undefined> {
  const { group, tuning } = dispatch.source;
  if (tuning === undefined) return undefined;
  const choices = candidates(tuning.problem, tuning.choice, kernelDevice(device), { halfProducts: true }).filter(
    (choice) => choice.kernel === kernel,
  );
  if (choices.length === 0) return undefined;
  const checked = new CheckedProblem(standalone(checkable(group)), device);
  const timed = new TimedProblem(standalone(group), device);
  let best: { readonly choice: KernelChoice; readonly microseconds: number } | undefined;
  try {
    for (const choice of choices) {
      try {
        const { error } = await checked.check(choice);
        if (!(error <= toleranceOf(kernel))) continue;
        const microseconds = await shortestOf(timed, choice);
        if (best === undefined || microseconds < best.microseconds) best = { choice, microseconds };
      } catch (cause) {
        // A kernel that the driver refuses is none.
        if (!(cause instanceof LinbpError) || cause.code === 'device-lost' || cause.code === 'disposed') throw cause;
      }
    }
  } finally {
    timed.destroy();
  }
  return best?.choice;
}

async function shortestOf(timed: TimedProblem, choice: KernelChoice): Promise<number> {
  const trial = await timed.trial(choice);
  try {
    await trial.sample();
    return trial.shortest;
  } finally {
    trial.destroy();
  }
}
