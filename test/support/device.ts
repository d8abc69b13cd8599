import { after } from 'mocha';
import { Device } from '../../src/runtime/device.js';

// Results of tests must not depend on what somebody tuned on this machine.
process.env['LINBP_TUNING'] ??= 'shipped';

let shared: Promise<Device> | undefined;

/** The one device of a test run. Tests must not destroy it; the hook below does when all have run. */
export function sharedDevice(): Promise<Device> {
  shared ??= Device.open();
  return shared;
}

after('close the shared device', async () => {
  const device = await shared?.catch(() => undefined);
  device?.destroy();
});
