import { expect } from 'chai';
import { fromArrays } from '../../src/data/dataset.js';
import { PlacedDataset, addFeed, packDataset } from '../../src/data/feed.js';
import { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import { openExecutor } from '../../src/program/executor.js';
import { permutation } from '../../src/random/permutation.js';
import type { Device } from '../../src/runtime/device.js';
import { sharedDevice } from '../support/device.js';

/** The device as it is, but with smaller limits. */
function limited(
  device: Device,
  limits: Partial<Record<'maxBufferSize' | 'maxStorageBufferBindingSize', number>>,
): Device {
  const narrow = new Proxy(device.limits, {
    get: (target, key) => (limits as Record<PropertyKey, number>)[key] ?? (Reflect.get(target, key) as unknown),
  });
  return new Proxy(device, {
    get(target, key) {
      if (key === 'limits') return narrow;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

function randomDataset(count: number, size: number, bytes: boolean) {
  const values = Uint8Array.from({ length: count * size * size }, () => Math.floor(256 * Math.random()));
  return fromArrays({
    shape: [count, 1, size, size],
    classes: 10,
    images: bytes ? values : Float32Array.from(values, (value) => value / 255),
    labels: Uint8Array.from({ length: count }, () => Math.floor(10 * Math.random())),
  });
}

describe('device-side data', () => {
  const cases = [
    { name: 'bytes', bytes: true, size: 8, limits: {} },
    { name: 'floats', bytes: false, size: 8, limits: {} },
    { name: 'bytes of samples that do not fill words', bytes: true, size: 5, limits: {} },
    { name: 'bytes larger than a binding', bytes: true, size: 8, limits: { maxStorageBufferBindingSize: 8192 } },
    { name: 'floats larger than a binding', bytes: false, size: 8, limits: { maxStorageBufferBindingSize: 16384 } },
  ];
  for (const { name, bytes, size, limits } of cases) {
    it(`gathers batches of ${name} in the order given`, async () => {
      const device = limited(await sharedDevice(), limits);
      const [count, batch] = [300, 7];
      const dataset = randomDataset(count, size, bytes);
      const data = new PlacedDataset(dataset, device);
      const graph = new Graph();
      const feed = addFeed(graph, data.feed, batch, { step: 'start' });
      graph.output('images', feed.images);
      graph.output('labels', feed.labels);
      const order = data.createOrder();
      const shuffled = permutation(count, 1, 0);
      order.write(shuffled);
      using executor = await openExecutor(graph, {
        device,
        stores: new Map(data.stores(feed, order)),
        steps: { fields: { start: 'u32' }, rows: 2 },
      });
      const { program } = executor;
      expect(program.dispatches.length > 2).to.equal(Object.keys(limits).length > 0);
      for (const start of [0, 123]) {
        program.steps.set(0, { start });
        program.uploadSteps();
        await program.run([{ segment: 'main' }]);
        const [images, labels] = [await program.read('images'), await program.readU32('labels')];
        for (let i = 0; i < batch; i++) {
          const row = shuffled[start + i]!;
          expect(labels[i]).to.equal(dataset.labels[row]);
          const expected = Array.from(dataset.images.subarray(row * size * size, (row + 1) * size * size), (value) =>
            bytes ? value / 255 : value,
          );
          expected.forEach((value, k) => expect(images[i * size * size + k]).to.be.closeTo(value, 1e-7));
        }
      }
      data.destroy();
    });
  }

  it('refuses what exceeds the largest buffer, with advice', async () => {
    const device = limited(await sharedDevice(), { maxBufferSize: 1024 });
    expect(() => new PlacedDataset(randomDataset(100, 8, true), device))
      .to.throw(LinbpError, /subset/)
      .with.property('code', 'limit-exceeded');
  });

  it('keeps bytes as they lie in memory', () => {
    const shifted = new Uint8Array(3 * 64 + 1).fill(7).subarray(1);
    const { packed, images } = packDataset(
      fromArrays({ shape: [3, 1, 8, 8], classes: 2, images: shifted, labels: new Uint8Array(3) }),
    );
    expect(packed).to.equal(true);
    expect(images).to.deep.equal(new Uint32Array(48).fill(0x07070707));
  });
});
