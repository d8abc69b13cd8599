import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { Device } from '../../src/runtime/device.js';
import { BufferUsage, ShaderStage } from '../../src/runtime/flags.js';
import { sharedDevice } from '../support/device.js';

const STORAGE = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;

const DOUBLE = `
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&data)) { data[id.x] = data[id.x] * 2.0; }
}`;

function layouts(device: Device): { group: GPUBindGroupLayout; layout: GPUPipelineLayout } {
  const group = device.bindGroupLayout([{ binding: 0, visibility: ShaderStage.COMPUTE, buffer: { type: 'storage' } }]);
  return { group, layout: device.pipelineLayout([group]) };
}

async function rejection(promise: Promise<unknown>): Promise<LinbpError> {
  const caught: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(caught).to.be.instanceOf(LinbpError);
  return caught as LinbpError;
}

async function double(device: Device, values: Float32Array): Promise<Float32Array> {
  const { group, layout } = layouts(device);
  const pipeline = await device.pipeline({ code: DOUBLE, layout, entryPoint: 'main', label: 'double' });
  const buffer = device.createBuffer({ size: values.byteLength, usage: STORAGE, label: 'values' });
  try {
    device.write(buffer, 0, values);
    const bindGroup = device.gpu.createBindGroup({ layout: group, entries: [{ binding: 0, resource: { buffer } }] });
    const encoder = device.gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(Math.ceil(values.length / 64));
    pass.end();
    device.submit([encoder.finish()], { dispatches: 1, hold: [bindGroup, pipeline] });
    return new Float32Array(await device.read(buffer));
  } finally {
    buffer.destroy();
  }
}

describe('Device', () => {
  it('runs a kernel and counts it @swiftshader', async () => {
    const device = await sharedDevice();
    const before = { ...device.counters };
    const values = Float32Array.from({ length: 1000 }, () => Math.random() - 0.5);
    const result = await double(device, values);
    expect(result).to.deep.equal(values.map((value) => value * 2));
    expect(device.counters.submits - before.submits).to.equal(1);
    expect(device.counters.readbacks - before.readbacks).to.equal(1);
    expect(device.counters.dispatches - before.dispatches).to.equal(1);
  });

  it('reads back what was written, at any offset and length @swiftshader', async () => {
    const device = await sharedDevice();
    const bytes = Uint8Array.from({ length: 4099 }, (_, index) => (index * 31) & 255);
    const buffer = device.createBuffer({ size: bytes.length, usage: STORAGE });
    expect(buffer.size).to.equal(4100);
    device.write(buffer, 0, bytes);
    for (const [offset, length] of [
      [0, 4099],
      [1, 1],
      [3, 2],
      [5, 0],
      [4000, 99],
      [7, 1024],
    ] as const) {
      expect(new Uint8Array(await device.read(buffer, offset, length))).to.deep.equal(
        bytes.slice(offset, offset + length),
      );
    }
    buffer.destroy();
  });

  it('takes every kind of view: shared memory, sub-views, 16 bit and odd lengths', async () => {
    const device = await sharedDevice();
    const buffer = device.createBuffer({ size: 64, usage: STORAGE });
    const shared = new Float32Array(new SharedArrayBuffer(16));
    shared.set([1, 2, 3, 4]);
    device.write(buffer, 0, shared);
    expect([...new Float32Array(await device.read(buffer, 0, 16))]).to.deep.equal([1, 2, 3, 4]);
    device.write(buffer, 16, new Uint16Array([9, 8, 7, 6, 5]).subarray(1, 4));
    expect([...new Uint16Array(await device.read(buffer, 16, 8))]).to.deep.equal([8, 7, 6, 0]);
    device.write(buffer, 32, new DataView(Uint8Array.from([1, 2, 3, 4, 5]).buffer, 1, 3));
    expect([...new Uint8Array(await device.read(buffer, 32, 4))]).to.deep.equal([2, 3, 4, 0]);
    const Half = (globalThis as { Float16Array?: new (values: number[]) => ArrayBufferView }).Float16Array;
    if (Half) {
      device.write(buffer, 48, new Half([1, 2]));
      expect([...new Uint16Array(await device.read(buffer, 48, 4))]).to.deep.equal([0x3c00, 0x4000]);
    }
    buffer.destroy();
  });

  it('concurrent reads do not disturb each other', async () => {
    const device = await sharedDevice();
    const buffers = Array.from({ length: 9 }, (_, index) => {
      const buffer = device.createBuffer({ size: 256, usage: STORAGE });
      device.write(buffer, 0, new Uint32Array(64).fill(index));
      return buffer;
    });
    const results = await Promise.all(buffers.map((buffer) => device.read(buffer)));
    results.forEach((result, index) => expect(new Uint32Array(result)).to.deep.equal(new Uint32Array(64).fill(index)));
    buffers.forEach((buffer) => buffer.destroy());
  });

  it('refuses ranges outside the buffer and sizes beyond the device', async () => {
    const device = await sharedDevice();
    const buffer = device.createBuffer({ size: 16, usage: STORAGE, label: 'small' });
    expect(() => device.write(buffer, 12, new Float32Array(2)))
      .to.throw(LinbpError, /small/)
      .with.property('code', 'bad-range');
    expect(() => device.write(buffer, 2, new Float32Array(1))).to.throw(LinbpError, /multiple of 4/);
    expect((await rejection(device.read(buffer, 8, 12))).code).to.equal('bad-range');
    for (const size of [0, -4, 1.5, NaN])
      expect(() => device.createBuffer({ size, usage: STORAGE })).to.throw(LinbpError, /positive integer/);
    expect(() => device.createBuffer({ size: device.limits.maxBufferSize + 4, usage: STORAGE }))
      .to.throw(LinbpError)
      .with.property('code', 'limit-exceeded');
    buffer.destroy();
  });

  it('turns an uncaptured GPU error into a rejected promise, once', async () => {
    const device = await sharedDevice();
    device.gpu.createBuffer({ size: 16, usage: 0x8000 });
    expect((await rejection(device.idle())).code).to.equal('gpu-error');
    await device.idle();
  });

  it('counts memory: live, pooled, planned', async () => {
    using device = await Device.open();
    const start = device.memory();
    const buffer = device.createBuffer({ size: 1000, usage: STORAGE, kind: 'parameters' });
    expect(device.memory().live - start.live).to.equal(1000);
    expect(device.memory().byKind.parameters).to.equal(1000);
    await device.read(buffer);
    expect(device.memory().pooled).to.equal(4096);
    await device.read(buffer);
    expect(device.memory().pooled).to.equal(4096);
    buffer.destroy();
    buffer.destroy();
    expect(device.memory().live).to.equal(start.live);
    device.addPlanned(512);
    expect(device.memory().planned).to.equal(512);
    device.destroy();
    expect(device.memory()).to.include({ live: 0, pooled: 0, planned: 0 });
  });

  it('grants the limits of the adapter, or the baseline', async () => {
    const device = await sharedDevice();
    using small = await Device.open({ limits: 'baseline', features: [] });
    expect(small.limits.maxStorageBuffersPerShaderStage).to.equal(8);
    expect(small.features.has('timestamp-query')).to.equal(false);
    expect(device.limits.maxBufferSize).to.be.at.least(small.limits.maxBufferSize);
    expect(device.adapterInfo.subgroupMaxSize).to.be.at.least(device.adapterInfo.subgroupMinSize);
  });

  it('refuses use after destroy, and destroying twice is allowed', async () => {
    const device = await Device.open();
    const buffer = device.createBuffer({ size: 16, usage: STORAGE });
    const pending = device.read(buffer);
    device.destroy();
    device.destroy();
    expect((await rejection(pending)).code).to.equal('disposed');
    expect((await rejection(device.idle())).code).to.equal('disposed');
    expect((await rejection(device.read(buffer))).code).to.equal('disposed');
    expect(
      (await rejection(device.pipeline({ code: '', layout: {} as GPUPipelineLayout, entryPoint: 'x' }))).code,
    ).to.equal('disposed');
    for (const use of [
      () => device.createBuffer({ size: 16, usage: STORAGE }),
      () => device.write(buffer, 0, new Float32Array(1)),
      () => device.submit([]),
      () => device.check(),
      () => device.bindGroupLayout([]),
      () => device.pipelineLayout([]),
    ]) {
      expect(use).to.throw(LinbpError).with.property('code', 'disposed');
    }
  });

  it('reports a lost device', async () => {
    const device = await Device.open();
    device.gpu.destroy(); // behind the wrapper's back, as a driver would
    await device.gpu.lost;
    expect((await rejection(device.idle())).code).to.equal('device-lost');
    device.destroy();
  });

  it('refuses an unknown kind of device', async () => {
    expect((await rejection(Device.open({ device: 'tpu' as 'auto' }))).code).to.equal('bad-argument');
  });

  it('opens a software adapter on demand', async () => {
    using device = await Device.open({ device: 'software' });
    expect(device.adapterInfo.software).to.equal(true);
  });
});

describe('pipeline cache', () => {
  it('compiles one pipeline for equal requests, also while it is in flight', async () => {
    using device = await Device.open();
    const { layout } = layouts(device);
    const request = { code: DOUBLE, layout, entryPoint: 'main' };
    const [first, second] = await Promise.all([
      device.pipeline(request),
      device.pipeline({ ...request, label: 'other name' }),
    ]);
    expect(second).to.equal(first);
    expect(await device.pipeline(request)).to.equal(first);
    expect(device.pipelinesCompiled).to.equal(1);
    expect(layouts(device).layout).to.equal(layout);
    await device.pipeline({ ...request, code: `${DOUBLE}\n` });
    expect(device.pipelinesCompiled).to.equal(2);
  });

  it('names the line of a bad shader and leaves the device usable', async () => {
    const device = await sharedDevice();
    const { layout } = layouts(device);
    const code = DOUBLE.replace('* 2.0', '* true');
    const error = await rejection(device.pipeline({ code, layout, entryPoint: 'main', label: 'broken' }));
    expect(error.code).to.equal('gpu-error');
    expect(error.message)
      .to.match(/^broken:5:\d+: /)
      .and.to.contain('data[id.x] * true');
    await device.idle();
  });

  it('names a missing entry point', async () => {
    const device = await sharedDevice();
    const { layout } = layouts(device);
    const error = await rejection(device.pipeline({ code: DOUBLE, layout, entryPoint: 'absent', label: 'double' }));
    expect(error.message).to.contain('double').and.to.contain('absent');
    await device.idle();
  });
});
