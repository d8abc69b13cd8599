import { expect } from 'chai';
import type { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { profileProgram } from '../../src/profile/profile.js';
import type { Profile } from '../../src/profile/profile.js';
import { createWorkload } from '../../src/profile/workloads.js';
import type { Workload } from '../../src/profile/workloads.js';
import { memoryChart, palette, profileBody, segmentRanges } from '../../src/report/index.js';
import { sharedDevice } from '../support/device.js';
import { expectNumbers, expectWellFormed } from './support.js';

interface Box {
  readonly color: string;
  readonly left: number;
  readonly right: number;
}

/** The rectangles of a chart, as the charting library draws them: a corner and the way around. */
function boxes(svg: string): Box[] {
  return [...svg.matchAll(/<path d="M([\d.]+) [\d.]+l([\d.]+) 0l0 [\d.]+l-[\d.]+ 0Z" fill="var\(--(\w+),/g)].map(
    ([, left, width, color]) => ({
      color: color!,
      left: Number(left),
      right: Number(left) + Number(width),
    }),
  );
}

describe('memory plan of an attack', () => {
  let workload: Workload;
  let profile: Profile;

  before(async () => {
    const device = await sharedDevice();
    const definition = modelDefinition('lenet5');
    workload = await createWorkload('attack', {
      device,
      definition,
      weights: initialState(definition, 1),
      rule: 'bp',
      batch: 2,
    });
    const { program, segments, row } = workload;
    profile = await profileProgram(program, { segments, row, repeats: 1, label: 'bp' });
  });
  after(() => workload?.destroy());

  it('has all dispatches of the program on its axis, and shades the profiled ones', () => {
    const { program, segments } = workload;
    const all = program.dispatches.length;
    const ranges = segmentRanges(program.schedule, segments);
    const [range] = ranges;
    expect(ranges).to.have.length(1);
    expect(range!.last - range!.first).to.equal(profile.dispatches.length);
    expect(range!.first).to.be.greaterThan(0);
    expect(profile.dispatches.length).to.be.below(all);

    const { svg, legend } = memoryChart(program, ranges);
    expectWellFormed(svg);
    expectNumbers(svg);
    const drawn = boxes(svg);
    const [shade, ...rest] = drawn.filter(({ color }) => color === 'shade');
    expect(rest).to.have.length(0);
    const blocks = drawn.filter(({ color }) => color in palette && color !== 'shade');
    expect(blocks).to.have.length(program.plan.placements.size);
    // The scale, from the shaded range: every block stands at its own first and last dispatch.
    const perDispatch = (shade!.right - shade!.left) / (range!.last - range!.first);
    const origin = shade!.left - range!.first * perDispatch;
    [...program.plan.placements.keys()].forEach((tensor, index) => {
      const { first, last } = program.plan.lifetimes.get(tensor)!;
      expect(last).to.be.below(all);
      expect(blocks[index]!.left).to.be.closeTo(origin + first * perDispatch + 0.5, 0.5);
      expect(blocks[index]!.right).to.be.at.most(origin + all * perDispatch + 1);
      expect(blocks[index]!.right).to.be.closeTo(
        Math.max(origin + (last + 1) * perDispatch - 0.5, blocks[index]!.left + 1),
        0.5,
      );
    });
    expect(legend).to.include('forward').and.to.include('input gradient');
  });

  it('colors each value by what wrote it, wherever in the program that is', () => {
    const { program } = workload;
    const blocks = boxes(memoryChart(program).svg).filter(({ color }) => color in palette);
    const directions = [...program.plan.placements.keys()].map((tensor) => writerOf(program.schedule.graph, tensor));
    blocks.forEach(({ color }, index) => {
      if (directions[index] !== undefined) expect(color).to.equal(directions[index]);
    });
    expect(directions.filter((direction) => direction === 'inputGradient').length).to.be.greaterThan(2);
    expect(boxes(memoryChart(program).svg).some(({ color }) => color === 'shade')).to.equal(false);
  });

  it('says in the report what is shaded', () => {
    const { program, segments } = workload;
    const [range] = segmentRanges(program.schedule, segments);
    const body = profileBody(profile, program);
    expect(body).to.include(`dispatches ${range!.first} to ${range!.last - 1} of ${program.dispatches.length}`);
    expect(
      profileBody(
        { ...profile, segments: [...new Set(program.dispatches.map(({ source }) => source.segment))] },
        program,
      ),
    ).to.not.include('Shaded');
  });
});

/** The direction of the node that made a value of the graph; undefined for what kernels keep besides. */
function writerOf(graph: Graph, tensor: Tensor): string | undefined {
  return graph.nodes.find((node) => node.outputs.includes(tensor))?.direction;
}
