import type { Graph } from '../graph/graph.js';
import type { Tensor } from '../graph/types.js';
import { ReferenceRun } from './run.js';

/** A gradient to compare with central differences. */
export interface GradientCheck {
  readonly graph: Graph;
  /** Per-sample losses whose scaled sum is differentiated. */
  readonly loss: Tensor;
  /** Factor of the sum: 1, or 1/N for the mean. */
  readonly scale: number;
  /** The input or parameter that is varied, and the tensor that holds its gradient. */
  readonly target: Tensor;
  readonly gradient: Tensor;
  /** Values of all inputs and parameters. */
  readonly values: ReadonlyMap<Tensor, ArrayLike<number>>;
  /** Half the distance of the two points of a central difference. */
  readonly step?: number;
}

/**
 * Compares a gradient that the graph computes with central differences in float64:
 * the 2-norm of the difference over the 2-norm of the central differences (absolute where these vanish). What
 * rounding of the loss alone can make of a difference quotient, a few units in the last place over the step, does not
 * count.
 */
export function checkGradient(options: GradientCheck): number {
  const { graph, loss, scale, target, step = 1e-5 } = options;
  const run = new ReferenceRun(graph);
  for (const [tensor, data] of options.values) run.set(tensor, data);
  run.run();
  const computed = run.get(options.gradient).slice();
  const size = scale * Array.from(run.get(loss)).reduce((sum, each) => sum + Math.abs(each), 0);
  const values = run.get(target);
  const lossAt = (index: number, value: number): number => {
    values[index] = value;
    run.run();
    return scale * Array.from(run.get(loss)).reduce((sum, each) => sum + each, 0);
  };
  let [difference, norm] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const center = values[i]!;
    const numeric = (lossAt(i, center + step) - lossAt(i, center - step)) / (2 * step);
    values[i] = center;
    difference += (computed[i]! - numeric) ** 2;
    norm += numeric ** 2;
  }
  const rounding = (4 * Number.EPSILON * Math.max(size, 1) * Math.sqrt(values.length)) / step;
  return Math.max(0, Math.sqrt(difference) - rounding) / (Math.sqrt(norm) || 1);
}
