/**
 * Proves that the tests notice what they are there for: builds a copy of the sources, applies one deliberate fault at a
 * time to it and runs the tests that should fail. A fault that no test notices, or that can no longer be applied,
 * fails the script.
 *
 *   node scripts/mutation-check.mjs [--only WORD] [--short] [--json FILE]
 *
 * `--short` takes the faults that tests of closed forms notice, and those marked `fast`, which need seconds. The faults
 * are in mutants.mjs.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { closedForm, mutants } from './mutants.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: options } = parseArgs({
  options: { only: { type: 'string' }, short: { type: 'boolean', default: false }, json: { type: 'string' } },
});

const scratch = mkdtempSync(join(tmpdir(), 'linbp-mutants-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
const built = isBuilt();
for (const path of [
  'src',
  'test',
  'shaders',
  'tuning',
  'bin',
  'package.json',
  'tsconfig.json',
  ...(built ? ['dist'] : []),
]) {
  cpSync(join(root, path), join(scratch, path), { recursive: true });
}
symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'), 'junction');
if (!built) {
  const build = spawnSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.'], {
    cwd: scratch,
    encoding: 'utf8',
  });
  if (build.status !== 0) process.stderr.write(`the copy does not compile cleanly:\n${build.stdout}`);
}

/** Whether dist is that of the sources as they are. */
function isBuilt() {
  const changed = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return ['src', 'test'].every((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
      .every((name) => {
        const source = join(root, folder, name);
        return changed(source) <= changed(join(root, 'dist', folder, name.replace(/\.ts$/, '.js')));
      }),
  );
}

/** Runs test files and says which test failed first, if any. */
function runTests(tests, grep) {
  const files = tests.map((test) => join('dist', 'test', `${test}.test.js`));
  const mocha = [
    join(root, 'node_modules', 'mocha', 'bin', 'mocha.js'),
    '--no-config',
    '--timeout',
    '300000',
    '--bail',
    '--exit',
    '--reporter',
    'dot',
  ];
  const result = spawnSync(process.execPath, [...mocha, ...(grep === undefined ? [] : ['--grep', grep]), ...files], {
    cwd: scratch,
    encoding: 'utf8',
    timeout: 15 * 60_000,
    env: { ...process.env, LINBP_CHECK_CONSTANTS: '1' },
  });
  const output = `${result.stdout}${result.stderr}`;
  const failure = /^\s+1\) ([\s\S]*?)\n\n/m.exec(output)?.[1]?.replace(/\s+/g, ' ').slice(0, 200);
  // Fewer tests than none would pass for a success.
  const ran = Number(/(\d+) passing/.exec(output)?.[1] ?? 0);
  return { passed: result.status === 0 && ran > 0, failure, output };
}

/** Runs the compile gate on the copy; `skipped` where the machine has nothing to compile with. */
function runGate(args) {
  const command = [join(root, 'scripts', 'check-amd.mjs'), '--root', scratch, ...args];
  const result = spawnSync(process.execPath, command, { encoding: 'utf8', timeout: 15 * 60_000 });
  const output = `${result.stdout}${result.stderr}`;
  const failure = /^ {2}\S.*$/m.exec(output)?.[0].trim().slice(0, 200);
  return { passed: result.status === 0, failure, output, skipped: /^check:amd is skipped/m.test(output) };
}

const chosen = mutants
  .filter(({ name }) => options.only === undefined || name.includes(options.only))
  .filter(({ tests, fast }) => !options.short || fast === true || tests?.every((test) => test === closedForm) === true);
const baseline = new Map();
const results = [];
for (const { name, file, find, put, tests, grep, gate } of chosen) {
  const run = () => (gate === undefined ? runTests(tests, grep) : runGate(gate));
  const path = join(scratch, file);
  const original = readFileSync(path, 'utf8');
  const key = gate?.join(' ') ?? `${tests.join(' ')} ${grep ?? ''}`;
  if (!baseline.has(key)) baseline.set(key, run());
  const sound = baseline.get(key);
  let verdict;
  let detail = '';
  if (sound.skipped === true) {
    verdict = 'skipped';
    detail = sound.output.trim();
  } else if (!sound.passed) {
    verdict = 'unsound';
    detail =
      `${tests?.join(', ') ?? 'the compile gate'} fail without ` +
      `any fault: ${sound.failure ?? sound.output.slice(-500)}`;
  } else if (original.split(find).length !== 2) {
    verdict = 'stale';
    detail = `${file} does not hold "${find}" exactly once`;
  } else {
    writeFileSync(path, original.replace(find, put));
    const outcome = run();
    writeFileSync(path, original);
    verdict = outcome.passed ? 'survived' : 'killed';
    detail = outcome.failure ?? '';
  }
  results.push({ name, verdict, detail });
  console.log(`${verdict.padEnd(8)} ${name}${detail === '' ? '' : `\n         ${detail}`}`);
}
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
const bad = results.filter(({ verdict }) => verdict !== 'killed' && verdict !== 'skipped').length;
console.log(`${results.length - bad} of ${results.length} faults noticed`);
process.exitCode = bad === 0 && results.length > 0 ? 0 : 1;
