import { expect } from 'chai';
import { byteLength } from '../../src/graph/types.js';
import type { Precision } from '../../src/graph/types.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { storeAsHalf } from '../../src/passes/half.js';
import { checkPlan } from '../../src/plan/check.js';
import { plan } from '../../src/plan/plan.js';
import { rootOf, schedule } from '../../src/plan/schedule.js';
import { networkGraph } from '../nn/support.js';
import { plainDevice } from '../support/plainDevice.js';

/** No dispatch runs in parts: how many parts there are depends on the size of an element. */
const uncut = { ...plainDevice, partLimits: { operations: Infinity } };

/**
 * Plans a network's gradients; without those of the parameters, which are outputs here but belong to the optimizer in
 * training.
 */
function planned(name: string, batch: number, inputOnly: boolean, precision: Precision) {
  const { graph } = networkGraph({
    definition: modelDefinition(name),
    batch,
    rule: 'bp',
    loss: 'mean',
    training: !inputOnly,
    inputOnly,
  });
  if (precision === 'f16') storeAsHalf(graph);
  const work = schedule(graph, groupNodes(graph, true), uncut, () => 1);
  const made = plan(work);
  checkPlan(work, made);
  const gradients = [...graph.outputs].filter(
    ([output, tensor]) => output.startsWith('grad.') && rootOf(tensor).kind === 'value',
  );
  const owned = inputOnly ? 0 : gradients.reduce((sum, [, tensor]) => sum + byteLength(tensor), 0);
  return { bytes: made.bytes - owned, saved: made.savedForBackwardBytes, dispatches: work.dispatches.length };
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

const quick = new Set(['resnet18', 'mlp']);

describe('half precision: memory plans', () => {
  for (const name of [
    'resnet18',
    'mobilenet_v2',
    'densenet121',
    'squeezenet',
    'vgg16_bn',
    'wrn28_10',
    'resnet20',
    'mlp',
  ]) {
    it(`${name} passes the checker; additions copy weights${quick.has(name) ? '' : ' @slow'}`, function () {
      this.timeout(60_000);
      for (const inputOnly of [true, false]) {
        const [full, half] = [planned(name, 8, inputOnly, 'f32'), planned(name, 8, inputOnly, 'f16')];
        // The weights of wrn28_10 are more than a binding holds.
        expect(half.dispatches).to.equal(full.dispatches + (name === 'wrn28_10' ? 2 : 1));
        // Under BP an attack saves masks and logits only, which are as large as before.
        if (inputOnly) expect(half.saved).to.equal(full.saved);
        else expect(half.saved).to.be.within(0.4 * full.saved, 0.6 * full.saved);
      }
    });
  }

  for (const [name, what, inputOnly] of [
    ['resnet20', 'input gradient', true],
    ['resnet18', 'training step', false],
  ] as const) {
    it(`${name} at batch 128, ${what}: little more than half of what f32 needs`, function () {
      this.timeout(60_000);
      const [full, half] = [planned(name, 128, inputOnly, 'f32'), planned(name, 128, inputOnly, 'f16')];
      for (const [precision, each] of Object.entries({ f32: full, f16: half })) {
        console.log(`      ${precision}: plan ${mebibytes(each.bytes)}, saved for backward ${mebibytes(each.saved)}`);
      }
      expect(half.bytes / full.bytes).to.be.below(0.65);
    });
  }
});
