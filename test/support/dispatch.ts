import { expect } from 'chai';
import { Graph, resolveView } from '../../src/graph/graph.js';
import { byteLength, elementCount, spanBytes } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import type { Dispatch, KernelDevice } from '../../src/kernels/types.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { schedule } from '../../src/plan/schedule.js';
import { kernelDevice } from '../../src/program/kernelDevice.js';
import { ReferenceRun } from '../../src/reference/run.js';
import type { Device } from '../../src/runtime/device.js';
import { BufferUsage, ShaderStage } from '../../src/runtime/flags.js';
import { sharedDevice } from './device.js';

/** Seed of the random inputs of a test run; set LINBP_TEST_SEED to repeat one. */
export const testSeed = Number(process.env['LINBP_TEST_SEED'] ?? Date.now() % 1e6);
let state = testSeed;

/** Uniform in [0, 1). */
export function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state >>> 8) / 2 ** 24;
}

/** A whole number from `low` to `high`. */
export const randomInt = (low: number, high: number): number => low + Math.floor(random() * (high - low + 1));

/** Float32 values in [-scale, scale); with `levels`, only that many different ones, so that ties are common. */
export function randomValues(count: number, scale = 1, levels = 0): Float32Array {
  return Float32Array.from(
    { length: count },
    () => scale * (levels > 0 ? Math.floor(random() * levels) / levels : 2 * random() - 1),
  );
}

/** Random values for everything that a graph reads. */
export const dataOf = (graph: Graph): Map<Tensor, Float32Array> =>
  new Map(
    graph.tensors
      .filter(({ kind, dtype }) => kind !== 'value' && dtype === 'f32')
      .map((tensor) => [tensor, randomValues(elementCount(tensor.shape))]),
  );

/** Pooling, batch norm, pointwise and elementwise kernels, reductions. */
export function variousKernels(): Graph {
  const graph = new Graph();
  const x = graph.input('x', [3, 20, 10, 9]);
  const window = { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], ceilMode: false } as const;
  graph.output('pooled', graph.one('avgPool2d', [x], window));
  graph.output('sum', graph.one('add', [x, graph.input('z', x.shape)], {}));
  const statistics = graph.add('batchNormStatistics', [x, graph.input('gamma', [20])], { epsilon: 1e-5 });
  for (const [index, tensor] of statistics.entries()) graph.output(`statistics ${index}`, tensor);
  graph.output('norm', graph.one('sampleNorm', [x], { norm: 'l2' }));
  return graph;
}

export const randomWords = (count: number, below: number): Uint32Array =>
  Uint32Array.from({ length: count }, () => Math.floor(random() * below));

export type StepField = { readonly type: 'f32' | 'u32'; readonly value: number };

export interface RunOptions {
  readonly data: ReadonlyMap<Tensor, Float32Array | Uint32Array>;
  /** Fields of the step row. */
  readonly steps?: Readonly<Record<string, StepField>>;
  /** Replaces properties of the device that kernels are chosen by. */
  readonly device?: Partial<KernelDevice>;
  readonly fuse?: boolean;
}

/** Values of tensors after a run. */
export type Results = (tensor: Tensor) => Float32Array | Uint32Array;

function layoutOf(dispatch: Dispatch): GPUBindGroupLayoutEntry[] {
  return [
    { binding: 0, visibility: ShaderStage.COMPUTE, buffer: { type: 'uniform' } },
    ...dispatch.operands.map(({ access }, index): GPUBindGroupLayoutEntry => ({
      binding: index + 1,
      visibility: ShaderStage.COMPUTE,
      buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
    })),
  ];
}

function parameterBytes(dispatch: Dispatch): ArrayBuffer {
  const bytes = new ArrayBuffer(Math.ceil((4 * dispatch.parameters.length) / 16) * 16);
  const view = new DataView(bytes);
  for (const [index, { type, value }] of dispatch.parameters.entries()) {
    if (type === 'f32') view.setFloat32(4 * index, value, true);
    else if (type === 'i32') view.setInt32(4 * index, value, true);
    else view.setUint32(4 * index, value, true);
  }
  return bytes;
}

const uniform = BufferUsage.UNIFORM | BufferUsage.COPY_DST;

interface Memory {
  readonly create: (size: number, usage: number) => GPUBuffer;
  readonly bufferOf: (root: Tensor) => GPUBuffer;
}

/** Compiles dispatches and records them into one command buffer. */
async function recorded(
  device: Device,
  dispatches: readonly Dispatch[],
  step: { readonly layout: GPUBindGroupLayout; readonly group: GPUBindGroup },
  { create, bufferOf }: Memory,
): Promise<GPUCommandBuffer> {
  const compiled = await Promise.all(
    dispatches.map(async (dispatch) => {
      const layout = device.bindGroupLayout(layoutOf(dispatch));
      const pipeline = await device.pipeline({
        code: dispatch.code,
        layout: device.pipelineLayout([step.layout, layout]),
        entryPoint: 'main',
        label: `${dispatch.kernel} ${dispatch.variant}`,
      });
      const parameters = parameterBytes(dispatch);
      const parameterBuffer = create(parameters.byteLength, uniform);
      device.write(parameterBuffer, 0, new Uint8Array(parameters));
      const operands = dispatch.operands.map(({ tensor, range }, index): GPUBindGroupEntry => {
        const { root, offset } = resolveView(tensor);
        const begin = 4 * (offset - (offset % 64)) + (range?.offset ?? 0);
        const size = range?.length ?? 4 * (offset % 64) + spanBytes(tensor);
        return { binding: index + 1, resource: { buffer: bufferOf(root), offset: begin, size } };
      });
      const entries = [{ binding: 0, resource: { buffer: parameterBuffer } }, ...operands];
      return { pipeline, group: device.gpu.createBindGroup({ layout, entries }), workgroups: dispatch.workgroups };
    }),
  );
  const encoder = device.gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setBindGroup(0, step.group);
  for (const { pipeline, group, workgroups } of compiled) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(1, group);
    pass.dispatchWorkgroups(...workgroups);
  }
  pass.end();
  return encoder.finish();
}

/**
 * Runs dispatches in order, each root tensor in a buffer of its own. What is not given starts as all ones, which is
 * NaN in float32, so that an element that no kernel writes shows up.
 */
export async function runDispatches(
  dispatches: readonly Dispatch[],
  stepRow: ArrayBuffer,
  data: RunOptions['data'],
): Promise<Results> {
  const device = await sharedDevice();
  const owned: GPUBuffer[] = [];
  const create = (size: number, usage: number): GPUBuffer => {
    const buffer = device.createBuffer({ size, usage });
    owned.push(buffer);
    return buffer;
  };
  const memory = new Map<Tensor, GPUBuffer>();
  const bufferOf = (root: Tensor): GPUBuffer => {
    let buffer = memory.get(root);
    if (buffer === undefined) {
      buffer = create(byteLength(root), BufferUsage.STORAGE | BufferUsage.COPY_DST | BufferUsage.COPY_SRC);
      device.write(buffer, 0, new Uint32Array(byteLength(root) / 4).fill(0xffffffff));
      memory.set(root, buffer);
    }
    return buffer;
  };
  try {
    for (const [tensor, values] of data) {
      const { root, offset } = resolveView(tensor);
      device.write(bufferOf(root), 4 * offset, values);
    }
    const stepBuffer = create(256, uniform);
    device.write(stepBuffer, 0, new Uint8Array(stepRow));
    const stepLayout = device.bindGroupLayout(
      [{ binding: 0, visibility: ShaderStage.COMPUTE, buffer: { type: 'uniform' } }],
      'step',
    );
    const stepGroup = device.gpu.createBindGroup({
      layout: stepLayout,
      entries: [{ binding: 0, resource: { buffer: stepBuffer } }],
    });
    const step = { layout: stepLayout, group: stepGroup };
    device.submit([await recorded(device, dispatches, step, { create, bufferOf })]);
    const contents = new Map<Tensor, ArrayBuffer>();
    for (const [root, buffer] of memory) contents.set(root, await device.read(buffer, 0, byteLength(root)));
    device.check();
    return (tensor) => {
      const { root, offset } = resolveView(tensor);
      const bytes = contents.get(root)!;
      const count = elementCount(tensor.shape);
      return tensor.dtype === 'u32'
        ? new Uint32Array(bytes, 4 * offset, count)
        : new Float32Array(bytes, 4 * offset, count);
    };
  } finally {
    for (const buffer of owned) buffer.destroy();
  }
}

/** Lowers and runs a graph's nodes. */
export async function runGraph(
  graph: Graph,
  options: RunOptions,
): Promise<{ readonly results: Results; readonly dispatches: readonly Dispatch[] }> {
  const device = await sharedDevice();
  const fields = Object.keys(options.steps ?? {});
  const row = new DataView(new ArrayBuffer(256));
  for (const [index, field] of fields.entries()) {
    const { type, value } = options.steps![field]!;
    if (type === 'f32') row.setFloat32(4 * index + 4, value, true);
    else row.setUint32(4 * index + 4, value, true);
  }
  const capability = { ...kernelDevice(device), ...options.device };
  const { dispatches } = schedule(
    graph,
    groupNodes(graph, options.fuse ?? true),
    capability,
    (field) => fields.indexOf(field) + 1,
  );
  for (const dispatch of dispatches) {
    expect(dispatch.flops, `flops of ${dispatch.kernel}`).to.be.at.least(0);
    expect(dispatch.bytes, `bytes of ${dispatch.kernel}`).to.be.greaterThan(0);
    expect(dispatch.operands.length).to.be.at.most(8);
  }
  return { results: await runDispatches(dispatches, row.buffer, options.data), dispatches };
}

/** 2-norm of a difference relative to the larger of the expected values' norm and `floor`. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>, floor: number): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(difference) / Math.max(Math.sqrt(size), floor);
}

/** Tensors whose values a caller can see after a run: outputs, and what nodes overwrite. */
function visible(graph: Graph): Set<Tensor> {
  return new Set([
    ...graph.outputs.values(),
    ...graph.nodes.flatMap((node) => node.mutates.map((index) => node.inputs[index]!)),
  ]);
}

export interface CheckOptions extends RunOptions {
  /** Largest difference in relative 2-norm; default 1e-5. */
  readonly tolerance?: number;
  /** Norm below which the difference counts as if the norm were this; default 1e-30, about what float32 holds. */
  readonly floor?: number;
}

/**
 * Runs a graph on the GPU and in the float64 reference from the same inputs: words must be equal, numbers agree to
 * `tolerance` in relative 2-norm. Returns the GPU's results.
 */
export async function checkGraph(graph: Graph, options: CheckOptions): Promise<Results> {
  const { results } = await runGraph(graph, options);
  const reference = new ReferenceRun(graph);
  for (const [tensor, values] of options.data) reference.set(tensor, values);
  const row = Object.fromEntries(
    Object.entries(options.steps ?? {}).map(([field, { type, value }]) => [
      field,
      type === 'f32' ? Math.fround(value) : value,
    ]),
  );
  for (const node of graph.nodes) reference.runNode(node, row);
  for (const tensor of visible(graph)) {
    const [actual, expected] = [results(tensor), reference.get(tensor)];
    const what = `${tensor.name} [${tensor.shape.join(', ')}], seed ${testSeed}`;
    if (tensor.dtype === 'u32') {
      const wrong = actual.findIndex((value, index) => value !== expected[index]);
      expect(wrong < 0 ? '' : `element ${wrong} is ${actual[wrong]}, not ${expected[wrong]}`, what).to.equal('');
    } else {
      expect(relativeError(actual, expected, options.floor ?? 1e-30), what).to.be.at.most(options.tolerance ?? 1e-5);
    }
  }
  return results;
}

/** Marks tensors as outputs, so that they are kept and compared. */
export function keep(graph: Graph, ...tensors: readonly Tensor[]): void {
  for (const tensor of tensors) graph.output(`output ${graph.outputs.size}`, tensor);
}
