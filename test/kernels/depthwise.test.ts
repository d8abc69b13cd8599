import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { ConvAttrs, Tensor } from '../../src/graph/types.js';
import { convOutputShape } from '../../src/ops/convolution.js';
import { bp } from '../../src/rules/builtin.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { schedule } from '../../src/plan/schedule.js';
import { kernelDevice } from '../../src/program/kernelDevice.js';
import { sharedDevice } from '../support/device.js';
import { checkGraph, keep, randomInt, randomValues, runGraph } from '../support/dispatch.js';

interface Layer {
  readonly graph: Graph;
  readonly data: Map<Tensor, Float32Array>;
}

/**
 * A depthwise convolution with its gradients; with `relu` the activation and its backward behind them, whose masks
 * the kernels write and read.
 */
function layer(
  shape: readonly number[],
  kernel: readonly [number, number],
  given: Partial<ConvAttrs>,
  bias: boolean,
  relu = false,
): Layer {
  const graph = new Graph();
  const channels = shape[1]!;
  const attrs: ConvAttrs = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: channels, ...given };
  const weightShape = [channels, 1, ...kernel];
  const x = graph.input('x', shape);
  const w = graph.parameter('w', weightShape);
  const b = bias ? [graph.parameter('b', [channels])] : [];
  const g = graph.input('g', convOutputShape(shape, weightShape, attrs));
  const y = graph.one('conv2d', [x, w, ...b], attrs);
  const dx = graph.one('conv2dInputGradient', [g, w], { ...attrs, inputShape: shape });
  keep(graph, ...graph.add('conv2dWeightGradient', [g, x], { ...attrs, weightShape, bias }));
  if (relu) {
    const [z, mask] = graph.add('activation', [y], { kind: 'relu6', mask: true }) as [Tensor, Tensor];
    const [, before] = graph.add('activation', [x], { kind: 'relu', mask: true }) as [Tensor, Tensor];
    keep(graph, z, mask, graph.one('activationBackward', [dx, before], { kind: 'relu', rule: bp }));
  } else keep(graph, y, dx);
  return {
    graph,
    data: new Map([x, w, ...b, g].map((tensor) => [tensor, randomValues(elementCount(tensor.shape), 2)])),
  };
}

const sides = (size: number): readonly [number, number, number, number] => [size, size, size, size];

describe('depthwise convolution against the float64 reference', () => {
  const quick = new Set(['3x3', '3x3, stride 2, odd sizes', 'dilated and strided', '1x1']);
  const cases: [string, number[], [number, number], Partial<ConvAttrs>, boolean][] = [
    ['3x3', [2, 19, 8, 8], [3, 3], { padding: sides(1) }, true],
    ['3x3, stride 2, odd sizes', [2, 33, 11, 9], [3, 3], { stride: [2, 2], padding: sides(1) }, false],
    ['3x3, stride 2, padded below and right', [3, 16, 8, 12], [3, 3], { stride: [2, 2], padding: [0, 0, 1, 1] }, true],
    ['2x5, stride 4 along the rows', [1, 5, 13, 19], [2, 5], { stride: [3, 4], padding: sides(2) }, true],
    ['dilated', [2, 7, 14, 13], [3, 3], { dilation: [2, 3], padding: [2, 3, 2, 3] }, false],
    ['dilated and strided', [1, 6, 15, 17], [3, 2], { dilation: [1, 2], stride: [2, 2], padding: sides(1) }, true],
    ['1x1', [2, 8, 5, 6], [1, 1], {}, true],
    ['rows narrower than a strip', [2, 20, 3, 2], [3, 3], { padding: sides(1) }, false],
    ['stride 3, which the general kernel takes', [1, 4, 10, 10], [3, 3], { stride: [3, 3] }, true],
  ];
  for (const [name, shape, kernel, attrs, bias] of cases) {
    it(quick.has(name) ? name : `${name} @slow`, async () => {
      const { graph, data } = layer(shape, kernel, attrs, bias);
      await checkGraph(graph, { data });
    });
  }

  it('random shapes @swiftshader @slow', async () => {
    for (let trial = 0; trial < 4; trial++) {
      const stride = [randomInt(1, 3), [1, 2, 4][randomInt(0, 2)]!] as const;
      const attrs = {
        stride,
        dilation: [randomInt(1, 2), randomInt(1, 2)] as const,
        padding: [0, 0, 0, 0].map(() => randomInt(0, 2)) as never,
      };
      const { graph, data } = layer(
        [randomInt(1, 3), randomInt(2, 40), randomInt(9, 16), randomInt(9, 16)],
        [randomInt(1, 4), randomInt(1, 4)],
        attrs,
        trial % 2 === 0,
      );
      await checkGraph(graph, { data });
    }
  });

  it('writes and reads the masks of ReLUs in the same dispatch', async () => {
    const { graph, data } = layer([2, 35, 9, 10], [3, 3], { padding: sides(1) }, true, true);
    const { dispatches } = await runGraph(graph, { data });
    const fused = dispatches
      .filter(({ kernel }) => kernel === 'gemm/depthwise')
      .map(({ variant }) => variant.replace(/^\S+ /, ''));
    expect(fused).to.have.members(['3x3/1 bias+relu6Mask', '3x3/1 transposed bp']);
    await checkGraph(graph, { data });
  });

  it('many images: several workgroups a channel on a GPU, several bindings, subgroups or not @slow', async () => {
    const shape = [9, 3, 26, 30];
    const { graph, data } = layer(shape, [3, 3], { padding: sides(1) }, true);
    const workgroups: number[] = [];
    for (const device of [
      { software: true },
      { software: false },
      { software: false, subgroupSize: 0, maxBindingBytes: 30_000 },
    ]) {
      const capability = { ...kernelDevice(await sharedDevice()), ...device };
      const { dispatches } = schedule(graph, groupNodes(graph, true), capability, () => 1);
      workgroups.push(
        dispatches
          .filter(({ kernel }) => kernel === 'gemm/depthwiseWeightGradient')
          .reduce((sum, each) => sum + each.workgroups[0], 0),
      );
    }
    await checkGraph(graph, { data, device: { maxBindingBytes: 30_000 } });
    // the unrolled form, with a small window because it compiles long where the processor is the device
    const small = layer([2, 35, 6, 7], [1, 2], {}, true);
    await checkGraph(small.graph, { data: small.data, device: { software: false } });
    // 1,872 strips are 6 or 7 parts of 256 or more: 18 workgroups where 6 a channel are wanted, 21 where more are; 3
    // images a slice are 2 parts
    expect(workgroups).to.deep.equal([18, 21, 18]);
  });
});
