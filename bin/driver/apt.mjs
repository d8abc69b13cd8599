/**
 * Installing Mesa's software driver lavapipe with apt, on Debian and Ubuntu, as root or through a password-less sudo.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PACKAGES = ['mesa-vulkan-drivers', 'libvulkan1'];
const BACKPORTS_LIST = '/etc/apt/sources.list.d/linbp-backports.list';
/** Dawn refuses Mesa 22 ("ArrayDynamicIndexing required"). */
const OLDEST_MESA = 23;

/** Fields of an os-release file. Exported for tests. */
export function parseOsRelease(text) {
  const fields = {};
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)=(?:"(.*)"|(.*))$/.exec(line.trim());
    if (match) fields[match[1]] = match[2] ?? match[3];
  }
  return fields;
}

/**
 * What apt sources say, one entry per URI and suite, from the one-line and the stanza format alike. Exported for tests.
 *
 * @param {string} text
 * @param {boolean} stanzas true for files ending in .sources
 */
export function parseSources(text, stanzas) {
  const entries = [];
  const add = (uris, suites, components, signedBy) => {
    for (const uri of uris) for (const suite of suites) entries.push({ uri, suite, components, signedBy });
  };
  if (!stanzas) {
    for (const line of text.split('\n')) {
      const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$/.exec(line.replace(/#.*/, '').trim());
      if (match) add([match[2]], [match[3]], match[4].split(/\s+/), /signed-by=(\S+)/i.exec(match[1] ?? '')?.[1]);
    }
    return entries;
  }
  for (const stanza of text.split(/\n\s*\n/)) {
    const fields = {};
    let last = '';
    for (const line of stanza.split('\n')) {
      if (line.startsWith('#')) continue;
      const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (match) fields[(last = match[1].toLowerCase())] = match[2];
      else if (last && /^\s/.test(line)) fields[last] += ` ${line.trim()}`;
    }
    const words = (name) => (fields[name] ?? '').split(/\s+/).filter(Boolean);
    if (!words('types').includes('deb') || /^(no|false|off|0)$/i.test(fields.enabled ?? '')) continue;
    const key = fields['signed-by'];
    add(words('uris'), words('suites'), words('components'), key?.startsWith('/') ? key : undefined);
  }
  return entries;
}

function systemSources() {
  const files = ['/etc/apt/sources.list'];
  const folder = '/etc/apt/sources.list.d';
  if (existsSync(folder)) files.push(...readdirSync(folder).map((name) => join(folder, name)));
  return files
    .filter((path) => existsSync(path) && /\.(list|sources)$/.test(path))
    .flatMap((path) => parseSources(readFileSync(path, 'utf8'), path.endsWith('.sources')));
}

/**
 * What apt would have to do on this machine, or why it cannot.
 *
 * @returns {{ ok: true, backports?: string, options: string[], commands: string[] } | { ok: false, reason: string }}
 */
export function aptPlan() {
  if (process.platform !== 'linux' || !existsSync('/usr/bin/apt-get'))
    return { ok: false, reason: 'this system has no apt' };
  const os = parseOsRelease(existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '');
  const install = (options) => [
    'apt-get update',
    `apt-get install -y --no-install-recommends ${[...options, ...PACKAGES].join(' ')}`,
  ];
  if (os.ID === 'debian' && os.VERSION_CODENAME === 'bookworm') {
    const sources = systemSources();
    const options = ['-t', 'bookworm-backports'];
    if (sources.some((entry) => entry.suite === 'bookworm-backports' && entry.components.includes('main'))) {
      return { ok: true, options, commands: install(options) };
    }
    const base = sources.find((entry) => entry.suite === 'bookworm' && entry.components.includes('main'));
    if (!base) return { ok: false, reason: "this machine's apt sources name no mirror of Debian 12" };
    const signed = base.signedBy ? `[signed-by=${base.signedBy}] ` : '';
    const backports = `deb ${signed}${base.uri} bookworm-backports main`;
    return { ok: true, backports, options, commands: [`echo '${backports}' > ${BACKPORTS_LIST}`, ...install(options)] };
  }
  const version = Number.parseFloat(os.VERSION_ID ?? '');
  if ((os.ID === 'debian' && !(version < 13)) || (os.ID === 'ubuntu' && !(version < 22.04)))
    return { ok: true, options: [], commands: install([]) };
  return { ok: false, reason: `${os.PRETTY_NAME ?? 'this system'} is not one that the apt route is known for` };
}

/**
 * The prefix with which commands run as root: [] as root, ['sudo', '-n'] where sudo asks no password, undefined
 * otherwise.
 */
export function rootPrefix() {
  if (process.getuid?.() === 0) return [];
  const sudo = spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore', timeout: 10_000 });
  return sudo.status === 0 ? ['sudo', '-n'] : undefined;
}

/** What carrying out a plan changes on the system, one line each. */
export function aptChanges(plan, prefix) {
  const how = prefix.length > 0 ? ' through sudo' : '';
  return [
    ...(plan.backports ? [`add the apt source ${BACKPORTS_LIST} ("${plan.backports}")${how}`] : []),
    `install ${PACKAGES.join(' and ')} with apt-get (about 65 MB)${how}`,
  ];
}

/** Runs a command as root. */
function runAsRoot(prefix, args, options = {}) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' };
  const [file, ...rest] = [...prefix, ...args];
  return spawnSync(file, rest, { env, stdio: ['ignore', 2, 2], timeout: 20 * 60_000, ...options });
}

/**
 * Takes back the apt source that a plan added, where it did not help. Packages that were installed stay.
 *
 * @param {typeof runAsRoot} runner
 */
export function aptUndo(plan, prefix, log, runner = runAsRoot) {
  if (!plan.backports) return;
  const { status } = runner(prefix, ['rm', '-f', BACKPORTS_LIST]);
  log(
    status === 0 ? `removed ${BACKPORTS_LIST} again` : `${BACKPORTS_LIST} could not be removed; it is safe to delete`,
  );
}

/**
 * Carries out a plan. Returns undefined on success, else what went wrong; then the apt source is removed again.
 *
 * @param {(line: string) => void} log
 * @param {typeof runAsRoot} runner
 */
export function aptInstall(plan, prefix, log, runner = runAsRoot) {
  let failure = 'apt was interrupted';
  try {
    failure = install(plan, log, (args, options) => runner(prefix, args, options));
    return failure;
  } finally {
    if (failure !== undefined) aptUndo(plan, prefix, log, runner);
  }
}

function install(plan, log, run) {
  if (plan.backports) {
    log(`adding the suite bookworm-backports (${BACKPORTS_LIST})`);
    const scratch = mkdtempSync(join(tmpdir(), 'linbp-apt-'));
    try {
      writeFileSync(join(scratch, 'list'), `${plan.backports}\n`);
      if (run(['install', '-m', '644', join(scratch, 'list'), BACKPORTS_LIST]).status !== 0)
        return `could not write ${BACKPORTS_LIST}`;
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }
  log(`installing ${PACKAGES.join(' and ')} with apt (about 65 MB)`);
  const quiet = ['-qq', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=3'];
  // A failing update may come from a third party's source that has nothing to do with us; whether it hurt shows at the
  // candidate.
  run(['apt-get', ...quiet, 'update']);
  const policy = run(['apt-cache', ...plan.options, 'policy', PACKAGES[0]], { stdio: ['ignore', 'pipe', 'ignore'] });
  const candidate = /Candidate:\s*(\S+)/.exec(String(policy.stdout))?.[1];
  if (!candidate || candidate === '(none)') return `apt offers no package ${PACKAGES[0]}`;
  if (Number.parseInt(candidate, 10) < OLDEST_MESA)
    return `apt offers only ${PACKAGES[0]} ${candidate}, and Mesa ${OLDEST_MESA} or newer is needed`;
  const done = run(['apt-get', ...quiet, 'install', '-y', '--no-install-recommends', ...plan.options, ...PACKAGES], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (done.status === 0) return undefined;
  log(String(done.stderr).trim().split('\n').slice(-10).join('\n'));
  return `apt-get install failed with code ${done.status ?? done.signal}`;
}
