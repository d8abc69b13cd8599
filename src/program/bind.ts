import { check } from '../errors.js';
import { resolveView } from '../graph/graph.js';
import { elementBytes, spanBytes } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import type { ScheduledDispatch } from '../plan/schedule.js';
import type { Location } from './types.js';

/** The uniform words of a dispatch inside the buffer of all of them. */
export interface ParameterPlace {
  readonly buffer: GPUBuffer;
  /** Bytes, a multiple of 256. */
  readonly offset: number;
}

/**
 * What a dispatch binds: its parameters, then its operands in their order.
 *
 * @param limit - largest binding of the device, in bytes
 * @throws LinbpError `limit-exceeded` for an operand above it
 */
export function bindingsOf(
  source: ScheduledDispatch,
  parameters: ParameterPlace,
  places: ReadonlyMap<Tensor, Location>,
  limit: number,
): GPUBindGroupEntry[] {
  const size = Math.max(16, Math.ceil((source.parameters.length * 4) / 16) * 16);
  const entries: GPUBindGroupEntry[] = [{ binding: 0, resource: { ...parameters, size } }];
  for (const [slot, operand] of source.operands.entries()) {
    const { root, offset } = resolveView(operand.tensor);
    const place = places.get(root);
    check(place !== undefined, 'internal', `${operand.tensor.name} has no memory`, operand.tensor.name);
    const bytes = elementBytes(operand.tensor);
    // bindings begin at multiples of 256 bytes and are whole words
    const before = (offset * bytes) % 256;
    const begin = place.offset + offset * bytes - before + (operand.range?.offset ?? 0);
    const size = operand.range?.length ?? 4 * Math.ceil((before + spanBytes(operand.tensor)) / 4);
    check(
      size <= limit,
      'limit-exceeded',
      `${operand.tensor.name} needs a binding of ${size} bytes; the device allows ${limit}`,
      operand.tensor.name,
    );
    entries.push({ binding: slot + 1, resource: { buffer: place.buffer, offset: begin, size } });
  }
  return entries;
}
