import { expect } from 'chai';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { byteLength, elementCount, imagePitch, spanBytes } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { channelWindow } from '../../src/graph/graph.js';
import { Graph } from '../../src/graph/graph.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { placeWindows } from '../../src/passes/windows.js';
import { checkPlan } from '../../src/plan/check.js';
import { plan } from '../../src/plan/plan.js';
import { schedule } from '../../src/plan/schedule.js';
import type { DispatchSchedule } from '../../src/plan/schedule.js';
import { debugGraph, runPoisoned } from '../../src/program/debug.js';
import { Program } from '../../src/program/program.js';
import type { CompileOptions } from '../../src/program/program.js';
import { formulaStores, networkGraph } from '../nn/support.js';
import type { NetworkProblem } from '../nn/support.js';
import { itInHalf } from '../precision/support.js';
import { randomValues } from '../support/dispatch.js';
import { sharedDevice } from '../support/device.js';
import { plainDevice } from '../support/plainDevice.js';

/**
 * A dense block of two layers, a transition, and a fire module whose parts end in ReLUs: a chain of concatenations
 * and a wide one.
 */
const joining: ModelDefinition = {
  name: 'joining',
  input: [3, 8, 8],
  classes: 5,
  build(net, images) {
    let x = net.maxPool('pool0', net.relu('relu0', net.conv('conv0', images, 7, 3, { padding: 1, bias: false })), 3, {
      stride: 2,
      padding: 1,
    });
    for (const layer of ['layer1', 'layer2']) {
      const y = net.relu(`${layer}.relu1`, net.batchNorm(`${layer}.norm1`, x));
      x = net.concat(`${layer}.concat`, [x, net.conv(`${layer}.conv`, y, 5, 3, { padding: 1, bias: false })]);
    }
    x = net.relu('transition.relu', net.batchNorm('transition.norm', x));
    x = net.avgPool('transition.pool', net.conv('transition.conv', x, 6, 1, { bias: false }), 2);
    const parts = [1, 3].map((kernel) =>
      net.relu(
        `fire.relu${kernel}`,
        net.conv(`fire.expand${kernel}`, x, 9, kernel as 1 | 3, { padding: (kernel - 1) / 2 }),
      ),
    );
    return net.linear('fc', net.globalAvgPool('avgpool', net.concat('fire.concat', parts)), 5);
  },
};

const feedsOf = ({
  graph,
  images,
  labels,
  network,
}: ReturnType<typeof networkGraph>): Map<Tensor, Float32Array | Uint32Array> => {
  const { parameters, buffers } = formulaStores(joining);
  const batch = labels.shape[0]!;
  return new Map<Tensor, Float32Array | Uint32Array>([
    [images, inputs.subarray(0, elementCount(images.shape))],
    [labels, Uint32Array.from({ length: batch }, (_, n) => (3 * n + 1) % 5)],
    [network.parameters, parameters],
    ...(network.buffers === undefined ? [] : [[network.buffers, buffers] as const]),
    ...graph.initial,
  ]);
};

const inputs = randomValues(6 * 3 * 8 * 8);

interface Outcome {
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly dispatches: number;
  readonly bytes: number;
}

async function outcome(problem: NetworkProblem, options: Partial<CompileOptions>, poisoned = false): Promise<Outcome> {
  const built = networkGraph(problem);
  using program = await Program.compile(built.graph, { device: await sharedDevice(), ...options });
  for (const [tensor, data] of feedsOf(built)) program.write(tensor, data);
  await (poisoned ? runPoisoned(program, [{ segment: 'main' }]) : program.run([{ segment: 'main' }]));
  const values = new Map<string, Float32Array>();
  for (const name of built.graph.outputs.keys()) values.set(name, await program.read(name));
  return { values, dispatches: program.dispatches.length, bytes: program.plan.bytes };
}

function expectSameBits(actual: Outcome, expected: Outcome): void {
  for (const [name, values] of expected.values) {
    expect(Buffer.from(actual.values.get(name)!.buffer).equals(Buffer.from(values.buffer)), name).to.equal(true);
    expect(values.every(Number.isFinite), name).to.equal(true);
  }
}

const training: NetworkProblem = { definition: joining, batch: 6, rule: 'bp', loss: 'mean', training: true };

describe('windows of channels', () => {
  it('give the bits of copies with one dispatch less per part, fused, unfused and poisoned @slow', async () => {
    const attack: NetworkProblem = {
      definition: joining,
      batch: 6,
      rule: 'softplus:beta=2',
      loss: 'sum',
      inputOnly: true,
    };
    for (const problem of [training, attack]) {
      for (const fuse of [true, false]) {
        const copies = await outcome(problem, { fuse, windows: false });
        const windows = await outcome(problem, { fuse });
        expectSameBits(windows, copies);
        // three concatenations of two parts each, forward and backward
        expect(copies.dispatches - windows.dispatches).to.equal(12);
        expect(windows.bytes).to.be.at.most(copies.bytes);
        expectSameBits(await outcome(problem, { fuse }, true), copies);
      }
    }
  });

  for (const fuse of [true, false])
    it(`equal the float64 reference dispatch by dispatch${fuse ? '' : ', unfused'} @slow`, async () => {
      const built = networkGraph({ ...training, batch: 2, rule: 'silu' });
      const entries = await debugGraph(built.graph, feedsOf(built), { device: await sharedDevice(), fuse });
      expect(entries.length).to.be.above(20);
      for (const { error, kernel, layer, tensor } of entries)
        expect(error, `${kernel} ${layer} ${tensor}`).to.be.below(1e-5);
    });

  it('are cut into slices of images where they span more than a binding', async () => {
    const problem: NetworkProblem = { ...training, training: false, inputOnly: true };
    const whole = await outcome(problem, {});
    // six images of 17 channels of 4 x 4 are 6,528 bytes
    const cut = await outcome(problem, { maxBindingBytes: 4000 });
    expect(cut.dispatches).to.be.above(whole.dispatches + 6);
    expectSameBits(cut, whole);
  });

  itInHalf('in half precision give the same bits, too @slow', async () => {
    const copies = await outcome(training, { precision: 'f16', windows: false });
    const windows = await outcome(training, { precision: 'f16' });
    expectSameBits(windows, copies);
    expect(copies.dispatches - windows.dispatches).to.equal(12);
  });

  it('know where their images lie', () => {
    const graph = new Graph();
    const [wide, part] = [graph.input('wide', [3, 10, 2, 4]), graph.input('part', [3, 4, 2, 4])];
    const window = channelWindow(part, wide, 5);
    expect([imagePitch(part), imagePitch(window), window.view?.offset]).to.deep.equal([32, 80, 40]);
    expect([byteLength(window), spanBytes(window), spanBytes(part)]).to.deep.equal([4 * 96, 4 * (160 + 32), 4 * 96]);
    const inside = channelWindow(part, channelWindow(graph.input('half', [3, 6, 2, 4]), wide, 4), 2);
    expect([imagePitch(inside), inside.view?.offset]).to.deep.equal([80, 16]);
  });
});

function scheduled(graph: Graph, fuse = true, windows = true): DispatchSchedule {
  const groups = groupNodes(graph, fuse);
  return schedule(graph, groups, plainDevice, () => 1, windows ? placeWindows(graph, groups) : undefined);
}

describe('what lives in a window', () => {
  const attrs = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 } as const;
  const conv = (graph: Graph, x: Tensor, outputs: number): Tensor =>
    graph.one('conv2d', [x, graph.parameter('w', [outputs, x.shape[1]!, 1, 1])], attrs);
  const image = (graph: Graph): Tensor => graph.input('x', [2, 4, 5, 5]);
  const copies = ({ dispatches }: DispatchSchedule): number =>
    dispatches.filter(({ kernel }) => kernel === 'elementwise/copyRuns').length;

  it('no output, no input, no tensor that is joined twice, nothing that a kernel reads beside its own window', () => {
    const joins: ((graph: Graph) => { parts: Tensor[]; copied: number })[] = [
      (graph) => ({ parts: [conv(graph, image(graph), 3), conv(graph, image(graph), 4)], copied: 0 }),
      (graph) => ({ parts: [image(graph), conv(graph, image(graph), 4)], copied: 1 }),
      (graph) => {
        const kept = conv(graph, image(graph), 3);
        graph.output('kept', kept);
        return { parts: [kept, conv(graph, image(graph), 4)], copied: 1 };
      },
      (graph) => {
        const twice = conv(graph, image(graph), 3);
        return { parts: [twice, twice], copied: 2 };
      },
      (graph) => {
        // the second convolution would read the buffer that it writes
        const first = conv(graph, image(graph), 3);
        return { parts: [first, conv(graph, first, 4)], copied: 1 };
      },
    ];
    for (const join of joins) {
      const graph = new Graph();
      const { parts, copied } = join(graph);
      graph.output('y', graph.one('concat', parts, {}));
      const work = scheduled(graph);
      expect(copies(work)).to.equal(copied);
      checkPlan(work, plan(work));
    }
  });

  it('the checker refuses a window that holds something else, and a kernel that writes two of one value', () => {
    const build = (): { graph: Graph; parts: [Tensor, Tensor]; joined: Tensor } => {
      const graph = new Graph();
      const parts: [Tensor, Tensor] = [conv(graph, image(graph), 4), conv(graph, image(graph), 4)];
      const joined = graph.one('concat', parts, {});
      graph.output('y', conv(graph, joined, 2));
      return { graph, parts, joined };
    };
    const { graph, parts, joined } = build();
    const groups = groupNodes(graph, true);
    const places = (...firsts: readonly number[]): Map<Tensor, Tensor> =>
      new Map(parts.map((part, at) => [part, channelWindow(part, joined, firsts[at]!)]));
    const made = (where: Map<Tensor, Tensor>): DispatchSchedule => schedule(graph, groups, plainDevice, () => 1, where);
    const right = made(places(0, 4));
    checkPlan(right, plan(right));
    const order = ({ dispatches }: DispatchSchedule): DispatchSchedule['dispatches'] =>
      dispatches.filter(({ kernel }) => kernel !== 'elementwise/copyRuns');
    for (const firsts of [
      [4, 0],
      [0, 0],
      [0, 3],
    ]) {
      const wrong = made(places(...firsts));
      const broken = { ...wrong, dispatches: order(wrong) };
      expect(() => checkPlan(broken, plan(broken)), firsts.join()).to.throw(/holds something else/);
    }
    const missing = { ...right, dispatches: right.dispatches.slice(1) };
    expect(() => checkPlan(missing, plan(missing))).to.throw(/holds something else/);
    const [first, second] = right.dispatches;
    const both = {
      ...first!,
      operands: [...first!.operands, second!.operands.find(({ access }) => access === 'write')!],
    };
    const doubled = { ...right, dispatches: [both, ...right.dispatches.slice(1)] };
    expect(() => checkPlan(doubled, plan(doubled))).to.throw(/overlap/);
  });

  it('every part and slice of DenseNet-121 and SqueezeNet, in no larger plans @slow', () => {
    for (const [model, joined] of [
      ['densenet121', 58],
      ['squeezenet', 8],
      ['squeezenet1_1_imagenet', 8],
    ] as const) {
      for (const inputOnly of [true, false]) {
        const problem: NetworkProblem = {
          definition: modelDefinition(model),
          batch: 2,
          rule: 'bp',
          loss: 'mean',
          training: !inputOnly,
          inputOnly,
        };
        const { graph } = networkGraph(problem);
        const made = (windows: boolean): { dispatches: number; bytes: number } => {
          const work = scheduled(graph, true, windows);
          return { dispatches: work.dispatches.length, bytes: plan(work).bytes };
        };
        const [copied, placed] = [made(false), made(true)];
        const name = `${model} ${inputOnly ? 'attack' : 'training'}`;
        console.log(
          `      ${name}: ${copied.dispatches} -> ` +
            `${placed.dispatches} dispatches, ${copied.bytes} -> ${placed.bytes} bytes`,
        );
        expect(copied.dispatches - placed.dispatches).to.equal(4 * joined);
        // SqueezeNet's training has its peak elsewhere: how near the packing comes to that is chance, 0.1 % here
        expect(placed.bytes).to.be.at.most(inputOnly ? copied.bytes : 1.002 * copied.bytes);
      }
    }
  });

  it('is the same under BP and LinBP: unfused, each linearized ReLU is exactly one dispatch less @slow', () => {
    for (const model of ['densenet121', 'squeezenet']) {
      for (const inputOnly of [true, false]) {
        const [bp, linear] = ['bp', 'linbp:from=all'].map((rule) => {
          const { graph } = networkGraph({
            definition: modelDefinition(model),
            batch: 1,
            rule,
            loss: 'mean',
            inputOnly,
          });
          const masks = graph.nodes.filter((node) => node.op === 'activation' && node.outputs.length > 1).length;
          return { masks, dispatches: scheduled(graph, false).dispatches.length };
        }) as [{ masks: number; dispatches: number }, { masks: number; dispatches: number }];
        expect(linear.masks).to.equal(0);
        expect(bp.dispatches - linear.dispatches).to.equal(bp.masks);
      }
    }
  });
});
