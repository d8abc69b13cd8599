/**
 * Everything between a fresh clone and a working library: packages, build, driver. Uses nothing but Node itself,
 * prints on stderr, and does only what is missing. Options: --no-driver skips the driver; --swiftshader also stores
 * SwiftShader in the cache (for tests on it).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureDriver } from '../bin/driver/mend.mjs';
import { installSwiftShader, runNpm } from '../bin/driver/swiftshader.mjs';
import { say, whileWaiting } from './setup/progress.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const storeSwiftShader = (log) => whileWaiting('storing SwiftShader', () => installSwiftShader(log));

function fail(cause, command) {
  say(cause);
  // In one piece, so that it can be copied.
  if (command) process.stderr.write(`setup: what helps: ${command}\n`);
  process.exit(1);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * npm keeps a copy of the lock file of what it installed; the packages are current when both name the same versions.
 */
function packagesCurrent() {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages;
  const installed = readJson(join(root, 'node_modules/.package-lock.json'))?.packages;
  if (!wanted || !installed) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const there = installed[path];
    if (!there) return entry.optional === true || entry.peer === true;
    return there.version === entry.version && existsSync(join(root, path));
  });
}

function installPackages() {
  if (packagesCurrent()) return;
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const wanted = Object.entries(readJson(join(root, 'package-lock.json'))?.packages ?? {});
  const paths = wanted
    .filter(([path, entry]) => path !== '' && !entry.optional && !entry.peer)
    .map(([path]) => join(root, path, 'package.json'));
  // Once more, for a flaky network.
  const install = () => runNpm(args, { cwd: root }) && runNpm(args, { cwd: root });
  const failure = whileWaiting('installing npm packages', install, { unit: 'packages', paths });
  if (failure) fail(`the npm packages could not be installed: ${failure}`, 'npm ci');
}

/** Source files with their modification times, in milliseconds. */
function sources() {
  const files = new Map();
  const walk = (path) => {
    const info = statSync(path);
    if (info.isDirectory()) for (const name of readdirSync(path)) walk(join(path, name));
    else if (/\.(ts|json|mjs)$/.test(path)) files.set(relative(root, path), info.mtimeMs);
  };
  // Of benchmarks/ the compiler takes the top only; the peers below it have packages of their own.
  const benchmarks = existsSync(join(root, 'benchmarks'))
    ? readdirSync(join(root, 'benchmarks')).filter((name) => name.endsWith('.ts'))
    : [];
  const whole = [
    'src',
    'test',
    'examples',
    'tsconfig.json',
    'package-lock.json',
    'scripts/bundle-gpujs.mjs',
    'scripts/bundle-report.mjs',
    'scripts/report-page',
  ];
  for (const name of [...whole, ...benchmarks.map((file) => join('benchmarks', file))]) {
    if (existsSync(join(root, name))) walk(join(root, name));
  }
  return files;
}

function build() {
  const dist = join(root, 'dist');
  const stampPath = join(dist, '.built.json');
  const files = Object.fromEntries(sources());
  const stamp = readJson(stampPath)?.files ?? {};
  const gone = Object.keys(stamp).some((name) => !(name in files));
  if (!gone && Object.entries(files).every(([name, time]) => stamp[name] === time)) return;
  // Outputs of sources that no longer exist would still be run as tests.
  if (gone) rmSync(dist, { recursive: true, force: true });
  rmSync(stampPath, { force: true });
  for (const [what, ...args] of [
    ['building (1 of 3: TypeScript)', 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'],
    ['building (2 of 3: gpu.js)', 'scripts/bundle-gpujs.mjs'],
    ['building (3 of 3: script of the reports)', 'scripts/bundle-report.mjs'],
  ]) {
    const run = () =>
      spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    const { status, stdout, stderr } = whileWaiting(what, run);
    process.stderr.write(`${stdout}${stderr}`);
    if (status !== 0) fail('the build failed (messages above)', 'npm run build');
  }
  mkdirSync(dist, { recursive: true });
  writeFileSync(stampPath, JSON.stringify({ files }));
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 15))
  fail(`Node ${process.versions.node} is too old; 20.15 or newer is needed`, 'install Node 22');

installPackages();
build();
if (!process.argv.includes('--no-driver')) {
  const result = ensureDriver({ fix: true, log: say }, { installSwiftShader: storeSwiftShader });
  for (const step of result.mended) say(step);
  if (!result.ok) fail(`no working driver: ${result.cause}`, result.command);
  say(`ready: ${result.adapter.description || result.adapter.device}${result.adapter.software ? ' (software)' : ''}`);
}
if (process.argv.includes('--swiftshader')) {
  try {
    storeSwiftShader(say);
  } catch (error) {
    fail(`SwiftShader could not be stored: ${error.message}`);
  }
}
