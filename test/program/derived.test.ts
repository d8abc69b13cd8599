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

/** A batch norm in eval mode in a segment that repeats; with `moving`, the same program moves its running mean. */
function line(moving: boolean): Line {
  const graph = new Graph();
  const x = graph.input('x', [2, 5, 3, 3]);
  const [gamma, beta, mean, variance] = ['gamma', 'beta', 'mean', 'variance'].map((name) => graph.parameter(name, [5])) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const y = graph.scope({ segment: 'step' }, () => {
    const found = graph.add('batchNormScaleShift', [gamma, beta, mean, variance], { epsilon: 1e-5 });
    const result = graph.one('scaleShift', [x, ...found], {});
    if (moving) graph.add('map', [gamma, beta, mean, variance], { fn: runningStatistics, scalars: [0.1, 1], targets: [2, 3] });
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
    using program = await Program.compile(graph, { device });
    expect(segments(program, 'elementwise/map')).to.deep.equal([derivedSegment]);
    expect(program.segmentDispatches('step')).to.have.length(1);
    for (let run = 0; run < 3; run++) {
      const reference = new ReferenceRun(graph);
      for (const tensor of tensors.slice(run === 2 ? 3 : 0)) program.write(tensor, values(tensor));
      for (const tensor of tensors) reference.set(tensor, await program.read(tensor));
      reference.run('step');
      if (run === 1) await runPoisoned(program, [{ segment: 'step', repeat: 1 }]);
      else await program.run([{ segment: 'step', repeat: 1 }]);
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
    expect(entries.map(({ op }) => op)).to.deep.equal(['batchNormScaleShift', 'batchNormScaleShift', 'scaleShift']);
    for (const { error, tensor } of entries) expect(error, tensor).to.be.below(1e-6);
  });
});
