/**
 * What linbp does under attack: mutated files, kills inside write, fsync and rename, signals, a full disk, lost devices,
 * and what stays behind when many objects come and go. Prints figures; exits with 1 where a promise did not hold.
 *
 *   npm run test:stress -- [--short | --minutes 10] [--seed N] [--only fuzz|kills|losses|soak] [--json FILE]
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fuzz } from './stress/fuzz.mjs';
import { kills } from './stress/kills.mjs';
import { losses, soak } from './stress/device.mjs';

if (globalThis.gc === undefined) {
  // Memory is measured after a collection.
  const args = ['--expose-gc', fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  process.exit(status ?? 1);
}

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    short: { type: 'boolean', default: false },
    seed: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'string' },
  },
});
const minutes = Number(values.minutes ?? (values.short ? 1 : 10));
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
const full = minutes >= 5;
const seconds = (share) => 60 * minutes * share;

const at = (name) => import(new URL(`../dist/src/${name}.js`, import.meta.url).href);
const api = {
  ...(await at('index')),
  ...(await at('io/safetensors')),
  ...(await at('io/png')),
  ...(await at('io/weights')),
  ...(await at('data/idx')),
  ...(await at('data/folder')),
  ...(await at('data/images')),
  torchExample: readFileSync(new URL('../test/fixtures/pytorch/cuda.pth', import.meta.url)),
};

const parts = {
  fuzz: () => fuzz(api, { seconds: seconds(0.35), seed, bytesPerFormat: full ? 1_000_000 : 200_000 }),
  kills: () => kills(api, { seconds: seconds(0.3), seed, wanted: full ? 50 : 8 }),
  losses: () => losses(api, { seconds: seconds(0.12), seed }),
  soak: () => soak(api, full ? { devices: 60, rules: 120, batches: 40 } : { devices: 8, rules: 6, batches: 8 }),
};

if (!existsSync(new URL('../dist/src/index.js', import.meta.url))) throw new Error('run npm run build first');
console.log(`seed ${seed}, ${minutes} min, node ${process.version}, ${process.platform} ${process.arch}`);
const report = { seed, minutes };
let failed = 0;
for (const [name, part] of Object.entries(parts)) {
  if (values.only !== undefined && values.only !== name) continue;
  const started = performance.now();
  const { rows, figures, faults } = await part();
  console.log(`\n${name} (${Math.round((performance.now() - started) / 1000)} s)`);
  if (rows) console.table(rows);
  if (figures) for (const [key, value] of Object.entries(figures)) console.log(`  ${key}: ${String(value)}`);
  for (const fault of faults) console.log(`  FAULT ${fault}`);
  failed += faults.length;
  report[name] = { ...(rows && { rows }), ...figures, faults };
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
console.log(failed === 0 ? '\nevery promise held' : `\n${failed} faults`);
process.exit(failed === 0 ? 0 : 1);
