/**
 * Child process of the kill tests: trains a small network on the float64 reference with a checkpoint after every epoch,
 * going on from what is there. Arguments: the checkpoint, epochs, what to do, and at which step of writing:
 *
 *   none 0         nothing; prints the kinds of the steps (write, fsync, rename), one letter each
 *   kill N         SIGKILL inside step N, half of a write done; prints its kind
 *   killed-after N SIGKILL right after step N
 *   full N         step N meets a full disk
 *   SIGTERM N      the process gets this signal (or SIGINT, SIGHUP) in step N
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { fileURLToPath } from 'node:url';

const { existsSync, fstatSync, writeSync } = fs;
const [, , checkpoint, epochs, what, number] = process.argv;
let steps = '';

function die(kind) {
  writeSync(1, kind);
  process.kill(process.pid, 'SIGKILL');
}

/**
 * Counts the calls of a function as steps, and does what was asked for at one of them.
 *
 * @param isStep flushing the folder itself is no step: file systems may refuse it, and what it reports is passed over
 */
function watch(owner, name, kind, isStep = () => true) {
  const real = owner[name];
  owner[name] = async function (...args) {
    if (!isStep(this)) return real.apply(this, args);
    steps += kind;
    if (steps.length !== Number(number)) return real.apply(this, args);
    if (what === 'full') throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    if (what === 'kill') {
      // Half of a write has reached the disk when the process dies.
      if (kind === 'w' && args[0]?.length > 1) await real.call(this, args[0], 0, args[0].length >> 1);
      die(kind);
    }
    const result = await real.apply(this, args);
    if (what === 'killed-after') die(kind);
    if (what.startsWith('SIG')) process.kill(process.pid, what);
    return result;
  };
}

const own = await fs.promises.open(fileURLToPath(import.meta.url));
const files = Object.getPrototypeOf(own);
await own.close();
watch(files, 'write', 'w');
watch(files, 'sync', 'f', (handle) => fstatSync(handle.fd).isFile());
watch(fs.promises, 'rename', 'r');
syncBuiltinESMExports();

// Only what is needed: the process is started some hundred times.
const at = (name) => import(new URL(`../../dist/src/${name}.js`, import.meta.url).href);
const { drawDigits } = await at('data/digits');
const { initialState } = await at('nn/model');
const { adam } = await at('train/optimizers');
const { Trainer } = await at('train/trainer');
const definition = {
  name: 'tiny',
  input: [1, 28, 28],
  classes: 10,
  build: (net, x) => net.linear('b', net.relu('r', net.linear('a', net.flatten(x), 8)), 10),
};
const trainer = await Trainer.create({
  model: { definition, weights: initialState(definition, 1) },
  device: 'reference',
  dataset: drawDigits({ split: 'train', count: 12 }),
  optimizer: adam(),
  batch: 4,
  seed: 3,
});
if (existsSync(checkpoint.replace(/\.safetensors$/, '.state.safetensors'))) await trainer.resume(checkpoint);
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => interrupt.abort());
try {
  await trainer.fit({ epochs: Number(epochs), checkpoint, signal: interrupt.signal });
} catch (error) {
  process.stderr.write(`${error.code}: ${error.message}\n`);
  process.exitCode = error.code === 'aborted' ? 130 : 1;
}
if (what === 'none') process.stdout.write(steps);
