import { check } from '../errors.js';
import { byteLength, elementBytes, elementCount } from '../graph/types.js';
import type { StepValue, Tensor } from '../graph/types.js';
import { bindingBase } from './types.js';
import type { KernelDevice, LoweringContext, Operand, UniformParameter } from './types.js';

/** Workgroups that one axis of a dispatch may have; shaders/elementwise/grid.wgsl folds by the same number. */
export const maxWorkgroups = 65535;

/** A one-dimensional grid of `count` workgroups, folded into rows where it is longer than an axis may be. */
export function foldGrid(count: number): [number, number, number] {
  return [Math.min(count, maxWorkgroups), Math.ceil(count / maxWorkgroups), 1];
}

/**
 * Lanes of a workgroup of an elementwise kernel (WX) and elements of a lane (RUN), `elements` together. Lanes are
 * neighbors, on a GPU in workgroups of several subgroups; on the CPU a workgroup is one vector of lanes, so that it
 * goes through memory in order.
 */
export function elementwiseWidth(
  elements: number,
  { software }: KernelDevice,
): { readonly WX: number; readonly RUN: number } {
  const lanes = software ? 8 : 64;
  return { WX: lanes, RUN: elements / lanes };
}

/** Uniform words from a record, in its order. */
export const words = (
  values: Readonly<Record<string, number>>,
  type: UniformParameter['type'] = 'u32',
): UniformParameter[] => Object.entries(values).map(([name, value]) => ({ name, type, value }));

/** The parameters `xBase` of operands, in their order. */
export const bases = (operands: readonly Operand[]): UniformParameter[] =>
  operands.map(({ name, tensor }) => ({ name: `${name}Base`, type: 'u32', value: bindingBase(tensor) }));

/** Bytes that a kernel moves when it touches each element of its operands once per access. */
export const operandBytes = (operands: readonly Operand[]): number =>
  operands.reduce(
    (sum, { tensor, access, range }) => sum + (range?.length ?? byteLength(tensor)) * (access === 'readWrite' ? 2 : 1),
    0,
  );

export const reads = (name: string, tensor: Tensor): Operand => ({ name, tensor, access: 'read' });
/** An operand that is written; with `keeping`, what it does not write must stay, as dispatches before it wrote it. */
export const writes = (name: string, tensor: Tensor, keeping = false): Operand => ({
  name,
  tensor,
  access: keeping ? 'readWrite' : 'write',
});

/** A step value as a u32 parameter: the number itself or the word of the step row that holds it. */
export function stepParameter(
  value: StepValue,
  context: LoweringContext,
  field: string,
): { readonly value: number; readonly perStep: boolean } {
  if (typeof value !== 'number') return { value: context.stepWord(value.step), perStep: true };
  check(
    Number.isInteger(value) && value >= 0 && value < 2 ** 32,
    'bad-range',
    `${field} must be a whole number from 0 to 2^32-1, got ${value}`,
    field,
  );
  return { value, perStep: false };
}

/** A run of units (elements, or rows of a data set) that fits into one binding. */
export interface Slice {
  readonly first: number;
  readonly count: number;
}

/**
 * Cuts `count` units of `unitWords` elements of at most 32 bits into slices that fit a binding and begin at multiples
 * of 256 bytes. Nearly always there is one slice.
 *
 * @throws LinbpError `limit-exceeded` where not even the shortest slice fits
 */
export function slices(count: number, unitWords: number, device: KernelDevice): Slice[] {
  // a tensor may begin up to 252 bytes into its binding
  const most = Math.floor((device.maxBindingBytes / 4 - 63) / unitWords);
  if (count <= most) return [{ first: 0, count }];
  // 128 elements of 16 bits
  let step = 128;
  while (step > 1 && (unitWords * (step / 2)) % 128 === 0) step /= 2;
  const length = Math.floor(most / step) * step;
  check(
    length > 0,
    'limit-exceeded',
    `${step} units of ${4 * unitWords} bytes do not fit a binding of ${device.maxBindingBytes} bytes`,
    'binding',
  );
  return Array.from({ length: Math.ceil(count / length) }, (_, index) => ({
    first: index * length,
    count: Math.min(length, count - index * length),
  }));
}

/**
 * An operand bound to a slice; the whole tensor where there is only one. The range includes the words before the
 * tensor's first.
 */
export function sliceOperand(operand: Operand, slice: Slice, unitWords: number): Operand {
  const bytes = elementBytes(operand.tensor);
  if (slice.first === 0 && slice.count * unitWords >= elementCount(operand.tensor.shape)) return operand;
  const offset = bytes * slice.first * unitWords;
  return {
    ...operand,
    range: { offset, length: 4 * Math.ceil((bytes * (slice.count * unitWords + bindingBase(operand.tensor))) / 4) },
  };
}
