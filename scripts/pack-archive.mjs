/**
 * Packs a self-contained folder for machines that have a Vulkan driver and nothing else: this Node, the built
 * project, Dawn, the Vulkan loader, and the C++ library for systems without one. `node scripts/pack-archive.mjs
 * [--out FOLDER] [--no-compress]` after `npm run build`, on x86-64 Linux. See docs/remote-gpu.md.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: { out: { type: 'string', default: join(root, 'archive') }, compress: { type: 'boolean', default: true } },
  allowNegative: true,
});
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const name = `linbp-${version}-linux-x64`;
const target = join(values.out, name);
/** Largest archive that is worth sending. */
const mostMebibytes = 60;

/**
 * Tests that show parity: golden values of ops, networks and attacks, all rules, products, half precision, and what
 * the tuner relies on.
 */
const parity = [
  'program/golden',
  'program/debug',
  'nn/golden',
  'attacks/golden',
  'attacks/laws',
  'rules/alpha',
  'rules/builtin',
  'rules/compose',
  'rules/official',
  'rules/user',
  'kernels/gemm',
  'kernels/staged',
  'kernels/matrices',
  'kernels/winograd',
  'kernels/depthwise',
  'kernels/pooling',
  'kernels/batchNorm',
  'precision/halfNumbers',
  'precision/storage',
  'precision/plan',
  'precision/attack',
  'precision/training',
  'tune/tuner',
];

/** Image folders need it, golden values and benchmarks do not; its libraries are as large as Dawn. */
const leftOut = new Set(['sharp', '@webgpu/types']);

function fail(message) {
  process.stderr.write(`pack-archive: ${message}\n`);
  process.exit(1);
}

/** Packages that `names` need at run time, themselves included. */
function closure(names) {
  const found = new Set();
  const visit = (name) => {
    if (found.has(name) || leftOut.has(name)) return;
    const manifest = join(root, 'node_modules', name, 'package.json');
    if (!existsSync(manifest)) return;
    found.add(name);
    Object.keys(JSON.parse(readFileSync(manifest, 'utf8')).dependencies ?? {}).forEach(visit);
  };
  names.forEach(visit);
  return [...found];
}

/** What a package has that only people and other platforms read. */
function needed(packageFolder, path) {
  const inside = relative(packageFolder, path);
  if (/^(test|tests|docs|example|examples|\.github|i18n|theme|types)(\/|$)/.test(inside)) return false;
  if (/\.(map|md|d\.ts|d\.mts|d\.cts)$/.test(inside) && !/licen[cs]e/i.test(inside)) return false;
  if (packageFolder.endsWith('/webgpu')) return !/^dist\/(?!linux-x64)/.test(inside);
  if (packageFolder.endsWith('/echarts') || packageFolder.endsWith('/zrender'))
    return !/^(dist|build|ssr|src)(\/|$)/.test(inside);
  if (packageFolder.endsWith('/mocha')) return !/^mocha(-es2018)?\.js$/.test(inside);
  return true;
}

/** A library that the loader of this system finds. */
function systemLibrary(file) {
  const folders = [
    '/lib/x86_64-linux-gnu',
    '/usr/lib/x86_64-linux-gnu',
    '/lib64',
    '/usr/lib64',
    '/usr/lib',
    '/usr/local/lib',
  ];
  const found = folders.map((folder) => join(folder, file)).find(existsSync);
  if (found === undefined)
    fail(`this system has no ${file}; install it (Debian: libvulkan1, libstdc++6) and pack again`);
  return realpathSync(found);
}

/** The newest version of a family of symbols, such as `GLIBC`, that programs and libraries ask of others. */
function newestSymbol(paths, family) {
  const name = new RegExp(`${family}_(\\d+(?:\\.\\d+)+)\\0`, 'g');
  const versions = paths.flatMap((path) =>
    [...readFileSync(path, 'latin1').matchAll(name)].map(([, version]) => version),
  );
  return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}

/**
 * What the packed programs ask of the system, and what the C++ library does that stands in where the system has none.
 */
function systemNeeds(runtime, dawn) {
  const programs = [join(runtime, 'node'), dawn];
  const cpp = readdirSync(join(runtime, 'cpp')).map((file) => join(runtime, 'cpp', file));
  return {
    glibc: newestSymbol(programs, 'GLIBC'),
    glibcxx: newestSymbol(programs, 'GLIBCXX'),
    glibcOfPackedCpp: newestSymbol(cpp, 'GLIBC'),
  };
}

const bytesOf = (path) =>
  statSync(path).isDirectory()
    ? readdirSync(path).reduce((sum, child) => sum + bytesOf(join(path, child)), 0)
    : statSync(path).size;

if (process.platform !== 'linux' || process.arch !== 'x64') fail('archives are packed on x86-64 Linux');
for (const built of ['dist/src/cli/main.js', 'dist/src/vendor/gpujs.mjs', 'dist/test'])
  if (!existsSync(join(root, built))) fail(`there is no ${built}; run "npm run build" first`);

rmSync(target, { recursive: true, force: true });
const app = join(target, 'app');
const runtime = join(target, 'runtime');
mkdirSync(app, { recursive: true });
mkdirSync(runtime);

for (const item of [
  'package.json',
  'LICENSE',
  'THIRD_PARTY_NOTICES.md',
  'bin',
  'shaders',
  'tuning',
  'dist/src',
  'dist/test',
  'test/fixtures/golden',
  'benchmarks/peers/pytorch.mjs',
  'benchmarks/peers/pytorch.py',
]) {
  const from = join(root, item);
  if (existsSync(from))
    cpSync(from, join(app, item), { recursive: true, filter: (path) => !/\.(map|d\.ts)$/.test(path) });
}
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
for (const dependency of closure([...Object.keys(manifest.dependencies), 'mocha', 'chai'])) {
  const from = realpathSync(join(root, 'node_modules', dependency));
  cpSync(from, join(app, 'node_modules', dependency), { recursive: true, filter: (path) => needed(from, path) });
}
writeFileSync(join(app, 'parity.txt'), `${parity.map((test) => `dist/test/${test}.test.js`).join('\n')}\n`);
for (const test of parity) if (!existsSync(join(app, `dist/test/${test}.test.js`))) fail(`there is no test ${test}`);

copyFileSync(realpathSync(process.execPath), join(runtime, 'node'));
chmodSync(join(runtime, 'node'), 0o755);
for (const [folder, files] of [
  ['vulkan', ['libvulkan.so.1']],
  ['cpp', ['libstdc++.so.6', 'libgcc_s.so.1']],
]) {
  mkdirSync(join(runtime, folder));
  for (const file of files) copyFileSync(systemLibrary(file), join(runtime, folder, file));
}
const parts = join(root, 'scripts/archive');
for (const [file, to] of [
  ['linbp', target],
  ['check', target],
  ['environment', runtime],
  ['check.mjs', runtime],
])
  copyFileSync(join(parts, file), join(to, file));
for (const launcher of ['linbp', 'check']) chmodSync(join(target, launcher), 0o755);
copyFileSync(join(root, 'docs/remote-gpu.md'), join(target, 'README.md'));

const needs = systemNeeds(runtime, join(app, 'node_modules/webgpu/dist/linux-x64/dawn.node'));
writeFileSync(join(runtime, 'needs.json'), `${JSON.stringify(needs, null, 2)}\n`);

const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(1);
process.stdout.write(`${target}: ${mebibytes(bytesOf(target))} MiB\n`);
process.stdout.write(
  `needs glibc ${needs.glibc} and a C++ library with GLIBCXX_${needs.glibcxx}; the packed one, for ` +
    `systems without, needs glibc ${needs.glibcOfPackedCpp}\n`,
);
if (values.compress) {
  const archive = `${target}.tar.xz`;
  execFileSync('tar', ['-cJf', archive, '--owner=0', '--group=0', '-C', values.out, name], {
    stdio: 'inherit',
    env: { ...process.env, XZ_OPT: '-3 -T2' },
  });
  const { size } = statSync(archive);
  process.stdout.write(`${archive}: ${mebibytes(size)} MiB\n`);
  if (size > mostMebibytes * 2 ** 20) fail(`the archive is larger than ${mostMebibytes} MiB`);
}
