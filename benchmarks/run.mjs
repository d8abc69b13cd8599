/**
 * `npm run bench`: sets linbp up, installs the peers of this folder (not with `--peers none`), and runs `linbp bench`
 * with the options given, writing benchmarks/results/ unless `--out` and `--json` say otherwise.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: ['inherit', 2, 2], ...options });
  if (status === 130) process.exit(status);
  if (error || status !== 0) {
    process.stderr.write(`bench: ${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}\n`);
    process.exit(status ?? 1);
  }
}

/** Versions that npm installed last, to compare with the lock file. */
function installed() {
  const read = (path) => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : undefined);
  const [wanted, there] = [read(here('package-lock.json')), read(here('node_modules/.package-lock.json'))];
  return (
    there !== undefined &&
    Object.entries(wanted).every(([path, { version }]) => path === '' || there[path]?.version === version)
  );
}

// Ctrl-C reaches the child as well, which writes what it has before it ends.
process.on('SIGINT', () => undefined);

const given = process.argv.slice(2);
const has = (name) => given.some((word) => word === name || word.startsWith(`${name}=`));
const alone = given.some((word, i) => word === '--peers=none' || (word === 'none' && given[i - 1] === '--peers'));

run(process.execPath, [here('../scripts/setup.mjs')]);
if (!alone && !installed())
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: here('.'),
    shell: process.platform === 'win32',
  });
if (!alone && !existsSync(here('node_modules/.linbp/tfjsGradients.mjs'))) run(process.execPath, [here('build.mjs')]);

const defaults = [
  ...(has('--out') ? [] : ['--out', here('results')]),
  ...(has('--json') ? [] : ['--json', here('results/benchmarks.json')]),
];
run(process.execPath, [here('../bin/linbp.js'), 'bench', ...given, ...defaults], { stdio: 'inherit' });
