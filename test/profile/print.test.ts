import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { settlePrecision } from '../../src/passes/half.js';
import { placeWindows } from '../../src/passes/windows.js';
import { schedule } from '../../src/plan/schedule.js';
import { printGraph, printPasses, printPlan } from '../../src/profile/print.js';
import { Program } from '../../src/program/program.js';
import { sharedDevice } from '../support/device.js';
import { plainDevice } from '../support/plainDevice.js';

interface Joined {
  readonly graph: Graph;
  readonly parts: readonly Tensor[];
  readonly joint: Tensor;
}

/** Two convolutions with ReLUs whose results are joined along channels, convolved once more and flattened. */
function joined(): Joined {
  const graph = new Graph();
  const attrs = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 } as const;
  const store = graph.parameter('parameters', [5 * 3 * 9 + 7 * 3 * 9 + 4 * 12 * 9]);
  let used = 0;
  const weight = (name: string, shape: readonly number[]): Tensor => {
    const window = graph.window(store, used, shape, name);
    used += shape.reduce((product, size) => product * size, 1);
    return window;
  };
  const x = graph.input('x', [2, 3, 8, 8]);
  const parts = ([5, 7] as const).map((channels) => {
    const y = graph.one('conv2d', [x, weight(`w${channels}`, [channels, 3, 3, 3])], attrs, `conv${channels}`);
    return graph.one('activation', [y], { kind: 'relu', mask: false }, `part${channels}`);
  });
  const joint = graph.one('concat', parts, {}, 'joint');
  const last = graph.one('conv2d', [joint, weight('last', [4, 12, 3, 3])], attrs, 'last.out');
  const pooled = graph.one(
    'maxPool2d',
    [last],
    { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], ceilMode: false },
    'pooled',
  );
  graph.output('y', graph.one('reshape', [pooled], { shape: [2, 64] }, 'flat'));
  return { graph, parts, joint };
}

/** A line of `text` with all of `words`; they need not be neighbors. */
function lineWith(text: string, ...words: string[]): string {
  const found = text.split('\n').find((line) => words.every((word) => line.includes(word)));
  expect(found, `no line with ${words.join(' and ')} in\n${text}`).to.be.a('string');
  return found!;
}

describe('printed programs', () => {
  it('every pass says what it did', () => {
    const { graph } = joined();
    settlePrecision(graph, 'f32');
    const groups = groupNodes(graph, true);
    const text = printPasses(schedule(graph, groups, plainDevice, () => 1, placeWindows(graph, groups)));
    expect(text.split('\n')[0]).to.match(/^precision f32: 0 of \d+ values in f16$/);
    lineWith(text, `fusion: ${graph.nodes.length} nodes in ${groups.length} kernels`);
    lineWith(text, 'conv2d > relu');
    lineWith(text, 'windows: 2 values inside wider ones');
    expect(lineWith(text, 'part5', 'joint')).to.match(/\[2, 5, 8, 8\] .*\[2, 12, 8, 8\] +0 to 4 +768$/);
    expect(lineWith(text, 'part7', 'joint')).to.match(/5 to 11 +768$/);
  });

  it('a pass that is off or changes nothing says so', () => {
    const { graph } = joined();
    settlePrecision(graph, 'f32');
    const text = printPasses(schedule(graph, groupNodes(graph, false), plainDevice, () => 1));
    lineWith(text, `fusion: ${graph.nodes.length} nodes in ${graph.nodes.length} kernels`);
    expect(text.split('\n').at(-1)).to.equal('windows: 0 values inside wider ones');
  });

  it('half precision lists what it narrows, the copies of weights included', () => {
    const { graph, joint } = joined();
    settlePrecision(graph, 'f16');
    const groups = groupNodes(graph, true);
    const text = printPasses(schedule(graph, groups, plainDevice, () => 1, placeWindows(graph, groups)));
    const [precision] = text.split('\n\n');
    const half = graph.nodes
      .flatMap(({ outputs }) => outputs)
      .filter((tensor) => tensor.dtype === 'f16' && tensor.view === undefined);
    expect(half).to.include(joint);
    expect(precision!.split('\n')).to.have.length(3 + half.length);
    expect(precision).to.match(new RegExp(`^precision f16: ${half.length} of \\d+ values in f16`));
    expect(lineWith(precision!, '%', 'parameters.half')).to.match(/ data +map$/);
    expect(lineWith(precision!, ' joint ')).to.match(/\[2, 12, 8, 8\] +3072 .* concat$/);
  });

  it('graph and plan show views, pitches and windows', async () => {
    const { graph, parts, joint } = joined();
    using program = await Program.compile(graph, { device: await sharedDevice() });
    const { places } = program.schedule;
    expect([...places.keys()]).to.deep.equal([...parts].sort((left, right) => left.id - right.id));
    const text = printGraph(graph, places);
    lineWith(text, 'w7 [7, 3, 3, 3] is', 'parameters from element 135 on');
    lineWith(text, 'part7 [2, 7, 8, 8] is', 'joint from element 320 on, images 768 apart');
    lineWith(text, 'flat [2, 64] is', 'pooled from element 0 on');
    expect(printGraph(graph)).to.not.include('images 768 apart');

    const plan = printPlan(program);
    const { arena, offset } = program.plan.placements.get(joint)!;
    expect(lineWith(plan, 'part7')).to.match(new RegExp(`joint +${arena} +${offset + 4 * 320} +${4 * 768}$`));
    expect(lineWith(plan, 'flat', 'pooled')).to.match(/ -$/);
    expect(plan).to.not.include('w7');
  });
});
