import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LinbpError } from '../errors.js';
import { removeAtExit } from '../io/atExit.js';
import { row } from './rows.js';
import type { BenchRow } from './rows.js';
import { beside } from './workloads.js';

/** Runs a script beside this one until its first message. Throws `internal` when it ends without one. */
async function untilMessage(
  script: string,
  options: { readonly env?: NodeJS.ProcessEnv; readonly execArgv?: string[] } = {},
): Promise<unknown> {
  const child = fork(beside(script), [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], ...options });
  let stderr = '';
  child.stderr!.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(new LinbpError('internal', `${script} ended with code ${code}: ${stderr.trim().slice(-500)}`)),
    );
  });
}

/**
 * Variables that make a driver keep what it compiles in a folder: Mesa's, NVIDIA's and AMD's each by a name of its own.
 */
export const driverCache = (folder: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    ['MESA_SHADER_CACHE_DIR', '__GL_SHADER_DISK_CACHE_PATH', 'AMD_SHADER_DISK_CACHE_PATH'].map((name) => [
      name,
      folder,
    ]),
  );

/**
 * Seconds from process start to the end of the first LeNet-5 step, `cold` times with an empty driver cache and `warm`
 * times with a full one.
 */
export async function measureStart(cold: number, warm: number): Promise<BenchRow[]> {
  interface Seconds {
    readonly clock: number;
    readonly processor: number;
  }
  const seconds = async (folder: string): Promise<Seconds> => {
    const begin = performance.now();
    const processor = (await untilMessage('firstStep.js', {
      env: { ...process.env, ...driverCache(folder) },
    })) as number;
    return { clock: (performance.now() - begin) / 1000, processor };
  };
  const folders: string[] = [];
  const settled: (() => void)[] = [];
  const cached = { cold: [] as Seconds[], warm: [] as Seconds[] };
  try {
    for (let i = 0; i < cold; i++) {
      folders.push(await mkdtemp(join(tmpdir(), 'linbp-bench-')));
      settled.push(removeAtExit(folders.at(-1)!));
      cached.cold.push(await seconds(folders.at(-1)!));
    }
    for (let i = 0; i < warm; i++) cached.warm.push(await seconds(folders.at(-1)!));
  } finally {
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
    for (const done of settled) done();
  }
  const start = 'process start to first LeNet-5 step';
  const rowsOf = (name: string, runs: readonly Seconds[]): BenchRow[] => [
    row(`${start}, ${name}`, 'linbp', 's', runs.map((run) => run.clock)), // prettier-ignore
    row(`${start}, ${name}, processor time`, 'linbp', 'cpu s', runs.map((run) => run.processor)), // prettier-ignore
  ];
  return [...rowsOf('empty driver cache', cached.cold), ...rowsOf('warm driver cache', cached.warm)];
}

/** Growth of resident memory over 2,000 training steps and over 200 attacks, after warm-up. */
export async function measureMemory(): Promise<BenchRow[]> {
  const { steps, attacks } = (await untilMessage('flatness.js', { execArgv: ['--expose-gc'] })) as {
    steps: number;
    attacks: number;
  };
  return [
    row('memory growth over 2,000 LeNet-5 training steps', 'linbp', 'MB', [steps / 1e6]),
    row('memory growth over 200 PGD-5 attacks on LeNet-5', 'linbp', 'MB', [attacks / 1e6]),
  ];
}
