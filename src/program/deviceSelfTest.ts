import { expectDevice } from '../arguments.js';
import type { Device } from '../runtime/device.js';
import { Program } from './program.js';
import { SelfTest } from './selfTest/selfTest.js';
import type { SelfTestReport } from './selfTest/selfTest.js';

export type { SelfTestMode, SelfTestReport } from './selfTest/selfTest.js';
export type { WrongKernel } from './selfTest/store.js';

/**
 * Tests a device's usual kernels against float64, as far as their verdicts are not stored, and says what is known. The
 * first program that is compiled on a device does the same by itself. The environment's `LINBP_SELFTEST` is `auto`,
 * `off`, or `force`, which tests again what is stored.
 *
 * @throws LinbpError `bad-argument` for another `LINBP_SELFTEST` and for what is no device, `device-lost`, `disposed`
 */
export async function selfTest(device: Device): Promise<SelfTestReport> {
  expectDevice(device, 'devices are tested; the reference is what they are compared with');
  return SelfTest.of(device).report(Program.compiler);
}
