import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import type { ConvAttrs } from '../../src/graph/types.js';
import type { KernelDevice } from '../../src/kernels/device.js';
import type { KernelChoice } from '../../src/kernels/problem.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { schedule } from '../../src/plan/schedule.js';
import { onlyChoice } from '../../src/choices/table.js';
import { foldWorkgroups } from '../../src/wgsl/fold.js';
import { convGraph } from '../support/convolution.js';
import { checkGraph, dataOf, variousKernels } from '../support/dispatch.js';
import { plainDevice } from '../support/plainDevice.js';

const padded: ConvAttrs = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 };

describe('grids longer than an axis may be', () => {
  const products: [string, Partial<KernelChoice> | undefined][] = [
    ['usual kernels', undefined],
    ['general kernels', { kernel: 'gemm/conv', rows: 8, columns: 2, lanes: 4, share: 1 }],
    ['by rows', { kernel: 'gemm/convRows', rows: 8, columns: 4, lanes: 4, share: 1 }],
    [
      'through workgroup memory',
      {
        kernel: 'gemm/convTiled',
        rows: 4,
        columns: 4,
        lanes: 4,
        share: 1,
        stage: { ranks: 2, depth: 4, vectors: true },
      },
    ],
    ['Winograd', { kernel: 'gemm/winogradF2', rows: 8, columns: 4, lanes: 4, share: 1 }],
  ];
  for (const [name, choice] of products) {
    it(`are folded with the same results: products, ${name}`, async () => {
      const graph = convGraph([3, 5, 9, 10], [20, 5, 3, 3], padded, true);
      const choices = choice === undefined ? {} : { choices: onlyChoice(choice as KernelChoice) };
      await checkGraph(graph, { data: dataOf(graph), device: { maxWorkgroups: 9, ...choices } });
    });
  }

  it('are folded with the same results: depthwise convolutions', async () => {
    const graph = convGraph([2, 18, 9, 10], [18, 1, 3, 3], { ...padded, groups: 18 }, true);
    await checkGraph(graph, { data: dataOf(graph), device: { maxWorkgroups: 5 } });
  });

  it('are folded with the same results: pooling, pointwise, reductions', async () => {
    const graph = variousKernels();
    await checkGraph(graph, { data: dataOf(graph), device: { maxWorkgroups: 5 } });
  });

  it('stay within an axis for layers of any size, on the CPU and on GPUs', () => {
    for (const software of [true, false]) {
      const device: KernelDevice = { ...plainDevice, software, maxBindingBytes: 2 ** 40 };
      const graphs = [
        convGraph([2048, 64, 224, 224], [64, 64, 3, 3], padded, true),
        convGraph([2048, 64, 224, 224], [64, 64, 1, 1], { ...padded, padding: [0, 0, 0, 0] }, true),
        convGraph([2048, 64, 224, 224], [64, 1, 3, 3], { ...padded, groups: 64 }, true),
        convGraph([2048, 64, 224, 224], [64, 64, 3, 3], { ...padded, stride: [2, 2] }, true),
      ];
      for (const graph of graphs) {
        const { dispatches } = schedule(graph, groupNodes(graph, true), device, () => 0);
        for (const { kernel, workgroups } of dispatches)
          expect(Math.max(...workgroups), `${kernel} ${workgroups.join(' x ')}`).to.be.at.most(65535);
      }
    }
  });

  it('leaves shorter grids alone, and refuses what no grid holds with a typed error', () => {
    const code = '@compute @workgroup_size(4)\nfn main(@builtin(workgroup_id) group: vec3u) {\n}\n';
    expect(foldWorkgroups('k', code, [65535, 2, 1], 65535).code).to.equal(code);
    expect(foldWorkgroups('k', code, [65536, 1, 1], 65535).workgroups).to.deep.equal([65535, 2, 1]);
    expect(() => foldWorkgroups('k', code, [65536, 65536, 1], 65535))
      .to.throw(LinbpError)
      .with.property('code', 'limit-exceeded');
  });
});
