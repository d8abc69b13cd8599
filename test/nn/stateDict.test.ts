import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { LinbpError } from '../../src/errors.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import type { TensorToWrite } from '../../src/io/safetensors.js';
import { initialState, readStateDict } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';

const definition = modelDefinition('resnet20');
const state = initialState(definition, 3);
const plain = (): Map<string, TensorToWrite> =>
  new Map([...state].map(([name, { shape, data }]) => [name, { shape, data }]));

/** The upper half of a float32, rounded to nearest and even, which is BF16. */
const upperHalf = (value: number): number => {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
};
const fromUpperHalf = (half: number): number => new Float32Array(Uint32Array.of(half << 16).buffer)[0]!;

describe('state dicts of files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-state-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'weights.safetensors');
  const written = async (tensors: Map<string, TensorToWrite>): Promise<string> => {
    await writeSafetensors(path, tensors);
    return path;
  };
  const errorOf = async (tensors: Map<string, TensorToWrite>): Promise<LinbpError> => {
    try {
      await readStateDict(definition, await written(tensors));
    } catch (error) {
      return error as LinbpError;
    }
    return expect.fail('was read');
  };

  it('a module. prefix on every key and num_batches_tracked are dropped', async () => {
    const wrapped = new Map([...plain()].map(([name, tensor]) => [`module.${name}`, tensor]));
    for (const name of ['bn1', 'layer1.0.bn2'])
      wrapped.set(`module.${name}.num_batches_tracked`, { shape: [1], data: Int32Array.of(7) });
    const read = await readStateDict(definition, await written(wrapped));
    expect([...read.keys()]).to.have.members([...state.keys()]);
    for (const [name, { data }] of state) expect(read.get(name)!.data, name).to.deep.equal(data);
    // Only where all keys have it.
    const half = new Map([...plain()].map(([name, tensor], i) => [i === 0 ? `module.${name}` : name, tensor]));
    expect((await errorOf(half)).message)
      .to.contain('missing conv1.weight')
      .and.to.contain('unexpected module.conv1.weight');
  });

  it('F16 and BF16 are widened exactly', async () => {
    const narrow = plain();
    const weight = state.get('linear.weight')!;
    const halves = Uint16Array.from(weight.data, upperHalf);
    narrow.set('linear.weight', { dtype: 'BF16', shape: weight.shape, data: halves });
    narrow.set('linear.bias', {
      dtype: 'F16',
      shape: [10],
      data: Uint16Array.from({ length: 10 }, (_, i) => 0x3c00 + i),
    });
    const read = await readStateDict(definition, await written(narrow));
    expect(read.get('linear.weight')!.data).to.deep.equal(Float32Array.from(halves, fromUpperHalf));
    expect(Array.from(read.get('linear.bias')!.data)).to.deep.equal(Array.from({ length: 10 }, (_, i) => 1 + i / 1024));
  });

  it('what is missing, extra or of another shape is counted in one error that shows the first', async () => {
    const wrong = plain();
    wrong.delete('layer2.1.conv1.weight');
    wrong.delete('bn1.running_var');
    wrong.set('fc.weight', { shape: [10, 64], data: new Float32Array(640) });
    wrong.set('linear.weight', { shape: [64, 10], data: new Float32Array(640) });
    const error = await errorOf(wrong);
    expect(error).to.include({ code: 'bad-file', field: 'weights' });
    for (const part of [
      'resnet20',
      'missing bn1.running_var [16]',
      'unexpected fc.weight',
      'linear.weight: expected [10, 64], got [64, 10]',
      'and 1 more',
    ]) {
      expect(error.message).to.contain(part);
    }
  });
});
