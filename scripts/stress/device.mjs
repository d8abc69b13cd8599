/** Losing the device at random moments, and what stays when devices, rules and batch sizes come and go. */
import { existsSync, readdirSync } from 'node:fs';
import { generator } from './fuzz.mjs';

const threads = () => (existsSync('/proc/self/task') ? readdirSync('/proc/self/task').length : 0);
const megabytes = () => Math.round(process.memoryUsage().rss / 1e6);

/** Collected twice, with time in between for what is released afterwards. */
async function settled() {
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Until the time is over: an attack whose device goes away meanwhile. */
export async function losses(api, { seconds, seed }) {
  const { Attack, Device, drawDigits, LinbpError, Model, modelDefinition } = api;
  const random = generator(seed);
  const faults = [];
  const figures = { rounds: 0, lost: 0, finished: 0 };
  const unhandled = (reason) => faults.push(`unhandled rejection: ${String(reason)}`);
  process.on('unhandledRejection', unhandled);
  const images = drawDigits({ split: 'train', count: 16 });
  const until = performance.now() + 1000 * seconds;
  while (performance.now() < until && faults.length === 0) {
    const device = await Device.open();
    const model = Model.create(modelDefinition('mlp'), { device });
    const timer = setTimeout(() => (figures.rounds % 2 === 0 ? device.gpu.destroy() : device.destroy()), random(2500));
    try {
      const attack = await Attack.compile({ model, eps: 0.1, steps: 1000, batch: 16 });
      await attack.run({ images, chunkMilliseconds: 5 });
      figures.finished++;
    } catch (error) {
      figures.lost++;
      const expected = error instanceof LinbpError && ['device-lost', 'disposed'].includes(error.code);
      if (!expected) faults.push(`${error?.code ?? 'untyped'}: ${error?.message ?? String(error)}`);
    }
    clearTimeout(timer);
    figures.rounds++;
    await new Promise((resolve) => setTimeout(resolve, 30));
    device.destroy();
  }
  process.off('unhandledRejection', unhandled);
  return { figures, faults };
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
  if (rules >= 100 && end > at + 250) faults.push(`rule texts: ${at} MB became ${end} MB`);

  const before = device.memory().planned;
  for (let n = 1; n <= batches; n++) await model.logits(new Float32Array(784 * n), { batch: n });
  figures.batchSizes = batches;
  figures.logitsPlannedMegabytes = Math.round((device.memory().planned - before) / 1e5) / 10;
  const live = device.memory().live;
  for (let n = 1; n <= batches; n++) await model.logits(new Float32Array(784 * n), { batch: n });
  if (device.memory().live > live * 1.5) faults.push('logits keeps more with every batch size');
  device.destroy();
  return { figures, faults };
}
