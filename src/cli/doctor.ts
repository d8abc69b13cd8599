import { writeResult } from './result.js';
import { describeDevice, examineDevice } from './doctorDevice.js';
import type { ComputingReport } from './doctorDevice.js';
import { packageVersion } from '../version.js';

/** What the shared driver logic in `bin/driver` reports. */
interface DriverReport {
  ok: boolean;
  driver: 'system' | 'environment' | 'cache';
  adapter?: {
    vendor: string;
    architecture: string;
    device: string;
    description: string;
    software: boolean;
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
  };
  limits?: Record<string, number>;
  features?: string[];
  /** Steps that were tried, in words. */
  mended: string[];
  cause?: string;
  command?: string;
}

interface MendModule {
  ensureDriver(options: { fix: boolean; log: (line: string) => void }): DriverReport;
}

/** The features that make linbp faster or its profiles possible, with what is lost without them. */
const USEFUL_FEATURES: ReadonlyArray<readonly [feature: string, without: string]> = [
  ['timestamp-query', 'no per-shader times'],
  ['shader-f16', 'no half precision'],
  ['subgroups', 'slower reductions'],
];

const SHOWN_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
] as const;

const SOURCES = {
  system: "the system's driver",
  environment: 'the driver chosen in the environment',
  cache: "the software driver in the user's cache",
};

/**
 * The verb `doctor`: tries the driver in a child process, prints what was found or the one cause and the command that
 * mends it, and with `fix` mends it. The logic is the one that set-up uses.
 *
 * @param options.fix - install what is missing
 * @param options.adapter - which adapter to test the kernels on, by index or name
 * @param options.json - file for the machine-readable result; `-` is standard output
 * @param options.print - takes the lines for people
 * @returns the exit code: 0 where this machine can compute, 1 otherwise
 * @throws LinbpError `not-writable` where the result file cannot be written, `no-adapter` where there is no such
 * adapter
 */
export async function doctor(options: {
  fix: boolean;
  adapter?: string;
  json?: string;
  print: (line: string) => void;
}): Promise<number> {
  const start = performance.now();
  const { ensureDriver } = (await import(new URL('../../../bin/driver/mend.mjs', import.meta.url).href)) as MendModule;
  const report = ensureDriver({ fix: options.fix, log: (line) => process.stderr.write(`doctor: ${line}\n`) });
  const computing = report.ok ? await examineDevice(options.adapter) : undefined;
  const ok = report.ok && computing?.failure === undefined;
  for (const line of describe(report, computing)) options.print(line);
  if (options.json !== undefined) {
    const { vendor = '', architecture = '', description = '', software = false } = report.adapter ?? {};
    const result = {
      command: 'doctor',
      version: packageVersion(),
      adapter: report.adapter ? { vendor, architecture, description, software } : null,
      settings: {
        fix: options.fix,
        adapter: options.adapter ?? null,
        node: process.version,
        platform: process.platform,
        arch: process.arch,
      },
      seconds: (performance.now() - start) / 1000,
      ok,
      driver: report.ok ? report.driver : null,
      cause: report.cause ?? null,
      fixCommand: report.command ?? null,
      steps: report.mended,
      limits: report.limits ?? {},
      features: report.features ?? [],
      adapters: computing?.adapters ?? [],
      selfTest: computing?.selfTest ?? null,
    };
    await writeResult(options.json, result);
  }
  return ok ? 0 : 1;
}

function describe(report: DriverReport, computing: ComputingReport | undefined): string[] {
  const lines = [`node       ${process.version} on ${process.platform} ${process.arch}`];
  for (const step of report.mended) lines.push(`step       ${step}`);
  const { adapter, limits = {}, features = [] } = report;
  if (adapter) {
    lines.push(
      `adapter    ${adapter.description || adapter.device}${adapter.software ? ' (software, on the CPU)' : ''}`,
    );
    lines.push(`vendor     ${adapter.vendor} ${adapter.architecture}`);
    lines.push(`driver     ${SOURCES[report.driver]}`);
    lines.push(`subgroups  ${adapter.subgroupMinSize ?? 0} to ${adapter.subgroupMaxSize ?? 0}`);
    for (const name of SHOWN_LIMITS) lines.push(`limit      ${name} ${limits[name] ?? 'unknown'}`);
    for (const [name, without] of USEFUL_FEATURES)
      lines.push(`feature    ${name}: ${features.includes(name) ? 'yes' : `no (${without})`}`);
  }
  if (report.ok) {
    lines.push('kernel     right answer', ...(computing === undefined ? [] : describeDevice(computing)));
    if (computing?.failure === undefined) lines.push('result     this machine can run linbp');
  } else {
    lines.push(`missing    ${report.cause ?? 'unknown'}`);
    if (report.command) lines.push(`mend with  ${report.command}`);
  }
  return lines;
}
