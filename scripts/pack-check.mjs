/**
 * Checks the package as its users get it: packs a tarball, installs it in an empty project with an empty HOME, and
 * runs the scripts of scripts/pack-check/ there. Nothing of this clone is reachable from them. --keep leaves the
 * project for inspection.
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { npmCommand } from '../bin/driver/swiftshader.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const scratch = mkdtempSync(join(tmpdir(), 'linbp-pack-'));
const home = join(scratch, 'home');
const project = join(scratch, 'project');
const npm = npmCommand();
let failures = 0;

function run(file, args, cwd, env = {}) {
  const result = spawnSync(file, args, {
    cwd,
    encoding: 'utf8',
    shell: file === 'npm' && npm.shell,
    timeout: 10 * 60_000,
    env: { ...process.env, HOME: home, XDG_CACHE_HOME: '', INIT_CWD: cwd, ...env },
  });
  return {
    status: result.status ?? 1,
    stdout: result.stdout ?? '',
    output: `${result.stdout ?? ''}${result.stderr ?? ''}`,
  };
}

const runNpm = (args, cwd) => run(npm.file, [...npm.args, ...args], cwd);

function check(name, passed, detail = '') {
  process.stdout.write(`${passed ? 'ok    ' : 'FAILED'} ${name}\n`);
  if (!passed) {
    failures++;
    process.stdout.write(`${detail.trim().split('\n').slice(-20).join('\n')}\n`);
  }
}

/** Texts that only exist on the machine of the one who packed. */
function developmentPaths(folder) {
  const found = [];
  const walk = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const child = join(path, entry.name);
      if (entry.isDirectory()) walk(child);
      else if (readFileSync(child, 'latin1').includes(root)) found.push(child.slice(folder.length + 1));
    }
  };
  walk(folder);
  return found;
}

try {
  mkdirSync(home);
  mkdirSync(project);
  const packed = runNpm(
    ['pack', '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', scratch],
    root,
  );
  const tarball = readdirSync(scratch).find((name) => name.endsWith('.tgz'));
  check('npm pack', packed.status === 0 && tarball !== undefined, packed.output);

  writeFileSync(
    join(project, 'package.json'),
    '{ "name": "empty-project", "version": "1.0.0", "private": true, "type": "module" }\n',
  );
  const installed = runNpm(['install', '--no-audit', '--no-fund', '--loglevel=error', join(scratch, tarball)], project);
  check('npm install of the tarball', installed.status === 0, installed.output);

  const listed = runNpm(['ls', 'webgpu', '--all', '--parseable'], project);
  const copies = new Set(listed.stdout.split('\n').filter((line) => /node_modules[\\/]webgpu$/.test(line)));
  check(`npm ls webgpu shows one version (${copies.size})`, copies.size === 1, listed.output);

  const folder = join(project, 'node_modules/linbp');
  const paths = developmentPaths(folder);
  check('no development path in the package', paths.length === 0, paths.join('\n'));
  for (const name of [
    'LICENSE',
    'THIRD_PARTY_NOTICES.md',
    'CHANGELOG.md',
    'README.md',
    'dist/src/public/root.d.ts',
    'dist/src/vendor/gpujs.mjs',
  ]) {
    check(`contains ${name}`, existsSync(join(folder, name)));
  }

  const scripts = join(root, 'scripts/pack-check');
  // The doctor comes first: it mends a missing driver, which the others need.
  const order = (name) => (name === 'doctor.mjs' ? `0${name}` : `1${name}`);
  for (const name of readdirSync(scripts).sort((a, b) => order(a).localeCompare(order(b)))) {
    copyFileSync(join(scripts, name), join(project, name));
    if (!name.endsWith('.mjs')) continue;
    const result = run(process.execPath, [name], project);
    check(name, result.status === 0, result.output);
  }

  // The assignment to a number must fail: a type that does not resolve would be any, which hides everything.
  const source = "import { Device } from 'linbp';\nexport const open: Promise<Device> = Device.open();\n";
  const wrong =
    '// @ts-expect-error a buffer is no number\nexport const size = async (): Promise<number> => (await ' +
    'open).createBuffer({ size: 4, usage: 1 });\n';
  writeFileSync(join(project, 'types.ts'), source + wrong);
  const compilerOptions = {
    noEmit: true,
    strict: true,
    module: 'nodenext',
    target: 'es2023',
    types: [],
    skipLibCheck: true,
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['types.ts'] }));
  const typed = run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc')], project);
  check('types resolve in a TypeScript project', typed.status === 0, typed.output);
} finally {
  if (process.argv.includes('--keep')) process.stdout.write(`kept ${scratch}\n`);
  else rmSync(scratch, { recursive: true, force: true });
}
process.stdout.write(failures === 0 ? 'the package is good\n' : `${failures} checks failed\n`);
process.exitCode = failures === 0 ? 0 : 1;
