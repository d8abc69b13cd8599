import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { temporaryFolder } from '../io/support.js';
import { pending } from '../support/pending.js';

interface Outcome {
  readonly ok: boolean;
  readonly cause?: string;
  readonly mended: readonly string[];
}
interface MendModule {
  ensureDriver(options: { fix: boolean; log: (line: string) => void; env: object }, others: object): Outcome;
}
interface AptModule {
  aptInstall(
    plan: object,
    prefix: readonly string[],
    log: (line: string) => void,
    runner: (prefix: readonly string[], args: readonly string[]) => { status: number; stdout?: string },
  ): string | undefined;
}

const load = async <T>(name: string): Promise<T> =>
  (await import(new URL(`../../../bin/driver/${name}.mjs`, import.meta.url).href)) as T;

const plan = { ok: true, backports: 'deb https://mirror.example/debian bookworm-backports main', options: [] };
const broken = { ok: false, stage: 'adapter', message: 'no adapter', stderr: 'libvulkan', driver: 'system' };

/** Set-up on a machine without a driver, where nothing helps unless told; what it did, in order. */
async function setUp(env: object, others: object = {}): Promise<{ did: string[]; said: string; outcome: Outcome }> {
  const { ensureDriver } = await load<MendModule>('mend');
  const did: string[] = [];
  const said: string[] = [];
  const world = {
    platform: 'linux',
    probe: () => broken,
    aptPlan: () => plan,
    rootPrefix: () => [],
    readRecord: () => undefined,
    swiftShaderSupported: () => true,
    aptInstall: () => void did.push('apt'),
    aptUndo: () => void did.push('undo apt'),
    installSwiftShader: () => void did.push('cache'),
    ask: () => {
      did.push(`ask after ${said.length} lines`);
      return true;
    },
    ...others,
  };
  const outcome = ensureDriver({ fix: true, log: (line) => void said.push(line), env }, world);
  return {
    did: did.map((each) => each.replace(/after [1-9]\d* lines/, 'after saying so')),
    said: said.join('\n'),
    outcome,
  };
}

describe('a system is changed only when asked', () => {
  it('says what it will do, asks once, and takes back the source list that did not help', async () => {
    const { did, said } = await setUp({});
    expect(did).to.deep.equal(['ask after saying so', 'apt', 'undo apt', 'cache']);
    expect(said)
      .to.match(/will add the apt source .*linbp-backports\.list/)
      .and.to.match(/will install mesa-vulkan/);
    expect(said)
      .to.match(/SwiftShader in .*linbp/)
      .and.to.match(/LINBP_DRIVER=none/);
  });

  it('does nothing where the answer is no', async () => {
    const { did, outcome } = await setUp({}, { ask: () => false });
    expect(did).to.deep.equal([]);
    expect(outcome.ok).to.equal(false);
    expect(outcome.mended.join()).to.match(/declined/);
  });

  for (const [choice, expected] of [
    ['none', []],
    ['cache', ['ask after saying so', 'cache']],
    ['apt', ['ask after saying so', 'apt', 'undo apt']],
    ['nonsense', []],
  ] as const) {
    it(`honors LINBP_DRIVER=${choice}`, async () => {
      const { did, outcome } = await setUp({ LINBP_DRIVER: choice });
      expect(did).to.deep.equal(expected);
      expect(outcome.ok).to.equal(false);
    });
  }

  it('goes through sudo only where apt is allowed, and says so', async () => {
    const { said } = await setUp({}, { rootPrefix: () => ['sudo', '-n'] });
    expect(said).to.match(/apt-get .* through sudo/);
    const { did } = await setUp({ LINBP_DRIVER: 'cache' }, { rootPrefix: () => expect.fail('asked for root') });
    expect(did).to.include('cache');
  });

  it('a failing apt leaves no source list behind', async () => {
    const { aptInstall } = await load<AptModule>('apt');
    const commands: string[] = [];
    const failure = aptInstall(
      plan,
      [],
      () => undefined,
      (_, args) => {
        commands.push(args.filter((word) => !word.startsWith('-')).join(' '));
        return { status: args.includes('install') && args[0] === 'apt-get' ? 100 : 0, stdout: 'Candidate: 25.0' };
      },
    );
    expect(failure).to.match(/failed/);
    expect(commands.at(-1)).to.equal('rm /etc/apt/sources.list.d/linbp-backports.list');
  });
});

describe('a uid without HOME and without an entry in passwd', () => {
  const folder = temporaryFolder();
  const cache = new URL('../../../bin/driver/cache.mjs', import.meta.url).href;
  const program = `const { cacheFolder, readRecord } = await import(${JSON.stringify(cache)});
    readRecord(); console.log(cacheFolder());`;
  /** As such a user; null where this system has no way to become one. */
  function asNobody(temporary: string): string | null {
    const node = [process.execPath, '--input-type=module', '-e', program];
    const { status, stdout, stderr } = spawnSync(
      'setpriv',
      ['--reuid=54321', '--regid=54321', '--clear-groups', 'env', '-i', `TMPDIR=${temporary}`, ...node],
      { encoding: 'utf8' },
    );
    if (status === null || /setpriv|Permission denied|EACCES/.test(stderr)) return null;
    expect(status, stderr).to.equal(0);
    return stdout.trim();
  }

  it('has a cache among the temporary files, and not in a folder that another user made', function () {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) pending(this, 'root on Linux');
    chmodSync(folder(), 0o777);
    const own = asNobody(folder());
    if (own === null) pending(this, 'another user to act as');
    expect(own).to.equal(join(folder(), 'linbp-54321'));
    mkdirSync(own);
    expect(statSync(own).uid).to.equal(0);
    expect(asNobody(folder())).to.match(/linbp-54321-\d+$/);
    rmSync(own, { recursive: true });
  });
});
