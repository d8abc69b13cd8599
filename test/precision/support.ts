import { expect } from 'chai';
import { mlp } from '../../src/nn/zoo/mnist.js';
import { Program } from '../../src/program/program.js';
import type { Device } from '../../src/runtime/device.js';
import { sharedDevice } from '../support/device.js';
import { gradientGraph } from '../support/networks.js';

/** What compiling a program in half precision ends with: an error, or undefined. */
export async function refusal(
  device: Device,
  { graph } = gradientGraph(mlp, { batch: 1, rule: 'bp', what: 'attack' }),
): Promise<unknown> {
  try {
    using _program = await Program.compile(graph, { device, precision: 'f16' });
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Whether the shared device has f16. */
export const hasHalf = async (): Promise<boolean> => (await sharedDevice()).features.has('shader-f16');

/** A test of something in half precision; on a device that has none, half precision must be refused with the reason. */
export function itInHalf(name: string, body: () => Promise<void>, timeout?: number): void {
  const test = it(name, async () => {
    if (await hasHalf()) return body();
    expect(await refusal(await sharedDevice()))
      .to.include({ code: 'unsupported', field: 'precision' })
      .and.have.property('message')
      .that.includes('shader-f16');
  });
  if (timeout !== undefined) test.timeout(timeout);
}
