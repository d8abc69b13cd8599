import { LinbpError, check } from '../../errors.js';
import { counted } from '../../quote.js';
import { allocate, countOf } from '../tensors.js';
import type { ElementType, HostTensor, OnnxNode } from '../types.js';
import type { Attributes } from './attributes.js';

/** What a kernel may use besides its inputs. */
export interface HostContext {
  readonly node: OnnxNode;
  readonly attributes: Attributes;
}

/** Inputs in the order of the node; undefined where an optional one is left out. */
export type HostInputs = readonly (HostTensor | undefined)[];

/** Computes one ONNX node on the CPU, floats in float64. */
export type HostKernel = (inputs: HostInputs, context: HostContext) => HostTensor[];

export function need(inputs: HostInputs, index: number): HostTensor {
  const input = inputs[index];
  check(input !== undefined, 'bad-file', `input ${index} is missing`);
  return input;
}

export function tensor(type: ElementType, shape: readonly number[]): HostTensor {
  return { type, shape, data: allocate(type, countOf(shape, 'a result')) };
}

export const scalarOf = (value: HostTensor): number => {
  check(value.data.length === 1, 'bad-file', `one number is needed, got [${value.shape.join(', ')}]`);
  return value.data[0]!;
};

export const list = (value: HostTensor): number[] => [...value.data];

/** Says that a tensor has no such axis. */
export const noAxis = (axis: number, rank: number): string =>
  `there is no axis ${axis}: the tensor has ${counted(rank, 'dimension')}`;

/** A non-negative axis. Throws `bad-file`. */
export function axisOf(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  check(Number.isInteger(axis) && positive >= 0 && positive < Math.max(rank, 1), 'bad-file', noAxis(axis, rank));
  return positive;
}

/** Elements between neighbors along each axis. */
export function strides(shape: readonly number[]): number[] {
  const result = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) result[axis] = result[axis + 1]! * shape[axis + 1]!;
  return result;
}

/** The shape that two shapes broadcast to. Throws `bad-shape`. */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const x = a[axis - rank + a.length] ?? 1;
    const y = b[axis - rank + b.length] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    throw new LinbpError('bad-shape', `[${a.join(', ')}] and [${b.join(', ')}] do not broadcast`);
  });
}

/** Strides with which a tensor of `shape` is read as one of `full`: 0 along axes that it repeats. */
export function broadcastStrides(shape: readonly number[], full: readonly number[]): number[] {
  const own = strides(shape);
  const shift = full.length - shape.length;
  return full.map((_, axis) => (axis < shift || shape[axis - shift] === 1 ? 0 : own[axis - shift]!));
}

/** Offsets of every element of `shape` in row-major order under `steps`, from `start` on. */
export function walk(
  shape: readonly number[],
  steps: readonly number[],
  visit: (offset: number, i: number) => void,
  start = 0,
): void {
  const total = shape.reduce((product, size) => product * size, 1);
  if (total === 0) return;
  const rank = shape.length;
  const index = new Array<number>(rank).fill(0);
  let offset = start;
  for (let i = 0; ; i++) {
    visit(offset, i);
    let axis = rank - 1;
    for (; axis >= 0; axis--) {
      offset += steps[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      offset -= steps[axis]! * shape[axis]!;
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

/** A tensor's values read with other strides as another shape. */
export function restride(x: HostTensor, shape: readonly number[], steps: readonly number[], start = 0): HostTensor {
  const result = tensor(x.type, shape);
  const { data } = result;
  walk(shape, steps, (offset, i) => (data[i] = x.data[offset]!), start);
  return result;
}

/** A tensor repeated to a larger shape. */
export const expandTo = (x: HostTensor, shape: readonly number[]): HostTensor =>
  restride(x, shape, broadcastStrides(x.shape, shape));

/** Applies a function to elements of broadcast tensors. */
export function elementwise(
  inputs: readonly HostTensor[],
  type: ElementType,
  fn: (...values: number[]) => number,
): HostTensor {
  const shape = inputs.map((input) => input.shape).reduce(broadcastShape);
  const result = tensor(type, shape);
  const a = inputs[0];
  if (inputs.length === 1) {
    for (let i = 0; i < result.data.length; i++) result.data[i] = fn(a!.data[i]!);
    return result;
  }
  const full = inputs.map((x) => (x.data.length === result.data.length ? x : expandTo(x, shape)));
  if (inputs.length === 2) {
    const [p, q] = [full[0]!.data, full[1]!.data];
    for (let i = 0; i < result.data.length; i++) result.data[i] = fn(p[i]!, q[i]!);
    return result;
  }
  for (let i = 0; i < result.data.length; i++) result.data[i] = fn(...full.map((x) => x.data[i]!));
  return result;
}

export const reshaped = (x: HostTensor, shape: readonly number[]): HostTensor => ({ ...x, shape });

export const transposed = (x: HostTensor, perm: readonly number[]): HostTensor => {
  const own = strides(x.shape);
  return restride(
    x,
    perm.map((axis) => x.shape[axis]!),
    perm.map((axis) => own[axis]!),
  );
};
