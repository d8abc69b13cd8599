import { LinbpError, check } from '../errors.js';
import { counted, quoted } from '../quote.js';
import type { Attributes } from './host/attributes.js';
import { axisOf, elementwise, list, noAxis, transposed } from './host/kernel.js';
import type { HostContext, HostInputs } from './host/kernel.js';
import type { HostTensor } from './types.js';

/*
 * What nodes mean, from the shapes of their inputs, their attributes and their constant operands: used both where a
 * node is computed on the CPU and where it becomes ops of the engine. An operand that is an attribute in old opsets
 * and an input in new ones is read from wherever it is.
 */

const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);

function listOperand(
  name: string,
  index: number,
  inputs: HostInputs,
  { attributes }: HostContext,
): readonly number[] | undefined {
  const input = inputs[index];
  return input === undefined ? attributes.ints(name) : list(input);
}

/** Beginning and end of `Shape`'s result. */
export function shapeSlice(shape: readonly number[], attributes: Attributes): readonly number[] {
  const end = attributes.has('end') ? attributes.int('end', shape.length) : shape.length;
  return shape.slice(attributes.int('start', 0), end);
}

/** The axes of `perm` of a node's Transpose, reversed ones unless given. */
export function transposeAxes(perm: readonly number[] | undefined, rank: number): readonly number[] {
  const axes = perm ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  const sorted = [...axes].sort((a, b) => a - b);
  check(
    axes.length === rank && sorted.every((axis, i) => axis === i),
    'bad-file',
    `perm [${axes.join(', ')}] does not fit ${rank} axes`,
  );
  return axes;
}

function reshapeTarget(shape: readonly number[], target: readonly number[], allowZero: boolean): number[] {
  const result = target.map((size, axis) => (size === 0 && !allowZero ? (shape[axis] ?? 0) : size));
  const open = result.indexOf(-1);
  if (open >= 0) {
    const known = product(result.filter((_, axis) => axis !== open));
    result[open] = known === 0 ? 0 : product(shape) / known;
  }
  const fits = result.every((size) => Number.isInteger(size) && size >= 0) && product(result) === product(shape);
  check(fits, 'bad-shape', `[${shape.join(', ')}] cannot be seen as [${target.join(', ')}]`);
  return result;
}

/** The shape that Reshape, Flatten, Squeeze or Unsqueeze gives to the same elements. */
export function viewShape(shape: readonly number[], inputs: HostInputs, context: HostContext): number[] {
  const { node, attributes } = context;
  const rank = shape.length;
  if (node.op === 'Flatten') {
    const raw = attributes.int('axis', 1);
    const axis = raw < 0 ? raw + rank : raw;
    check(axis >= 0 && axis <= rank, 'bad-file', noAxis(raw, rank));
    return [product(shape.slice(0, axis)), product(shape.slice(axis))];
  }
  if (node.op === 'Reshape') {
    const target = listOperand('shape', 1, inputs, context);
    check(target !== undefined, 'unsupported', 'a shape that depends on the pixels');
    return reshapeTarget(shape, target, attributes.int('allowzero', 0) === 1);
  }
  const axes = listOperand('axes', 1, inputs, context);
  if (node.op === 'Squeeze') {
    const gone = axes?.map((axis) => axisOf(axis, rank)) ?? shape.flatMap((size, axis) => (size === 1 ? [axis] : []));
    check(
      gone.every((axis) => shape[axis] === 1),
      'bad-shape',
      `axes ${gone.join(', ')} of [${shape.join(', ')}] are not all 1`,
    );
    return shape.filter((_, axis) => !gone.includes(axis));
  }
  check(axes !== undefined, 'bad-file', 'axes are missing');
  const full = rank + axes.length;
  const added = new Set(axes.map((axis) => axisOf(axis, full)));
  check(added.size === axes.length, 'bad-file', `axes ${axes.join(', ')} repeat`);
  const rest = [...shape];
  return Array.from({ length: full }, (_, axis) => (added.has(axis) ? 1 : rest.shift()!));
}

/** Pads before all axes, then after all of them, with the mode and the value of what is added. */
export function padOperands(
  inputs: HostInputs,
  context: HostContext,
  rank: number,
): { pads: readonly number[]; mode: string; value: number } {
  const { attributes, node } = context;
  const given = listOperand(attributes.has('paddings') ? 'paddings' : 'pads', 1, inputs, context);
  check(given !== undefined, 'unsupported', 'pads that depend on the pixels');
  const axes = inputs[3] === undefined ? undefined : list(inputs[3]).map((axis) => axisOf(axis, rank));
  const pads = new Array<number>(2 * rank).fill(0);
  const count = axes?.length ?? rank;
  check(given.length === 2 * count, 'bad-file', `${given.length} pads for ${count} axes`);
  given.forEach((size, i) => {
    const axis = axes?.[i % count] ?? i % count;
    pads[i < count ? axis : axis + rank] = size;
  });
  const value = node.opset < 11 ? attributes.float('value', 0) : inputs[2] === undefined ? 0 : (inputs[2].data[0] ?? 0);
  return { pads, mode: attributes.text('mode', 'constant'), value };
}

/** The element that position `i` of a padded axis shows, or -1 for the constant. */
export function padSource(i: number, size: number, mode: string): number {
  if (i >= 0 && i < size) return i;
  switch (mode) {
    case 'constant':
      return -1;
    case 'edge':
      return i < 0 ? 0 : size - 1;
    case 'wrap':
      return ((i % size) + size) % size;
    case 'reflect': {
      if (size === 1) return 0;
      const period = 2 * (size - 1);
      const at = ((i % period) + period) % period;
      return at < size ? at : period - at;
    }
    default:
      throw new LinbpError('unsupported', `padding with the mode ${mode}`);
  }
}

/** One axis of a slice. */
export interface AxisSlice {
  readonly start: number;
  readonly step: number;
  readonly size: number;
}

/** The part that a Slice takes of each axis. */
export function sliceOperands(inputs: HostInputs, context: HostContext, shape: readonly number[]): AxisSlice[] {
  const starts = listOperand('starts', 1, inputs, context);
  const ends = listOperand('ends', 2, inputs, context);
  check(starts !== undefined && ends !== undefined, 'unsupported', 'a slice that depends on the pixels');
  const axes = listOperand('axes', 3, inputs, context) ?? starts.map((_, i) => i);
  const steps = inputs[4] === undefined ? starts.map(() => 1) : list(inputs[4]);
  check(
    ends.length === starts.length && axes.length === starts.length && steps.length === starts.length,
    'bad-file',
    'starts, ends, axes and steps differ in number',
  );
  const result = shape.map((size) => ({ start: 0, step: 1, size }));
  axes.forEach((raw, i) => {
    const axis = axisOf(raw, shape.length);
    const size = shape[axis]!;
    const step = steps[i]!;
    check(Number.isInteger(step) && step !== 0, 'bad-file', `a step of ${step}`);
    const clamp = (value: number, low: number, high: number): number =>
      Math.min(Math.max(value < 0 ? value + size : value, low), high);
    const start = step > 0 ? clamp(starts[i]!, 0, size) : clamp(starts[i]!, 0, size - 1);
    const end = step > 0 ? clamp(ends[i]!, 0, size) : clamp(ends[i]!, -1, size - 1);
    result[axis] = { start, step, size: Math.max(0, Math.ceil((end - start) / step)) };
  });
  return result;
}

/** Axis and sizes of a Split's parts. */
export function splitOperands(
  inputs: HostInputs,
  context: HostContext,
  shape: readonly number[],
): { axis: number; sizes: readonly number[] } {
  const { node, attributes } = context;
  const axis = axisOf(attributes.int('axis', 0), shape.length);
  const given = listOperand('split', 1, inputs, context);
  const count = attributes.int('num_outputs', node.outputs.length);
  const even = Math.ceil(shape[axis]! / count);
  const sizes = given ?? Array.from({ length: count }, (_, i) => Math.max(0, Math.min(even, shape[axis]! - i * even)));
  check(
    sizes.reduce((sum, size) => sum + size, 0) === shape[axis] && sizes.length === node.outputs.length,
    'bad-file',
    `parts of ${sizes.join(', ')} of ${shape[axis]}`,
  );
  return { axis, sizes };
}

/** The axes of a reduction; all unless the node says otherwise, none where it asks for that. */
export function reduceOperands(
  inputs: HostInputs,
  context: HostContext,
  rank: number,
): { axes: readonly number[]; keep: boolean } {
  const given = listOperand('axes', 1, inputs, context);
  const none = context.attributes.int('noop_with_empty_axes', 0) === 1;
  const axes =
    given === undefined || given.length === 0
      ? none
        ? []
        : Array.from({ length: rank }, (_, axis) => axis)
      : [...new Set(given.map((axis) => axisOf(axis, rank)))].sort((a, b) => a - b);
  return { axes, keep: context.attributes.int('keepdims', 1) === 1 };
}

export const reducedShape = (shape: readonly number[], axes: readonly number[], keep: boolean): number[] =>
  keep ? shape.map((size, axis) => (axes.includes(axis) ? 1 : size)) : shape.filter((_, axis) => !axes.includes(axis));

/** Reshape, transposition and reshape of DepthToSpace (DCR, CRD) and SpaceToDepth (`space`). */
export function blockMoves(
  shape: readonly number[],
  block: number,
  mode: string,
): { split: number[]; perm: number[]; shape: number[] } {
  const [n, c, h, w] = shape as [number, number, number, number];
  check(shape.length === 4, 'bad-shape', `images need 4 dimensions, got [${shape.join(', ')}]`);
  check(Number.isInteger(block) && block > 0, 'bad-file', `blocksize must be a whole number above 0, got ${block}`);
  if (mode === 'space') {
    check(
      h % block === 0 && w % block === 0,
      'bad-shape',
      `height and width ${h}x${w} do not divide by blocksize ${block}`,
    );
    return {
      split: [n, c, h / block, block, w / block, block],
      perm: [0, 3, 5, 1, 2, 4],
      shape: [n, c * block * block, h / block, w / block],
    };
  }
  const deep = c / (block * block);
  check(
    Number.isInteger(deep),
    'bad-shape',
    `${c} channels do not divide by ${block * block}, the square of blocksize`,
  );
  return {
    split: mode === 'CRD' ? [n, deep, block, block, h, w] : [n, block, block, deep, h, w],
    perm: mode === 'CRD' ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2],
    shape: [n, deep, h * block, w * block],
  };
}

/** The letters of an Einsum's terms and result; an ellipsis becomes capital letters, as many as axes need them. */
export function einsumTerms(equation: string, ranks: readonly number[]): { terms: string[]; result: string } {
  const [left = '', given] = equation.replaceAll(' ', '').split('->');
  const raw = left.split(',');
  const fail = (why: string): never => {
    throw new LinbpError('bad-file', `the equation ${quoted(equation)} ${why}`);
  };
  if (raw.length !== ranks.length) fail(`is of ${counted(raw.length, 'operand')}, the node has ${ranks.length}`);
  const hidden = raw.map((term, i) => (term.includes('...') ? ranks[i]! - (term.length - 3) : 0));
  const most = Math.max(0, ...hidden);
  const letters = 'ABCDEFGH'.slice(0, most);
  const terms = raw.map((term, i) => term.replace('...', letters.slice(most - hidden[i]!)));
  const odd = terms.findIndex((term, i) => term.length !== ranks[i] || !/^[a-zA-Z]*$/.test(term));
  if (odd >= 0)
    fail(`needs a letter for each dimension; operand ${odd} has ${ranks[odd]}, its term is ${quoted(raw[odd]!)}`);
  const all = terms.join('');
  const once = [...new Set(all)].filter((letter) => all.indexOf(letter) === all.lastIndexOf(letter)).sort();
  const result =
    given?.replace('...', letters) ?? [...letters, ...once.filter((each) => !letters.includes(each))].join('');
  const extra = [...result].find((letter) => !all.includes(letter));
  if (extra !== undefined) fail(`has ${quoted(extra)} in its result and in no operand`);
  return { terms, result };
}

/** The product of two tensors of broadcasting shapes. */
export const hostProduct = (a: HostTensor, b: HostTensor): HostTensor =>
  elementwise([a, b], a.type, (x, y) => (x === 0 || y === 0 ? 0 : x! * y!));

/** A matrix transposed; where it came from stays known. */
export const flipped = (x: HostTensor): HostTensor => ({
  ...transposed(x, [1, 0]),
  ...(x.origin !== undefined && { origin: x.origin }),
});

/** A bias of [n], [1, n], [1] or a scalar as n numbers; undefined for one that differs from row to row. */
export function rowVector(x: HostTensor, n: number): HostTensor | undefined {
  if (x.data.length === n && x.shape.at(-1) === n) return { ...x, shape: [n] };
  if (x.data.length !== 1) return undefined;
  return { type: x.type, shape: [n], data: new Float64Array(n).fill(x.data[0]!) };
}
