import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LinbpError } from '../errors.js';
import { row } from './rows.js';
import type { BenchRow } from './rows.js';
import { beside } from './workloads.js';

/** Runs a script beside this one until its first message. Throws `internal` when it ends without one. */
async function untilMessage(script: string, options: { readonly env?: NodeJS.ProcessEnv; readonly execArgv?: string[] } = {}): Promise<unknown> {
  const child = fork(beside(script), [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], ...options });
  let stderr = '';
  child.stderr!.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('error', reject);
    child.once('exit', (code) => reject(new LinbpError('internal', `${script} ended with code ${code}: ${stderr.trim().slice(-500)}`)));
  });
}

/** Seconds from process start to the end of the first LeNet-5 step, `cold` times with an empty driver cache and `warm` times with a full one. */
export async function measureStart(cold: number, warm: number): Promise<BenchRow[]> {
  const seconds = async (folder: string): Promise<number> => {
    const begin = performance.now();
    await untilMessage('firstStep.js', { env: { ...process.env, MESA_SHADER_CACHE_DIR: folder } });
    return (performance.now() - begin) / 1000;
  };
  const folders: string[] = [];
  const cached = { cold: [] as number[], warm: [] as number[] };
  try {
    for (let i = 0; i < cold; i++) {
      folders.push(mkdtempSync(join(tmpdir(), 'linbp-bench-')));
      cached.cold.push(await seconds(folders.at(-1)!));
    }
    for (let i = 0; i < warm; i++) cached.warm.push(await seconds(folders.at(-1)!));
  } finally {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  }
  return [
    row('process start to first LeNet-5 step, empty driver cache', 'linbp', 's', cached.cold),
    row('process start to first LeNet-5 step, warm driver cache', 'linbp', 's', cached.warm),
  ];
}

/** Growth of resident memory over 2,000 training steps and over 200 attacks, after warm-up. */
export async function measureMemory(): Promise<BenchRow[]> {
  const { steps, attacks } = (await untilMessage('flatness.js', { execArgv: ['--expose-gc'] })) as { steps: number; attacks: number };
  return [
    row('memory growth over 2,000 LeNet-5 training steps', 'linbp', 'MB', [steps / 1e6]),
    row('memory growth over 200 PGD-5 attacks on LeNet-5', 'linbp', 'MB', [attacks / 1e6]),
  ];
}
