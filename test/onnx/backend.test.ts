import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { onnxInputNames, readOnnxTensor, runOnnx } from '../../src/onnx/index.js';
import type { OnnxTensor } from '../../src/onnx/index.js';
import type { Device } from '../../src/runtime/device.js';
import { sharedDevice } from '../support/device.js';
import { lacking, slowly } from '../support/slow.js';
import { fixtures, sharedOnnx } from './support.js';

function tensors(folder: string, kind: 'input' | 'output'): OnnxTensor[] {
  const found: OnnxTensor[] = [];
  for (let i = 0; ; i++) {
    const path = join(folder, 'test_data_set_0', `${kind}_${i}.pb`);
    if (!existsSync(path)) return found;
    found.push(readOnnxTensor(readFileSync(path)));
  }
}

/** Floats to rtol 1e-3 and atol 1e-6, everything else exactly. */
async function checkCase(folder: string, device: Device | 'reference'): Promise<readonly string[]> {
  const model = join(folder, 'model.onnx');
  const inputs = tensors(folder, 'input');
  const named = (await onnxInputNames(model)).map((name, i) => [name, inputs[i]!] as const);
  const { outputs, onHost } = await runOnnx(model, Object.fromEntries(named), { device });
  const results = [...outputs.values()];
  tensors(folder, 'output').forEach((wanted, i) => {
    const got = results[i]!;
    expect(got.shape, folder).to.deep.equal(wanted.shape);
    expect(got.type, folder).to.equal(wanted.type);
    for (let k = 0; k < wanted.data.length; k++) {
      const [a, b] = [wanted.data[k]!, got.data[k]!];
      const slack = wanted.type.includes('float') ? 1e-6 + 1e-3 * Math.abs(a) : 0;
      expect(Object.is(a, b) || Math.abs(a - b) <= slack, `${folder}: ${b} for ${a}`).to.equal(true);
    }
  });
  return onHost;
}

describe("ONNX's backend cases", () => {
  const folder = join(fixtures, 'backend');
  const names = readdirSync(folder);
  for (const name of names)
    it(`${name} in float64`, async () => {
      await checkCase(join(folder, name), 'reference');
    });

  it('kernels and bounds that are inputs count as constants, so nothing runs on the CPU', async () => {
    for (const name of [
      'test_conv_with_autopad_same',
      'test_convtranspose_pads',
      'test_resize_upsample_scales_nearest',
    ])
      expect(await checkCase(join(folder, name), 'reference'), name).to.deep.equal([]);
  });

  it('numbers beyond float32 are computed on the CPU', async () => {
    expect(await checkCase(join(folder, 'test_operator_addconstant'), await sharedDevice())).to.deep.equal(['Add']);
  });

  it('the same on the device', async function () {
    this.timeout(120_000);
    const device = await sharedDevice();
    for (const name of names) await checkCase(join(folder, name), device);
  });

  for (const category of ['node', 'node-main', 'pytorch-converted', 'pytorch-operator'])
    slowly(true, `all of ${category}`, 600_000, async () => {
      if (sharedOnnx === undefined) return lacking('the cases of onnx beside LINBP_DATA');
      const all = join(sharedOnnx, 'backend', category);
      for (const name of readdirSync(all)) await checkCase(join(all, name), 'reference');
    });
});
