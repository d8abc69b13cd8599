/**
 * Finds out whether this machine can compute, mends it where it cannot, or says what is wrong and which command helps.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { closeSync, openSync, readSync } from 'node:fs';
import { aptChanges, aptInstall, aptPlan, aptUndo, rootPrefix } from './apt.mjs';
import { DRIVER_VARIABLES, cacheFolder, readRecord, userChoseDriver } from './cache.mjs';
import { installSwiftShader, swiftShaderSupported } from './swiftshader.mjs';

const CHILD = fileURLToPath(new URL('./probe-child.mjs', import.meta.url));
const PROBE_SECONDS = 60; // a cold software driver needs 2 s; the rest is for a busy machine

/**
 * Tries the system's driver (or the cached one) in a child process.
 *
 * @param {'system' | 'cached'} which
 */
export function probe(which) {
  const child = spawnSync(process.execPath, [CHILD, which], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    timeout: PROBE_SECONDS * 1000,
    killSignal: 'SIGKILL',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const stderr = String(child.stderr ?? '');
  const driver = which === 'cached' ? 'cache' : userChoseDriver() ? 'environment' : 'system';
  try {
    return { ...JSON.parse(String(child.output?.[3] ?? '')), stderr, driver };
  } catch {
    const slow = child.error?.code === 'ETIMEDOUT';
    const message = slow
      ? `the driver gave no answer within ${PROBE_SECONDS} s`
      : `the driver crashed (${child.signal ?? `code ${child.status}`})`;
    return { ok: false, stage: slow ? 'timeout' : 'crash', message, stderr, driver };
  }
}

/** The one cause of a failed probe, in words. Exported for tests. */
export function causeOf(result) {
  const { stage, message = '', stderr = '', code } = result;
  if (stage === 'module') {
    const symbol = /(GLIBCXX|GLIBC)_[\d.]+/.exec(message)?.[0];
    if (symbol) return `this system's C or C++ library is too old for the npm package webgpu (it lacks ${symbol})`;
    if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') {
      return /dawn\.node/.test(message)
        ? `the npm package webgpu has no build for ${process.platform} on ${process.arch}`
        : 'the npm package webgpu is not installed';
    }
    return `the npm package webgpu does not load: ${message}`;
  }
  if (stage === 'adapter') {
    if (/ArrayDynamicIndexing/.test(stderr)) return 'the Vulkan driver is too old (Mesa 23 or newer is needed)';
    if (/Couldn't load Vulkan|libvulkan/.test(stderr)) return 'no Vulkan loader (libvulkan.so.1) is installed';
    if (/Found no drivers|INCOMPATIBLE_DRIVER/i.test(stderr)) return 'no Vulkan driver is installed';
    return 'no graphics adapter was found';
  }
  return message || 'the driver does not work';
}

/** The command that would mend a failed probe, for a user to type. */
export function commandFor(result) {
  if (result.stage === 'module') {
    return /no build|too old/.test(causeOf(result))
      ? 'use Debian 12, Ubuntu 22.04 or newer, macOS or Windows'
      : 'npm install';
  }
  if (result.driver === 'environment') return `unset ${DRIVER_VARIABLES.filter((name) => process.env[name]).join(' ')}`;
  if (process.platform !== 'linux') return 'install a current graphics driver';
  const plan = aptPlan();
  if (plan.ok) {
    const commands = plan.commands.join(' && ');
    return process.getuid?.() === 0 ? commands : `sudo sh -c "${commands}"`;
  }
  if (swiftShaderSupported()) return 'npx linbp doctor --fix';
  return 'install a Vulkan driver and loader (for instance Mesa: mesa-vulkan-drivers, libvulkan1)';
}

/** Values of LINBP_DRIVER, which says what set-up may do about a missing driver. */
const CHOICES = ['none', 'cache', 'apt'];

/** Asks on the terminal, if there is one, whether to go on. Without one the answer is yes. */
function askOnTerminal(question) {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return true;
  process.stderr.write(`${question} [Y/n] `);
  const terminal = openSync('/dev/tty', 'r');
  try {
    const answer = Buffer.alloc(64);
    const length = readSync(terminal, answer, 0, answer.length, null);
    return length > 0 && /^\s*(y|yes)?\s*$/i.test(answer.toString('utf8', 0, length));
  } catch {
    return false;
  } finally {
    closeSync(terminal);
  }
}

/** The parts of the world that {@link ensureDriver} touches; tests put others in their place. */
const world = {
  platform: process.platform,
  probe,
  aptPlan,
  rootPrefix,
  aptInstall,
  aptUndo,
  readRecord,
  swiftShaderSupported,
  installSwiftShader,
  ask: askOnTerminal,
};

/**
 * Probes, and with `fix` mends. A driver that works, or that the user chose, is left as it is. What will be changed is
 * said first; on a terminal there is one question. LINBP_DRIVER=none changes nothing, `cache` touches the user's cache
 * only, `apt` the system's packages only.
 *
 * @param {{ fix: boolean, log?: (line: string) => void, env?: Record<string, string | undefined> }} options
 * @param {Partial<typeof world>} others
 */
export function ensureDriver({ fix, log = () => {}, env = process.env }, others = {}) {
  const { platform, probe: tried, ...parts } = { ...world, ...others };
  const choice = env.LINBP_DRIVER || undefined;
  let result = tried('system');
  const mended = [];
  if (result.ok) return { ...result, mended };
  if (result.driver === 'environment' || result.stage === 'module') return failed(result, mended);
  if (parts.readRecord({ verify: true })) {
    const cached = tried('cached');
    if (cached.ok) return { ...cached, mended };
  }
  if (!fix || platform !== 'linux') return failed(result, mended);
  if (choice !== undefined && !CHOICES.includes(choice))
    return failed(result, [`LINBP_DRIVER must be ${CHOICES.join(', ')}, got "${choice}"; nothing was installed`]);
  if (choice === 'none') return failed(result, ['LINBP_DRIVER=none: nothing was installed']);
  const plan = choice === 'cache' ? { ok: false } : parts.aptPlan();
  const prefix = plan.ok ? parts.rootPrefix() : undefined;
  const withApt = plan.ok && prefix !== undefined;
  const withCache = choice !== 'apt' && parts.swiftShaderSupported();
  log(`${causeOf(result)}; set-up can mend that`);
  for (const line of intentions({ plan, prefix, withApt, withCache })) log(line);
  if (!withApt && !withCache) return failed(result, mended);
  if (!parts.ask('setup: go on?')) return failed(result, ['declined: nothing was installed']);
  if (withApt) {
    const failure = parts.aptInstall(plan, prefix, log);
    if (failure) mended.push(failure);
    const again = tried('system');
    if (again.ok) return { ...again, mended: [...mended, 'installed Mesa with apt'] };
    if (!failure) parts.aptUndo(plan, prefix, log);
    result = again;
  }
  if (!withCache) return failed(result, mended);
  try {
    parts.installSwiftShader(log);
    const cached = tried('cached');
    if (cached.ok) return { ...cached, mended: [...mended, 'stored SwiftShader in the cache'] };
    mended.push(`SwiftShader: ${causeOf(cached)}`);
  } catch (error) {
    mended.push(`SwiftShader: ${error instanceof Error ? error.message : String(error)}`);
  }
  return failed(result, mended);
}

/** What set-up is about to do, one line each, and how to have it otherwise. */
function intentions({ plan, prefix, withApt, withCache }) {
  const store = `store the software driver SwiftShader in ${cacheFolder()} (68 MB from the npm registry)`;
  return [
    ...(withApt ? aptChanges(plan, prefix).map((line) => `will ${line}`) : []),
    ...(withCache ? [withApt ? `or, if that does not help, ${store}` : `will ${store}`] : []),
    'LINBP_DRIVER=none leaves everything as it is, =cache or =apt allows only that; docs/setup.md says how to undo it',
  ];
}

function failed(result, mended) {
  const chosen = DRIVER_VARIABLES.filter((name) => process.env[name]).join(', ');
  const cause =
    result.driver === 'environment'
      ? `the driver chosen by ${chosen} does not work: ${causeOf(result)}`
      : causeOf(result);
  return { ...result, mended, cause, command: commandFor(result) };
}
