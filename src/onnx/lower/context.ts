import { LinbpError, check } from '../../errors.js';
import type { Attributes } from '../host/attributes.js';
import type { HostContext } from '../host/kernel.js';
import type { HostTensor, OnnxNode } from '../types.js';
import type { StepBuilder } from './builder.js';
import type { DataValue, Value } from './steps.js';

/** What a node is lowered with. */
export interface NodeContext extends HostContext {
  readonly node: OnnxNode;
  readonly attributes: Attributes;
  readonly build: StepBuilder;
  /** Operands in order; undefined for optional ones that are left out. */
  readonly values: readonly (Value | undefined)[];
  /** The constant operands, the others undefined: as the CPU's kernels take them. */
  readonly constants: readonly (HostTensor | undefined)[];
}

export type NodeLowering = (context: NodeContext) => readonly Value[];

/** Operand `index` as a tensor that depends on the pixels. */
export function dataAt({ values }: NodeContext, index: number): DataValue {
  const value = values[index];
  if (value?.kind === 'data') return value;
  throw new LinbpError(
    'unsupported',
    value === undefined ? `operand ${index} is missing` : `operand ${index} is constant where pixels are expected`,
  );
}

/** Operand `index`, which must not depend on the pixels. */
export function constantAt({ values }: NodeContext, index: number, what: string): HostTensor {
  const value = values[index];
  check(value !== undefined, 'bad-file', `${what} is missing`);
  if (value.kind === 'constant') return value.tensor;
  throw new LinbpError('unsupported', `${what} that depends on the pixels`);
}

export function valueAt({ values }: NodeContext, index: number): Value {
  const value = values[index];
  check(value !== undefined, 'bad-file', `operand ${index} is missing`);
  return value;
}

/** Throws where an operand that shapes the result depends on the pixels. */
export function fixed(context: NodeContext, indices: readonly number[]): void {
  for (const index of indices)
    if (context.values[index]?.kind === 'data')
      throw new LinbpError('unsupported', `operand ${index} depends on the pixels, and with it a shape or a place`);
}
