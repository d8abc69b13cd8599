import { expect } from 'chai';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { attack } from '../../src/attacks/index.js';
import { readVictims } from '../../src/cli/victims.js';
import { tensorAsFloat32, writeSafetensors } from '../../src/io/safetensors.js';
import { readWeights } from '../../src/io/weights.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { temporaryFolder } from '../io/support.js';
import { refusal } from './support.js';
import { loadTensors } from '../support/tensors.js';

describe('files that hold more than is asked for', () => {
  const folder = temporaryFolder();
  const file = (header: object, bytes: number): string => {
    const path = join(folder(), 'x.safetensors');
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    writeFileSync(path, Buffer.concat([length, text, Buffer.alloc(bytes)]));
    return path;
  };
  const known = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };

  it('a tensor of an unknown type is refused when it is asked for, and others are read', async () => {
    const path = file({ a: known, b: { dtype: 'F4_E2M1', shape: [4], data_offsets: [8, 10] } }, 10);
    const weights = await readWeights(path);
    expect([...(await weights.get('a')!.values())]).to.deep.equal([0, 0]);
    await refusal(() => weights.get('b')!.values(), 'bad-dtype');
  });

  it('metadata that are null are none', () => {
    const { tensors, metadata } = loadTensors(file({ __metadata__: null, a: known }, 8));
    expect(Object.keys(metadata)).to.deep.equal([]);
    expect([...tensorAsFloat32(tensors.get('a')!)]).to.deep.equal([0, 0]);
  });

  it('a comma inside the path of a victim does not end it', async () => {
    const paths = ['a,b.safetensors', 'a,c.safetensors'].map((name) => join(folder(), name));
    const definition = modelDefinition('mlp');
    for (const path of paths) await writeSafetensors(path, initialState(definition, 1));
    const victims = await readVictims(paths.map((path) => `mlp=${path}`).join(), definition);
    expect(victims.map(({ definition: { name } }) => name)).to.deep.equal(['mlp', 'mlp']);
  });
});

describe('images that are not square', () => {
  const wide: ModelDefinition = {
    name: 'wide',
    input: [1, 6, 14],
    classes: 4,
    build: (net, x) => net.linear('fc', net.flatten(net.relu('r', net.conv('c', x, 3, 3, { padding: 1 }))), 4),
  };

  it('are attacked by input diversity, its bilinear form and shuffled strips, and move', async () => {
    const model = { definition: wide, weights: initialState(wide, 2) };
    const images = new Float32Array(2 * 84).fill(0.5);
    for (const name of ['difgsm', 'di', 'bsr'] as const) {
      const run = { images, labels: [0, 1], eps: 0.1, steps: 2, seed: 3 };
      const result = await attack({ model, device: 'reference', attack: name, ...run });
      const moved = result.images.filter((pixel, i) => pixel !== images[i]).length;
      expect(moved, name).to.be.above(84);
    }
  });
});
