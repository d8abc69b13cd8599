import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describeModel, positionTable } from '../../src/nn/definition.js';
import { importOnnx } from '../../src/onnx/index.js';
import type { Device } from '../../src/runtime/device.js';
import { relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { slowly } from '../support/slow.js';
import { fixtures, readIndex, runNetwork, sharedOnnx, stored } from './support.js';
import { pending } from '../support/pending.js';

/** Bounds of the test data: a float64 evaluation of the file, and float32. */
const bounds = { reference: [5e-6, 5e-6], device: [1e-5, 1e-4] } as const;

async function checkNetwork(path: string, where: 'reference' | 'device', device?: Device): Promise<void> {
  const [logits, gradient] = bounds[where];
  for (const [rule, key] of [
    ['bp', 'grad.input'],
    ['linbp:from=all', 'linbp.grad.input'],
  ] as const) {
    const wanted = stored(path, key);
    if (wanted === undefined) continue;
    const relus = positionTable(await importOnnx(path, { size: [32, 32] })).positions;
    if (rule !== 'bp' && relus.length === 0) continue;
    const result = await runNetwork(path, rule, device);
    expect(relativeError(result.logits, stored(path, 'logits')!), 'logits').to.be.below(logits);
    expect(relativeError(result.gradient, wanted), key).to.be.below(gradient);
  }
}

describe('imported ONNX networks', () => {
  const folder = join(fixtures, 'networks');
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.onnx'))) {
    it(`${file}: logits and gradients under both rules in float64`, () =>
      checkNetwork(join(folder, file), 'reference'));
  }

  it('logits and gradients on the device', async function () {
    this.timeout(60_000);
    await checkNetwork(join(folder, 'no_names.onnx'), 'device', await sharedDevice());
  });

  it('hard-swish from its pieces leaves no ReLU6, and is a position of its own', async () => {
    const model = await importOnnx(join(folder, 'hardswish_by_clip.onnx'));
    const found = positionTable(model).positions.map(({ activation }) => activation);
    expect(found).to.deep.equal(['hardSwish', 'hardSwish', 'hardSigmoid']);
  });

  it('the layout of the file does not reach the model', async () => {
    const model = await importOnnx(join(folder, 'nhwc_transposes.onnx'));
    expect(model.onnx.layout).to.equal('NHWC');
    expect(model.input[0]).to.equal(3);
    // The exporter's transposition of the images cancels that of the layout.
    expect(model.onnx.steps['transpose']).to.equal(3);
  });

  const networks = sharedOnnx === undefined ? undefined : join(sharedOnnx, 'networks');
  if (networks === undefined || !existsSync(networks)) {
    it('all networks', function () {
      pending(this, 'the shared ONNX networks');
    });
    return;
  }
  it('every weight that comes with a model is one of its parameters', async () => {
    for (const name of ['unet_nearest', 'vit_plain', 'resnet_bottleneck']) {
      const model = await importOnnx(join(networks, `${name}.onnx`));
      const keys = describeModel(model).layout.specs.map((spec) => spec.name);
      expect([...model.weights.keys()].sort(), name).to.deep.equal(keys.sort());
    }
  });

  for (const entry of readIndex(networks).filter(({ outcome }) => outcome === 'load')) {
    const path = join(networks, `${entry.name}.onnx`);
    slowly('golden', `${entry.name} in float64`, 120_000, async () => {
      const activations = positionTable((await runNetwork(path, 'bp')).definition).positions;
      const count = activations.filter(({ activation }) => /^relu6?$/.test(activation)).length;
      expect(count, 'ReLUs').to.equal(Number(entry.relu_count) + Number(entry.relu6_count));
      await checkNetwork(path, 'reference');
    });
    slowly('golden', `${entry.name} on the device`, 120_000, async () =>
      checkNetwork(path, 'device', await sharedDevice()),
    );
  }
});
