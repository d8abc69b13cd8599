import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { chooseTile, gatherTile } from '../../src/kernels/tiles.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { schedule } from '../../src/plan/schedule.js';
import { plainDevice } from '../support/plainDevice.js';

describe('usual tiles', () => {
  const columns = (count: number, device = plainDevice): number => chooseTile({ rows: 400, columns: count, maxRows: 16 }, device).columns;

  it('on the CPU are narrow where wide ones would compute columns that there are not', () => {
    expect([64, 256, 1025, 4096].map((count) => columns(count))).to.deep.equal([8, 8, 8, 8]);
    // a bias is one column more
    expect([10, 32, 96, 257, 785].map((count) => columns(count))).to.deep.equal([4, 4, 4, 4, 4]);
  });

  it('on a GPU depend on how many workgroups there are', () => {
    const gpu = { ...plainDevice, software: false };
    expect([64, 257, 4096].map((count) => columns(count, gpu))).to.deep.equal([4, 4, 8]);
  });

  it('of weight gradients are cut into parts until there are four workgroups on the CPU, and more of them on a GPU', () => {
    const parts = (inputs: number, outputs: number, kernel: number, device = plainDevice): number => {
      const graph = new Graph();
      const [g, x] = [graph.input('g', [32, outputs, 16, 16]), graph.input('x', [32, inputs, 16, 16])];
      const pad = (kernel - 1) / 2;
      const attrs = { stride: [1, 1], padding: [pad, pad, pad, pad], dilation: [1, 1], groups: 1 } as const;
      graph.output('dw', graph.one('conv2dWeightGradient', [g, x], { ...attrs, weightShape: [outputs, inputs, kernel, kernel], bias: false }));
      const { dispatches } = schedule(graph, groupNodes(graph, true), device, () => 1);
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
      const { kernel, rows, columns } = schedule(graph, groupNodes(graph, true), plainDevice, () => 1).dispatches[0]!.tuning!.choice;
      return kernel === 'gemm/weightGradientLinear' ? `${rows}x${columns}` : undefined;
    };
    expect([tile(1024, 1024), tile(200, 400), tile(48, 512), tile(16, 8)]).to.deep.equal(['32x8', '40x4', '16x8', '16x8']);
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
