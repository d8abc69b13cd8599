import type { KernelDevice } from '../device.js';
import { processorOf } from './processor.js';

/**
 * Whether tiles of 4 columns per invocation compute noticeably fewer columns that there are not than tiles of 8.
 */
export const narrowFits = (columns: number, lanes: number, device: KernelDevice): boolean => {
  const computed = (each: number): number => Math.ceil(columns / (each * lanes)) * each * lanes;
  return computed(4) < processorOf(device).narrowBelow * computed(8);
};
