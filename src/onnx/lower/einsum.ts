import { LinbpError, check } from '../../errors.js';
import { quoted } from '../../quote.js';
import { einsumTerms } from '../geometry.js';
import { transposed } from '../host/kernel.js';
import { constant, shapeOf } from './builder.js';
import { valueAt } from './context.js';
import type { NodeContext } from './context.js';
import type { Value } from './steps.js';

/** Turns the axes of a value into the order of `letters`. */
function ordered({ build }: NodeContext, value: Value, term: string, letters: string): Value {
  const perm = [...letters].map((letter) => term.indexOf(letter));
  return value.kind === 'data' ? build.transpose(value, perm) : constant(transposed(value.tensor, perm));
}

const reshape = ({ build }: NodeContext, value: Value, shape: readonly number[]): Value =>
  value.kind === 'data' ? build.reshape(value, shape) : constant({ ...value.tensor, shape });

/** An Einsum of one tensor, or of two as a batched product. Throws `unsupported` for others. */
export function einsumSteps(context: NodeContext): Value {
  const { build, attributes, values } = context;
  const operands = values.map((_, i) => valueAt(context, i));
  const equation = attributes.text('equation', '');
  const { terms, result } = einsumTerms(
    equation,
    operands.map((value) => shapeOf(value).length),
  );
  const repeats = terms.some((term) => new Set(term).size !== term.length);
  check(
    !repeats,
    'unsupported',
    `the equation ${quoted(equation)} takes a diagonal, since an operand has a letter twice`,
  );
  const sizes = new Map(
    terms.flatMap((term, t) => [...term].map((letter, axis) => [letter, shapeOf(operands[t]!)[axis]!] as const)),
  );
  const size = (letters: string): number => [...letters].reduce((product, letter) => product * sizes.get(letter)!, 1);
  const summedAway = (term: string, other: string): string =>
    [...term].filter((letter) => !other.includes(letter) && !result.includes(letter)).join('');
  const [first, second] = operands as [Value, Value | undefined];
  if (operands.length === 1) {
    check(first.kind === 'data', 'unsupported', 'its only operand is a constant');
    const gone = [...terms[0]!].flatMap((letter, axis) => (result.includes(letter) ? [] : [axis]));
    const kept = [...terms[0]!].filter((letter) => result.includes(letter)).join('');
    const sum = build.reduce(first, 'sum', gone, false);
    return ordered(context, sum, kept, result);
  }
  const [p, q] = terms as [string, string];
  if (operands.length !== 2 || second === undefined || summedAway(p, q) !== '' || summedAway(q, p) !== '')
    throw new LinbpError(
      'unsupported',
      operands.length > 2
        ? `the equation ${quoted(equation)} has ${operands.length} operands; products of two are supported`
        : `the equation ${quoted(equation)} sums over a letter that only one of its operands has`,
    );
  const pick = (of: string, test: (letter: string) => boolean): string => [...of].filter(test).join('');
  const batch = pick(result, (letter) => p.includes(letter) && q.includes(letter));
  const contracted = pick(p, (letter) => q.includes(letter) && !result.includes(letter));
  const rows = pick(result, (letter) => p.includes(letter) && !q.includes(letter));
  const columns = pick(result, (letter) => q.includes(letter) && !p.includes(letter));
  const batchSizes = [...batch].map((letter) => sizes.get(letter)!);
  const a = reshape(context, ordered(context, first, p, batch + rows + contracted), [
    ...batchSizes,
    size(rows),
    size(contracted),
  ]);
  const b = reshape(context, ordered(context, second, q, batch + contracted + columns), [
    ...batchSizes,
    size(contracted),
    size(columns),
  ]);
  const y = build.matmul(a, b);
  const letters = batch + rows + columns;
  const full = build.reshape(
    y,
    [...letters].map((letter) => sizes.get(letter)!),
  );
  return ordered(context, full, letters, result);
}
