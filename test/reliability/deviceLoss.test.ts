import { expect } from 'chai';
import { adam, Attack, Device, drawDigits, LinbpError, Model, modelDefinition, Trainer } from '../../src/index.js';
import { sharedDevice } from '../support/device.js';

const images = drawDigits({ split: 'train', count: 16 });

async function code(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(
    () => undefined,
    (error: unknown) => (error instanceof LinbpError ? error.code : String(error)),
  );
}

/** Promises that were rejected with nobody listening while `body` ran; each of them would end a process. */
async function unhandled(body: () => Promise<void>): Promise<unknown[]> {
  const found: unknown[] = [];
  const listener = (reason: unknown): void => void found.push(reason);
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', listener);
  try {
    await body();
    await new Promise((resolve) => setTimeout(resolve, 30));
  } finally {
    process.removeListener('unhandledRejection', listener);
    for (const other of others) process.on('unhandledRejection', other);
  }
  return found;
}

describe('device loss', () => {
  for (const [name, lose] of [
    ['lost', (device: Device) => device.gpu.destroy()],
    ['destroyed', (device: Device) => device.destroy()],
  ] as const) {
    it(`rejects the call in progress and nothing else, with chunks in flight: ${name}`, async () => {
      const found = await unhandled(async () => {
        for (let round = 0; round < 2; round++) {
          const device = await Device.open();
          const model = Model.create(modelDefinition('mlp'), { device });
          const attack = await Attack.compile({ model, eps: 0.1, steps: 4000, batch: 16 });
          let chunks = 0;
          const onProgress = (): void => void (++chunks === 8 + 3 * round && lose(device));
          const result = await code(attack.run({ images, chunkMilliseconds: 4, onProgress }));
          expect(result).to.be.oneOf(['device-lost', 'disposed']);
          device.destroy();
        }
      });
      expect(found).to.deep.equal([]);
    });
  }
});

describe('errors belong to the object whose commands caused them', () => {
  it('an attack, logits and a program on a destroyed model say so; another model goes on', async () => {
    const device = await sharedDevice();
    const definition = modelDefinition('mlp');
    const gone = Model.create(definition, { device });
    const attack = await Attack.compile({ model: gone, eps: 0.1, steps: 2, batch: 16 });
    using model = Model.create(definition, { device });
    using trainer = await Trainer.create({ model, dataset: images, optimizer: adam(), batch: 8 });
    gone.destroy();
    const [fit, run, logits] = await Promise.all([
      code(trainer.fit({ epochs: 1 })),
      code(attack.run({ images })),
      code(gone.logits(new Float32Array(784))),
    ]);
    expect({ fit, run, logits }).to.deep.equal({ fit: undefined, run: 'disposed', logits: 'disposed' });
    attack.destroy();
    await device.idle();
  });

  it('a buffer that was destroyed is refused before anything is recorded', async () => {
    const device = await sharedDevice();
    const buffer = device.createBuffer({ size: 16, usage: 0x8c, label: 'gone' });
    buffer.destroy();
    expect(() => device.write(buffer, 0, new Float32Array(1)))
      .to.throw(LinbpError, /gone/)
      .with.property('code', 'disposed');
    expect(await code(device.read(buffer))).to.equal('disposed');
    await device.idle();
  });

  it('a buffer with a wrong usage is its own error, thrown by its users only', async () => {
    const device = await sharedDevice();
    const bad = device.createBuffer({ size: 16, usage: 0x8000, label: 'bad' });
    const good = device.createBuffer({ size: 16, usage: 0x8c });
    const plain = device.createBuffer({ size: 16, usage: 0x80, label: 'plain' });
    await device.read(good);
    await device.idle();
    expect(await code(device.read(plain))).to.equal('bad-argument');
    expect(() => device.write(bad, 0, new Float32Array(1))).to.throw(LinbpError);
    for (const buffer of [bad, good, plain]) buffer.destroy();
  });
});
