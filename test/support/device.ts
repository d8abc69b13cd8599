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

/** The one device of a test process. Tests must not destroy it; the hook below does when all have run. */
export function sharedDevice(): Promise<Device> {
  shared ??= open();
  return shared;
}

after('close the shared device', async () => {
  // This hook is the first file's own in a worker of `mocha --parallel`, which goes on with other files.
  if (process.env['MOCHA_WORKER_ID'] !== undefined) return;
  const device = await shared?.catch(() => undefined);
  device?.destroy();
});
