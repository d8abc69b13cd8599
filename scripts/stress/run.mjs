/**
 * Child process of the kill tests: trains a small network on the float64 reference with a checkpoint after every epoch,
 * going on from what is there. Arguments: the checkpoint, epochs, and what to do at which step of writing: `kill` or
 * `full`, and its number, or 0 for never.
 */
import fs from 'node:fs';
import { existsSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const [, , checkpoint, epochs, what, number] = process.argv;
let count = 0;
const due = () => ++count === Number(number);

for (const name of ['writeSync', 'fsyncSync', 'renameSync']) {
  const real = fs[name];
  fs[name] = (...args) => {
    if (!due()) return real(...args);
    if (what === 'full') throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    // Half of a write has reached the disk when the process dies.
    if (name === 'writeSync' && args[1]?.length > 1) real(args[0], args[1], 0, args[1].length >> 1);
    process.kill(process.pid, 'SIGKILL');
    return 0;
  };
}
syncBuiltinESMExports();

// Only what is needed: the process is started some hundred times.
const at = (name) => import(new URL(`../../dist/src/${name}.js`, import.meta.url).href);
const { drawDigits } = await at('data/digits');
const { initialState } = await at('nn/model');
const { modelDefinition } = await at('nn/zoo/index');
const { adam } = await at('train/optimizers');
const { Trainer } = await at('train/trainer');
const definition = modelDefinition('mlp');
const trainer = await Trainer.create({
  model: { definition, weights: initialState(definition, 1) },
  dataset: drawDigits({ split: 'train', count: 12 }),
  optimizer: adam(),
  batch: 4,
  seed: 3,
});
const state = checkpoint.replace(/\.safetensors$/, '.state.safetensors');
if (existsSync(state)) trainer.resume(checkpoint);
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => interrupt.abort());
try {
  process.send?.('ready');
  await trainer.fit({ epochs: Number(epochs), checkpoint, signal: interrupt.signal });
} catch (error) {
  process.stderr.write(`${error.code}: ${error.message}\n`);
  process.exitCode = error.code === 'aborted' ? 130 : 1;
}
process.disconnect?.();
