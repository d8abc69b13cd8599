/**
 * Feeds mutated ONNX files to `importOnnx` in this process: whatever comes of it must be a model or a LinbpError.
 *
 *     node scripts/fuzz-onnx.mjs [--count 200000] [--seed 1] [--seconds N] FILE.onnx ...
 *
 * Mutations: bytes flipped, cut out, repeated, overwritten by other parts or by large numbers, and files that end early.
 * Prints how many were imported and refused, by code, the slowest one, and the peak of memory.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { importOnnx, LinbpError } from '../dist/src/index.js';

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
  process.stderr.write('usage: node scripts/fuzz-onnx.mjs [--count N] [--seed N] [--seconds N] FILE.onnx ...\n');
  process.exit(1);
}

/** Marsaglia's xorshift, so that a seed names a run. */
let state = Number(options.seed) >>> 0 || 1;
function random(below) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

const large = [0x00, 0x01, 0x7f, 0x80, 0xff];

function mutate(source) {
  let bytes = Uint8Array.from(source);
  for (let edits = 1 + random(4); edits > 0; edits--) {
    const at = random(bytes.length);
    const length = 1 + random(Math.min(32, bytes.length - at));
    switch (random(6)) {
      case 0:
        bytes[at] ^= 1 << random(8);
        break;
      case 1:
        bytes[at] = large[random(large.length)];
        break;
      case 2:
        bytes.fill(0xff, at, at + length);
        break;
      case 3:
        bytes.copyWithin(at, random(bytes.length), random(bytes.length));
        break;
      case 4:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + length)]);
        break;
      default:
        bytes = bytes.slice(0, Math.max(1, random(8) === 0 ? at : bytes.length));
    }
    if (bytes.length === 0) break;
  }
  return bytes;
}

const counts = new Map();
let slowest = 0;
let done = 0;
const started = performance.now();
for (; done < Number(options.count) && performance.now() - started < 1000 * Number(options.seconds); done++) {
  const seed = state;
  const bytes = mutate(files[done % files.length]);
  const begin = performance.now();
  let outcome = 'imported';
  try {
    importOnnx(bytes, { size: [32, 32] });
  } catch (error) {
    if (!(error instanceof LinbpError) || error.code === 'internal') {
      console.error(`file ${done}, state ${seed}: ${error.stack}`);
      process.exitCode = 1;
    }
    outcome = error.code ?? error.name;
  }
  counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  slowest = Math.max(slowest, performance.now() - begin);
}
const peak = process.resourceUsage().maxRSS / 1024;
const seconds = (performance.now() - started) / 1000;
console.log([...counts].map(([outcome, count]) => `${outcome} ${count}`).join(', '));
console.log(`${done} files in ${seconds.toFixed(0)} s; slowest ${slowest.toFixed(0)} ms; peak ${peak.toFixed(0)} MiB`);
