import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { temporaryFolder } from '../io/support.js';
import { pending } from '../support/pending.js';

const bin = fileURLToPath(new URL('../../../bin/linbp.js', import.meta.url));

function shell(command: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync('bash', ['-c', command], { encoding: 'utf8', timeout: 60_000 });
}

const linbp = `${process.execPath} ${bin}`;
const training = [
  'train',
  '--model',
  'mlp',
  '--epochs',
  '500',
  '--limit',
  '64',
  '--test-limit',
  '16',
  '--device',
  'reference',
];

/** One line that begins with "error: ", and nothing of a stack. */
function expectOneLine(stderr: string, pattern: RegExp): void {
  const lines = stderr
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('note: ') && !/^Warning/.test(line));
  expect(lines, stderr.slice(0, 2000)).to.have.length(1);
  expect(lines[0])
    .to.match(/^error: /)
    .and.to.match(pattern);
}

describe('command line under attack', () => {
  const folder = temporaryFolder();
  before(function () {
    if (process.platform !== 'linux') pending(this, 'Linux');
  });

  for (const [signal, times] of [
    ['SIGINT', 1],
    ['SIGTERM', 1],
    ['SIGHUP', 1],
    ['SIGTERM', 2],
  ] as const) {
    const tag = signal === 'SIGINT' || times === 2 ? '' : ' @slow';
    it(`${signal} (${times}) ends a training with both files written and code 130${tag}`, async () => {
      {
        const out = join(folder(), String(times));
        const child = spawn(process.execPath, [bin, ...training, '--out', out], { stdio: ['ignore', 'pipe', 'pipe'] });
        let stderr = '';
        child.stderr.on('data', (data: Buffer) => {
          const before = stderr;
          stderr += data.toString();
          if (/^epoch 1 /m.test(before) || !/^epoch 1 /m.test(stderr)) return;
          for (let i = 0; i < times; i++) setTimeout(() => child.kill(signal), 5 * i);
        });
        const code = await new Promise((resolve) => child.on('close', resolve));
        expect(code, stderr).to.equal(130);
        expect(
          readdirSync(out)
            .filter((name) => !name.endsWith('.tmp'))
            .sort(),
        ).to.include.members(['mlp.safetensors', 'mlp.state.safetensors']);
        if (times === 1) expect(readdirSync(out)).not.to.include('.linbp.lock');
      }
    }).timeout(120_000);
  }

  for (const [verb, args] of [
    ['grad', ['--model', 'resnet20', '--inputs', 'INPUTS', '--device', 'reference', '--out', 'OUT']],
    ['export', ['--model', './net.mjs', '--out', 'OUT']],
  ] as const) {
    it(`SIGTERM ends ${verb}, however long it would go on`, async () => {
      const place = mkdtempSync(join(folder(), `${verb}-`));
      const inputs = join(place, 'inputs.safetensors');
      await writeSafetensors(inputs, {
        input: { shape: [64, 3, 32, 32], data: new Float32Array(64 * 3072) },
        labels: { shape: [64], data: new Int32Array(64) },
      });
      // A module that takes a while to load, as one that fetches something does.
      writeFileSync(join(place, 'net.mjs'), 'console.error("waits"); await new Promise((r) => setTimeout(r, 60_000));');
      const own = args.map((arg) => (arg === 'INPUTS' ? inputs : arg === 'OUT' ? join(place, 'out') : arg));
      const child = spawn(process.execPath, [bin, verb, ...own], { cwd: place, stdio: ['ignore', 'ignore', 'pipe'] });
      let stderr = '';
      child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
      const ended = new Promise((resolve) => child.on('close', resolve));
      while (!/waits|random weights/.test(stderr) && child.exitCode === null)
        await new Promise((resolve) => setTimeout(resolve, 20));
      await new Promise((resolve) => setTimeout(resolve, 500));
      const began = performance.now();
      child.kill('SIGTERM');
      expect(await ended, stderr).to.equal(130);
      expect(performance.now() - began).to.be.below(8000);
      expect(stderr).to.match(/error: interrupted/);
    }).timeout(120_000);
  }

  it('a second process in the same run folder is refused', async () => {
    const out = join(folder(), 'run');
    const child = spawn(process.execPath, [bin, ...training, '--out', out], { stdio: 'ignore' });
    const done = new Promise((resolve) => child.on('close', resolve));
    try {
      while (!existsSync(join(out, '.linbp.lock'))) await new Promise((resolve) => setTimeout(resolve, 20));
      const second = shell(`${linbp} ${training.join(' ')} --out ${out}`);
      expect(second.status).to.equal(1);
      expectOneLine(second.stderr, new RegExp(`in use by process ${child.pid}`));
    } finally {
      child.kill('SIGKILL');
      await done;
    }
    // The dead process does not keep the lock.
    const third = shell(
      `${linbp} train --model mlp --epochs 1 --limit 64 --test-limit 16 --device reference --out ${out}`,
    );
    expect(third.status, third.stderr).to.equal(0);
    expect(readdirSync(out)).not.to.include('.linbp.lock');
  }).timeout(120_000);

  it('a full or closed standard output and few descriptors are one line', () => {
    const full = shell(`${linbp} positions --model lenet5 > /dev/full`);
    expect(full.status).to.equal(1);
    expectOneLine(full.stderr, /standard output: the disk is full/);
    expect(shell(`${linbp} positions --model lenet5 >&-`).status).to.equal(0);
    expect(shell(`${linbp} positions --model lenet5 | head -n 1; exit \${PIPESTATUS[0]}`).status).to.equal(0);
    const json = shell(`${linbp} positions --model lenet5 --json /dev/full`);
    expect(json.status).to.equal(1);
    expectOneLine(json.stderr, /disk is full/);
  });

  it('too few descriptors and a read-only folder are one line, or enough @slow', () => {
    // Node opens the modules of a program side by side.
    for (const limit of [256, 64, 32]) {
      const { status, stderr } = shell(`ulimit -n ${limit}; ${linbp} eval --model mlp --device reference --limit 8`);
      if (limit === 256) expect(status, stderr).to.equal(0);
      if (status !== 0) expectOneLine(stderr, /too many open files in this process \(ulimit -n\)/);
    }
    const sealed = join(folder(), 'sealed');
    const make = `mkdir -p ${sealed} && mount -t tmpfs -o ro tmpfs ${sealed}`;
    if (process.getuid!() !== 0 || shell(`unshare -m sh -c '${make}'`).status !== 0) return;
    const run = `${linbp} train --model mlp --device reference --epochs 1 --out ${sealed}/run`;
    const { status, stderr } = shell(`unshare -m sh -c '${make} && ${run}'`);
    expect(status, stderr).to.equal(1);
    expectOneLine(stderr, /read-only/);
  }).timeout(120_000);

  it('what cannot be written is refused before any work', () => {
    mkdirSync(join(folder(), 'taken.safetensors'));
    const taken = join(folder(), 'taken.safetensors');
    for (const command of [
      `train --model mlp --device reference --epochs 100000 --out ${taken}`,
      `grad --model mlp --device reference --inputs nowhere --out ${taken}`,
      `eval --model mlp --device reference --json ${taken}`,
      'eval --model mlp --device reference --json /proc/linbp/result.json',
    ]) {
      const { status, stderr } = shell(`${linbp} ${command}`);
      expect(status, command).to.equal(1);
      expectOneLine(stderr, /cannot write/);
    }
  });

  it('writes results through pipes and to standard output', () => {
    const through = shell(`${linbp} positions --model mlp --json >(cat >&2)`);
    expect(through.status, through.stderr).to.equal(0);
    const { stdout } = shell(`${linbp} positions --model mlp --json /dev/stdout | tail -n +1`);
    expect(stdout).to.contain('"command": "positions"');
  });
});
