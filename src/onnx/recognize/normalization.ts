import type { DataValue, Step } from '../lower/steps.js';
import { isStep } from '../lower/steps.js';
import { producersOf, substitute } from './rewrite.js';

/*
 * Layer norm before opset 17 is ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, and often Mul and Add.
 */

const dataOf = (step: Step | undefined, index: number): DataValue | undefined => {
  const input = step?.inputs[index];
  return input?.kind === 'data' ? input : undefined;
};

/** The operand of a unary step with the function `fn`. */
function under(
  value: DataValue | undefined,
  fn: string,
  producers: ReadonlyMap<DataValue, Step>,
): Step<'unary'> | undefined {
  const step = value === undefined ? undefined : producers.get(value);
  return isStep(step, 'unary') && step.attributes.fn === fn ? step : undefined;
}

/** What (x - mean) / sqrt(variance + epsilon) normalizes, and over which axes; undefined for other steps. */
function normalizes(
  step: Step,
  producers: ReadonlyMap<DataValue, Step>,
): { x: DataValue; axes: readonly number[]; epsilon: number } | undefined {
  if (!isStep(step, 'binary')) return undefined;
  const { kind } = step.attributes;
  const centered = dataOf(step, 0);
  const divisor =
    kind === 'div'
      ? dataOf(step, 1)
      : kind === 'mul'
        ? dataOf(under(dataOf(step, 1), 'reciprocal', producers), 0)
        : undefined;
  const center = centered === undefined ? undefined : producers.get(centered);
  if (!isStep(center, 'binary') || center.attributes.kind !== 'sub') return undefined;
  const shift = under(dataOf(under(divisor, 'sqrt', producers), 0), 'affine', producers);
  if (shift === undefined || shift.attributes.values[0] !== 1) return undefined;
  const variance = producers.get(dataOf(shift, 0)!);
  const mean = producers.get(dataOf(center, 1)!);
  if (!isStep(variance, 'reduce') || !isStep(mean, 'reduce')) return undefined;
  if (variance.attributes.kind !== 'mean' || mean.attributes.kind !== 'mean') return undefined;
  const { axes } = mean.attributes;
  const squared = dataOf(variance, 0);
  const square = squared === undefined ? undefined : producers.get(squared);
  const ofCentered =
    (isStep(square, 'unary') && square.attributes.fn === 'square' && square.inputs[0] === centered) ||
    (isStep(square, 'binary') &&
      square.attributes.kind === 'mul' &&
      square.inputs.every((input) => input === centered));
  const x = dataOf(center, 0);
  const same = variance.attributes.axes.join() === axes.join() && mean.inputs[0] === x;
  if (!ofCentered || !same || x === undefined) return undefined;
  return { x, axes, epsilon: shift.attributes.values[1] ?? 0 };
}

/** Whether a constant has one number per element of the normalized axes, which are the last ones. */
function fits(step: Step, constantAt: number, x: DataValue, axes: readonly number[]): boolean {
  const value = step.inputs[constantAt];
  const last = axes.every((axis, i) => axis === x.shape.length - axes.length + i);
  if (value?.kind !== 'constant' || !last) return false;
  const wanted = axes.map((axis) => x.shape[axis]!);
  const { shape } = value.tensor;
  return (
    shape.slice(-wanted.length).join() === wanted.join() && shape.slice(0, -wanted.length).every((size) => size === 1)
  );
}

/** Replaces the pieces of layer norms by single steps, with the scale and shift that follow. */
export function recognizeLayerNorms(
  steps: readonly Step[],
  results: readonly DataValue[],
): { steps: Step[]; results: DataValue[]; count: number } {
  const producers = producersOf(steps);
  let count = 0;
  const joined = steps.map((step): Step => {
    const found = normalizes(step, producers);
    let current = step;
    if (found !== undefined) {
      count += 1;
      const { x, axes, epsilon } = found;
      const attributes = { axes, epsilon, rms: false };
      current = { ...step, op: 'layerNorm', attributes, inputs: [x] } as unknown as Step;
    } else if (isStep(step, 'binary') && (step.attributes.kind === 'mul' || step.attributes.kind === 'add')) {
      const at = step.inputs.findIndex((input) => input.kind === 'constant');
      const norm = producers.get(step.inputs[1 - at] as DataValue);
      const place = step.attributes.kind === 'mul' ? 1 : 2;
      if (at >= 0 && isStep(norm, 'layerNorm') && norm.inputs.length === place) {
        if (fits(step, at, norm.output, norm.attributes.axes))
          current = {
            ...norm,
            inputs: [...norm.inputs, step.inputs[at]!],
            output: step.output,
            node: norm.node,
          } as unknown as Step;
      }
    }
    producers.set(current.output, current);
    return current;
  });
  return { ...substitute(joined, new Map(), results), count };
}
