/**
 * The software driver for machines where nothing may be installed: SwiftShader and a Vulkan loader, taken from an npm
 * package that ships them inside a compressed archive, unpacked into the user's cache. Linux on x64 only.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { cacheFolder, checksum, readRecord, recordPath, writableHome } from './cache.mjs';
import { tarMembers } from './tar.mjs';

const PACKAGE = '@sparticuz/chromium@147.0.0';
const ARCHIVE = 'package/bin/swiftshader.tar.br';
/** SHA-256 of what the archive of exactly this version holds. */
const LIBRARIES = {
  'libvk_swiftshader.so': '5b9e8591c7c2d1c9618c3ad485d0cdffb81f5f1ffd6a982fdb6578c2d8d3213e',
  'libvulkan.so.1': 'fe17a77c1f2df38d3b6a935140f746fd80aac564bb44eb3e4f6b75a504295a41',
};
const ICD = 'vk_swiftshader_icd.json';

/** True where the packed driver can run. */
export function swiftShaderSupported() {
  return process.platform === 'linux' && process.arch === 'x64';
}

/** How to run npm: the one that started us, else the one on the path. */
export function npmCommand() {
  const script = process.env.npm_execpath;
  if (script && /npm-cli\.[cm]?js$/.test(script)) return { file: process.execPath, args: [script], shell: false };
  return { file: 'npm', args: [], shell: process.platform === 'win32' };
}

/** Runs npm with its output on our stderr. Returns an error text or undefined. */
export function runNpm(args, options = {}) {
  const npm = npmCommand();
  const result = spawnSync(npm.file, [...npm.args, ...args], {
    stdio: ['ignore', 2, 2], // stdout is for results
    shell: npm.shell,
    timeout: 15 * 60_000,
    env: {
      ...process.env,
      npm_config_update_notifier: 'false',
      // npm keeps its own cache at home; a uid without one gets it beside ours.
      ...(writableHome() === undefined && { npm_config_cache: join(cacheFolder(), 'npm') }),
    },
    ...options,
  });
  if (result.error) return `npm could not be started (${result.error.message})`;
  return result.status === 0 ? undefined : `"npm ${args.join(' ')}" failed with code ${result.status ?? result.signal}`;
}

/**
 * Makes sure the driver is in the cache and returns its record; downloads 68 MB where it is not.
 *
 * @param {(line: string) => void} log
 */
export function installSwiftShader(log) {
  if (!swiftShaderSupported())
    throw new Error(`there is no SwiftShader package for ${process.platform} on ${process.arch}`);
  const present = readRecord({ verify: true });
  if (present) return present;
  log(`downloading the software driver SwiftShader (from the npm package ${PACKAGE}, 68 MB)`);
  const scratch = mkdtempSync(join(tmpdir(), 'linbp-driver-'));
  try {
    const failure = runNpm(['pack', PACKAGE, '--loglevel=error', '--ignore-scripts', '--pack-destination', scratch], {
      cwd: scratch,
      stdio: ['ignore', 'ignore', 2],
    });
    if (failure) throw new Error(failure);
    const tarball = readdirSync(scratch).find((name) => name.endsWith('.tgz'));
    if (!tarball) throw new Error('npm wrote no archive');
    return unpack(readFileSync(join(scratch, tarball)));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function unpack(tarball) {
  const packed = tarMembers(gunzipSync(tarball)).get(ARCHIVE);
  if (!packed) throw new Error(`the package ${PACKAGE} does not contain ${ARCHIVE}`);
  const members = tarMembers(brotliDecompressSync(packed));
  const folder = join(cacheFolder(), 'swiftshader-147');
  // Everything is written beside its place and renamed into it, so that an interrupted or a parallel run leaves no
  // half-written driver.
  mkdirSync(dirname(folder), { recursive: true, mode: 0o700 });
  const fresh = mkdtempSync(`${folder}-`);
  try {
    const files = {};
    for (const [name, expected] of Object.entries(LIBRARIES)) {
      const data = members.get(name);
      const sum = data && createHash('sha256').update(data).digest('hex');
      if (sum !== expected)
        throw new Error(`${name} in ${PACKAGE} is ${data ? 'not the file that was expected' : 'missing'}`);
      writeFileSync(join(fresh, name), data, { mode: 0o644 });
      files[name] = sum;
    }
    const icd = JSON.parse(members.get(ICD)?.toString('utf8') ?? 'null');
    if (typeof icd?.ICD !== 'object') throw new Error(`${ICD} in ${PACKAGE} is damaged`);
    // An absolute path, so that the loader finds the library whatever the working directory.
    icd.ICD.library_path = join(folder, 'libvk_swiftshader.so');
    writeFileSync(join(fresh, ICD), `${JSON.stringify(icd)}\n`);
    files[ICD] = checksum(join(fresh, ICD));
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
    const record = { format: 1, kind: 'swiftshader', package: PACKAGE, folder, icd: join(folder, ICD), files };
    const temporary = `${recordPath()}.${process.pid}`;
    writeFileSync(temporary, `${JSON.stringify(record, null, 2)}\n`);
    renameSync(temporary, recordPath());
    return record;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}
