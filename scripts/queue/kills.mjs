import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { RedisServer } from './redis.mjs';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Runs linbp; the promise resolves with exit code and what it printed. */
export function start(args, env = {}) {
  const child = spawn(process.execPath, ['bin/linbp.js', ...args.map(String)], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const ended = new Promise((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr })),
  );
  return { child, ended, stderr: () => stderr };
}

/** Workers of a queue, of which one can be killed and is then replaced by a new one. */
export class Crew {
  constructor(count, args, env = {}) {
    this.args = args;
    this.env = env;
    this.kills = 0;
    this.workers = Array.from({ length: count }, () => start(['worker', ...args], env));
  }

  /** Kills a worker at once, without a chance to say goodbye. */
  async kill() {
    const index = this.kills++ % this.workers.length;
    this.workers[index].child.kill('SIGKILL');
    await this.workers[index].ended;
    this.workers[index] = start(['worker', ...this.args], this.env);
  }

  async close() {
    for (const { child } of this.workers) child.kill('SIGKILL');
    await Promise.all(this.workers.map(({ ended }) => ended));
  }
}

/** A result without what may differ between runs: times, rates, where it was computed and written. */
export function comparable(path) {
  const result = JSON.parse(readFileSync(path, 'utf8'), (key, value) =>
    /seconds|PerSecond|^submits$/.test(key) ? undefined : value,
  );
  for (const key of ['out', 'workers']) delete result[key];
  for (const key of ['out', 'workers', 'queue', 'store']) delete result.settings[key];
  return result;
}

/** Throws unless two runs of an attack, named by their folders and JSON files, found the same bits. */
export function expectSame(one, other) {
  const [a, b] = [one, other].map((name) => readFileSync(join(name, 'adversarial.safetensors')));
  if (!a.equals(b)) throw new Error(`${one} and ${other}: the images differ`);
  if (!isDeepStrictEqual(comparable(`${one}.json`), comparable(`${other}.json`)))
    throw new Error(`${one} and ${other}: the JSON differs`);
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/**
 * The same attack in one process, by local workers, and by three workers over Redis, one of which is killed every few
 * seconds. Throws unless all have the same bits.
 */
export async function compareKilled({ attack, shard, kills, every, workers = 3, local = 2, log = console.log }) {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-kills-'));
  const redis = await RedisServer.start();
  const run = async (name, extra) => {
    const began = performance.now();
    const out = join(folder, name);
    const running = start(['attack', ...attack, '--out', out, '--json', `${out}.json`, ...extra]);
    const { code, stderr } = await running.ended;
    if (code !== 0) throw new Error(`${name} ended with code ${code}: ${stderr}`);
    log(`${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    return out;
  };
  try {
    const alone = await run('alone', []);
    if (local > 0) expectSame(alone, await run('local', ['--workers', local]));
    const queue = ['--queue', redis.url, '--store', join(folder, 'store')];
    const crew = new Crew(workers, [...queue, '--stalled-after', '5']);
    let over = false;
    const killing = (async () => {
      while (!over && crew.kills < kills) {
        await pause(every);
        if (!over) await crew.kill();
      }
    })();
    const killed = await run('killed', [...queue, '--shard', shard]).finally(() => (over = true));
    await killing;
    await crew.close();
    log(`workers killed: ${crew.kills}`);
    expectSame(alone, killed);
    log('same bits, same JSON');
    return crew.kills;
  } finally {
    await redis.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
