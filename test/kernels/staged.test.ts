import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { ConvAttrs, Tensor } from '../../src/graph/types.js';
import { orderOf, unfit } from '../../src/kernels/choice.js';
import type { KernelChoice, KernelChoices, TuningProblem } from '../../src/kernels/problem.js';
import { stagedTile } from '../../src/kernels/staging.js';
import type { StagedTile } from '../../src/kernels/staging.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { schedule } from '../../src/plan/schedule.js';
import type { KernelDevice } from '../../src/kernels/types.js';
import { candidates } from '../../src/tune/candidates.js';
import { Program } from '../../src/program/program.js';
import { kernelDevice } from '../../src/program/kernelDevice.js';
import { bp } from '../../src/rules/builtin.js';
import { compareGraph, randomArray, relativeError } from '../support/compare.js';
import { convGraph } from '../support/convolution.js';
import { checkGraph } from '../support/dispatch.js';
import { sharedDevice } from '../support/device.js';
import { plainDevice, plainGpu } from '../support/plainDevice.js';
import { itInHalf } from '../precision/support.js';

/**
 * A tile of 16 rows by 16 columns, so that small products have edges in both directions, several stages and several
 * workgroups.
 */
const small: StagedTile = { rows: 4, columns: 4, lanes: 4, share: 1, stage: { ranks: 4, depth: 4, vectors: true } };

/** Every product through workgroup memory, weight gradients in `splits` parts. */
function staged(tile: StagedTile, splits = 1): KernelChoices {
  const of = (problem: TuningProblem): KernelChoice =>
    problem.kernels.includes('gemm/convTiled')
      ? { kernel: 'gemm/convTiled', ...tile }
      : { kernel: 'gemm/weightGradientTiled', ...tile, splits: Math.min(splits, problem.lines) };
  return { find: of, order: (problem) => orderOf(of(problem).kernel) };
}

const plain: ConvAttrs = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 };

async function expectClose(graph: Graph, choices: KernelChoices): Promise<void> {
  for (const { name, error } of await compareGraph(graph, new Map(), { choices }))
    expect(error, name).to.be.below(1e-5);
}

describe('products staged through workgroup memory, against the float64 reference', () => {
  const cases: [string, number[], number[], Partial<ConvAttrs>, boolean, number][] = [
    ['3x3 padded, ragged', [3, 5, 7, 9], [21, 5, 3, 3], { padding: [1, 1, 1, 1] }, true, 3],
    [
      'strided, dilated, asymmetric padding, batch 1',
      [1, 6, 11, 12],
      [17, 6, 3, 2],
      { stride: [2, 3], padding: [2, 1, 0, 1], dilation: [2, 1] },
      true,
      1,
    ],
    ['groups', [2, 12, 5, 6], [18, 4, 3, 3], { padding: [1, 1, 1, 1], groups: 3 }, true, 2],
    ['1x1, all in fours', [2, 8, 4, 6], [20, 8, 1, 1], {}, true, 2],
  ];
  for (const [name, x, w, attrs, bias, splits] of cases) {
    const tag = name.startsWith('3x3') ? ' @swiftshader' : name === 'groups' ? '' : ' @slow';
    it(`convolution, ${name}, in all three directions${tag}`, async () => {
      await expectClose(convGraph(x, w, { ...plain, ...attrs }, bias), staged(small, splits));
    });
  }

  it('linear, all in fours: forward, input gradient, weight gradient @swiftshader @slow', async () => {
    const graph = new Graph();
    const [x, w, g] = [graph.input('x', [6, 20]), graph.parameter('w', [24, 20]), graph.input('g', [6, 24])];
    graph.output('y', graph.one('linear', [x, w, graph.parameter('b', [24])], {}));
    graph.output('dx', graph.one('linearInputGradient', [g, w], {}));
    for (const [index, tensor] of graph.add('linearWeightGradient', [g, x], { bias: true }).entries())
      graph.output(`gradient ${index}`, tensor);
    await expectClose(graph, staged(small));
  });

  it('matrix products with every transpose, in fours and not @slow', async () => {
    const graph = new Graph();
    for (const [m, k, n, transposeA, transposeB] of [
      [20, 12, 24, false, false],
      [19, 9, 33, false, true],
      [35, 13, 7, true, false],
      [12, 20, 36, true, true],
    ] as const) {
      const a = graph.input(`a${m}`, transposeA ? [k, m] : [m, k]);
      const b = graph.input(`b${m}`, transposeB ? [n, k] : [k, n]);
      graph.output(`product ${m}`, graph.one('matmul', [a, b], { transposeA, transposeB }));
    }
    await expectClose(graph, staged(small));
  });

  it('the usual tile of a GPU, with a mask written by the epilogue and one read @slow', async () => {
    const graph = new Graph();
    const attrs = { ...plain, padding: [1, 1, 1, 1] as const };
    const [x, w, b] = [
      graph.input('x', [2, 18, 9, 8]),
      graph.parameter('w', [40, 18, 3, 3]),
      graph.parameter('b', [40]),
    ];
    const [y, mask] = graph.add('activation', [graph.one('conv2d', [x, w, b], attrs)], {
      kind: 'relu',
      mask: true,
    }) as [Tensor, Tensor];
    const v = graph.parameter('v', [24, 40, 1, 1]);
    const z = graph.one('conv2d', [y, v], plain);
    const dy = graph.one(
      'activationBackward',
      [graph.one('conv2dInputGradient', [graph.input('dz', z.shape), v], { ...plain, inputShape: y.shape }), mask],
      {
        kind: 'relu',
        rule: bp,
      },
    );
    graph.output('z', z);
    graph.output('dy', dy);
    const data = new Map(
      graph.tensors
        .filter(({ kind }) => kind !== 'value')
        .map((tensor) => [tensor, randomArray(elementCount(tensor.shape))]),
    );
    // in the form that GPUs get, with its stores written out
    await checkGraph(graph, {
      data,
      device: { software: false, choices: staged({ ...stagedTile(32, 1e6, 1, plainDevice)!, lanes: 4 }) },
    });
  });

  it('long contractions in parts, with a mask written behind their sum @swiftshader', async () => {
    const graph = new Graph();
    const attrs: ConvAttrs = { ...plain, padding: [1, 1, 1, 1], stride: [2, 1], groups: 2 };
    const [x, w] = [graph.input('x', [2, 240, 3, 2]), graph.parameter('w', [32, 120, 3, 3])];
    const [y, mask] = graph.add('activation', [graph.one('conv2d', [x, w, graph.parameter('b', [32])], attrs)], {
      kind: 'relu',
      mask: true,
    }) as [Tensor, Tensor];
    graph.output('y', y);
    graph.output('mask', mask);
    const rows = graph.input('rows', [3, 1100]);
    graph.output(
      'product',
      graph.one('matmul', [rows, graph.input('columns', [1100, 21])], { transposeA: false, transposeB: false }),
    );
    const split: KernelChoices = { find: () => ({ kernel: 'gemm/convSplit', ...small }), order: () => 'parts' };
    const device = await sharedDevice();
    {
      using program = await Program.compile(graph, { device, choices: split });
      const kernels = program.dispatches.map(({ source }) => source.kernel);
      expect(kernels).to.deep.equal(Array(2).fill(['gemm/convTiled', 'gemm/sumParts']).flat());
    }
    await expectClose(graph, split);
  });

  itInHalf('products of values that are stored as f16, in fours', async () => {
    const device = await sharedDevice();
    const shape = [2, 8, 4, 6];
    const values = [randomArray(384), new Float32Array(384), randomArray(160)];
    const results: Float32Array[] = [];
    for (const precision of ['f32', 'f16'] as const) {
      const graph = new Graph();
      const given = [
        graph.input('x', shape),
        graph.input('zeros', shape),
        graph.parameter('w', [20, 8, 1, 1]),
      ] as const;
      // a program stores what it computes as it likes, such as a sum with zeros
      graph.output('y', graph.one('conv2d', [graph.one('add', [given[0], given[1]], {}), given[2]], plain));
      using program = await Program.compile(graph, { device, precision, choices: staged(small) });
      const product = program.dispatches.at(-1)!.source;
      expect(product.kernel).to.equal('gemm/convTiled');
      expect(/array<vec4<f16>>/.test(product.code)).to.equal(precision === 'f16');
      for (const [index, tensor] of given.entries()) program.write(tensor, values[index]!);
      await program.run([{ segment: 'main' }]);
      results.push(await program.read('y'));
    }
    expect(relativeError(results[1]!, results[0]!)).to.be.within(1e-6, 1e-3);
  });

  it('give the bits of gemm/conv, whose order of sums they share', async () => {
    const device = await sharedDevice();
    const graph = new Graph();
    const [x, w, b] = [
      graph.input('x', [2, 10, 7, 7]),
      graph.parameter('w', [18, 10, 3, 3]),
      graph.parameter('b', [18]),
    ];
    graph.output('y', graph.one('conv2d', [x, w, b], { ...plain, padding: [1, 1, 1, 1] }));
    const [images, weights, biases] = [randomArray(2 * 10 * 49), randomArray(18 * 90), randomArray(18)];
    const run = async (choice: KernelChoice): Promise<number[]> => {
      using program = await Program.compile(graph, { device, choices: { find: () => choice, order: () => 'taps' } });
      expect(program.dispatches.map(({ source }) => source.kernel)).to.deep.equal([choice.kernel]);
      program.write(x, images);
      program.write(w, weights);
      program.write(b, biases);
      await program.run([{ segment: 'main' }]);
      return [...(await program.read('y'))];
    };
    const unstaged = await run({ kernel: 'gemm/conv', rows: 8, columns: 4, lanes: 8, share: 1 });
    expect(await run({ kernel: 'gemm/convTiled', ...small })).to.deep.equal(unstaged);
  });

  it('refuse what no device or this device cannot run', async () => {
    const device = { ...kernelDevice(await sharedDevice()), maxWorkgroupStorage: 16384 };
    const problem: TuningProblem = {
      layer: 'any',
      batch: 4,
      kernels: ['gemm/conv', 'gemm/convTiled'],
      writesMask: false,
      rows: 20,
      width: 9,
      taps: 3,
      lines: 1,
    };
    const fits: KernelChoice = { kernel: 'gemm/convTiled', ...small };
    expect(unfit(fits, problem, device)).to.equal(undefined);
    const { stage } = small;
    const changes: Partial<KernelChoice>[] = [
      { kernel: 'gemm/conv' },
      { share: 4 },
      { columns: 6 },
      { lanes: 128 },
      { stage: { ...stage, ranks: 3 } },
      { stage: { ...stage, ranks: 128 } },
      { stage: { ...stage, depth: 6 } },
      { rows: 16, columns: 8, lanes: 16, stage: { ...stage, ranks: 16, depth: 16 } },
      { stage: { ...stage, vectors: 1 as never } },
      { stage: null as never },
    ];
    for (const change of changes)
      expect(unfit({ ...fits, ...change }, problem, device), JSON.stringify(change)).to.be.a('string');
    const { stage: _, ...without } = fits;
    expect(unfit(without, problem, device)).to.be.a('string');
    expect(unfit(fits, { ...problem, writesMask: true }, device)).to.be.a('string');
    expect(unfit(fits, problem, { ...device, maxWorkgroupStorage: 512 })).to.be.a('string');
  });

  it('leave the order of sums to the layer, whatever the batch', () => {
    const ordersOf = (batch: number): { kernels: string[]; orders: (string | undefined)[] } => {
      const graph = convGraph([batch, 64, 14, 14], [64, 64, 3, 3], { ...plain, padding: [1, 1, 1, 1] }, false);
      const { dispatches } = schedule(graph, groupNodes(graph, true), plainGpu, () => 0);
      const products = dispatches.filter(({ tuning }) => tuning !== undefined);
      return {
        kernels: products.map(({ kernel }) => kernel),
        orders: products.map(({ tuning }) => orderOf(tuning!.choice.kernel)),
      };
    };
    const [one, many] = [ordersOf(1), ordersOf(256)];
    expect(one.kernels).to.deep.equal(['gemm/conv', 'gemm/conv', 'gemm/weightGradient']);
    expect(many.kernels).to.deep.equal(['gemm/convTiled', 'gemm/convTiled', 'gemm/weightGradientTiled']);
    expect(one.orders).to.deep.equal(many.orders);
  });

  it('are candidates on GPUs, and none where workgroup memory is ordinary memory', () => {
    const kernels = ['gemm/conv', 'gemm/convTiled', 'gemm/convSplit'] as const;
    const problem: TuningProblem = {
      layer: 'any',
      batch: 4,
      kernels,
      writesMask: true,
      rows: 64,
      width: 9,
      taps: 3,
      lines: 1,
    };
    const usual: KernelChoice = { kernel: 'gemm/conv', rows: 16, columns: 4, lanes: 8, share: 1 };
    const names = (device: KernelDevice): Set<string> =>
      new Set(candidates(problem, usual, device).map(({ kernel }) => kernel));
    expect([...names(plainGpu)]).to.deep.equal(kernels);
    expect([...names({ ...plainGpu, software: true })]).to.deep.equal(['gemm/conv']);
  });

  it('are usual on GPUs where they fill one: the tile follows from rows and columns', () => {
    const area = (tile: StagedTile | undefined): number[] | undefined =>
      tile && [tile.rows * tile.stage.ranks, tile.columns * tile.lanes];
    expect(area(stagedTile(4096, 4096, 1, plainDevice))).to.deep.equal([128, 128]);
    expect(area(stagedTile(1024, 1024, 1, plainDevice))).to.deep.equal([128, 64]);
    expect(area(stagedTile(64, 128 * 56 * 56, 1, plainDevice))).to.deep.equal([64, 64]);
    expect(area(stagedTile(32, 32 * 112 * 112, 1, plainDevice))).to.deep.equal([32, 64]);
    expect(area(stagedTile(512, 49, 1, plainDevice))).to.equal(undefined);
    // with more workgroup memory, as many products a stage as for the smaller tiles
    const depths = [16384, 32768].map(
      (maxWorkgroupStorage) => stagedTile(4096, 4096, 1, { maxWorkgroupStorage })?.stage.depth,
    );
    expect(depths).to.deep.equal([8, 16]);
  });
});
