/** Losing the device at random moments, and what stays when devices, rules and batch sizes come and go. */
import { existsSync, readdirSync } from 'node:fs';
import { generator } from './random.mjs';

const threads = () => (existsSync('/proc/self/task') ? readdirSync('/proc/self/task').length : 0);
const megabytes = () => Math.round(process.memoryUsage().rss / 1e6);

/** Collected twice, with time in between for what is released afterwards. */
async function settled() {
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What a device is at work on when it goes away: each takes much longer than its device lives. */
const works = {
  async attack({ Attack }, model, images) {
    const attack = await Attack.compile({ model, eps: 0.1, steps: 100_000, batch: 16 });
    await attack.run({ images, chunkMilliseconds: 5 });
  },
  async training({ adam, Trainer }, model, images) {
    const trainer = await Trainer.create({ model, dataset: images, optimizer: adam(), batch: 4 });
    await trainer.fit({ epochs: 100_000 });
  },
  async logits(_, model) {
    for (let i = 0; i < 1_000_000; i++) await model.logits(new Float32Array(784 * 4));
  },
};

/** Takes the device away, by turns as the driver and as the caller does, in the middle of each kind of work. */
export async function losses(api, { seed, rounds }) {
  const { Device, drawDigits, LinbpError, Model, modelDefinition } = api;
  const random = generator(seed);
  const faults = [];
  const figures = { lost: 0, ...Object.fromEntries(Object.keys(works).map((name) => [name, 0])) };
  const unhandled = (reason) => faults.push(`unhandled rejection: ${String(reason)}`);
  process.on('unhandledRejection', unhandled);
  const images = drawDigits({ split: 'train', count: 16 });
  for (let round = 0; round < rounds && faults.length === 0; round++) {
    const [name, work] = Object.entries(works)[round % 3];
    const device = await Device.open();
    const model = Model.create(modelDefinition('mlp'), { device });
    const lose = () => (random(2) === 0 ? device.gpu.destroy() : device.destroy());
    // From within compilation up to the middle of the work.
    const timer = setTimeout(lose, random(1500));
    const late = setTimeout(() => faults.push(`${name}: no answer within two minutes`), 120_000);
    try {
      await Promise.race([work(api, model, images), new Promise((resolve) => setTimeout(resolve, 121_000).unref())]);
    } catch (error) {
      figures.lost++;
      figures[name]++;
      const expected = error instanceof LinbpError && ['device-lost', 'disposed'].includes(error.code);
      if (!expected) faults.push(`${name}: ${error?.code ?? 'untyped'}: ${error?.message ?? String(error)}`);
    }
    clearTimeout(timer);
    clearTimeout(late);
    await new Promise((resolve) => setTimeout(resolve, 30));
    device.destroy();
  }
  process.off('unhandledRejection', unhandled);
  return { figures, wanted: { lost: rounds }, faults };
}

/** Bounds: what is kept after many must not be much more than after few. */
export async function soak(api, { devices, rules, batches }) {
  const { Attack, Device, drawDigits, Model, modelDefinition, parseRules, wgslRule } = api;
  const faults = [];
  const figures = {};
  const few = Math.max(3, Math.floor(devices / 6));
  let early;
  for (let i = 0; i < devices; i++) {
    const device = await Device.open();
    const model = Model.create(modelDefinition('lenet5'), { device });
    await model.logits(new Float32Array(784));
    device.destroy();
    await settled();
    if (i === few - 1) early = { threads: threads(), megabytes: megabytes() };
  }
  figures.devices = devices;
  figures.threads = [early.threads, threads()];
  figures.devicesMegabytes = [early.megabytes, megabytes()];
  if (threads() > early.threads + 4) faults.push(`threads grew from ${early.threads} to ${threads()}`);
  if (megabytes() > early.megabytes + 150) faults.push(`devices: ${early.megabytes} MB became ${megabytes()} MB`);

  const device = await Device.open();
  const images = drawDigits({ split: 'train', count: 8 });
  const model = Model.create(modelDefinition('mlp'), { device });
  const half = Math.floor(rules / 2);
  for (let i = 0; i < rules; i++) {
    const wgsl = `fn rule(g: f32, d: f32, z: f32, p: RuleParams) -> f32 { return g * (d + ${i}.0 * 0.001); }`;
    const selected = parseRules('mine', [wgslRule({ name: 'mine', saves: 'mask', wgsl })]);
    const attack = await Attack.compile({ model, eps: 0.1, batch: 8, steps: 2, rules: selected });
    await attack.run({ images });
    attack.destroy();
    if (i === half - 1) {
      await settled();
      figures.rulesMegabytes = [megabytes()];
    }
  }
  await settled();
  figures.rules = rules;
  figures.rulesMegabytes.push(megabytes());
  figures.pipelines = device.pipelinesCompiled;
  const [at, end] = figures.rulesMegabytes;
  if (end > at + 250) faults.push(`rule texts: ${at} MB became ${end} MB`);

  const before = device.memory().planned;
  for (let n = 1; n <= batches; n++) await model.logits(new Float32Array(784 * n), { batch: n });
  figures.batchSizes = batches;
  figures.logitsPlannedMegabytes = Math.round((device.memory().planned - before) / 1e5) / 10;
  const live = device.memory().live;
  for (let n = 1; n <= batches; n++) await model.logits(new Float32Array(784 * n), { batch: n });
  if (device.memory().live > live * 1.5) faults.push('logits keeps more with every batch size');
  device.destroy();
  return { figures, wanted: { devices, rules, batchSizes: batches }, faults };
}
