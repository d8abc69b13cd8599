import { expect } from 'chai';
import { onlyChoice } from '../../src/choices/table.js';
import type { Graph } from '../../src/graph/graph.js';
import type { ConvAttrs } from '../../src/graph/types.js';
import type { KernelChoice } from '../../src/kernels/problem.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { operationsOf, schedule } from '../../src/plan/schedule.js';
import { cutWorkgroups } from '../../src/wgsl/fold.js';
import { networkGraph } from '../nn/support.js';
import { convGraph } from '../support/convolution.js';
import { dataOf, runGraph, variousKernels } from '../support/dispatch.js';
import { plainDevice } from '../support/plainDevice.js';

const padded: ConvAttrs = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 };
const pointwise: ConvAttrs = { ...padded, padding: [0, 0, 0, 0] };

describe('dispatches of much work', () => {
  const tiled = { rows: 4, columns: 4, lanes: 4, share: 1, stage: { ranks: 2, depth: 4, vectors: true } } as const;
  const strided = convGraph([3, 5, 9, 10], [20, 5, 1, 1], { ...pointwise, stride: [2, 2] }, false);
  const graphs: [string, Graph, Partial<KernelChoice>?][] = [
    ['strided windows of one tap', strided],
    ['pooling, pointwise, reductions', variousKernels()],
    ['usual kernels @slow', convGraph([3, 5, 9, 10], [20, 5, 3, 3], padded, true)],
    ['all pixels of an image @slow', convGraph([3, 5, 9, 10], [20, 5, 1, 1], pointwise, true)],
    [
      'through workgroup memory @slow',
      convGraph([3, 5, 9, 10], [20, 5, 3, 3], padded, true),
      { kernel: 'gemm/convTiled', ...tiled },
    ],
    [
      'weights through workgroup memory @slow',
      convGraph([3, 5, 9, 10], [20, 5, 3, 3], padded, true),
      { kernel: 'gemm/weightGradientTiled', splits: 2, ...tiled },
    ],
    ['depthwise convolutions @slow', convGraph([2, 18, 9, 10], [18, 1, 3, 3], { ...padded, groups: 18 }, true)],
  ];
  for (const [name, graph, choice] of graphs) {
    it(`run in parts with the same bits: ${name}`, async () => {
      const data = dataOf(graph);
      const choices = choice === undefined ? {} : { choices: onlyChoice(choice as KernelChoice) };
      const whole = await runGraph(graph, { data, device: { ...choices, partLimits: { operations: Infinity } } });
      // grids that are folded, too
      const device = { ...choices, maxWorkgroups: 5, partLimits: { operations: 1, workgroups: 2 } };
      const parts = await runGraph(graph, { data, device });
      expect(parts.dispatches.length).to.be.above(whole.dispatches.length);
      for (const output of graph.outputs.values())
        expect(parts.results(output), output.name).to.deep.equal(whole.results(output));
    });
  }

  it('are in parts whose operations and workgroups add up to theirs', () => {
    const graph = convGraph([3, 5, 9, 10], [20, 5, 3, 3], padded, true);
    const make = (partLimits: { operations: number; workgroups: number }) =>
      schedule(graph, groupNodes(graph, true), { ...plainDevice, partLimits }, () => 0).dispatches;
    const total = (all: ReturnType<typeof make>, of: (dispatch: (typeof all)[number]) => number): number =>
      all.reduce((sum, dispatch) => sum + of(dispatch), 0);
    const parts = make({ operations: 1e4, workgroups: 1 });
    const whole = make({ operations: Infinity, workgroups: 1 });
    expect(parts.length).to.be.above(whole.length);
    const grid = ({ workgroups: [x, y, z] }: { readonly workgroups: readonly [number, number, number] }): number =>
      x * y * z;
    expect(total(parts, grid)).to.equal(total(whole, grid));
    expect(total(parts, operationsOf)).to.be.closeTo(total(whole, operationsOf), 1);
  });

  it('are not left in a training step of ResNet-50 with 8 images of 224 x 224', () => {
    const definition = modelDefinition('resnet50_imagenet');
    const { graph } = networkGraph({ definition, batch: 8, rule: 'bp', loss: 'mean', training: true });
    const { dispatches } = schedule(graph, groupNodes(graph, true), plainDevice, () => 0);
    for (const dispatch of dispatches) {
      const [x, y, z] = dispatch.workgroups;
      // parts are whole workgroups, two of them at least
      if (x * y * z < 4) expect(operationsOf(dispatch), `${dispatch.kernel} ${dispatch.variant}`).to.be.at.most(8e8);
      else expect(operationsOf(dispatch), `${dispatch.kernel} ${dispatch.variant}`).to.be.at.most(6e8);
    }
  });

  it('stay whole where a shader takes no place', () => {
    const code = 'struct Params { a: u32 }\n@compute @workgroup_size(4)\nfn main() {\n}\n';
    expect(cutWorkgroups(code, [8, 1, 1], 2)).to.equal(undefined);
    expect(cutWorkgroups(code, [1, 1, 1], 2)).to.equal(undefined);
  });
});
