import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { listAdapters, parseAdapterList, pickAdapter, separateGpus } from '../../src/runtime/adapter.js';
import { Device } from '../../src/runtime/device.js';
import { pending } from '../support/pending.js';

const refusal = `no suitable backends found
Available adapters:
 * backend: 'vulkan', name: 'AMD Radeon RX 7800 XT (RADV NAVI32)'
 * backend: 'vulkan', name: 'NVIDIA GeForce RTX 4090'
 * backend: 'vulkan', name: 'NVIDIA GeForce RTX 4090 D'
 * backend: 'vulkan', name: 'llvmpipe (LLVM 15.0.6, 256 bits)'`;

const DEVICE = new URL('../../src/runtime/device.js', import.meta.url).href;
const ADAPTER = new URL('../../src/runtime/adapter.js', import.meta.url).href;
const CACHE = new URL('../../../bin/driver/cache.mjs', import.meta.url).href;
const lavapipe = '/usr/share/vulkan/icd.d/lvp_icd.json';

/** Runs a module in a process of its own and returns what it writes to stdout. */
function child(source: string, env: NodeJS.ProcessEnv = {}): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect(status, stderr).to.equal(0);
  return stdout.trim();
}

describe('The choice of an adapter', () => {
  const adapters = parseAdapterList(refusal);

  it('reads the list that Dawn gives', () => {
    expect(adapters.map(({ name }) => name)).to.deep.equal([
      'AMD Radeon RX 7800 XT (RADV NAVI32)',
      'NVIDIA GeForce RTX 4090',
      'NVIDIA GeForce RTX 4090 D',
      'llvmpipe (LLVM 15.0.6, 256 bits)',
    ]);
    expect(parseAdapterList('no suitable backends found')).to.deep.equal([]);
  });

  it('takes an index, a part of a name in any case, a number in a name, and the whole name first', () => {
    for (const [wanted, index] of [
      [0, 0],
      ['3', 3],
      ['radeon', 0],
      ['7800', 0],
      ['NVIDIA GeForce RTX 4090', 1],
      ['4090 d', 2],
      ['LLVMPIPE', 3],
    ] as const)
      expect(pickAdapter(wanted, adapters).index, String(wanted)).to.equal(index);
  });

  it('refuses what fits none or several, and lists them', () => {
    for (const wanted of ['intel', '4', -1, '', 'geforce', '4090'])
      expect(() => pickAdapter(wanted, adapters), String(wanted))
        .to.throw(/0 "AMD Radeon RX 7800 XT \(RADV NAVI32\)" \(vulkan\), 1 "NVIDIA/)
        .with.property('code', 'no-adapter');
    expect(() => pickAdapter(0, [])).to.throw(/there are none/);
  });

  const twins = parseAdapterList(`${refusal}\n * backend: 'vulkan', name: 'AMD Radeon RX 7800 XT (RADV NAVI32)'`);

  it('refuses the name of two equal GPUs and the second of them, and says what to do', () => {
    expect(() => pickAdapter(4, twins))
      .to.throw(/cannot tell 4 and 0 apart: let each process see one .*docs\/devices\.md/)
      .with.property('code', 'no-adapter');
    expect(pickAdapter(0, twins).index).to.equal(0);
    for (const wanted of ['AMD Radeon RX 7800 XT (RADV NAVI32)', '7800'])
      expect(() => pickAdapter(wanted, twins)).to.throw(`"${wanted}" fits several adapters`);
  });

  it('takes the first of the APIs that reach one GPU', () => {
    const both = parseAdapterList(" * backend: 'd3d12', name: 'A'\n * backend: 'vulkan', name: 'A'");
    expect(pickAdapter('a', both).index).to.equal(0);
    expect(pickAdapter(1, both).index).to.equal(1);
    expect(separateGpus(both).map(({ index }) => index)).to.deep.equal([0]);
  });

  it('gives each GPU a process of its own, and refuses two that a process cannot tell apart', () => {
    expect(separateGpus(adapters).map(({ index }) => index)).to.deep.equal([0, 1, 2]);
    expect(separateGpus(adapters.slice(3))).to.deep.equal([]);
    expect(() => separateGpus(twins))
      .to.throw(/cannot tell 4 and 0 apart/)
      .with.property('code', 'no-adapter');
  });

  it('opens what the list names, and says what there is otherwise @swiftshader', async () => {
    const found = await listAdapters();
    expect(found.length).to.be.above(0);
    using device = await Device.open({ adapter: found[0]!.name });
    using same = await Device.open({ adapter: 0 });
    expect(same.adapterInfo).to.deep.equal(device.adapterInfo);
    const error: unknown = await Device.open({ adapter: 'no such GPU' }).catch((cause: unknown) => cause);
    expect(error).to.include({ code: 'no-adapter', field: 'adapter' });
    expect(String(error)).to.include(found[0]!.name);
  });

  /** The environment in which a process has two software drivers; undefined where one of them is missing. */
  const bothDrivers = (): NodeJS.ProcessEnv | undefined => {
    const record = child(`import { readRecord } from ${JSON.stringify(CACHE)}; console.log(readRecord()?.icd ?? '');`);
    const drivers = `${lavapipe}:${record}`;
    return existsSync(lavapipe) && record !== '' ? { VK_DRIVER_FILES: drivers, VK_ICD_FILENAMES: drivers } : undefined;
  };

  it('chooses between two drivers', function () {
    const env = bothDrivers();
    if (env === undefined) return pending(this, "Mesa's driver and the stored SwiftShader");
    const open = (adapter: string): string =>
      child(
        `import { Device } from ${JSON.stringify(DEVICE)};
         const device = await Device.open({ adapter: ${adapter} });
         console.log(device.adapterInfo.description);`,
        env,
      );
    expect(open('"llvmpipe"')).to.match(/llvmpipe/);
    expect(open('"swiftshader"')).to.match(/SwiftShader/);
    expect(new Set([open('0'), open('1')]).size).to.equal(2);
  });

  it("leaves the user's choice to Mesa's layer, without a desktop too", function () {
    const layer = '/usr/share/vulkan/implicit_layer.d/VkLayer_MESA_device_select.json';
    const env = bothDrivers();
    if (env === undefined || !existsSync(layer))
      return pending(this, "Mesa's driver and layer and the stored SwiftShader");
    const chosen = { MESA_VK_DEVICE_SELECT: '1ae0:c0de', MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: '1' };
    const listed = child(
      `import { listAdapters } from ${JSON.stringify(ADAPTER)};
       console.log((await listAdapters()).map(({ name }) => name).join());`,
      { ...env, ...chosen, XDG_RUNTIME_DIR: '', NODEVICE_SELECT: undefined },
    );
    expect(listed).to.match(/^SwiftShader[^,]*$/);
  });
});

describe("Dawn's warnings about limits", () => {
  const main = JSON.stringify(new URL('../../src/cli/main.js', import.meta.url).pathname);
  /** What the command line writes to stderr where that is a pipe. */
  const stderrOf = (args: string, env: NodeJS.ProcessEnv = {}): string =>
    spawnSync('sh', ['-c', `{ ${JSON.stringify(process.execPath)} ${main} ${args} >/dev/null; } 2>&1 | cat`], {
      env: { ...process.env, LINBP_SELFTEST: 'off', ...env },
      encoding: 'utf8',
      timeout: 60_000,
    }).stdout;

  it('do not reach stderr, but everything else does', function () {
    if (process.platform !== 'linux') return pending(this, 'Linux: descriptors cannot be opened again elsewhere');
    expect(stderrOf('doctor')).to.not.include('artificially');
    const ended = stderrOf('eval --adapter nothing');
    expect(ended).to.include('note: no --weights given').and.include('no adapter "nothing"');
    expect(ended).to.not.include('artificially');
  });
});

describe('Polling', () => {
  const look = `import { Device } from ${JSON.stringify(DEVICE)};
    import * as adapters from ${JSON.stringify(DEVICE.replace('device.js', 'instance.js'))};`;

  it('is throttled where the adapter computes on the CPU, unless told otherwise', () => {
    const same = (options: string): string =>
      child(`${look} const before = setImmediate; const device = await Device.open(${options});
        console.log(device.adapterInfo.software, setImmediate === before);`);
    const [software, untouched] = same('').split(' ');
    expect(untouched).to.equal(String(software !== 'true'));
    expect(same('{ throttlePolling: false }')).to.match(/true$/);
  });

  it('leaves setImmediate alone on other adapters, even where it is asked for', () => {
    // A software adapter that says it is none.
    const source = `${look}
      const named = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES;
      const gpu = await adapters.instance(named ? 'environment' : 'system');
      const before = setImmediate;
      const request = gpu.requestAdapter.bind(gpu);
      gpu.requestAdapter = async (options) => {
        const adapter = await request(options);
        const { vendor, architecture, device, description } = adapter.info;
        const info = { vendor, architecture, device, description, isFallbackAdapter: false };
        return new Proxy(adapter, {
          get: (target, name) => {
            if (name === 'info') return info;
            const value = target[name];
            return typeof value === 'function' ? value.bind(target) : value;
          },
        });
      };
      const device = await Device.open({ throttlePolling: true });
      console.log(device.adapterInfo.software, setImmediate === before);`;
    expect(child(source)).to.equal('false true');
  });
});
