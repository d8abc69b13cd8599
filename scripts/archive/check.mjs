/**
 * Runs doctor, parity, tuning and a benchmark of an archive made by scripts/pack-archive.mjs, and writes a JSON file
 * for each and `summary.json`. Exits with 1 where a step fails.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const app = join(dirname(dirname(fileURLToPath(import.meta.url))), 'app');

/** Ends with one line about what was asked for. */
function refuse(message) {
  process.stderr.write(`error: ${message}\n`);
  process.exit(1);
}

function options() {
  const text = (byDefault) => ({ type: 'string', ...(byDefault !== undefined && { default: byDefault }) });
  const known = {
    out: text('linbp-results'),
    model: text(),
    batch: text(),
    share: text('0.02'),
    rounds: text(),
    products: text('auto'),
    precision: text('both'),
    models: text(),
    batches: text(),
    steps: text(),
    skip: text(''),
  };
  try {
    return parseArgs({ options: known }).values;
  } catch (error) {
    const names = Object.keys(known).map((name) => `--${name}`);
    return refuse(`${error.message.split('\n')[0]}; there are ${names.join(' ')}`);
  }
}

const values = options();
const names = ['doctor', 'parity', 'tune', 'bench'];
const skipped = values.skip === '' ? [] : values.skip.split(',').map((name) => name.trim());

/** Refuses what a later step would refuse, before any work. */
async function checkOptions() {
  for (const name of skipped)
    if (!names.includes(name)) refuse(`--skip: there is no step "${name}"; there are ${names.join(', ')}`);
  const among = (name, choices) =>
    choices.includes(values[name]) || refuse(`--${name} must be one of ${choices.join(', ')}, got "${values[name]}"`);
  among('products', ['auto', 'large', 'small']);
  among('precision', ['both', 'f32', 'f16']);
  const within = (name, text, least, most) => {
    const valid = /^\d+$/.test(text.trim()) && Number(text) >= least && Number(text) <= most;
    if (!valid)
      refuse(
        `--${name} must be ${name === 'batches' ? 'whole numbers' : 'a whole number'} from ${least} to ` +
          `${most}, got "${values[name]}"`,
      );
  };
  // A finalizt of the tuner takes part in three rounds at least.
  if (values.rounds !== undefined) within('rounds', values.rounds, 3, 1000);
  if (values.batch !== undefined) within('batch', values.batch, 1, 65536);
  if (values.steps !== undefined) within('steps', values.steps, 1, 4096);
  for (const batch of values.batches?.split(',') ?? []) within('batches', batch, 1, 65536);
  if (!(values.share.trim() !== '' && Number(values.share) >= 0 && Number(values.share) <= 1))
    refuse(`--share must be a number from 0 to 1, got "${values.share}"`);
  const { modelDefinition } = await import(pathToFileURL(join(app, 'dist/src/nn/zoo/index.js')).href);
  for (const name of [values.model, ...(values.models?.split(',') ?? [])]) {
    try {
      if (name !== undefined) modelDefinition(name.trim());
    } catch (error) {
      refuse(error.message);
    }
  }
}

await checkOptions();
const out = resolve(values.out);
try {
  mkdirSync(out, { recursive: true });
} catch (error) {
  refuse(`--out: ${error.message}`);
}
const cache = process.env.XDG_CACHE_HOME || join(out, 'cache');
const json = (name) => join(out, `${name}.json`);
const cli = (...args) => [join(app, 'bin/linbp.js'), ...args];
/** An option that was given, for the command line. */
const given = (name) => (values[name] === undefined ? [] : [`--${name}`, values[name]]);
const parityTests = readFileSync(join(app, 'parity.txt'), 'utf8').trim().split('\n');

/** Whether the doctor found an adapter that computes on the CPU. */
const isSoftware = () =>
  existsSync(json('doctor')) && JSON.parse(readFileSync(json('doctor'), 'utf8')).adapter?.software === true;

const mocha = [
  '--no-config',
  '--timeout',
  '600000',
  '--reporter',
  'json',
  '--reporter-option',
  `output=${json('parity')}`,
];
const parts = ['ceilings', 'kernels', 'products', 'dispatch', 'training', 'attack', 'networks'];

/** What each step runs. What fails does not keep the later ones from running, but for the doctor. */
const steps = {
  doctor: () => cli('doctor', '--json', json('doctor')),
  parity: () => [join(app, 'node_modules/mocha/bin/mocha.js'), ...mocha, ...parityTests],
  tune() {
    const [model, batch] = isSoftware() ? ['lenet5', '64'] : ['resnet18', '128'];
    const subject = ['--model', values.model ?? model, '--batch', values.batch ?? batch];
    return cli('tune', ...subject, ...given('share'), ...given('rounds'), '--json', json('tune'));
  },
  bench: () =>
    cli(
      'bench',
      ...['--only', parts.join(',')],
      ...['products', 'precision', 'models', 'batches', 'steps', 'rounds'].flatMap(given),
      ...['--json', json('bench')],
    ),
};

/** What the tests found. A run in which nothing passed has shown nothing. */
function parityResult() {
  try {
    const { stats, failures, pending } = JSON.parse(readFileSync(json('parity'), 'utf8'));
    return {
      passes: stats.passes,
      pending: pending.map(({ fullTitle }) => fullTitle),
      failures: failures.map(({ fullTitle, err }) => `${fullTitle}: ${err.message}`),
    };
  } catch {
    return { passes: 0, pending: [], failures: ['no result'] };
  }
}

const results = [];
for (const name of names.filter((each) => !skipped.includes(each))) {
  process.stderr.write(`== ${name}\n`);
  rmSync(json(name), { force: true });
  const began = performance.now();
  const { status } = spawnSync(process.execPath, steps[name](), {
    cwd: app,
    env: { ...process.env, XDG_CACHE_HOME: cache },
    stdio: ['ignore', name === 'parity' ? 'ignore' : 'inherit', 'inherit'],
  });
  const seconds = (performance.now() - began) / 1000;
  const tests = name === 'parity' ? parityResult() : undefined;
  const ok = status === 0 && (tests === undefined || (tests.passes > 0 && tests.failures.length === 0));
  results.push({ step: name, ok, seconds, ...tests });
  const details =
    tests === undefined
      ? ''
      : `, ${tests.passes} passed, ${tests.pending.length} skipped, ${tests.failures.length} failed`;
  process.stderr.write(`== ${name}: ${ok ? 'ok' : 'FAILED'} in ${seconds.toFixed(1)} s${details}\n`);
  for (const failure of tests?.failures ?? []) process.stderr.write(`   ${failure}\n`);
  if (tests?.passes === 0) process.stderr.write('   no test passed, so nothing is shown\n');
  if (!ok && name === 'doctor') break;
}
writeFileSync(json('summary'), `${JSON.stringify({ node: process.version, steps: results }, null, 2)}\n`);
process.stderr.write(`results in ${out}\n`);
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;
