/** Runs that are killed, interrupted, or meet a full disk while they write, and go on to the same bits. */
import { fork, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generator } from './fuzz.mjs';

const child = fileURLToPath(new URL('./run.mjs', import.meta.url));
const EPOCHS = 6;

/** Hash of all tensors of both files; their metadata hold seconds. */
function contents(api, checkpoint) {
  const hash = createHash('sha256');
  for (const path of [checkpoint, checkpoint.replace(/\.safetensors$/, '.state.safetensors')])
    for (const [name, tensor] of api.readSafetensors(path).tensors) hash.update(name).update(tensor.data);
  return hash.digest('hex');
}

const run = (checkpoint, what, number) =>
  spawnSync(process.execPath, [child, checkpoint, String(EPOCHS), what, String(number)], { encoding: 'utf8' });

/** Both files are whole or absent: a reader sees no half-written one. */
function damaged(api, folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.safetensors'))
    .flatMap((name) => {
      try {
        for (const tensor of api.readSafetensors(join(folder, name)).tensors.values()) void tensor.data;
        return [];
      } catch (error) {
        return [`${name}: ${error.message}`];
      }
    });
}

function interrupted(checkpoint, signal, afterMilliseconds) {
  return new Promise((resolve) => {
    const process = fork(child, [checkpoint, String(EPOCHS), 'none', '0'], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    process.on('message', () => setTimeout(() => process.kill(signal), afterMilliseconds));
    process.on('exit', (code) => resolve(code));
  });
}

export async function kills(api, { seconds, seed, wanted }) {
  const root = mkdtempSync(join(tmpdir(), 'linbp-kills-'));
  const random = generator(seed);
  const faults = [];
  const figures = { sigkills: 0, runsToTheEnd: 0, signals: 0, fullDisk: 0, temporaryFilesLeft: 0 };
  const until = performance.now() + 1000 * seconds;
  try {
    const straight = join(root, 'straight', 'm.safetensors');
    const first = run(straight, 'none', 0);
    if (first.status !== 0) return { figures, faults: [`the run itself fails: ${first.stderr}`] };
    const expected = contents(api, straight);

    for (let round = 0; performance.now() < until && figures.sigkills < wanted; round++) {
      const folder = join(root, `run-${round}`);
      const checkpoint = join(folder, 'm.safetensors');
      while (performance.now() < until) {
        // The first runs are killed in each of the twelve steps of the first two checkpoints, in turns; then at random.
        const number = figures.sigkills < 12 ? figures.sigkills + 1 : 1 + random(24);
        const { signal, status, stderr } = run(checkpoint, 'kill', figures.sigkills >= wanted ? 0 : number);
        faults.push(...(existsSync(folder) ? damaged(api, folder) : []));
        if (signal === 'SIGKILL') figures.sigkills++;
        else if (status !== 0) faults.push(`ended with ${status}: ${stderr.slice(0, 300)}`);
        if (signal !== 'SIGKILL') break;
      }
      // Time may be over before the run is.
      if (run(checkpoint, 'none', 0).status !== 0 || contents(api, checkpoint) !== expected)
        faults.push(`run ${round} ended with other bits`);
      figures.temporaryFilesLeft += readdirSync(folder).filter((name) => name.endsWith('.tmp')).length;
      figures.runsToTheEnd++;
    }

    for (let number = 1; number <= 18; number += 4 + random(6)) {
      const folder = join(root, `full-${number}`);
      const checkpoint = join(folder, 'm.safetensors');
      const { status, stderr } = run(checkpoint, 'full', number);
      figures.fullDisk++;
      if (status !== 1 || !/^not-writable: .*disk is full/.test(stderr)) faults.push(`full disk: ${status} ${stderr}`);
      faults.push(...damaged(api, folder));
      if (run(checkpoint, 'none', 0).status !== 0 || contents(api, checkpoint) !== expected)
        faults.push(`after a full disk at step ${number} the run ended with other bits`);
    }

    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      const checkpoint = join(root, signal, 'm.safetensors');
      const code = await interrupted(checkpoint, signal, random(60));
      figures.signals++;
      if (code !== 130 && code !== 0) faults.push(`${signal}: exit code ${code}`);
      if (run(checkpoint, 'none', 0).status !== 0 || contents(api, checkpoint) !== expected)
        faults.push(`after ${signal} the run ended with other bits`);
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  if (figures.temporaryFilesLeft > 0) faults.push(`${figures.temporaryFilesLeft} temporary files are left`);
  return { figures, faults };
}
