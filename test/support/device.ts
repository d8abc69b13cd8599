import { after } from 'mocha';
import { Device } from '../../src/runtime/device.js';

// Results of tests must not depend on what somebody tuned on this machine.
process.env['LINBP_TUNING'] ??= 'shipped';
// Tests compare kernels with the reference themselves; those of the self-test turn it on.
process.env['LINBP_SELFTEST'] ??= 'off';

let shared: Promise<Device> | undefined;

/**
 * Opens the device; `LINBP_TEST_AS_GPU=1` gives it the kernels of a GPU, so that they can be tested on the CPU, slowly.
 */
async function open(): Promise<Device> {
  const device = await Device.open();
  if (process.env['LINBP_TEST_AS_GPU'] !== '1') return device;
  return Object.defineProperty(device, 'adapterInfo', { value: { ...device.adapterInfo, software: false } });
}

/** The one device of a test run. Tests must not destroy it; the hook below does when all have run. */
export function sharedDevice(): Promise<Device> {
  shared ??= open();
  return shared;
}

after('close the shared device', async () => {
  const device = await shared?.catch(() => undefined);
  device?.destroy();
});
