/**
 * What linbp does under attack: mutated files, kills inside write, fsync and rename, signals, full disks, lost devices,
 * and what stays behind when many objects come and go. Prints figures; exits with 1 where a promise did not hold, or a
 * part did less than it should.
 *
 *   npm run test:stress -- [--short] [--seed N] [--only fuzz|kills|losses|soak] [--json FILE]
 *
 * About ten minutes, or one with `--short`, on two cores that have nothing else to do: two parts run
 * side by side. Each part is a process of its own and does what is written below, however long that takes.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    seed: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'string' },
    part: { type: 'string' },
  },
});
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
const amounts = values.short
  ? {
      fuzz: { bytesPerFormat: 20_000 },
      kills: { amounts: { kills: 9, disks: 2, signals: 1 } },
      losses: { rounds: 6 },
      soak: { devices: 12, rules: 16, batches: 8 },
    }
  : {
      fuzz: { bytesPerFormat: 1_000_000 },
      kills: { amounts: { kills: 51, disks: 10, signals: 6 } },
      losses: { rounds: 60 },
      soak: { devices: 60, rules: 120, batches: 40 },
    };

/** One part, in this process. */
async function work(name) {
  const at = (path) => import(new URL(path, import.meta.url).href);
  const api = await at('../dist/src/index.js');
  const parts = {
    ...(await at('stress/fuzz.mjs')),
    ...(await at('stress/kills.mjs')),
    ...(await at('stress/device.mjs')),
  };
  const { wanted, faults, ...rest } = await parts[name](api, { seed, ...amounts[name] });
  const less = Object.entries(wanted)
    .filter(([key, amount]) => !(rest.figures[key] >= amount))
    .map(([key, amount]) => `${key}: ${rest.figures[key]}, expected at least ${amount}`);
  return { ...rest, faults: [...faults, ...less] };
}

/** One part, in a process of its own; what it prints besides its report is shown where it fails. */
async function apart(name, folder) {
  const started = performance.now();
  const file = join(folder, `${name}.json`);
  const args = ['--expose-gc', fileURLToPath(import.meta.url), '--part', name, '--seed', String(seed), '--json', file];
  const child = spawn(process.execPath, values.short ? [...args, '--short'] : args, {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const [code, signal] = await new Promise((resolve) => child.on('close', (...ended) => resolve(ended)));
  const report = existsSync(file)
    ? JSON.parse(readFileSync(file, 'utf8'))
    : { faults: [`ended with ${signal ?? code}: ${output.slice(-1000)}`] };
  report.seconds = Math.round((performance.now() - started) / 1000);
  console.log(`\n${name} (${report.seconds} s)`);
  if (report.rows) console.table(report.rows);
  for (const [key, value] of Object.entries(report.figures ?? {})) console.log(`  ${key}: ${String(value)}`);
  for (const reason of report.skipped ?? []) console.log(`  skipped ${reason}`);
  for (const fault of report.faults) console.log(`  FAULT ${fault}`);
  return report;
}

async function main() {
  if (!existsSync(new URL('../dist/src/index.js', import.meta.url))) throw new Error('run npm run build first');
  console.log(
    `seed ${seed}${values.short ? ', short' : ''}, node ${process.version}, ${process.platform} ${process.arch}`,
  );
  const folder = mkdtempSync(join(tmpdir(), 'linbp-stress-'));
  const started = performance.now();
  const report = { seed, short: values.short };
  try {
    const lanes = values.short
      ? [
          ['fuzz', 'soak'],
          ['kills', 'losses'],
        ]
      : [['fuzz'], ['kills', 'losses', 'soak']];
    await Promise.all(
      lanes.map(async (lane) => {
        for (const name of lane)
          if (values.only === undefined || values.only === name) report[name] = await apart(name, folder);
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const parts = Object.values(report).filter((part) => part.faults !== undefined);
  const faults = parts.reduce((sum, part) => sum + part.faults.length, 0);
  report.seconds = Math.round((performance.now() - started) / 1000);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
  const good = faults === 0 && parts.length > 0;
  console.log(`\n${good ? 'every promise held' : `${faults} faults`}, ${report.seconds} s`);
  return good ? 0 : 1;
}

if (values.part === undefined) process.exit(await main());
writeFileSync(values.json, JSON.stringify(await work(values.part)));
process.exit(0);
