import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { importOnnx } from '../../src/onnx/index.js';
import { encodeModel } from '../../src/onnx/schema.js';
import { fixtures, readIndex, sharedOnnx } from './support.js';
import { pending } from '../support/pending.js';

async function refusal(path: string): Promise<LinbpError> {
  try {
    await importOnnx(path);
  } catch (error) {
    expect(error).to.be.instanceOf(LinbpError);
    return error as LinbpError;
  }
  throw new Error(`${path} was imported`);
}

describe('ONNX files that are refused', () => {
  const cases: readonly (readonly [file: string, says: RegExp])[] = [
    ['qdq', /\/x\/QuantizeLinear \(QuantizeLinear, opset 13\)/],
    ['unsupported_domain', /fused \/conv1\/Conv \(com\.microsoft:FusedConv/],
    ['random_noise', /\/noise\/RandomNormalLike \(RandomNormalLike/],
    ['data_dependent_shape', /\/active\/NonZero \(NonZero/],
    ['conv3d', /5 axes.*\/conv1\/Conv \(Conv/],
    ['two_inputs', /2 inputs \(image, attributes\)/],
    ['segmentation', /\[N, 5, 8, 8\].*map/],
    ['undefined_tensor', /\/add\/Add \(Add.*"shortcut" is read but nothing makes it/],
    ['wrong_weight_shape', /\/conv2\/Conv \(Conv.*\[8, 6, 3, 3\].*\[2, 8, 8, 8\]/],
    ['huge_dims', /conv1\.weight claims \[1099511627776, 3, 3, 3\]/],
    ['external_missing', /external_missing\.onnx\.data.*conv1\.weight/],
    ['external_outside', /conv1\.weight lies outside the model's folder/],
    ['future_opset', /opset 99/],
    ['not_onnx', /Git LFS pointer/],
  ];
  for (const [file, says] of cases)
    it(`${file}: one error that says why`, async () => {
      const path = join(fixtures, 'refused', `${file}.onnx`);
      const { message } = await refusal(path);
      expect(message).to.match(says);
      expect(message.split(path), 'names the file once').to.have.length(2);
    });

  it('a file that ends early, wherever it ends', async () => {
    const whole = readFileSync(join(fixtures, 'networks', 'no_names.onnx'));
    for (let end = 0; end < whole.length; end += 97)
      expect(
        await importOnnx(whole.subarray(0, end)).catch((error: unknown) => error),
        `${end} bytes`,
      ).to.be.instanceOf(LinbpError);
  });

  it('a text attribute without a text', async () => {
    const node = { opType: 'Relu', input: ['x'], output: ['y'], attribute: [{ name: 'mode', type: 3 }] };
    const graph = { node: [node], input: [{ name: 'x' }], output: [{ name: 'y' }] };
    const bytes = encodeModel({ irVersion: 8, opsetImport: [{ version: 17 }], graph });
    expect(await importOnnx(bytes).catch((error: unknown) => error)).to.be.instanceOf(LinbpError);
  });

  it('lists every reason at once', async () => {
    const { message } = await refusal(join(fixtures, 'refused', 'qdq.onnx'));
    expect(message.match(/QuantizeLinear, opset/g)!.length).to.be.above(1);
  });

  it('all files of the test data', async function () {
    if (sharedOnnx === undefined) return pending(this, 'the shared ONNX files');
    const folder = join(sharedOnnx, 'networks');
    const refused = readIndex(folder).filter(({ outcome }) => outcome === 'refuse');
    expect(refused).to.have.length(19);
    for (const { name } of refused) expect((await refusal(join(folder, `${name}.onnx`))).message).to.include(name);
  });
});
