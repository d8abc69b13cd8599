/** Feeds mutated files to a reader in this process; for scripts/fuzz-onnx.mjs and scripts/fuzz-torch.mjs. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LinbpError } from '../dist/src/index.js';

const large = [0x00, 0x01, 0x7f, 0x80, 0xff];

/** Marsaglia's xorshift, so that a seed names a run. */
function generator(seed) {
  let state = seed >>> 0 || 1;
  return {
    get state() {
      return state;
    },
    below(count) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % count;
    },
  };
}

/** Bytes flipped, cut out, repeated, overwritten by other parts or by large numbers, and files that end early. */
function mutate(source, random) {
  let bytes = new Uint8Array(source);
  for (let edits = 1 + random.below(4); edits > 0 && bytes.length > 0; edits--) {
    const at = random.below(bytes.length);
    const length = 1 + random.below(Math.min(32, bytes.length - at));
    switch (random.below(6)) {
      case 0:
        bytes[at] ^= 1 << random.below(8);
        break;
      case 1:
        bytes[at] = large[random.below(large.length)];
        break;
      case 2:
        bytes.fill(0xff, at, at + length);
        break;
      case 3:
        bytes.copyWithin(at, random.below(bytes.length), random.below(bytes.length));
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      default:
        bytes = bytes.slice(0, Math.max(1, random.below(8) === 0 ? at : bytes.length));
    }
  }
  return bytes;
}

/**
 * Reads the command line `[--count 200000] [--seed 1] [--seconds N] FILE ...` and runs `read` on mutations of the
 * files. Prints how many were read and refused, by code, the slowest one by CPU time, and the peak of memory; whatever
 * is no LinbpError is a fault, printed with the state of the generator, and makes the exit code 1. `prepare` may change
 * a mutated file.
 */
export async function fuzz(usage, read, prepare = (bytes) => bytes) {
  const { values: options, positionals: paths } = parseArgs({
    allowPositionals: true,
    options: {
      count: { type: 'string', default: '200000' },
      seed: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '1e9' },
    },
  });
  const files = paths.map((path) => readFileSync(path));
  if (files.length === 0) {
    process.stderr.write(`usage: ${usage}\n`);
    process.exitCode = 1;
    return;
  }
  const random = generator(Number(options.seed));
  const counts = new Map();
  const slowest = { milliseconds: 0, file: '' };
  let done = 0;
  const started = performance.now();
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => (stopped = true));
  for (
    ;
    !stopped && done < Number(options.count) && performance.now() - started < 1000 * Number(options.seconds);
    done++
  ) {
    // Signals arrive between turns of the loop only.
    if (done % 256 === 0) await new Promise(setImmediate);
    const { state } = random;
    const source = files[done % files.length];
    const bytes = prepare(mutate(source, random), random);
    const begin = process.cpuUsage();
    let outcome = 'read';
    try {
      await read(bytes);
    } catch (error) {
      if (!(error instanceof LinbpError) || error.code === 'internal') {
        console.error(`file ${done} (${paths[done % files.length]}), state ${state}: ${error.stack}`);
        process.exitCode = 1;
      }
      outcome = error.code ?? error.name;
    }
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    const { user, system } = process.cpuUsage(begin);
    const milliseconds = (user + system) / 1000;
    if (milliseconds > slowest.milliseconds)
      Object.assign(slowest, { milliseconds, file: `file ${done}, state ${state}, ${outcome}` });
  }
  const peak = process.resourceUsage().maxRSS / 1024;
  const seconds = (performance.now() - started) / 1000;
  console.log([...counts].map(([outcome, count]) => `${outcome} ${count}`).join(', '));
  console.log(`${done} files in ${seconds.toFixed(0)} s; peak ${peak.toFixed(0)} MiB`);
  console.log(`slowest ${slowest.milliseconds.toFixed(0)} ms of CPU time (${slowest.file})`);
}
