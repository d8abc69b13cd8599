import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { importOnnx, onnxInputNames, runOnnx } from '../../src/onnx/index.js';
import { encodeModel } from '../../src/onnx/schema.js';
import type { RawTensor } from '../../src/onnx/schema.js';
import { expectLinbpError, temporaryFolder } from '../io/support.js';

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

/** An initializer whose bytes lie in another file. */
const beside = (name: string, dims: number[], location: string, offset = 0): RawTensor => ({
  ...{ name, dims, dataType: 1, dataLocation: 1 },
  externalData: [
    { key: 'location', value: location },
    { key: 'offset', value: String(offset) },
  ],
});

const image = (name: string) => ({
  name,
  type: { tensorType: { elemType: 1, shape: { dim: [1, 1, 2, 1].map((dimValue) => ({ dimValue })) } } },
});

/** logits = flatten(x) w + b, with w and b in the same file, and a tensor that nobody takes in none. */
const model = (unused: RawTensor): Uint8Array =>
  encodeModel({
    irVersion: 8,
    opsetImport: [{ version: 17 }],
    graph: {
      node: [
        { opType: 'Flatten', input: ['x'], output: ['flat'] },
        { opType: 'Gemm', input: ['flat', 'w', 'b'], output: ['y'] },
      ],
      initializer: [beside('w', [2, 3], 'data.bin', 4), beside('b', [3], 'data.bin', 28), unused],
      input: [image('x')],
      output: [{ name: 'y' }],
    },
  });

describe('ONNX tensors in other files', () => {
  const folder = temporaryFolder();
  const files = (data: Uint8Array): string => {
    const path = join(folder(), 'model.onnx');
    writeFileSync(path, model(beside('unused', [4], 'nowhere.bin')));
    writeFileSync(join(folder(), 'data.bin'), data);
    return path;
  };

  it('are read from their places; those that no node takes are not missed', async () => {
    const path = files(floats(0, 1, 2, 3, 4, 5, 6, 0.5, 0.25, 0));
    const { weights } = await importOnnx(path);
    expect([...weights.values()].map(({ data }) => data.length).sort()).to.deep.equal([3, 6]);
    const x = { type: 'float32', shape: [1, 1, 2, 1], data: Float32Array.of(1, 10) } as const;
    const { outputs } = await runOnnx(path, { x }, { device: 'reference' });
    expect([...outputs.get('y')!.data]).to.deep.equal([41.5, 52.25, 63]);
  });

  it('are not needed for the names of inputs, and one that ends early is refused by name', async () => {
    const path = files(floats(0, 1, 2));
    expect(await onnxInputNames(path)).to.deep.equal(['x']);
    await expectLinbpError(() => importOnnx(path), 'bad-file', /initializer w needs 24 bytes, data\.bin/);
    mkdirSync(join(folder(), 'other'));
    writeFileSync(join(folder(), 'other', 'model.onnx'), model(beside('unused', [4], 'nowhere.bin')));
    await expectLinbpError(() => importOnnx(join(folder(), 'other', 'model.onnx')), 'missing-file', /data\.bin with/);
  });
});
