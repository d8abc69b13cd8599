import { expect } from 'chai';
import { fastestOf } from '../../src/bench/candidates.js';
import { driverCache, measureStart } from '../../src/bench/children.js';
import { measureBarriers } from '../../src/bench/barriers.js';
import { copyAgain, measureCeilings, measureKernels } from '../../src/bench/ceilings.js';
import { PartyProcess } from '../../src/bench/compare.js';
import { passMicroseconds } from '../../src/bench/passTimes.js';
import { measureProducts } from '../../src/bench/products.js';
import type { BenchRow } from '../../src/bench/rows.js';
import { Graph } from '../../src/graph/graph.js';
import type { Precision } from '../../src/graph/types.js';
import { measureCeilings as measurePeaks } from '../../src/profile/ceilings.js';
import { Program } from '../../src/program/program.js';
import { Device } from '../../src/runtime/device.js';
import { sharedDevice } from '../support/device.js';
import { itInHalf } from '../precision/support.js';
import { fakeParty, partyFolder } from './support.js';

const products = (device: Device, precision: Precision, peer?: PartyProcess): Promise<BenchRow[]> =>
  measureProducts(device, {
    sizes: { matmul: [64], model: 'lenet5', batch: 2 },
    precisions: [precision],
    ceilings: { rows: [], gflops: 10, gbps: 10 },
    times: 2,
    peer,
    turnMilliseconds: 5,
    answerSeconds: 60,
    signal: new AbortController().signal,
    report: () => undefined,
  });

describe('figures of the device', () => {
  it('barriers: dependent dispatches beside independent and reading ones, with their difference', async () => {
    const rows = await measureBarriers(await sharedDevice(), 3);
    const [dependent, independent, reading, overReading] = rows;
    for (const row of [dependent!, independent!, reading!]) expect(row.min, row.name).to.be.above(0);
    // a difference below what can be measured has no figure, and says so
    if (Number.isNaN(overReading!.median)) expect(overReading!.note).to.match(/smaller than the differences/);
    else expect(overReading!.min).to.be.within(dependent!.min - reading!.max, dependent!.max - reading!.min);
    for (const row of rows) expect(row.unit).to.equal('us');
  });

  it('a pass takes longer the more it does, with timestamps and without', async function () {
    this.retries(3); // the clock counts what else the machine does
    using bare = await Device.open({ features: [] });
    for (const device of [await sharedDevice(), bare]) {
      const buffer = device.createBuffer({ size: 4 << 20, usage: 128 });
      const layout = device.bindGroupLayout([{ binding: 0, visibility: 4, buffer: { type: 'storage' } }]);
      const code = `@group(0) @binding(0) var<storage, read_write> values: array<f32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3u) { values[id.x] = sin(values[id.x]); }`;
      const pipeline = await device.pipeline({ code, layout: device.pipelineLayout([layout]), entryPoint: 'main' });
      const group = device.gpu.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] });
      const times = async (dispatches: number): Promise<number> => {
        const measured = await passMicroseconds(
          device,
          (pass) => {
            pass.setPipeline(pipeline);
            pass.setBindGroup(0, group);
            for (let i = 0; i < dispatches; i++) pass.dispatchWorkgroups(1 << 14);
          },
          3,
        );
        expect(measured).to.have.length(3);
        return Math.min(...measured);
      };
      expect(await times(12)).to.be.above(3 * (await times(1)));
      buffer.destroy();
    }
  });

  it('ceilings are those of the profiler, and kernels are shares of them @slow', async () => {
    const device = await sharedDevice();
    const [ceilings, peaks] = [await measureCeilings(device, 2), await measurePeaks(device)];
    expect([ceilings.gflops, ceilings.gbps]).to.deep.equal([peaks.matmulGflops, peaks.copyGbps]);
    for (const row of await measureKernels(device, ceilings, 2)) {
      expect(row.ratio, row.name).to.be.closeTo(
        row.median / (row.unit === 'GB/s' ? ceilings.gbps : ceilings.gflops),
        1e-9,
      );
    }
    const again = await copyAgain(device, ceilings.rows[0]!);
    expect(again.ratio).to.equal(again.median / ceilings.gbps);
  });
});

describe('process start', () => {
  it('begins with an empty cache whoever made the driver @slow', async () => {
    expect(driverCache('/x')).to.deep.equal({
      MESA_SHADER_CACHE_DIR: '/x',
      __GL_SHADER_DISK_CACHE_PATH: '/x',
      AMD_SHADER_DISK_CACHE_PATH: '/x',
    });
    const rows = await measureStart(1, 1);
    expect(rows.map(({ unit }) => unit)).to.deep.equal(['s', 'cpu s', 's', 'cpu s']);
    // Compiling takes most of a first step.
    expect(rows[1]!.median).to.be.above(1.5 * rows[3]!.median);
  });
});

describe('rates of products', () => {
  let folder: ReturnType<typeof partyFolder>;
  before(() => (folder = partyFolder()));
  after(() => folder.remove());

  for (const precision of ['f32', 'f16'] as const) {
    (precision === 'f16' ? itInHalf : it)(
      `${precision}: squares and convolutions in three directions, with those of a peer beside them @slow`,
      async () => {
        const peer = new PartyProcess(fakeParty(folder.path, 'peer', 1, 'return [];'));
        try {
          const rows = await products(await sharedDevice(), precision, peer);
          const suffix = precision === 'f16' ? ', f16' : '';
          const own = rows.filter(({ subject }) => subject === 'linbp');
          expect(own.map(({ name }) => name)).to.deep.equal(
            [
              'matmul 64',
              ...['1->6 5x5 at 28x28', '6->16 5x5 at 14x14'].flatMap((layer) =>
                ['forward', 'input gradient', 'weight gradient'].map((direction) => `${layer}, ${direction}`),
              ),
            ].map((name) => `${name}${suffix}`),
          );
          for (const row of own) expect(row.median, row.name).to.be.above(0).and.within(row.min, row.max);
          const theirs = rows.filter(({ subject }) => subject === 'peer');
          expect(theirs.map(({ name }) => name)).to.deep.equal(own.map(({ name }) => name));
          for (const [index, row] of theirs.entries()) {
            const share = own[index]!.median / row.median;
            expect(row.note).to.equal(`linbp has ${share.toFixed(2)} of this rate`);
          }
        } finally {
          peer.end();
        }
      },
    );
  }

  it('a peer that fails costs its own rows only @slow', async () => {
    const peer = new PartyProcess(
      fakeParty(folder.path, 'broken', 0, 'return [];', 'throw new Error("out of memory")'),
    );
    try {
      const rows = await products(await sharedDevice(), 'f32', peer);
      const broken = rows.filter(({ subject }) => subject === 'broken');
      expect(broken).to.have.length(rows.length / 2);
      for (const row of broken) expect(row.note).to.match(/^failed: .*out of memory/);
    } finally {
      peer.end();
    }
  });

  it('f16 on a device without it is one row that says so', async () => {
    using bare = await Device.open({ features: [] });
    const rows = await products(bare, 'f16');
    expect(rows).to.have.length(1);
    expect(rows[0]!.median).to.be.NaN;
    expect(rows[0]!.note).to.contain('shader-f16');
  });

  itInHalf(
    'matrices of f16: kernels that the driver refuses cost nothing but themselves; one row says where none are @slow',
    async () => {
      const without = (await products(await sharedDevice(), 'f16')).filter(
        ({ subject }) => subject === 'linbp matrices',
      );
      using pretending = await Device.open();
      if (pretending.features.has('chromium-experimental-subgroup-matrix')) return;
      expect(without.map(({ note }) => note)).to.deep.equal(['the adapter offers no subgroup matrices of f16']);
      const features = new Set([
        ...pretending.features,
        'chromium-experimental-subgroup-matrix',
        'subgroup-size-control',
      ]);
      const subgroupMatrices = [{ component: 'f16', result: 'f32', m: 16, n: 16, k: 16 }];
      Object.defineProperty(pretending, 'features', { value: features });
      Object.defineProperty(pretending, 'adapterInfo', { value: { ...pretending.adapterInfo, subgroupMatrices } });
      const rows = await products(pretending, 'f16');
      expect(rows.filter(({ subject }) => subject === 'linbp matrices')).to.deep.equal([]);
      for (const row of rows) expect(row.median, row.name).to.be.above(0);
    },
  );

  it('the fastest tile of a kernel is one that agrees with the reference and computes the product @slow', async () => {
    const device = await sharedDevice();
    const graph = new Graph();
    graph.output('y', graph.one('linear', [graph.input('x', [16, 24]), graph.input('w', [32, 24])], {}));
    using program = await Program.compile(graph, { device });
    const choice = await fastestOf('gemm/conv', device, program.dispatches[0]!);
    expect(choice?.kernel).to.equal('gemm/conv');
    expect(await fastestOf('gemm/weightGradient', device, program.dispatches[0]!)).to.equal(undefined);
  });
});
