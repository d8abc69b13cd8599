/** Child process that trains and attacks for a long time and reports resident memory; run with `--expose-gc`. */
import { drawDigits } from '../data/digits.js';
import { makeWorkload } from './workloads.js';
import party from './linbpParty.js';
import type { PartyTask } from './party.js';

/** Resident bytes after garbage is gone. */
async function resident(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage.rss();
}

/** Growth in bytes over `units` units after `warmUp` ones, in `parts` runs. */
async function growth(task: Pick<PartyTask, 'run'>, warmUp: number, units: number, parts: number): Promise<number> {
  for (let part = 0; part < parts; part++) await task.run(Math.ceil(warmUp / parts));
  const before = await resident();
  for (let part = 0; part < parts; part++) await task.run(units / parts);
  return (await resident()) - before;
}

drawDigits({ count: 1 });
const training = (await party.open(await makeWorkload({ kind: 'training', model: 'lenet5', batch: 8 })))!;
const attack = (await party.open(await makeWorkload({ kind: 'attack', model: 'lenet5', batch: 8, steps: 5 })))!;
// Each is warmed up before either is measured, so that neither pays for the other's first use.
await attack.run(20);
const steps = await growth(training, 400, 2000, 40);
const attacks = await growth(attack, 40, 200, 10);
process.send!({ steps, attacks }, () => process.exit(0));
