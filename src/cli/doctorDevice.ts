import { LinbpError } from '../errors.js';
import type { SelfTestReport } from '../program/deviceSelfTest.js';
import type { ListedAdapter } from '../runtime/adapter.js';

/** What `doctor` finds out with a driver that works. */
export interface ComputingReport {
  readonly adapters: readonly ListedAdapter[];
  readonly selfTest?: SelfTestReport & { readonly device: string };
  /** Why the self-test did not come to an end. */
  readonly failure?: string;
}

/** Lists the adapters and tests the kernels on one of them. The modules are loaded only where a driver works. */
export async function examineDevice(adapter: string | undefined): Promise<ComputingReport> {
  const { listAdapters } = await import('../runtime/adapter.js');
  const { Device } = await import('../runtime/device.js');
  const { selfTest } = await import('../program/deviceSelfTest.js');
  const adapters = await listAdapters();
  const device = await Device.open(adapter === undefined ? {} : { adapter });
  try {
    const { description, device: name } = device.adapterInfo;
    return { adapters, selfTest: { ...(await selfTest(device)), device: description || name } };
  } catch (cause) {
    if (!(cause instanceof LinbpError) || cause.code === 'bad-argument') throw cause;
    return { adapters, failure: cause.message };
  } finally {
    device.destroy();
  }
}

/** The report for people. */
export function describeDevice({ adapters, selfTest, failure }: ComputingReport): string[] {
  const lines = adapters.map(({ index, name, backend }) => `--adapter ${index}  "${name}" (${backend})`);
  if (failure !== undefined) lines.push(`self-test  failed: ${failure}`);
  if (selfTest === undefined) return lines;
  const { mode, device, right, wrong, ran, seconds, complete, kept } = selfTest;
  if (mode === 'off') return [...lines, 'self-test  off (LINBP_SELFTEST)'];
  const when = ran === 0 ? 'stored' : `${ran} run now in ${seconds.toFixed(1)} s${kept ? ', stored' : ''}`;
  lines.push(`self-test  ${right} right, ${wrong.length} wrong on ${device} (${when})`);
  if (!complete) lines.push('self-test  not through in the time allowed; the rest follows at the next start');
  for (const { kernel, tile, test, error } of wrong)
    lines.push(`wrong      ${tile ?? kernel}, ${test}: ${error}${tile === undefined ? '' : '; others take its place'}`);
  return lines;
}
