/** Feeds mutated files to a reader in this process; for scripts/fuzz-onnx.mjs and scripts/fuzz-torch.mjs. */
import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { basename } from 'node:path';
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

/** What `reading` gives, and the milliseconds of processor time that it took. */
async function timed(reading) {
  const begin = process.cpuUsage();
  const error = await reading().then(
    () => undefined,
    (thrown) => thrown,
  );
  const { user, system } = process.cpuUsage(begin);
  return { error, milliseconds: (user + system) / 1000 };
}

/** The functions in which `reading` spends its time, with their shares. */
async function timeConsumers(reading) {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 200 });
  await session.post('Profiler.start');
  // One reading may be too short for samples.
  for (const began = performance.now(); performance.now() - began < 200;) await timed(reading);
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  const counts = new Map();
  for (const { callFrame, hitCount } of profile.nodes) {
    const { functionName, url, lineNumber } = callFrame;
    const place = url === '' ? '' : ` (${url.replace(/^.*\/(dist|node_modules)\//, '')}:${lineNumber + 1})`;
    const name = `${functionName || 'anonymous'}${place}`;
    if (hitCount > 0 && name !== '(idle)') counts.set(name, (counts.get(name) ?? 0) + hitCount);
  }
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const largest = [...counts].sort(([, a], [, b]) => b - a).slice(0, 4);
  return largest.map(([name, count]) => `${((100 * count) / total).toFixed(0)} % ${name}`).join(', ');
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
 * Reads the command line `[--count 200000] [--seed 1] [--seconds N] [--most 20] FILE ...` and runs `read` on mutations
 * of the files. Prints how many were read and refused, by code, the peak of memory, and of the slowest file by
 * processor time what it takes when read again, and where. Faults are what is no LinbpError, printed with the state of
 * the generator, and files that take more than `--most` seconds of processor time; they make the exit code 1.
 * `prepare` may change a mutated file.
 */
export async function fuzz(usage, read, prepare = (bytes) => bytes) {
  const { values: options, positionals: paths } = parseArgs({
    allowPositionals: true,
    options: {
      count: { type: 'string', default: '200000' },
      seed: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '1e9' },
      most: { type: 'string', default: '20' },
    },
  });
  const files = paths.map((path) => readFileSync(path));
  if (files.length === 0) {
    process.stderr.write(`usage: ${usage}\n`);
    process.exitCode = 1;
    return;
  }
  const [count, seconds, most] = [options.count, options.seconds, options.most].map(Number);
  const random = generator(Number(options.seed));
  const counts = new Map();
  const slow = [];
  let done = 0;
  const started = performance.now();
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => (stopped = true));
  for (; !stopped && done < count && performance.now() - started < 1000 * seconds; done++) {
    // Signals arrive between turns of the loop only.
    if (done % 256 === 0) await new Promise(setImmediate);
    const { state } = random;
    const bytes = prepare(mutate(files[done % files.length], random), random);
    const { error, milliseconds } = await timed(async () => read(bytes));
    const name = `file ${done} (${basename(paths[done % files.length])}), state ${state}`;
    if (error !== undefined && (!(error instanceof LinbpError) || error.code === 'internal')) {
      console.error(`${name}: ${error.stack ?? error}`);
      process.exitCode = 1;
    }
    const outcome = error === undefined ? 'read' : (error.code ?? error.name);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    // The first files are slow because the reader is compiled meanwhile.
    slow.push({ milliseconds, bytes, name: `${name}, ${error === undefined ? 'read' : error.message}` });
    slow.sort((left, right) => right.milliseconds - left.milliseconds).splice(8);
  }
  const peak = process.resourceUsage().maxRSS / 1024;
  console.log([...counts].map(([outcome, number]) => `${outcome} ${number}`).join(', '));
  const elapsed = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${done} files in ${elapsed} s; peak ${peak.toFixed(0)} MiB`);
  if (slow[0].milliseconds > 1000 * most) {
    console.error(`${slow[0].name}: ${(slow[0].milliseconds / 1000).toFixed(1)} s of processor time`);
    process.exitCode = 1;
  }
  for (const each of slow) each.again = (await timed(async () => read(each.bytes))).milliseconds;
  const [slowest] = slow.sort((left, right) => right.again - left.again);
  console.log(
    `slowest: ${slowest.milliseconds.toFixed(0)} ms of processor time, ${slowest.again.toFixed(0)} ms again ` +
      `(${slowest.name.slice(0, 300)})\n  ${await timeConsumers(async () => read(slowest.bytes))}`,
  );
}
