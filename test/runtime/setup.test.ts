import { execFile } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { loadFailure } from '../../src/runtime/instance.js';
import { setThrottle } from '../../src/runtime/polling.js';
import { loadFunctionNode } from '../../src/rules/gpujs-loader.js';
import { promisify } from 'node:util';
import { root } from '../cli/support.js';

interface Source {
  uri: string;
  suite: string;
  components: string[];
  signedBy: string | undefined;
}
interface AptModule {
  parseOsRelease(text: string): Record<string, string>;
  parseSources(text: string, stanzas: boolean): Source[];
}
interface MendModule {
  causeOf(result: { stage: string; message?: string; stderr?: string; code?: string }): string;
}
interface TarModule {
  tarMembers(archive: Uint8Array): Map<string, Uint8Array>;
}

const load = async <T>(name: string): Promise<T> =>
  (await import(new URL(`../../../bin/driver/${name}.mjs`, import.meta.url).href)) as T;

describe('set-up', () => {
  it('reads apt sources in both formats', async () => {
    const { parseSources } = await load<AptModule>('apt');
    const lines =
      '# comment\ndeb [arch=amd64 signed-by=/k.gpg] https://mirror.example/debian bookworm main ' +
      'contrib\ndeb-src https://mirror.example/debian bookworm main\n';
    expect(parseSources(lines, false)).to.deep.equal([
      { uri: 'https://mirror.example/debian', suite: 'bookworm', components: ['main', 'contrib'], signedBy: '/k.gpg' },
    ]);
    const stanzas = `Types: deb deb-src
# remark
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /k.gpg

Types: deb
URIs: https://other.example/x
Suites: bookworm
Components: main
Enabled: no
`;
    expect(parseSources(stanzas, true).map(({ uri, suite }) => `${uri} ${suite}`)).to.deep.equal([
      'https://mirror.example/debian bookworm',
      'https://mirror.example/debian bookworm-updates',
    ]);
  });

  it('a child of a process that uses the stored driver is not taken to have been given one by the user', async () => {
    const cache = new URL('../../../bin/driver/cache.mjs', import.meta.url).href;
    const script = `const { readRecord, userChoseDriver } = await import(${JSON.stringify(cache)});
      const found = [userChoseDriver(), process.env.VK_DRIVER_FILES ?? null, readRecord() ?? null];
      process.stdout.write(JSON.stringify(found));`;
    const ask = async (env: Record<string, string>): Promise<unknown> => {
      const none = {
        VK_DRIVER_FILES: '',
        VK_ICD_FILENAMES: '',
        VK_ADD_DRIVER_FILES: '',
        XDG_CACHE_HOME: '/nonexistent',
      };
      const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
        env: { ...process.env, ...none, NODE_OPTIONS: '', ...env },
      });
      return JSON.parse(stdout);
    };
    const [folder, icd] = ['/store/driver', '/store/driver/icd.json'];
    const variables = { VK_DRIVER_FILES: icd, VK_ICD_FILENAMES: icd };
    expect(await ask({ ...variables, LINBP_STORED_DRIVER: folder })).to.deep.equal([false, null, { folder, icd }]);
    expect(await ask(variables)).to.deep.equal([true, icd, null]);
    expect(
      await ask({ VK_DRIVER_FILES: '/mine.json', VK_ICD_FILENAMES: '/mine.json', LINBP_STORED_DRIVER: folder }),
    ).to.deep.equal([true, '/mine.json', null]);
  });

  it('builds anew when a source of linbp or benchmarks has changed, not one of a package @slow', async () => {
    const clone = mkdtempSync(join(tmpdir(), 'linbp-test-'));
    try {
      const write = (name: string, content: string): void => {
        mkdirSync(dirname(join(clone, name)), { recursive: true });
        writeFileSync(join(clone, name), content);
      };
      for (const name of ['package-lock.json', 'node_modules/.package-lock.json']) write(name, '{ "packages": {} }');
      for (const name of ['src/index.ts', 'benchmarks/convolutions.ts', 'benchmarks/node_modules/peer/index.ts'])
        write(name, '');
      for (const name of ['gpujs', 'report']) write(`scripts/bundle-${name}.mjs`, '');
      write('node_modules/typescript/bin/tsc', `require('node:fs').appendFileSync('builds', 'x');`);
      copyFileSync(join(root, 'scripts/setup.mjs'), join(clone, 'scripts/setup.mjs'));
      symlinkSync(join(root, 'scripts/setup'), join(clone, 'scripts/setup'));
      symlinkSync(join(root, 'bin'), join(clone, 'bin'));
      const builds = async (changed?: string): Promise<number> => {
        if (changed !== undefined) utimesSync(join(clone, changed), new Date(), new Date(Date.now() + 5000));
        await promisify(execFile)(process.execPath, [join(clone, 'scripts/setup.mjs'), '--no-driver']);
        return readFileSync(join(clone, 'builds'), 'utf8').length;
      };
      expect(await builds()).to.equal(1);
      expect(await builds()).to.equal(1);
      expect(await builds('benchmarks/convolutions.ts')).to.equal(2);
      expect(await builds('benchmarks/node_modules/peer/index.ts')).to.equal(2);
      expect(await builds('src/index.ts')).to.equal(3);
    } finally {
      rmSync(clone, { recursive: true });
    }
  });

  it('reads os-release with and without quotes', async () => {
    const { parseOsRelease } = await load<AptModule>('apt');
    expect(parseOsRelease('ID=ubuntu\nVERSION_ID="22.04"\n')).to.deep.equal({ ID: 'ubuntu', VERSION_ID: '22.04' });
  });

  it('names one cause for each way a driver can be missing', async () => {
    const { causeOf } = await load<MendModule>('mend');
    const adapter = (stderr: string): string => causeOf({ stage: 'adapter', stderr });
    expect(adapter("Warning: Couldn't load Vulkan: libvulkan.so.1")).to.contain('loader');
    expect(adapter('Found no drivers!')).to.equal('no Vulkan driver is installed');
    expect(adapter('shaderUniformBufferArrayDynamicIndexing required')).to.contain('too old');
    expect(
      causeOf({ stage: 'module', message: "version `GLIBC_2.38' not found", code: 'ERR_DLOPEN_FAILED' }),
    ).to.contain('GLIBC_2.38');
    expect(
      causeOf({ stage: 'module', message: "Cannot find package 'webgpu'", code: 'ERR_MODULE_NOT_FOUND' }),
    ).to.contain('not installed');
    expect(causeOf({ stage: 'timeout', message: 'no answer' })).to.equal('no answer');
  });

  it('translates a native module that does not load into one sentence', () => {
    const cause = Object.assign(new Error("/lib/libc.so.6: version `GLIBC_2.38' not found\nmore"), {
      code: 'ERR_DLOPEN_FAILED',
    });
    const error = loadFailure(cause);
    expect(error.code).to.equal('no-adapter');
    expect(error.message).to.contain('GLIBC_2.38').and.not.to.contain('\n');
  });

  it('walks tar archives and refuses damaged ones', async () => {
    const { tarMembers } = await load<TarModule>('tar');
    const header = new Uint8Array(512);
    header.set(new TextEncoder().encode('a/b'), 0);
    header.set(new TextEncoder().encode('00000000003\0'), 124);
    header[156] = 48;
    const archive = new Uint8Array(2048);
    archive.set(header);
    archive.set([1, 2, 3], 512);
    const member = tarMembers(Buffer.from(archive)).get('a/b');
    expect([...(member ?? [])]).to.deep.equal([1, 2, 3]);
    expect(() => tarMembers(Buffer.from(archive.subarray(0, 514)))).to.throw('damaged');
    header.set(new TextEncoder().encode('not octal!!!'), 124);
    expect(() => tarMembers(Buffer.from(header))).to.throw('damaged');
  });
});

describe('throttled polling', () => {
  it('leaves other users of setImmediate alone, util.promisify included', async () => {
    setThrottle(true);
    expect(await new Promise((resolve) => setImmediate((value: number) => resolve(value), 5))).to.equal(5);
    expect(await promisify(setImmediate)(7)).to.equal(7);
    const immediate = setImmediate(() => expect.fail('cleared'));
    clearImmediate(immediate);
  });
});

describe('gpu.js translator', () => {
  it('translates a function without loading a second GPU module', async () => {
    const { WGSLFunctionNode } = await loadFunctionNode();
    const node = new WGSLFunctionNode('function rule(g, d) { return d > 0 ? g : 0.25 * g; }', {
      name: 'rule',
      argumentTypes: ['Number', 'Number'],
      returnType: 'Number',
      output: [1],
      isRootKernel: false,
    });
    expect(node.toString()).to.match(/^fn fn_rule\(user_g : f32, user_d : f32\) -> f32 \{[^]*\}/);
  });
});
