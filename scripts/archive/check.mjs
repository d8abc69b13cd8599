/**
 * Runs doctor, parity, tuning and a short benchmark of an archive made by scripts/pack-archive.mjs, and writes a JSON file for each and
 * `summary.json`. Exits with 1 where a step fails.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const app = join(dirname(dirname(fileURLToPath(import.meta.url))), 'app');
const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'linbp-results' },
    model: { type: 'string', default: 'lenet5' },
    batch: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '5' },
    products: { type: 'string', default: 'auto' },
    skip: { type: 'string', default: '' },
  },
});
const out = resolve(values.out);
mkdirSync(out, { recursive: true });
const cache = process.env.XDG_CACHE_HOME || join(out, 'cache');
const skipped = values.skip.split(',').filter(Boolean);

const cli = (...args) => [join(app, 'bin/linbp.js'), ...args];
const json = (name) => join(out, `${name}.json`);
const parityTests = readFileSync(join(app, 'parity.txt'), 'utf8').trim().split('\n');

/** Steps in order; what fails does not keep the later ones from running, but for the doctor. */
const steps = [
  { name: 'doctor', args: cli('doctor', '--json', json('doctor')) },
  {
    name: 'parity',
    args: [
      join(app, 'node_modules/mocha/bin/mocha.js'),
      '--no-config',
      '--timeout',
      '600000',
      '--reporter',
      'json',
      '--reporter-option',
      `output=${json('parity')}`,
      ...parityTests,
    ],
    quiet: true,
  },
  {
    name: 'tune',
    args: cli('tune', '--model', values.model, '--batch', values.batch, '--share', '0.1', '--rounds', values.rounds, '--json', json('tune')),
  },
  {
    name: 'bench',
    args: cli(
      'bench',
      '--peers',
      'none',
      '--products',
      values.products,
      '--only',
      'ceilings,kernels,products,dispatch,training',
      '--rounds',
      values.rounds,
      '--json',
      json('bench'),
    ),
  },
];

const results = [];
for (const step of steps.filter(({ name }) => !skipped.includes(name))) {
  process.stderr.write(`== ${step.name}\n`);
  const began = performance.now();
  const { status } = spawnSync(process.execPath, step.args, {
    cwd: app,
    env: { ...process.env, XDG_CACHE_HOME: cache },
    stdio: ['ignore', step.quiet ? 'ignore' : 'inherit', 'inherit'],
  });
  const seconds = (performance.now() - began) / 1000;
  const result = { step: step.name, ok: status === 0, seconds };
  if (step.name === 'parity') {
    try {
      const { stats, failures } = JSON.parse(readFileSync(json('parity'), 'utf8'));
      Object.assign(result, { passes: stats.passes, failures: failures.map(({ fullTitle, err }) => `${fullTitle}: ${err.message}`) });
    } catch {
      result.failures = ['no result'];
    }
  }
  results.push(result);
  const details = result.passes === undefined ? '' : `, ${result.passes} passed, ${result.failures.length} failed`;
  process.stderr.write(`== ${step.name}: ${result.ok ? 'ok' : 'FAILED'} in ${seconds.toFixed(1)} s${details}\n`);
  for (const failure of result.failures ?? []) process.stderr.write(`   ${failure}\n`);
  if (!result.ok && step.name === 'doctor') break;
}
writeFileSync(json('summary'), `${JSON.stringify({ node: process.version, steps: results }, null, 2)}\n`);
process.stderr.write(`results in ${out}\n`);
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;
