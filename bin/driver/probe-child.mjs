/**
 * Runs in a child process, since a bad driver can crash or hang: opens an adapter, computes something, compares, and
 * reports on file descriptor 3 (Dawn may write to the others). With the argument "cached" it uses the driver in the
 * user's cache.
 */
import { writeSync } from 'node:fs';
import { applyRecord, quietDrivers, readRecord } from './cache.mjs';

const COUNT = 256;
const STORAGE = 0x80;
const UNIFORM_COPIES = 0x4 | 0x8; // COPY_SRC, COPY_DST
const CODE = `
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) { data[id.x] = data[id.x] * 3.0 + 1.0; }`;

function report(result) {
  writeSync(3, JSON.stringify(result));
}

function record(limits) {
  const out = {};
  for (const name in limits) if (typeof limits[name] === 'number') out[name] = limits[name];
  return out;
}

/** Computes something on a device and destroys it; what is wrong, or undefined. */
async function compute(device) {
  const errors = [];
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault();
    errors.push(event.error.message);
  });
  const group = device.createBindGroupLayout({ entries: [{ binding: 0, visibility: 4, buffer: { type: 'storage' } }] });
  const layout = device.createPipelineLayout({ bindGroupLayouts: [group] });
  const module = device.createShaderModule({ code: CODE });
  const pipeline = await device.createComputePipelineAsync({ layout, compute: { module, entryPoint: 'main' } });
  const buffer = device.createBuffer({ size: COUNT * 4, usage: STORAGE | UNIFORM_COPIES });
  const staging = device.createBuffer({ size: COUNT * 4, usage: 0x1 | 0x8 });
  const values = Float32Array.from({ length: COUNT }, (_, index) => index);
  device.queue.writeBuffer(buffer, 0, values);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: group, entries: [{ binding: 0, resource: { buffer } }] }));
  pass.dispatchWorkgroups(COUNT / 64);
  pass.end();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, COUNT * 4);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const answer = new Float32Array(staging.getMappedRange().slice(0));
  staging.unmap();
  const right = answer.every((value, index) => value === values[index] * 3 + 1);
  device.destroy();
  return errors.length > 0 || !right ? (errors[0] ?? 'a kernel gave a wrong answer') : undefined;
}

async function probe() {
  quietDrivers();
  if (process.argv[2] === 'cached') {
    const stored = readRecord();
    if (!stored) return { ok: false, stage: 'adapter', message: 'no driver in the cache' };
    applyRecord(stored);
  }
  let create;
  try {
    ({ create } = await import('webgpu'));
  } catch (error) {
    return { ok: false, stage: 'module', code: error?.code, message: String(error?.message ?? error).split('\n')[0] };
  }
  const gpu = create(['enable-dawn-features=vulkan_enable_f16_on_nvidia']);
  globalThis.linbpProbe = gpu; // Dawn must not be collected while in use
  let adapter;
  try {
    adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  } catch (error) {
    return { ok: false, stage: 'adapter', message: String(error?.message ?? error).split('\n')[0] };
  }
  if (!adapter) return { ok: false, stage: 'adapter', message: 'no adapter' };
  const {
    vendor,
    architecture,
    device: name,
    description,
    isFallbackAdapter,
    subgroupMinSize,
    subgroupMaxSize,
  } = adapter.info;
  const found = {
    adapter: {
      vendor,
      architecture,
      device: name,
      description,
      software: isFallbackAdapter,
      subgroupMinSize,
      subgroupMaxSize,
    },
    limits: record(adapter.limits),
    features: [...adapter.features].sort(),
  };
  const wrong = await compute(await adapter.requestDevice());
  return wrong === undefined ? { ok: true, ...found } : { ok: false, stage: 'kernel', message: wrong, ...found };
}

try {
  report(await probe());
} catch (error) {
  report({ ok: false, stage: 'device', message: String(error?.message ?? error).split('\n')[0] });
}
process.exit(0);
