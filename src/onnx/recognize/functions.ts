import { binaryFunctions } from '../../graph/binary.js';
import { parameterValues, scalarFunction, scalarFunctions } from '../../graph/functions.js';
import type { ScalarFunctionName } from '../../graph/functions.js';
import type { DataValue, Step } from '../lower/steps.js';
import { isStep } from '../lower/steps.js';
import { producersOf, substitute } from './rewrite.js';

/*
 * Exporters write GELU, SiLU, hard-swish and others as chains of arithmetic, each in its own way. Instead of their
 * forms, the functions are recognized by their values: a chain over one tensor is evaluated at points, and where it
 * agrees with a known function everywhere it is that function, with its exact derivative and one kernel.
 */

/** Functions that exporters take to pieces, with their parameters. */
const known: readonly (readonly [ScalarFunctionName, readonly number[]])[] = [
  ['gelu', []],
  ['geluTanh', []],
  ['silu', []],
  ['silu', [1.702]],
  ['hardSwish', []],
  ['hardSigmoid', [1 / 6, 0.5]],
  ['mish', []],
];

/** What the official LinBP code has in the place of a ReLU6 (see `ActivationKind`). */
const relu6Official = (x: number): number => x + Math.max(-x, 0) + Math.max(x - 6, 0);

const near = Array.from({ length: 65 }, (_, i) => (i - 32) / 4 + 0.017);
/** Where a function goes on as it was, unless something is cut off from it, such as of GELU at 10. */
const far = [12, 20, 40, 80, 1e3, 1e6].flatMap((x) => [-x, x]);
const points = [...near, ...far];
const fingerprints = [
  ...known.map(([name, values]) => {
    const fn = scalarFunction(name);
    const [a, b] = parameterValues(fn, values);
    return { name, values, results: points.map((x) => fn.value(x, a, b)) };
  }),
  { name: 'relu6Official', values: [], results: points.map(relu6Official) },
];

/** Files hold constants such as 1/sqrt(2) in float32. */
const close = (a: number, b: number): boolean => Math.abs(a - b) <= 2e-6 * Math.max(1, Math.abs(b));

/** Whether values are those of a function; exponentials of a chain may overflow at the far points. */
const agree = (values: readonly number[], results: readonly number[]): boolean =>
  results.every((y, i) => close(values[i]!, y) || (i >= near.length && !Number.isFinite(values[i])));

/** Deepest chain that is followed. */
const deepest = 12;

/** Values at `points` of a chain over `root`, or undefined where something else goes into it. */
function evaluate(
  value: DataValue,
  root: DataValue,
  producers: ReadonlyMap<DataValue, Step>,
  memo: Map<DataValue, number[] | undefined>,
  depth = 0,
): number[] | undefined {
  if (value === root) return points;
  if (memo.has(value)) return memo.get(value);
  memo.set(value, undefined);
  const step = producers.get(value);
  const result =
    depth > deepest ? undefined : compute(step, (input) => evaluate(input, root, producers, memo, depth + 1));
  memo.set(value, result);
  return result;
}

function compute(step: Step | undefined, values: (input: DataValue) => number[] | undefined): number[] | undefined {
  if (isStep(step, 'unary')) {
    const { fn, values: parameters } = step.attributes;
    if (!Object.hasOwn(scalarFunctions, fn)) return undefined;
    const known = scalarFunction(fn as ScalarFunctionName);
    const [a, b] = parameterValues(known, parameters);
    return values(step.inputs[0] as DataValue)?.map((x) => known.value(x, a, b));
  }
  if (!isStep(step, 'binary')) return undefined;
  const [left, right] = step.inputs.map((input) => (input.kind === 'data' ? values(input) : undefined));
  if (left === undefined || right === undefined) return undefined;
  const fn = binaryFunctions[step.attributes.kind];
  return left.map((x, i) => fn.value(x, right[i]!));
}

/** Values in front of a value, through elementwise steps only; the farthest last. */
function ancestors(value: DataValue, producers: ReadonlyMap<DataValue, Step>): DataValue[] {
  const found = new Set<DataValue>();
  let level = [value];
  for (let depth = 0; depth < deepest && level.length > 0 && found.size < 64; depth++) {
    const next: DataValue[] = [];
    for (const each of level) {
      const step = producers.get(each);
      if (step?.op !== 'unary' && step?.op !== 'binary') continue;
      for (const input of step.inputs) if (input.kind === 'data' && !found.has(input)) next.push(input);
    }
    for (const each of next) found.add(each);
    level = next;
  }
  return [...found];
}

/** Replaces chains by the functions that they compute. Returns the names of what was found, too. */
export function recognizeFunctions(
  steps: readonly Step[],
  results: readonly DataValue[],
): { steps: Step[]; results: DataValue[]; found: string[] } {
  const producers = producersOf(steps);
  const found: string[] = [];
  const rewritten = steps.map((step): Step => {
    if (step.op !== 'unary' && step.op !== 'binary') return step;
    const direct = step.op === 'unary' ? step.inputs[0] : undefined;
    for (const root of ancestors(step.output, producers).reverse()) {
      // A single step is what it is.
      if (root === direct) continue;
      const values = evaluate(step.output, root, producers, new Map());
      if (values === undefined) continue;
      const match = fingerprints.find(({ results }) => agree(values, results));
      if (match === undefined) continue;
      found.push(match.name);
      const attributes = { fn: match.name, values: match.values };
      return { ...step, op: 'unary', attributes, inputs: [root] } as unknown as Step;
    }
    return step;
  });
  const after = substitute(rewritten, new Map(), results);
  const kept = new Set(after.steps.flatMap((step) => (isStep(step, 'unary') ? [step.attributes.fn] : [])));
  return { ...after, found: [...new Set(found)].filter((name) => kept.has(name)) };
}
