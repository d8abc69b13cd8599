/**
 * The per-user cache of the software Vulkan driver: where it lies, what was stored, and how a process is switched to
 * it. Plain JavaScript with nothing but Node's own modules, since set-up runs before anything is installed or compiled.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants as fsConstants, existsSync, lstatSync, readFileSync } from 'node:fs';
import { constants, homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Variables with which a user chooses a Vulkan driver. */
export const DRIVER_VARIABLES = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'VK_ADD_DRIVER_FILES'];

/**
 * Tells child processes that the driver in their environment is the stored one, switched on by a parent, and in which
 * folder it lies.
 */
const INHERITED_VARIABLE = 'LINBP_STORED_DRIVER';

let appliedHere = false;

/**
 * Where a parent process switched itself to the stored driver, its children inherit the variables but not the loader it
 * mapped. They forget the variables and choose for themselves again; the parent's driver remains known in case their
 * cache folder is another.
 */
function takeInherited(env = process.env) {
  const folder = env[INHERITED_VARIABLE];
  const icd = env.VK_DRIVER_FILES;
  if (!folder || !icd?.startsWith(folder) || env.VK_ICD_FILENAMES !== icd) return undefined;
  for (const name of [INHERITED_VARIABLE, ...Object.keys(recordEnvironment({ icd }))]) delete env[name];
  return { folder, icd };
}

const inherited = takeInherited();

/** The folder for everything linbp keeps per user. */
export function cacheFolder() {
  const base = process.env.XDG_CACHE_HOME;
  if (base && base.startsWith('/')) return join(base, 'linbp');
  const home = writableHome();
  return home === undefined ? temporaryCache() : join(home, '.cache', 'linbp');
}

/** The user's home, or undefined where there is none, as in a container with a uid of its own. */
export function writableHome() {
  try {
    const home = homedir(); // throws for a uid without HOME and without an entry in passwd
    if (existsSync(join(home, '.cache', 'linbp'))) return home;
    accessSync(home, fsConstants.W_OK);
    return home;
  } catch {
    return undefined;
  }
}

/** A folder per user among the temporary ones. What lies there is loaded as code, so it must be the user's alone. */
function temporaryCache() {
  const uid = process.getuid?.() ?? 0;
  const folder = join(tmpdir(), `linbp-${uid}`);
  const there = lstatSync(folder, { throwIfNoEntry: false });
  const ours = there === undefined || (there.isDirectory() && there.uid === uid && (there.mode & 0o022) === 0);
  return ours ? folder : `${folder}-${process.pid}`;
}

/** The file that set-up writes and the library reads. */
export function recordPath() {
  return join(cacheFolder(), 'driver.json');
}

/** SHA-256 of a file in hexadecimal. */
export function checksum(path) {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** True where the user, and not this process, chose a driver in the environment. */
export function userChoseDriver(env = process.env) {
  return !appliedHere && DRIVER_VARIABLES.some((name) => env[name]);
}

/**
 * The stored driver, or undefined where there is none, it is damaged, or a file is missing. Checksums are compared only
 * when asked for (set-up and doctor do), since hashing 7 MB at every start is a waste.
 */
export function readRecord({ verify = false } = {}) {
  let record;
  try {
    record = JSON.parse(readFileSync(recordPath(), 'utf8'));
  } catch {
    return verify ? undefined : inherited;
  }
  if (
    record?.format !== 1 ||
    typeof record.folder !== 'string' ||
    typeof record.icd !== 'string' ||
    typeof record.files !== 'object'
  )
    return undefined;
  for (const [name, sum] of Object.entries(record.files ?? {})) {
    const path = join(record.folder, name);
    if (!existsSync(path)) return undefined;
    if (verify && checksum(path) !== sum) return undefined;
  }
  return record;
}

/**
 * The environment variables that select the stored driver. The second name is for Vulkan loaders older than 1.3.207.
 */
export function recordEnvironment(record) {
  return { VK_DRIVER_FILES: record.icd, VK_ICD_FILENAMES: record.icd };
}

/**
 * Maps the stored Vulkan loader into this process so that Dawn's later search for `libvulkan.so.1` finds it by name, in
 * case the system has none. Harmless where the system's own loader is mapped already.
 */
export function preloadLoader(folder) {
  if (process.platform !== 'linux') return;
  const RTLD_NODELETE = 0x1000; // Node unloads what is not an addon; this keeps the library mapped
  try {
    process.dlopen({ exports: {} }, join(folder, 'libvulkan.so.1'), constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch {
    // Expected: "Module did not self-register". The library is mapped nevertheless.
  }
}

/**
 * Whether Dawn would find a Vulkan loader by itself: next to the `node` executable or through the dynamic linker. Where
 * there is none, Dawn complains on stderr each time it is asked for an adapter.
 */
export function systemHasLoader() {
  if (process.platform !== 'linux' || existsSync(join(dirname(process.execPath), 'libvulkan.so.1'))) return true;
  try {
    process.dlopen({ exports: {} }, 'libvulkan.so.1', constants.dlopen.RTLD_LAZY);
    return true;
  } catch (error) {
    // "Module did not self-register" means that the library was found.
    return !/cannot open shared object/.test(String(error?.message));
  }
}

/**
 * Switches this process to the stored driver. Must come before the first request for an adapter of a new Dawn instance.
 */
export function applyRecord(record) {
  appliedHere = true;
  preloadLoader(record.folder);
  Object.assign(process.env, recordEnvironment(record), { [INHERITED_VARIABLE]: record.folder });
}

/** Variables by which a user chooses among the GPUs of a machine. Mesa's device-selection layer reads them. */
const SELECTION_VARIABLES = ['MESA_VK_DEVICE_SELECT', 'MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE', 'DRI_PRIME'];

/**
 * Mesa's device-selection layer complains about a missing desktop session; without one it has nothing to select, unless
 * the user told it what.
 */
export function quietDrivers(env = process.env) {
  const told = SELECTION_VARIABLES.some((name) => env[name]);
  if (process.platform === 'linux' && !env.XDG_RUNTIME_DIR && env.NODEVICE_SELECT === undefined && !told)
    env.NODEVICE_SELECT = '1';
}
