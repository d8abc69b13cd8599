import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import type { ConvAttrs, Tensor } from '../../src/graph/types.js';
import { elementCount } from '../../src/graph/types.js';
import { orderOf, unfit } from '../../src/kernels/choice.js';
import type { KernelChoices, TuningProblem } from '../../src/kernels/problem.js';
import { matrixKernels, matrixTile, usualMatrixTile } from '../../src/kernels/matrices.js';
import type { MatrixKernel, MatrixShape, SubgroupMatrices } from '../../src/kernels/matrices.js';
import type { StagedTile } from '../../src/kernels/staging.js';
import type { KernelDevice } from '../../src/kernels/types.js';
import { convOutputShape } from '../../src/ops/convolution.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { schedule } from '../../src/plan/schedule.js';
import { kernelDevice } from '../../src/program/kernelDevice.js';
import { pin, instance } from '../../src/runtime/instance.js';
import { bp } from '../../src/rules/builtin.js';
import { candidates } from '../../src/tune/candidates.js';
import { sharedDevice } from '../support/device.js';
import { checkGraph, randomValues } from '../support/dispatch.js';
import { plainGpu } from '../support/plainDevice.js';
import { itInHalf } from '../precision/support.js';
import { pending } from '../support/pending.js';

const plain: ConvAttrs = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 };

/** Every product on matrices of one shape. */
function onMatrices(kernel: MatrixKernel, tile: StagedTile): KernelChoices {
  return { find: () => ({ kernel, ...tile }), order: () => orderOf(kernel) };
}

const emulated = (shape: MatrixShape): SubgroupMatrices => ({
  shapes: [shape],
  subgroupSize: 16,
  pinned: false,
  granularity: 16,
  emulated: true,
});

/** Random values for everything that a graph is given. */
const data = (graph: Graph): Map<Tensor, Float32Array> =>
  new Map(
    graph.tensors
      .filter(({ kind }) => kind !== 'value')
      .map((tensor) => [tensor, randomValues(elementCount(tensor.shape))]),
  );

/** A convolution with a mask, and the way back through the mask: forward, and input gradients that read it. */
function layers(attrs: ConvAttrs, x: readonly number[], w: readonly number[]): Graph {
  const graph = new Graph();
  const [input, weight, bias] = [graph.input('x', x), graph.parameter('w', w), graph.parameter('b', [w[0]!])];
  const z = graph.one('conv2d', [input, weight, bias], attrs);
  const [y, mask] = graph.add('activation', [z], { kind: 'relu', mask: true }) as [Tensor, Tensor];
  graph.output('y', y);
  graph.output('mask', mask);
  const v = graph.parameter('v', [6, w[0]!, 1, 1]);
  const g = graph.input('g', convOutputShape(y.shape, v.shape, plain));
  const dz = graph.one(
    'activationBackward',
    [graph.one('conv2dInputGradient', [g, v], { ...plain, inputShape: y.shape }), mask],
    {
      kind: 'relu',
      rule: bp,
    },
  );
  graph.output('dx', graph.one('conv2dInputGradient', [dz, weight], { ...attrs, inputShape: x }));
  return graph;
}

function products(): Graph {
  const graph = new Graph();
  const rows = graph.one('linear', [graph.input('rows', [5, 11]), graph.parameter('matrix', [19, 11])], {});
  graph.output('rows', rows);
  graph.output(
    'product',
    graph.one('matmul', [graph.input('a', [9, 37]), graph.input('b', [9, 21])], {
      transposeA: true,
      transposeB: false,
    }),
  );
  return graph;
}

/** Everything that a convolution can have but masks: strides, dilation, groups, asymmetric padding. */
function convolution(): Graph {
  const graph = new Graph();
  const attrs: ConvAttrs = { stride: [2, 1], padding: [2, 1, 0, 1], dilation: [1, 2], groups: 2 };
  const [x, w] = [graph.input('x', [2, 10, 9, 8]), graph.parameter('w', [34, 5, 3, 2])];
  const y = graph.one('conv2d', [x, w], attrs);
  graph.output('y', y);
  graph.output(
    'dx',
    graph.one('conv2dInputGradient', [graph.input('g', y.shape), w], { ...attrs, inputShape: x.shape }),
  );
  return graph;
}

describe('products on subgroup matrices', () => {
  const shapes: [MatrixShape, MatrixKernel, number][] = [
    [{ component: 'f32', m: 8, n: 4, k: 2 }, 'gemm/convMatrix', 1e-5],
    [{ component: 'f16', m: 4, n: 8, k: 4 }, 'gemm/convHalfMatrix', 2e-3],
  ];
  for (const [shape, kernel, tolerance] of shapes) {
    const name = `emulated ${shape.m}x${shape.n}x${shape.k} of ${shape.component}`;
    const device = { matrices: emulated(shape), choices: onMatrices(kernel, matrixTile(16, [16, 8], [2, 2], 4)) };
    const test = shape.component === 'f16' ? itInHalf : it;
    const tag = shape.component === 'f32' ? ' @slow' : '';
    test(`${name}: ragged convolution with masks, its input gradient, products${tag}`, async () => {
      // f16 may turn the sign of a sum next to zero, so only the exact kind has to agree about masks
      const graph = layers({ ...plain, padding: [1, 1, 1, 1] }, [2, 6, 5, 7], [35, 6, 3, 3]);
      if (shape.component === 'f32') await checkGraph(graph, { data: data(graph), device, tolerance });
      const others = products();
      await checkGraph(others, { data: data(others), device, tolerance });
    });
  }

  it('emulated: strides, dilation, groups and asymmetric padding', async () => {
    const graph = convolution();
    const [shape] = shapes[0]!;
    const device = {
      matrices: emulated(shape),
      choices: onMatrices('gemm/convMatrix', matrixTile(16, [16, 8], [2, 2], 4)),
    };
    await checkGraph(graph, { data: data(graph), device });
  });

  it('of the adapter itself, where it offers any, agree with the float64 loops', async function () {
    const device = await sharedDevice();
    const { matrices } = kernelDevice(device);
    const offers =
      device.features.has('chromium-experimental-subgroup-matrix') &&
      device.adapterInfo.subgroupMatrices.some(({ result }) => result === 'f32');
    expect(matrices !== undefined, 'matrices are used where the adapter has them').to.equal(offers);
    if (matrices === undefined) pending(this, 'subgroup matrices');
    for (const kernel of matrixKernels(kernelDevice(device))) {
      const choices = onMatrices(kernel, usualMatrixTile(kernel, matrices));
      for (const graph of [products(), convolution()]) {
        await checkGraph(graph, {
          data: data(graph),
          device: { choices },
          tolerance: kernel === 'gemm/convMatrix' ? 1e-5 : 2e-3,
        });
      }
    }
  });

  it('compile in the shapes of every vendor, on the backend that knows them all', async () => {
    const gpu = await instance('null', ['backend=null']);
    const adapter = (await gpu.requestAdapter())!;
    const features = [
      'chromium-experimental-subgroup-matrix',
      'shader-f16',
      'subgroups',
      'subgroup-size-control',
    ] as GPUFeatureName[];
    const device = await adapter.requestDevice({ requiredFeatures: features });
    pin(adapter);
    pin(device);
    const graph = layers({ ...plain, padding: [1, 1, 1, 1] }, [2, 6, 5, 7], [35, 6, 3, 3]);
    for (const component of ['f16', 'f32'] as const) {
      for (const [m, n, k] of [
        [16, 16, 16],
        [8, 16, 16],
        [8, 8, 8],
      ] as const) {
        // prettier-ignore
        for (const pinned of [false, true]) {
          const kernel = component === 'f32' ? 'gemm/convMatrix' : 'gemm/convHalfMatrix';
          const capability: KernelDevice = {
            ...plainGpu,
            matrices: { shapes: [{ component, m, n, k }], subgroupSize: 32, pinned, granularity: 128 },
          };
          const choices = onMatrices(kernel, usualMatrixTile(kernel, capability.matrices!));
          const { dispatches } = schedule(graph, groupNodes(graph, true), { ...capability, choices }, () => 0);
          expect(dispatches.map((dispatch) => dispatch.kernel)).to.deep.equal(Array(3).fill('gemm/convMatrix'));
          for (const { code, variant } of dispatches) {
            device.pushErrorScope('validation');
            const module = device.createShaderModule({ code });
            device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
            const { messages } = await module.getCompilationInfo();
            expect(messages.map(({ lineNum, message }) => `${lineNum}: ${message}`), variant).to.deep.equal([]);
            expect((await device.popErrorScope())?.message, variant).to.equal(undefined);
          }
        }
      }
    }
    device.destroy();
  });

  const offered = (...shapeList: MatrixShape[]): KernelDevice => ({
    ...plainGpu,
    matrices: { shapes: shapeList, subgroupSize: 32, pinned: false, granularity: 32 },
  });
  const problem = (kernels: TuningProblem['kernels']): TuningProblem => ({
    layer: 'any',
    batch: 4,
    kernels,
    writesMask: true,
    rows: 64,
    width: 16,
    taps: 3,
    lines: 1,
  });
  const half: MatrixShape = { component: 'f16', m: 16, n: 16, k: 16 };

  it('are candidates only where the adapter offers them, those of f16 only when asked for', () => {
    const usual = { kernel: 'gemm/conv', rows: 16, columns: 4, lanes: 32, share: 8 } as const;
    const kernelsOf = (device: KernelDevice, halfProducts: boolean): Set<string> => {
      const kernels = ['gemm/conv', 'gemm/convMatrix', 'gemm/convHalfMatrix'] as const;
      return new Set(candidates(problem(kernels), usual, device, { halfProducts }).map(({ kernel }) => kernel));
    };
    expect([...kernelsOf(plainGpu, true)]).to.deep.equal(['gemm/conv']);
    expect([...kernelsOf(offered(half), false)]).to.deep.equal(['gemm/conv']);
    expect([...kernelsOf(offered(half), true)]).to.deep.equal(['gemm/conv', 'gemm/convHalfMatrix']);
    expect([...kernelsOf(offered(half, { component: 'f32', m: 8, n: 8, k: 8 }), false)]).to.deep.equal([
      'gemm/conv',
      'gemm/convMatrix',
    ]);
  });

  it('are never usual, but keep the order of a layer that was tuned to them at other batch sizes', () => {
    const graph = layers({ ...plain, padding: [1, 1, 1, 1] }, [2, 16, 8, 8], [64, 16, 3, 3]);
    const kernels = (device: KernelDevice): string[] =>
      schedule(graph, groupNodes(graph, true), device, () => 0).dispatches.map(({ kernel }) => kernel);
    const device = offered({ component: 'f32', m: 8, n: 8, k: 8 });
    expect(kernels(device)).to.not.include('gemm/convMatrix');
    expect(kernels({ ...device, choices: { find: () => undefined, order: () => 'matrix' } })).to.deep.equal(
      Array(3).fill('gemm/convMatrix'),
    );
  });

  it('refuse tiles that are not made of them', () => {
    const device = offered(half);
    const asked = problem(['gemm/convHalfMatrix']);
    const tile = matrixTile(32, [32, 32], [2, 2], 32);
    const fits = { kernel: 'gemm/convHalfMatrix', ...tile } as const;
    expect(unfit(fits, asked, device)).to.equal(undefined);
    const changes = [
      { rows: 24 },
      { columns: 8 },
      { lanes: 48 },
      { lanes: 512 },
      { stage: { ...tile.stage, depth: 8 } },
      { stage: { ...tile.stage, ranks: 3.5 } },
      { stage: undefined },
      { splits: 2 },
      { kernel: 'gemm/convMatrix' as const },
    ];
    for (const change of changes)
      expect(unfit({ ...fits, ...change } as never, asked, device), JSON.stringify(change)).to.be.a('string');
    expect(unfit(fits, asked, { ...device, maxWorkgroupStorage: 16384 })).to.be.a('string');
    expect(unfit(fits, asked, plainGpu)).to.be.a('string');
  });
});
