import { expect } from 'chai';
import { buildAttackGraph } from '../../src/attacks/attackGraph.js';
import { settle } from '../../src/attacks/options.js';
import { layOut } from '../../src/attacks/schedule.js';
import type { Graph } from '../../src/graph/graph.js';
import type { KernelDevice } from '../../src/kernels/types.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { exportOnnx, importOnnx } from '../../src/onnx/index.js';
import { attentionRegions } from '../../src/passes/attention.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { placeWindows } from '../../src/passes/windows.js';
import { plan } from '../../src/plan/plan.js';
import { schedule } from '../../src/plan/schedule.js';
import { networkGraph } from '../nn/support.js';
import { plainDevice } from '../support/plainDevice.js';
import { slowly } from '../support/slow.js';

/** A device with much of everything, as GPUs are. */
const largeDevice: KernelDevice = {
  ...plainDevice,
  subgroupSize: 32,
  software: false,
  maxInvocations: 1024,
  maxWorkgroupStorage: 49152,
  maxBindingBytes: 2 ** 31,
};

/** All that says how long a program takes: its dispatches in the order of running, and its memory. */
function planned(graph: Graph, device: KernelDevice = plainDevice) {
  const groups = groupNodes(graph, true);
  const work = schedule(graph, groups, device, () => 1, placeWindows(graph, groups), attentionRegions(graph, groups));
  const { arenas, savedForBackwardBytes } = plan(work);
  const dispatches = work.dispatches.map(({ kernel, variant, code, workgroups, flops, bytes, segment, parameters }) => {
    // As the device gets them: a file's epsilon is a float32.
    const words = parameters.map(({ name, value }) => `${name} ${Math.fround(value)}`);
    return { kernel, variant, code, workgroups, flops, bytes, segment, words };
  });
  return { dispatches, arenas, savedForBackwardBytes };
}

/** One gradient of the images. */
const gradient = (definition: ModelDefinition, rule: string): Graph =>
  networkGraph({ definition, batch: 4, rule, loss: 'mean', inputOnly: true }).graph;

/** A PGD attack, as `scripts/onnx-speed.mjs` times its steps. */
function attack(definition: ModelDefinition, rules: string): Graph {
  const model = { definition, weights: new Map() };
  const settings = settle({ model, device: 'reference', attack: 'pgd', eps: 0.1, steps: 2, batch: 8, rules });
  return buildAttackGraph(definition, settings, 8, layOut(settings).columns).graph;
}

async function imported(name: string): Promise<ModelDefinition> {
  const definition = modelDefinition(name);
  return await importOnnx(exportOnnx(definition, { weights: initialState(definition, 0) }), { name });
}

describe('plans of imported networks', () => {
  const networks = ['lenet5', 'resnet20', 'resnet18', 'resnet18_imagenet', 'mobilenet_v2_imagenet', 'densenet121'];
  for (const [i, name] of networks.entries())
    slowly(i > 1, `${name}: the kernels of the definition, one for one`, 120_000, async () => {
      const again = await imported(name);
      for (const rule of ['bp', 'linbp:from=all'])
        expect(planned(gradient(again, rule)), rule).to.deep.equal(planned(gradient(modelDefinition(name), rule)));
    });

  // A step of these takes an import no longer than the definition, because the device is given the same.
  for (const name of ['resnet18_imagenet', 'mobilenet_v2_imagenet']) {
    it(`${name}: PGD has the definition's dispatches, words and memory, on CPUs and GPUs @slow`, async function () {
      this.timeout(60_000);
      const [own, again] = [modelDefinition(name), await imported(name)];
      for (const device of [plainDevice, largeDevice]) {
        const [expected, found] = [own, again].map((each) => planned(attack(each, 'bp'), device));
        expect(found).to.deep.equal(expected);
      }
    });
  }

  it('a linear rule is free: no kernel, no mask, no larger plan', async function () {
    this.timeout(60_000);
    const model = await imported('lenet5');
    const [bp, linear] = ['bp', 'linbp:from=all'].map((rule) => planned(gradient(model, rule))) as [
      ReturnType<typeof planned>,
      ReturnType<typeof planned>,
    ];
    expect(linear.dispatches.length).to.be.at.most(bp.dispatches.length);
    const total = (arenas: readonly number[]): number => arenas.reduce((sum, bytes) => sum + bytes);
    expect(total(linear.arenas)).to.be.at.most(total(bp.arenas));
    expect(linear.savedForBackwardBytes).to.be.below(bp.savedForBackwardBytes);
  });
});
