import { uniforms } from '../../src/random/philox.js';
import { fromArrays } from '../../src/data/dataset.js';
import type { Dataset } from '../../src/data/dataset.js';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import { describeModel } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import type { StateDict } from '../../src/nn/model.js';

/** A small network with every kind of layer that LeNet-5 has; 8 x 8 images, 3 classes. */
export const tiny: ModelDefinition = {
  name: 'tiny',
  input: [1, 8, 8],
  classes: 3,
  build(net, images) {
    let x = net.conv('conv.0', images, 4, 3, { padding: 1 });
    x = net.relu('conv.2', net.maxPool('conv.1', x, 2));
    x = net.relu('fc.1', net.linear('fc.0', net.flatten(x), 16));
    return net.linear('fc.2', x, 3);
  },
  presets: { default: ['fc.1'] },
};

/** A bright square whose place tells the class, in noise that is the same in every run. */
export function squares(count: number, options: { bytes?: boolean } = {}): Dataset {
  const labels = Int32Array.from({ length: count }, (_, n) => n % 3);
  const noise = uniforms(5, count, 0, 0, count * 64);
  const pixel = (n: number, y: number, x: number): number => {
    const place = 2 * labels[n]!;
    const inside = y >= place && y < place + 3 && x >= place && x < place + 3;
    return 0.5 * noise[64 * n + 8 * y + x]! + (inside ? 0.5 : 0);
  };
  const values = Float32Array.from({ length: count * 64 }, (_, i) =>
    pixel(Math.floor(i / 64), Math.floor(i / 8) % 8, i % 8),
  );
  const images = options.bytes === true ? Uint8Array.from(values, (value) => Math.round(255 * value)) : values;
  return fromArrays({ name: 'squares', shape: [count, 1, 8, 8], classes: 3, images, labels });
}

/** The formula weights of the golden values. */
export function formulaState(definition: ModelDefinition): StateDict {
  return new Map(
    describeModel(definition).layout.specs.map(({ name, shape, kind }) => [
      name,
      { shape, data: formulaTensor(name, shape, kind) },
    ]),
  );
}

/** The batches of the golden training runs, one after the other: label of row j of batch b is (3 j + b) mod 10. */
export function goldenBatches(): Dataset {
  const images = new Float32Array(160 * 784);
  for (let b = 0; b < 10; b++) images.set(formulaTensor(`batch.${b}`, [16, 1, 28, 28], 'input'), b * 16 * 784);
  const labels = Int32Array.from({ length: 160 }, (_, n) => (3 * (n % 16) + Math.floor(n / 16)) % 10);
  return fromArrays({ name: 'golden', shape: [160, 1, 28, 28], classes: 10, images, labels });
}
