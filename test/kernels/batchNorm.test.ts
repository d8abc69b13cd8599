import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { runningStatistics } from '../../src/nn/runningStatistics.js';
import type { BackwardContext } from '../../src/ops/definition.js';
import { opTable } from '../../src/ops/table.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { formula, goldenValues } from '../reference/support.js';
import { relativeError } from '../support/compare.js';
import { checkGraph, keep, randomInt, randomValues, runGraph } from '../support/dispatch.js';
import { loadGolden, loadGoldenJson } from '../support/golden.js';

interface Row {
  readonly op: string;
  readonly name: string;
  readonly x: number[];
  readonly train: boolean;
  readonly momentum: number;
  readonly eps: number;
}

interface Layer {
  readonly graph: Graph;
  readonly x: Tensor;
  readonly gamma: Tensor;
  readonly beta: Tensor;
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly g: Tensor;
  readonly y: Tensor;
  readonly gradients: readonly [Tensor, Tensor, Tensor];
}

/**
 * Batch norm with the gradients of x, gamma and beta for an upstream gradient g, as the builder and autodiff emit it.
 */
function batchNorm(shape: readonly number[], train: boolean, epsilon = 1e-5): Layer {
  const graph = new Graph();
  const channels = shape[1]!;
  const count = elementCount(shape) / channels;
  const x = graph.input('x', shape);
  const [gamma, beta] = [graph.parameter('gamma', [channels]), graph.parameter('beta', [channels])];
  const [mean, variance] = [graph.state('mean', [channels]), graph.state('variance', [channels])];
  const g = graph.input('g', shape);
  const context = (outputs: readonly Tensor[]): BackwardContext => ({
    graph,
    needs: (index) => !(outputs.length > 0 && index > 1),
    outputGradient: (index) => outputs[index],
    rule: () => {
      throw new Error('no activation here');
    },
    maskOf: () => {
      throw new Error('no activation here');
    },
  });
  if (train) {
    const [batchMean, batchVariance, scale] = graph.add('batchNormStatistics', [x, gamma], { epsilon }) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const scalars = [0.1, count / (count - 1)];
    graph.add('map', [batchMean, batchVariance, mean, variance], { fn: runningStatistics, scalars, targets: [2, 3] });
    const y = graph.one('batchNormApply', [x, batchMean, scale, beta, gamma], {});
    const [dx, , , dbeta, dgamma] = opTable.batchNormApply.backward!(context([]), y.producer as never, g);
    return { graph, x, gamma, beta, mean, variance, g, y, gradients: [dx!, dgamma!, dbeta!] };
  }
  const line = graph.add('batchNormScaleShift', [gamma, beta, mean, variance], { epsilon });
  const y = graph.one('scaleShift', [x, ...line], {});
  const [dx, dscale, dshift] = opTable.scaleShift.backward!(context([]), y.producer as never, g);
  const [dgamma, dbeta] = opTable.batchNormScaleShift.backward!(
    context([dscale!, dshift!]),
    line[0]!.producer as never,
    dscale!,
  );
  return { graph, x, gamma, beta, mean, variance, g, y, gradients: [dx!, dgamma!, dbeta!] };
}

const near = (actual: ArrayLike<number>, expected: ArrayLike<number>, bound: number, what: string): void => {
  expect(relativeError(actual, expected), what).to.be.below(bound);
};

describe('batch norm', () => {
  const golden = loadGolden('ops');
  for (const row of loadGoldenJson<Row[]>('ops').filter((each) => each.op === 'batch_norm2d')) {
    it(`${row.name}: reference 1e-6, device 1e-5`, async () => {
      const layer = batchNorm(row.x, row.train, row.eps);
      const value = (tensor: Tensor, key: string, low: number, high: number): [Tensor, Float32Array] => [
        tensor,
        Float32Array.from(formula(`${row.name}.${key}`, elementCount(tensor.shape), low, high)),
      ];
      const data = new Map<Tensor, Float32Array>([
        value(layer.x, 'x', 2, 5),
        value(layer.gamma, 'w', 0.5, 1.5),
        value(layer.beta, 'b', -1, 1),
        value(layer.mean, 'rm', -1, 1),
        value(layer.variance, 'rv', 0.5, 1.5),
        value(layer.g, 'g', -1, 1),
      ]);
      const [dx, dgamma, dbeta] = layer.gradients;
      const expected = { y: layer.y, dx, dw: dgamma, db: dbeta, running_mean: layer.mean, running_var: layer.variance };
      keep(layer.graph, layer.y, dx, dgamma, dbeta);
      const reference = new ReferenceRun(layer.graph);
      for (const [tensor, values] of data) reference.set(tensor, values);
      reference.run();
      for (const [key, tensor] of Object.entries(expected))
        near(reference.get(tensor), goldenValues(golden, `${row.name}.${key}`), 1e-6, key);
      for (const fuse of [true, false]) {
        const { results } = await runGraph(layer.graph, { data, fuse });
        for (const [key, tensor] of Object.entries(expected))
          near(results(tensor), goldenValues(golden, `${row.name}.${key}`), 1e-5, key);
      }
    });
  }

  it('keeps the digits of the variance beside a mean that is a thousand times larger', async () => {
    const shape = [randomInt(2, 5), 3, randomInt(3, 20), randomInt(3, 20)];
    const layer = batchNorm(shape, true);
    keep(layer.graph, layer.y, ...layer.gradients);
    const data = new Map([
      [layer.x, randomValues(elementCount(shape)).map((value) => 1000 + value)],
      [layer.gamma, randomValues(3).map((value) => 1 + value / 2)],
      [layer.beta, randomValues(3)],
      [layer.mean, randomValues(3)],
      [layer.variance, randomValues(3).map(Math.abs)],
      [layer.g, randomValues(elementCount(shape))],
    ]);
    // the mean itself rounds to 6e-5 here, a fraction 1e-4 of the standard deviation
    await checkGraph(layer.graph, { data, tolerance: 3e-4 });
  });

  it('several workgroups share a channel where a GPU would idle, and several bindings a batch', async () => {
    const shape = [13, 3, 37, 41];
    const layer = batchNorm(shape, true);
    keep(layer.graph, layer.y, ...layer.gradients);
    const data = new Map([
      [layer.x, randomValues(elementCount(shape)).map((value, index) => 5 + value + index / 10000)],
      ...[layer.gamma, layer.beta, layer.mean].map((tensor) => [tensor, randomValues(3)] as const),
      [layer.variance, randomValues(3).map(Math.abs)],
      [layer.g, randomValues(elementCount(shape))],
    ]);
    const workgroups: number[] = [];
    for (const device of [{ software: true }, { software: false }, { software: false, maxBindingBytes: 40_000 }]) {
      const { dispatches } = await runGraph(layer.graph, { data, device });
      const reductions = dispatches.filter(
        ({ kernel }) => kernel === 'reduce/channelStatistics' || kernel === 'reduce/channelSums',
      );
      workgroups.push(reductions.reduce((sum, each) => sum + each.workgroups[0], 0));
      for (const { operands } of dispatches)
        for (const { tensor } of operands)
          expect(4 * elementCount(tensor.shape)).to.be.at.most(device.maxBindingBytes ?? Infinity);
      await checkGraph(layer.graph, { data, device });
    }
    // 19,721 values a channel are 4 parts of at least 4,096; under the limit 7 slices of at most 2 images have one
    // part each
    expect(workgroups).to.deep.equal([24, 24, 42]);
  });

  it('a residual addition and a ReLU with its mask run in the same dispatch', async () => {
    const shape = [2, 19, 6, 5];
    const layer = batchNorm(shape, true);
    const residual = layer.graph.input('residual', shape);
    const [y, mask] = layer.graph.add('activation', [layer.graph.one('add', [layer.y, residual], {})], {
      kind: 'relu',
      mask: true,
    }) as [Tensor, Tensor];
    keep(layer.graph, y, mask);
    const data = new Map(
      [layer.x, layer.gamma, layer.beta, layer.mean, layer.variance, layer.g, residual].map((tensor) => [
        tensor,
        randomValues(elementCount(tensor.shape)),
      ]),
    );
    const { dispatches } = await runGraph(layer.graph, { data });
    expect(dispatches.filter(({ variant }) => variant === 'batchNormApply+add+reluMask').length).to.equal(1);
    await checkGraph(layer.graph, { data });
  });

  it('refuses batch statistics of a single value per channel', () => {
    expect(() => batchNorm([1, 4, 1, 1], true)).to.throw(/more than one value per channel/);
  });
});
