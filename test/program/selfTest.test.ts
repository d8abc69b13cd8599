import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import { Program } from '../../src/program/program.js';
import { opGraph, sampleNumbers, testedOps } from '../../src/program/selfTest/ops.js';
import { firstDifference } from '../../src/program/selfTest/probe.js';
import { SelfTest } from '../../src/program/selfTest/selfTest.js';
import { VerdictStore } from '../../src/program/selfTest/store.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { Device } from '../../src/runtime/device.js';
import { relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { pending } from '../support/pending.js';

const attrs = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 } as const;

/** A convolution and, where asked for, a pooling behind it. */
function network(pooled: boolean): Graph {
  const graph = new Graph();
  const y = graph.one('conv2d', [graph.input('x', [2, 16, 12, 12]), graph.input('w', [16, 16, 3, 3])], attrs);
  const pool = { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], ceilMode: false } as const;
  graph.output('y', pooled ? graph.one('maxPool2d', [y], pool) : y);
  return graph;
}

/** Runs the network and compares it with float64. Returns its kernels. */
async function expectRight(device: Device, graph = network(false)): Promise<string[]> {
  using program = await Program.compile(graph, { device });
  const reference = new ReferenceRun(graph);
  for (const tensor of graph.tensors.filter(({ kind }) => kind === 'input')) {
    program.write(tensor, sampleNumbers(tensor));
    reference.set(tensor, sampleNumbers(tensor));
  }
  await program.run([{ segment: 'main' }]);
  reference.run();
  expect(relativeError(await program.read('y'), reference.get(graph.outputs.get('y')!))).to.be.below(1e-5);
  return program.dispatches.map(({ source }) => source.kernel);
}

/** A device whose compiler makes some kernels compute something else. */
async function miscompiling(kernels: RegExp, from: RegExp, to: string): Promise<Device> {
  const device = await Device.open();
  const pipeline = device.pipeline.bind(device);
  device.pipeline = (request) =>
    pipeline(kernels.test(request.label ?? '') ? { ...request, code: request.code.replaceAll(from, to) } : request);
  return device;
}

const wrongSums = [/\+= value \* right/g, '+= 1.25 * value * right'] as const;

describe('Self-test of the device', () => {
  const kept = { mode: process.env['LINBP_SELFTEST'], cache: process.env['XDG_CACHE_HOME'] };
  const warnings: string[] = [];
  const listen = (warning: Error & { code?: string }): void => {
    if (warning.code === 'LINBP_SELFTEST') warnings.push(warning.message);
  };
  /** Warnings come at the next turn of the event loop. */
  const warned = async (): Promise<string[]> => {
    await new Promise((resolve) => setImmediate(resolve));
    return warnings.splice(0);
  };
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'linbp-selftest-'));
    process.env['LINBP_SELFTEST'] = 'auto';
    process.env['XDG_CACHE_HOME'] = folder;
    process.on('warning', listen);
  });
  afterEach(() => {
    process.off('warning', listen);
    warnings.length = 0;
    rmSync(folder, { recursive: true });
    for (const [name, value] of [
      ['LINBP_SELFTEST', kept.mode],
      ['XDG_CACHE_HOME', kept.cache],
    ] as const)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  });

  /** A cache that nothing can be written to: then only a program's own kernels are tested. */
  const withoutCache = (): void => {
    writeFileSync(join(folder, 'linbp'), 'no folder');
  };
  /** As if the usual kernels had been tested. */
  const withUsualTested = async (device: Device): Promise<void> =>
    (await VerdictStore.of(device)).add({ right: new Set(['before']), wrong: new Map(), complete: true });
  const stored = (): string[] => {
    const path = join(folder, 'linbp', 'selftest');
    return readdirSync(path).map((file) => readFileSync(join(path, file), 'utf8'));
  };

  it('without a cache tests what a program uses, once, and leaves no memory behind @swiftshader', async () => {
    withoutCache();
    using device = await Device.open();
    await expectRight(device, network(true));
    const { memory, counters } = { memory: device.memory().live, counters: { ...device.counters } };
    expect(memory).to.equal(0);
    await expectRight(device, network(true));
    expect(device.counters.submits - counters.submits).to.equal(1);
    expect(await warned()).to.deep.equal([]);
  });

  it('another kernel takes the place of a wrong one, with one warning, and for good', async () => {
    using wrong = await miscompiling(/^gemm\/convRows/, ...wrongSums);
    await withUsualTested(wrong);
    const kernels = await expectRight(wrong);
    expect(kernels).to.not.include('gemm/convRows');
    const [message, ...more] = await warned();
    expect(more).to.deep.equal([]);
    expect(message).to.match(/kernel gemm\/convRows \d+x\d+x\d+ /);
    expect(message).to.include(wrong.adapterInfo.description).and.include('relative error 2.5e-1');
    expect(await expectRight(wrong)).to.deep.equal(kernels);
    expect(await warned()).to.deep.equal([]);
    // A later process, whose driver is as it should be, remembers.
    using later = await Device.open();
    expect(await expectRight(later)).to.deep.equal(kernels);
    expect(await warned()).to.have.length(1);
    process.env['LINBP_SELFTEST'] = 'off';
    using careless = await Device.open();
    expect(await expectRight(careless)).to.deep.equal(['gemm/convRows']);
  });

  it('a kernel that the driver refuses is wrong, too', async () => {
    withoutCache();
    using wrong = await miscompiling(/^gemm\/convRows/, /\+= value \* right/g, '+= value * not_there');
    expect(await expectRight(wrong)).to.not.include('gemm/convRows');
    expect(await warned()).to.have.length(1);
  });

  it('where no kernel is left there is a typed error before anything runs', async () => {
    withoutCache();
    using wrong = await miscompiling(/^gemm\//, ...wrongSums);
    const error: unknown = await expectRight(wrong).catch((cause: unknown) => cause);
    expect(error).to.be.instanceOf(LinbpError).and.include({ code: 'unsupported' });
    expect(String(error)).to.match(/no kernel is left .*--device reference/);
    expect(wrong.memory().live).to.equal(0);
  });

  it('a wrong kernel without another one stops the programs that need it, and no others', async () => {
    withoutCache();
    using wrong = await miscompiling(/^pool\/maxPool/, /value > best/g, 'value < best');
    const error: unknown = await expectRight(wrong, network(true)).catch((cause: unknown) => cause);
    expect(error).to.be.instanceOf(LinbpError).and.include({ code: 'unsupported', field: 'pool/maxPool' });
    expect(String(error)).to.include(wrong.adapterInfo.description);
    await expectRight(wrong);
  });

  it('a wrong epilogue stops the programs that fuse it, and no others', async () => {
    const fused = (shortcut: boolean): Graph => {
      const graph = new Graph();
      const y = graph.one('conv2d', [graph.input('x', [2, 16, 12, 12]), graph.input('w', [16, 16, 3, 3])], attrs);
      const [scale, shift, other] = [graph.input('s', [16]), graph.input('t', [16]), graph.input('o', y.shape)];
      const z = shortcut ? graph.one('add', [graph.one('scaleShift', [y, scale, shift], {}), other], {}) : y;
      graph.output('y', graph.one('activation', [z], { kind: 'relu', mask: false }));
      return graph;
    };
    const device = await miscompiling(/scaleShift\+add/, /\* scale0\[/g, '* 1.25 * scale0[');
    withoutCache();
    const error: unknown = await Program.compile(fused(true), { device }).catch((cause: unknown) => cause);
    expect(error).to.be.instanceOf(LinbpError).with.property('code', 'unsupported');
    await expectRight(device, fused(false));
    device.destroy();
  });

  it('what is wrong with 16 bits only stops programs in half precision, and no others @slow', async function () {
    const device = await miscompiling(/averagePool/, /f32\(source\[/g, '1.25 * f32(source[');
    if (!device.features.has('shader-f16')) {
      device.destroy();
      pending(this, 'shader-f16');
    }
    await withUsualTested(device);
    const pooled = (): Graph => {
      const graph = new Graph();
      const x = graph.input('x', [2, 16, 8, 8]);
      const pool = { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], ceilMode: false } as const;
      const sum = graph.one('add', [x, graph.input('more', x.shape)], {});
      graph.output('y', graph.one('avgPool2d', [sum], pool));
      return graph;
    };
    const error: unknown = await Program.compile(pooled(), { device, precision: 'f16' }).catch(
      (cause: unknown) => cause,
    );
    expect(error).to.be.instanceOf(LinbpError).with.property('code', 'unsupported');
    expect((error as LinbpError).message).to.match(/averagePool f16|pointwise f16|maxPool f16/);
    await expectRight(device, pooled());
    device.destroy();
  });

  it('the usual kernels are found right, in one run that covers every op', async function () {
    this.timeout(300_000);
    const device = await sharedDevice();
    for (const op of testedOps) {
      const { graph, feeds } = opGraph(op);
      expect(await firstDifference(graph, feeds, Program.compiler, { device }), op).to.equal(undefined);
    }
  });

  it('verdicts are read again; damaged files and those of another version or driver are not', async () => {
    using device = await Device.open();
    await withUsualTested(device);
    await expectRight(device);
    expect(stored()).to.have.length(1);
    const path = join(folder, 'linbp', 'selftest', readdirSync(join(folder, 'linbp', 'selftest'))[0]!);
    const text = readFileSync(path, 'utf8');
    expect(text).to.include('conv2d 3x3 padded');
    using again = await Device.open();
    const { ran, complete, right } = await SelfTest.of(again).report(Program.compiler);
    expect([ran, complete, right]).to.deep.equal([0, true, 2]);
    for (const broken of [
      '{',
      '[]',
      text.replace('"version"', '"vision"'),
      text.replace('"right": [', '"right": [7,'),
    ]) {
      writeFileSync(path, broken);
      const store = await VerdictStore.of(again);
      expect((await store.read()).right.size, broken.slice(0, 20)).to.equal(0);
    }
    using fresh = await Device.open();
    Object.defineProperty(fresh, 'adapterInfo', { value: { ...fresh.adapterInfo, description: 'another driver' } });
    expect((await (await VerdictStore.of(fresh)).read()).complete).to.equal(false);
  });

  it('reading stored verdicts takes less than 20 ms', async () => {
    using device = await Device.open();
    const right = new Set(Array.from({ length: 200 }, (_, n) => `conv2d ${n} gemm/convRows 16x8x8 share 8`));
    await (await VerdictStore.of(device)).add({ right, wrong: new Map(), complete: true });
    const times: number[] = [];
    for (let run = 0; run < 5; run++) {
      using again = await Device.open();
      const began = performance.now();
      await SelfTest.of(again).report(Program.compiler);
      times.push(performance.now() - began);
    }
    expect(Math.min(...times)).to.be.below(20);
  });

  it('several processes add verdicts at once and leave a sound file', () => {
    const store = new URL('../../src/program/selfTest/store.js', import.meta.url).href;
    const source = `
      import { VerdictStore } from ${JSON.stringify(store)};
      import { Worker, isMainThread } from 'node:worker_threads';
      const adapterInfo = { vendor: 'v', architecture: 'a', device: 'd', description: 'driver 1' };
      Object.assign(adapterInfo, { software: true, subgroupMinSize: 8 });
      const store = await VerdictStore.of({ adapterInfo, features: new Set() });
      for (let n = 0; n < 40; n++)
        await store.add({ right: new Set(['test ' + process.argv[1] + ' ' + n]), wrong: new Map(), complete: false });
      console.log((await store.read()).right.size);`;
    const script = `
      import { spawn } from 'node:child_process';
      const run = (name) => new Promise((resolve) => {
        const words = ['--input-type=module', '-e', ${JSON.stringify(source)}, name];
        const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
        let text = '';
        child.stdout.on('data', (part) => (text += part));
        child.on('close', (code) => resolve(code === 0 ? Number(text) : -1));
      });
      console.log(JSON.stringify(await Promise.all(['a', 'b', 'c'].map(run))));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    const counts = JSON.parse(stdout) as number[];
    expect(
      counts.every((count) => count > 0),
      stderr,
    ).to.equal(true);
    expect(stored()).to.have.length(1);
    expect(() => JSON.parse(stored()[0]!) as unknown).to.not.throw();
  });

  it('runs in worker threads and other processes at the same time @slow', function () {
    this.timeout(300_000);
    if (process.env['LINBP_SLOW'] === undefined) return pending(this, 'LINBP_SLOW=1');
    const at = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
    const source = `
      import { Device } from ${at('runtime/device.js')};
      import { Program } from ${at('program/program.js')};
      import { SelfTest } from ${at('program/selfTest/selfTest.js')};
      import { Worker, isMainThread } from 'node:worker_threads';
      import { fileURLToPath } from 'node:url';
      const other = isMainThread
        ? new Promise((resolve, reject) =>
            new Worker(fileURLToPath(import.meta.url)).on('exit', resolve).on('error', reject))
        : 0;
      const device = await Device.open();
      const { wrong, right } = await SelfTest.of(device).report(Program.compiler);
      if (wrong.length > 0 || right === 0) throw new Error('wrong kernels');
      device.destroy();
      if ((await other) !== 0) throw new Error('the worker failed');`;
    const path = join(folder, 'run.mjs');
    writeFileSync(path, source);
    const script = `
      import { spawn } from 'node:child_process';
      const stdio = ['ignore', 'ignore', 'inherit'];
      const run = () => new Promise((resolve) =>
        spawn(process.execPath, [${JSON.stringify(path)}], { stdio }).on('close', resolve));
      console.log(JSON.stringify(await Promise.all([run(), run()])));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(stdout.trim(), stderr).to.equal('[0,0]');
  });

  it('LINBP_SELFTEST takes off, auto and force only', async () => {
    process.env['LINBP_SELFTEST'] = 'sometimes';
    using device = await Device.open();
    const error: unknown = await expectRight(device).catch((cause: unknown) => cause);
    expect(error).to.be.instanceOf(LinbpError).and.include({ code: 'bad-argument', field: 'LINBP_SELFTEST' });
  });
});
