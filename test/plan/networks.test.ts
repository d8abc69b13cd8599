import { expect } from 'chai';
import { byteLength, elementCount } from '../../src/graph/types.js';
import type { Graph } from '../../src/graph/graph.js';
import { positionTable } from '../../src/nn/definition.js';
import { modelDefinition, modelNames } from '../../src/nn/zoo/index.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { placeWindows } from '../../src/passes/windows.js';
import { checkPlan } from '../../src/plan/check.js';
import { mostAlive } from '../../src/plan/pack.js';
import { plan } from '../../src/plan/plan.js';
import type { Plan } from '../../src/plan/plan.js';
import { rootOf, schedule } from '../../src/plan/schedule.js';
import { networkGraph } from '../nn/support.js';
import { plainDevice } from '../support/plainDevice.js';

interface Planned extends Plan {
  readonly dispatches: number;
}

function planned(graph: Graph): Planned {
  const groups = groupNodes(graph, true);
  const work = schedule(graph, groups, plainDevice, () => 1, placeWindows(graph, groups));
  const made = plan(work);
  checkPlan(work, made);
  return { ...made, dispatches: work.dispatches.length };
}

/** The most bytes alive during one dispatch. */
const alive = ({ lifetimes, placements }: Plan): number =>
  mostAlive([...lifetimes].map(([tensor, life]) => ({ ...life, bytes: placements.get(tensor)!.bytes })));

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/**
 * Bytes of the parameters' gradients, which are outputs of the test's graph but belong to the optimizer in training.
 */
const gradientBytes = (graph: Graph): number =>
  [...graph.outputs].reduce(
    (sum, [name, tensor]) =>
      sum + (name.startsWith('grad.') && rootOf(tensor).kind === 'value' ? byteLength(tensor) : 0),
    0,
  );

/** One of each family stands for it in the fast suite. */
const quick = new Set(['mlp', 'lenet5', 'vgg16_bn', 'resnet18', 'squeezenet1_1']);

describe('memory plans of every network', () => {
  // The official MobileNetV2 has no BP to compare with; its plan is that of mobilenet_v2.
  for (const model of modelNames.filter((name) => name !== 'mobilenet_v2_official')) {
    it(`${model} passes the checker; LinBP needs no more of anything${quick.has(model) ? '' : ' @slow'}`, function () {
      this.timeout(120_000);
      const definition = modelDefinition(model);
      const { presets } = positionTable(definition);
      const linbp = (presets['default']?.length ?? 0) > 0 ? 'linbp' : 'linbp:from=all';
      for (const inputOnly of [true, false]) {
        const [bp, linear] = ['bp', linbp].map((rule) =>
          planned(networkGraph({ definition, batch: 2, rule, loss: 'mean', training: !inputOnly, inputOnly }).graph),
        ) as [Planned, Planned];
        expect(linear.dispatches).to.be.at.most(bp.dispatches);
        expect(alive(linear)).to.be.at.most(alive(bp));
        expect(linear.bytes).to.be.at.most(bp.bytes);
        expect(linear.savedForBackwardBytes).to.be.at.most(bp.savedForBackwardBytes);
      }
    });
  }

  it('ResNet-18 at batch 128: arenas of a training step are at most 1.3 times what crosses to backward', function () {
    this.timeout(120_000);
    const { graph } = networkGraph({
      definition: modelDefinition('resnet18'),
      batch: 128,
      rule: 'bp',
      loss: 'mean',
      training: true,
    });
    const made = planned(graph);
    const peak = made.bytes - gradientBytes(graph);
    const crossing = made.savedForBackwardBytes;
    console.log(
      `      arenas ${mebibytes(peak)}, crossing ${mebibytes(crossing)}, ratio ${(peak / crossing).toFixed(3)}`,
    );
    expect(peak / crossing).to.be.at.most(1.3);
  });

  it('ResNet-50: LinBP from layer4 saves exactly the masks of its nine ReLUs', function () {
    this.timeout(120_000);
    const [bp, linear] = ['bp', 'linbp:from=layer4'].map((rule) => {
      const { graph } = networkGraph({
        definition: modelDefinition('resnet50'),
        batch: 32,
        rule,
        loss: 'mean',
        training: true,
      });
      const masks = graph.nodes.flatMap((node) =>
        node.op === 'activation' && node.outputs.length > 1 ? [node.outputs[1]!] : [],
      );
      return {
        ...planned(graph),
        masks: masks.length,
        maskBytes: masks.reduce((sum, mask) => sum + 4 * elementCount(mask.shape), 0),
      };
    }) as [Planned & { masks: number; maskBytes: number }, Planned & { masks: number; maskBytes: number }];
    for (const [name, each] of Object.entries({ BP: bp, LinBP: linear })) {
      console.log(
        `      ${name.padEnd(5)} plan ${mebibytes(each.bytes)}, saved for backward ` +
          `${each.savedForBackwardBytes} bytes, ${each.dispatches} dispatches`,
      );
    }
    expect(bp.masks - linear.masks).to.equal(9);
    expect(bp.savedForBackwardBytes - linear.savedForBackwardBytes).to.equal(bp.maskBytes - linear.maskBytes);
    expect(linear.bytes).to.be.at.most(bp.bytes);
  });
});
