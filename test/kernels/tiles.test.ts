import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { orderOf } from '../../src/kernels/choice.js';
import type { KernelChoice } from '../../src/kernels/problem.js';
import { gatherTile } from '../../src/kernels/software/gather.js';
import { chooseTile, usualUnrolling } from '../../src/kernels/tiles.js';
import type { KernelDevice } from '../../src/kernels/types.js';
import { lenet5, mlp } from '../../src/nn/zoo/mnist.js';
import { resnet20 } from '../../src/nn/zoo/resnet.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { schedule } from '../../src/plan/schedule.js';
import { gradientGraph } from '../support/networks.js';
import { plainDevice } from '../support/plainDevice.js';

describe('usual tiles', () => {
  const columns = (count: number, device = plainDevice): number =>
    chooseTile({ rows: 400, columns: count, maxRows: 16 }, device).columns;

  it('on the CPU are narrow where wide ones would compute columns that there are not', () => {
    expect([64, 256, 1025, 4096].map((count) => columns(count))).to.deep.equal([8, 8, 8, 8]);
    // a bias is one column more
    expect([10, 32, 96, 257, 785].map((count) => columns(count))).to.deep.equal([4, 4, 4, 4, 4]);
  });

  it('on a GPU depend on how many workgroups there are', () => {
    const gpu = { ...plainDevice, software: false };
    expect([64, 257, 4096].map((count) => columns(count, gpu))).to.deep.equal([4, 4, 8]);
  });

  it('of weight gradients are cut until there are four workgroups on the CPU, and more on a GPU', () => {
    const parts = (inputs: number, outputs: number, kernel: number, device = plainDevice): number => {
      const graph = new Graph();
      const [g, x] = [graph.input('g', [32, outputs, 16, 16]), graph.input('x', [32, inputs, 16, 16])];
      const pad = (kernel - 1) / 2;
      const attrs = { stride: [1, 1], padding: [pad, pad, pad, pad], dilation: [1, 1], groups: 1 } as const;
      graph.output(
        'dw',
        graph.one('conv2dWeightGradient', [g, x], {
          ...attrs,
          weightShape: [outputs, inputs, kernel, kernel],
          bias: false,
        }),
      );
      const { dispatches } = schedule(
        graph,
        groupNodes(graph, true),
        { ...device, partLimits: { operations: Infinity } },
        () => 1,
      );
      expect(dispatches).to.have.length(dispatches[0]!.tuning!.choice.splits === 1 ? 1 : 2);
      return dispatches[0]!.tuning!.choice.splits!;
    };
    expect([parts(1, 6, 5), parts(16, 16, 3), parts(64, 64, 1), parts(64, 64, 3)]).to.deep.equal([4, 1, 1, 1]);
    expect(parts(64, 64, 1, { ...plainDevice, software: false })).to.be.above(4);
  });

  it('of the weight gradients of linear layers, on the CPU, compute few results twice', () => {
    const tile = (outputs: number, inputs: number): string | undefined => {
      const graph = new Graph();
      const [g, x] = [graph.input('g', [8, outputs]), graph.input('x', [8, inputs])];
      graph.output('dw', graph.one('linearWeightGradient', [g, x], { bias: false }));
      const { kernel, rows, columns } = schedule(graph, groupNodes(graph, true), plainDevice, () => 1).dispatches[0]!
        .tuning!.choice;
      return kernel === 'software/weightGradientLinear' ? `${rows}x${columns}` : undefined;
    };
    expect([tile(1024, 1024), tile(200, 400), tile(48, 512), tile(16, 8)]).to.deep.equal([
      '32x8',
      '40x4',
      '16x8',
      '16x8',
    ]);
    // fewer rows than any tile has, and columns that do not load in fours
    expect([tile(10, 84), tile(100, 85)]).to.deep.equal([undefined, undefined]);
  });

  it('of products that load number by number, on the CPU, have many rows as long as they exist', () => {
    const tile = (rows: number, columns: number, writesMask = false): string => {
      const chosen = gatherTile({ rows, columns, maxRows: 16 }, writesMask, plainDevice);
      return `${chosen.rows}x${chosen.columns}`;
    };
    expect([tile(400, 64), tile(128, 32), tile(10, 64), tile(8, 32)]).to.deep.equal(['32x4', '32x4', '16x8', '8x4']);
    // rare tiles where they save a tenth
    expect([tile(200, 64), tile(48, 64), tile(120, 64)]).to.deep.equal(['40x4', '48x4', '32x4']);
    // whole words of a mask
    expect([tile(200, 64, true), tile(24, 64, true)]).to.deep.equal(['32x4', '16x8']);
  });
});

describe('usual tiles with AVX-512', () => {
  const wide: KernelDevice = { ...plainDevice, avx512: true };
  const choices = (graph: Graph, device: KernelDevice): KernelChoice[] =>
    schedule(graph, groupNodes(graph, true), device, () => 1).dispatches.flatMap(({ tuning }) =>
      tuning === undefined ? [] : [tuning.choice],
    );
  const name = ({ kernel, rows, columns }: KernelChoice): string => `${kernel} ${rows}x${columns}`;

  it('of products with scalar loads have 48 rows, others where that saves a tenth in a large layer', () => {
    const tile = (rows: number, columns: number, writesMask = false): string => {
      const chosen = gatherTile({ rows, columns, maxRows: 16 }, writesMask, wide);
      return `${chosen.rows}x${chosen.columns}`;
    };
    expect([tile(400, 64), tile(200, 64), tile(120, 64), tile(400, 32), tile(10, 64)]).to.deep.equal([
      '48x8',
      '40x8',
      '48x8',
      '32x4',
      '16x8',
    ]);
    // whole words of a mask
    expect([tile(200, 64, true), tile(144, 32), tile(144, 32, true)]).to.deep.equal(['48x8', '48x4', '48x4']);
  });

  it('of the weight gradients of linear layers have 40 rows, others where those would compute too many twice', () => {
    const tile = (outputs: number): string => {
      const graph = new Graph();
      const [g, x] = [graph.input('g', [8, outputs]), graph.input('x', [8, 400])];
      graph.output('dw', graph.one('linearWeightGradient', [g, x], { bias: false }));
      return name(choices(graph, wide)[0]!);
    };
    expect([1024, 200, 120].map(tile)).to.deep.equal(Array<string>(3).fill('software/weightGradientLinear 40x8'));
    expect([84, 48, 20].map(tile)).to.deep.equal(
      ['32x8', '16x8', '16x8'].map((size) => `software/weightGradientLinear ${size}`),
    );
  });

  it('of linear layers are packed only where columns lie so that they push each other out of the cache', () => {
    const kernels = (inputs: number, device: KernelDevice): string[] => {
      const graph = new Graph();
      const [x, w, g] = [graph.input('x', [64, inputs]), graph.input('w', [512, inputs]), graph.input('g', [64, 512])];
      graph.output('y', graph.one('linear', [x, w], {}));
      graph.output('dw', graph.one('linearWeightGradient', [g, x], { bias: false }));
      return choices(graph, device).map(({ kernel }) => kernel);
    };
    expect(kernels(1024, wide)).to.include('software/convPacked');
    expect(kernels(1000, wide)).to.include('gemm/conv');
    expect(kernels(1000, plainDevice)).to.include('software/convPacked');
  });

  it('of convolutions have 8 outputs of a row; weight gradients two channels of 16 rows if workgroups suffice', () => {
    const found = (
      channels: number,
      size: number,
      stride: number,
      direction: 'conv2d' | 'conv2dWeightGradient',
      device = wide,
    ): string => {
      const graph = new Graph();
      const attrs = { stride: [stride, stride], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 } as const;
      const [x, w] = [graph.input('x', [4, channels, size, size]), graph.input('w', [channels, channels, 3, 3])];
      const g = graph.input('g', [4, channels, size / stride, size / stride]);
      const weightShape = [channels, channels, 3, 3];
      graph.output(
        'r',
        direction === 'conv2d'
          ? graph.one('conv2d', [x, w], attrs)
          : graph.one('conv2dWeightGradient', [g, x], { ...attrs, weightShape, bias: false }),
      );
      return name(choices(graph, device)[0]!);
    };
    expect([found(32, 16, 1, 'conv2d'), found(32, 16, 2, 'conv2d'), found(32, 4, 1, 'conv2d')]).to.deep.equal([
      'gemm/convRows 16x8',
      'gemm/convRows 16x8',
      'gemm/convRows 16x4',
    ]);
    expect(found(32, 16, 1, 'conv2d', plainDevice)).to.equal('gemm/convRows 16x4');
    expect([32, 16].map((channels) => found(channels, 16, 1, 'conv2dWeightGradient'))).to.deep.equal([
      'software/weightGradientRows 16x6',
      'software/weightGradientRows 16x3',
    ]);
    expect([found(64, 4, 1, 'conv2dWeightGradient'), found(64, 16, 2, 'conv2dWeightGradient')]).to.deep.equal([
      'software/weightGradientRows 16x12',
      'software/weightGradientRows 16x6',
    ]);
  });

  it('leave loops to the driver', () => {
    expect([
      usualUnrolling(wide),
      usualUnrolling(plainDevice),
      usualUnrolling({ ...wide, plainCompiler: true }),
    ]).to.deep.equal(['none', 'lanes', 'all']);
  });

  it('keep the order of sums and the splits of every layer @slow', () => {
    for (const definition of [mlp, lenet5, resnet20]) {
      for (const batch of [1, 9, 64]) {
        const { graph } = gradientGraph(definition, { batch, rule: 'bp', what: 'train' });
        const orders = (device: KernelDevice): Map<string, string> =>
          new Map(
            schedule(graph, groupNodes(graph, true), device, () => 1).dispatches.flatMap(({ tuning }) =>
              tuning === undefined
                ? []
                : [[tuning.problem.layer, `${orderOf(tuning.choice.kernel)} ${tuning.choice.splits ?? 0}`]],
            ),
          );
        expect([...orders(wide)]).to.deep.equal([...orders(plainDevice)]);
      }
    }
    const { graph } = gradientGraph(resnet20, { batch: 8, rule: 'bp', what: 'train' });
    expect(choices(graph, wide).map(name)).to.not.deep.equal(choices(graph, plainDevice).map(name));
  });
});
