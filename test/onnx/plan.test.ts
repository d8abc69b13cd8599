import { expect } from 'chai';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { exportOnnx, importOnnx } from '../../src/onnx/index.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { placeWindows } from '../../src/passes/windows.js';
import { plan } from '../../src/plan/plan.js';
import { schedule } from '../../src/plan/schedule.js';
import { networkGraph } from '../nn/support.js';
import { plainDevice } from '../support/plainDevice.js';
import { slowly } from '../support/slow.js';

/** Kernels with their grids in the order of running, and the bytes of the plan, for one gradient of the images. */
function planned(definition: ModelDefinition, rule: string) {
  const { graph } = networkGraph({ definition, batch: 4, rule, loss: 'mean', inputOnly: true });
  const groups = groupNodes(graph, true);
  const work = schedule(graph, groups, plainDevice, () => 1, placeWindows(graph, groups));
  const { bytes, savedForBackwardBytes } = plan(work);
  const dispatches = work.dispatches.map(({ kernel, variant, code, workgroups }) => {
    return [kernel, variant, workgroups.join(), code];
  });
  return { dispatches, bytes, savedForBackwardBytes };
}

function imported(name: string): ModelDefinition {
  const definition = modelDefinition(name);
  return importOnnx(exportOnnx(definition, { weights: initialState(definition, 0) }), { name });
}

describe('plans of imported networks', () => {
  const networks = ['lenet5', 'resnet20', 'resnet18', 'resnet18_imagenet', 'mobilenet_v2_imagenet', 'densenet121'];
  for (const [i, name] of networks.entries())
    slowly(i > 1, `${name}: the kernels of the definition, one for one`, 120_000, () => {
      const again = imported(name);
      for (const rule of ['bp', 'linbp:from=all'])
        expect(planned(again, rule), rule).to.deep.equal(planned(modelDefinition(name), rule));
    });

  it('a linear rule is free: no kernel, no mask, no larger plan', function () {
    this.timeout(60_000);
    const model = imported('lenet5');
    const [bp, linear] = ['bp', 'linbp:from=all'].map((rule) => planned(model, rule)) as [
      ReturnType<typeof planned>,
      ReturnType<typeof planned>,
    ];
    expect(linear.dispatches.length).to.be.at.most(bp.dispatches.length);
    expect(linear.bytes).to.be.at.most(bp.bytes);
    expect(linear.savedForBackwardBytes).to.be.below(bp.savedForBackwardBytes);
  });
});
