/** Runs that are killed, interrupted, or meet a full disk while they write, and go on to the same bits. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generator } from './random.mjs';

const child = fileURLToPath(new URL('./run.mjs', import.meta.url));
const EPOCHS = 6;
const kinds = { write: 'w', fsync: 'f', rename: 'r' };

/** Hash of all tensors of both files; their metadata hold seconds. */
function contents(api, checkpoint) {
  const hash = createHash('sha256');
  for (const path of [checkpoint, checkpoint.replace(/\.safetensors$/, '.state.safetensors')])
    for (const [name, tensor] of api.decodeSafetensors(readFileSync(path)).tensors)
      hash.update(name).update(tensor.data);
  return hash.digest('hex');
}

const run = (checkpoint, what, number) =>
  spawnSync(process.execPath, [child, checkpoint, String(EPOCHS), what, String(number)], {
    encoding: 'utf8',
    timeout: 300_000,
  });

/** Both files are whole or absent: a reader sees no half-written one. */
function damaged(api, folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.safetensors'))
    .flatMap((name) => {
      try {
        api.decodeSafetensors(readFileSync(join(folder, name)));
        return [];
      } catch (error) {
        return [`${name}: ${error.message}`];
      }
    });
}

/** Ends a run and says whether it has the bits of one that nobody disturbed. */
function finish({ api, expected, faults }, checkpoint, what) {
  const { status, stderr } = run(checkpoint, 'none', 0);
  if (status !== 0) faults.push(`after ${what} the run ended with ${status}: ${stderr.slice(0, 300)}`);
  else if (contents(api, checkpoint) !== expected) faults.push(`after ${what} the run ended with other bits`);
  const left = readdirSync(dirname(checkpoint)).filter((name) => name.endsWith('.tmp'));
  if (left.length > 0) faults.push(`after ${what} temporary files are left: ${left.join(', ')}`);
}

/** SIGKILLs in write, fsync and rename by turns, until there were `wanted`; every folder sees up to eight of them. */
function killed(task, root, { wanted, steps, figures }) {
  const { api, random, faults } = task;
  const places = Object.fromEntries(
    Object.entries(kinds).map(([kind, letter]) => [
      kind,
      [...steps].flatMap((each, i) => (each === letter ? i + 1 : [])),
    ]),
  );
  // The first two checkpoints, so that runs get on, and yet are killed again after they went on.
  const early = (kind) => places[kind].slice(0, Math.ceil(places[kind].length / 3));
  const total = () => Object.keys(kinds).reduce((sum, kind) => sum + figures[`sigkills in ${kind}`], 0);
  for (let round = 0; total() < wanted; round++) {
    const checkpoint = join(root, `run-${round}`, 'm.safetensors');
    for (let times = 0; times < 8 && total() < wanted; times++) {
      const kind = Object.keys(kinds)[total() % 3];
      const number = early(kind)[random(early(kind).length)];
      const { signal, status, stdout, stderr } = run(checkpoint, random(3) === 0 ? 'killed-after' : 'kill', number);
      faults.push(...damaged(api, dirname(checkpoint)));
      if (signal === 'SIGKILL' && stdout === kinds[kind]) figures[`sigkills in ${kind}`]++;
      else if (status === 0)
        break; // The run had fewer steps left than that.
      else return faults.push(`a run to be killed ended with ${signal ?? status}: ${stderr.slice(0, 300)}`);
    }
    finish(task, checkpoint, `the kills of round ${round}`);
    figures['resumed to the same bits']++;
    if (faults.length > 20) return undefined;
  }
  return undefined;
}

const fullDisk = ({ status, stderr }) =>
  status === 1 && /^not-writable: [^\n]*disk is full[^\n]*\n$/.test(stderr) ? [] : [`full disk: ${status} ${stderr}`];

/** A step of writing answers that the disk is full. */
function disksThatSayFull(task, root, { wanted, steps, figures }) {
  for (let i = 0; i < wanted; i++) {
    const number = 1 + task.random(steps.length);
    const checkpoint = join(root, `says-full-${i}`, 'm.safetensors');
    task.faults.push(...fullDisk(run(checkpoint, 'full', number)), ...damaged(task.api, dirname(checkpoint)));
    finish(task, checkpoint, `a full disk at step ${number}`);
    figures['full disks said']++;
  }
}

/** A file system of a few hundred kilobytes, which becomes larger afterwards. Returns why it was left out, if so. */
function fullDisks(task, root, { wanted, figures }) {
  if (process.platform !== 'linux' || process.getuid() !== 0) return 'needs root on Linux to mount a small tmpfs';
  for (let i = 0; i < wanted; i++) {
    const folder = join(root, `disk-${i}`);
    mkdirSync(folder);
    // The first checkpoint takes 52 and 308 kB, and one more while it is replaced: each size ends at another place.
    // Every other disk is too small for certain.
    const size = `${16 + task.random(i % 2 === 0 ? 320 : 480)}k`;
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { encoding: 'utf8' });
    if (mounted.status !== 0) return `cannot mount a tmpfs: ${mounted.stderr?.trim() ?? mounted.error}`;
    try {
      const checkpoint = join(folder, 'm.safetensors');
      const ended = run(checkpoint, 'none', 0);
      task.faults.push(...(ended.status === 0 ? [] : fullDisk(ended)), ...damaged(task.api, folder));
      if (ended.status !== 0) figures['full disks']++;
      spawnSync('mount', ['-o', 'remount,size=64m', folder]);
      finish(task, checkpoint, `a disk of ${size}`);
    } finally {
      spawnSync('umount', [folder]);
    }
  }
  return undefined;
}

/** A signal inside a step of writing: the run stops behind it, with code 130. */
function interrupted(task, root, { wanted, steps, figures }) {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    for (let i = 0; i < wanted; i++) {
      const number = 1 + task.random(Math.floor(steps.length / 2));
      const checkpoint = join(root, `${signal}-${i}`, 'm.safetensors');
      const { status, stderr } = run(checkpoint, signal, number);
      if (status !== 130) task.faults.push(`${signal} at step ${number}: exit code ${status} ${stderr.slice(0, 300)}`);
      task.faults.push(...damaged(task.api, dirname(checkpoint)));
      finish(task, checkpoint, `${signal} at step ${number}`);
      figures[signal]++;
    }
  }
}

/** @param amounts numbers of `kills`, of `disks` of both sorts, and of `signals` of each sort */
export function kills(api, { seed, amounts }) {
  const root = mkdtempSync(join(tmpdir(), 'linbp-kills-'));
  const faults = [];
  const figures = {
    'sigkills in write': 0,
    'sigkills in fsync': 0,
    'sigkills in rename': 0,
    'resumed to the same bits': 0,
    'full disks said': 0,
    'full disks': 0,
    SIGINT: 0,
    SIGTERM: 0,
    SIGHUP: 0,
  };
  const wanted = {
    'sigkills in write': Math.floor(amounts.kills / 3),
    'sigkills in fsync': Math.floor(amounts.kills / 3),
    'sigkills in rename': Math.floor(amounts.kills / 3),
    'full disks said': amounts.disks,
    'full disks': Math.ceil(amounts.disks / 2),
    SIGINT: amounts.signals,
    SIGTERM: amounts.signals,
    SIGHUP: amounts.signals,
  };
  const skipped = [];
  try {
    const straight = join(root, 'straight', 'm.safetensors');
    const first = run(straight, 'none', 0);
    if (first.status !== 0) return { figures, wanted, faults: [`the run itself fails: ${first.stderr}`] };
    const task = { api, random: generator(seed), faults, expected: contents(api, straight) };
    const steps = first.stdout;
    killed(task, root, { wanted: amounts.kills, steps, figures });
    disksThatSayFull(task, root, { wanted: amounts.disks, steps, figures });
    const reason = fullDisks(task, root, { wanted: amounts.disks, figures });
    if (reason !== undefined) {
      skipped.push(`full disks: ${reason}`);
      delete wanted['full disks'];
    }
    interrupted(task, root, { wanted: amounts.signals, steps, figures });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return { figures, wanted, skipped, faults };
}
