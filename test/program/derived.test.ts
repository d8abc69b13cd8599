import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { runningStatistics } from '../../src/nn/runningStatistics.js';
import { derivedSegment } from '../../src/plan/schedule.js';
import { debugGraph, runPoisoned } from '../../src/program/debug.js';
import { Program } from '../../src/program/program.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { randomArray, relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';

interface Line {
  readonly graph: Graph;
  readonly tensors: readonly Tensor[];
  readonly y: Tensor;
}

/**
 * A batch norm in eval mode in a segment that repeats, and in another, with values beside it for which memory is
 * reused; with `moving`, the same program moves its running mean.
 */
function line(moving: boolean): Line {
  const graph = new Graph();
  const x = graph.input('x', [2, 5, 3, 3]);
  const [gamma, beta, mean, variance] = ['gamma', 'beta', 'mean', 'variance'].map((name) =>
    graph.parameter(name, [5]),
  ) as [Tensor, Tensor, Tensor, Tensor];
  const normed = (): Tensor => {
    const wide = graph.one('channelPad', [x], { before: 0, after: 40, stride: [1, 1] });
    const kept = graph.one('channelSlice', [wide], { first: 0, stride: [1, 1], shape: x.shape });
    return graph.one(
      'scaleShift',
      [kept, ...graph.add('batchNormScaleShift', [gamma, beta, mean, variance], { epsilon: 1e-5 })],
      {},
    );
  };
  if (!moving) graph.output('other', graph.scope({ segment: 'other' }, normed));
  const y = graph.scope({ segment: 'step' }, () => {
    const result = normed();
    if (moving)
      graph.add('map', [gamma, beta, mean, variance], { fn: runningStatistics, scalars: [0.1, 1], targets: [2, 3] });
    return result;
  });
  graph.output('y', y);
  return { graph, tensors: [x, gamma, beta, mean, variance], y };
}

const values = (tensor: Tensor): Float32Array => {
  const data = randomArray(elementCount(tensor.shape));
  return tensor.name === 'variance' ? data.map((value) => Math.abs(value) + 0.1) : data;
};

const segments = (program: Program, kernel: string): string[] =>
  program.dispatches.filter(({ source }) => source.kernel === kernel).map(({ source }) => source.segment);

describe('what is derived from weights', () => {
  it("a batch norm's line is made once a run, anew when the weights have changed", async () => {
    const device = await sharedDevice();
    const { graph, tensors, y } = line(false);
    using program = await Program.compile(graph, { device, steps: { fields: {}, rows: 3 } });
    expect(segments(program, 'elementwise/map')).to.deep.equal([derivedSegment, derivedSegment]);
    const each = program.segmentDispatches('step').length;
    for (let run = 0; run < 3; run++) {
      const reference = new ReferenceRun(graph);
      for (const tensor of tensors.slice(run === 2 ? 3 : 0)) program.write(tensor, values(tensor));
      for (const tensor of tensors) reference.set(tensor, await program.read(tensor));
      reference.run('step');
      const before = device.counters.dispatches;
      if (run === 1) {
        await runPoisoned(program, [{ segment: 'other' }, { segment: 'step', repeat: 3 }]);
      } else {
        await program.run([{ segment: 'step', repeat: 3 }]);
        expect(device.counters.dispatches - before, "one line, not the other segment's").to.equal(1 + 3 * each);
      }
      expect(relativeError(await program.read('y'), reference.get(y)), `run ${run}`).to.be.below(1e-6);
    }
  });

  it('it is made in its place where the program changes what it is made of', async () => {
    const device = await sharedDevice();
    const { graph } = line(true);
    using program = await Program.compile(graph, { device });
    expect(segments(program, 'elementwise/map')).to.deep.equal(['step', 'step']);
  });

  it('debug mode compares it too', async () => {
    const device = await sharedDevice();
    const { graph, tensors } = line(false);
    const feeds = new Map(tensors.map((tensor) => [tensor, values(tensor)]));
    const entries = await debugGraph(graph, feeds, { device, segments: ['step'] });
    const lines = entries.filter(({ op }) => op === 'batchNormScaleShift');
    expect(lines.map(({ kernel }) => kernel)).to.deep.equal(['elementwise/map', 'elementwise/map']);
    expect(entries.map(({ op }) => op)).to.include('scaleShift');
    for (const { error, tensor } of entries) expect(error, tensor).to.be.below(1e-6);
  });

  it('debug mode gives readers the numbers of the reference, not those of a line that is broken', async () => {
    const device = await sharedDevice();
    const { graph, tensors } = line(false);
    const feeds = new Map(tensors.map((tensor) => [tensor, values(tensor)]));
    const pipeline = device.pipeline.bind(device);
    device.pipeline = (request) =>
      pipeline({
        ...request,
        code: request.code.replace(/ = (\w*gamma\w*) \/ sqrt\(/, ' = 2.0 * $1 / sqrt('),
      });
    try {
      for (const { op, error } of await debugGraph(graph, feeds, { device, segments: ['step'] })) {
        if (op === 'batchNormScaleShift') expect(error).to.be.above(0.1);
        else expect(error, op).to.be.below(1e-6);
      }
    } finally {
      device.pipeline = pipeline;
    }
  });
});
