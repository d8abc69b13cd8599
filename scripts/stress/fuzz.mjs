/**
 * Mutated files: whatever bytes a reader is given, it answers with a value or with one typed error of one readable
 * line, soon.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formats } from './formats.mjs';
import { generator } from './random.mjs';

const SLOWEST_SECONDS = 20;

const interesting = [0, 1, 0x7f, 0x80, 0xff, 0x22, 0x5b, 0x7b, 0x2c, 0x2d, 0x39, 0x1b];

/** Changes bytes of a copy: flips, sets, inserts, deletes, blocks, cuts. Returns how many were changed, too. */
function mutate(original, random) {
  let bytes = Buffer.from(original);
  let touched = 0;
  // Most of what a reader believes stands at the beginning.
  const place = () => random(random(3) === 0 ? bytes.length || 1 : Math.min(bytes.length || 1, 256));
  // Few changes reach what lies behind the first checks; many find what nobody thought of.
  const times = 1 + random(random(2) === 0 ? 4 : 64);
  if (random(3) === 0) {
    const block = bytes.subarray(place()).subarray(0, 1 + random(160));
    for (let i = 0; i < block.length; i++) block[i] = random(256);
    touched += block.length;
  }
  for (let i = 0; i < times && bytes.length > 0; i++) {
    const at = place();
    switch (random(12)) {
      case 0:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([random(256)]), bytes.subarray(at)]);
        break;
      case 1:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
        break;
      case 2:
        if (bytes.length >= at + 4) bytes.writeInt32LE([0, -1, 0x7fffffff, 1 << 30][random(4)], at);
        touched += 3;
        break;
      case 3:
        if (random(8) === 0) bytes = bytes.subarray(0, at);
        else bytes[at] ^= 1 << random(8);
        break;
      case 4:
        bytes[at] = interesting[random(interesting.length)];
        break;
      default:
        bytes[at] = random(256);
    }
    touched++;
  }
  return { bytes, touched };
}

const raw = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

/** What is wrong with an answer, or undefined. */
function complaint(error, seconds, LinbpError) {
  if (seconds > SLOWEST_SECONDS) return `took ${seconds.toFixed(1)} s`;
  if (error === undefined) return undefined;
  if (!(error instanceof LinbpError)) return `untyped: ${error?.stack ?? String(error)}`;
  if (error.code === 'internal') return `internal: ${error.message}`;
  if (raw.test(error.message)) return `control characters: ${JSON.stringify(error.message)}`;
  return error.message.length > 5000 ? `a message of ${error.message.length} characters` : undefined;
}

/** Feeds each format mutated files until `bytesPerFormat` bytes were changed. */
export async function fuzz(api, { seed, bytesPerFormat }) {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-fuzz-'));
  const random = generator(seed);
  const rows = [];
  const faults = [];
  try {
    for (const { name, examples, read, forgiving } of await formats(folder)) {
      const row = { format: name, inputs: 0, mutatedBytes: 0, accepted: 0, refused: 0, seconds: 0, slowestSeconds: 0 };
      rows.push(row);
      for (const example of examples) await read(Buffer.from(example)); // An example that is refused tries nothing.
      while (row.mutatedBytes < bytesPerFormat && faults.length < 20) {
        const { bytes, touched } = mutate(examples[row.inputs % examples.length], random);
        const started = performance.now();
        let error;
        try {
          await read(bytes);
          row.accepted++;
        } catch (caught) {
          error = caught;
          row.refused++;
        }
        const took = (performance.now() - started) / 1000;
        row.seconds += took;
        row.slowestSeconds = Math.max(row.slowestSeconds, took);
        row.inputs++;
        row.mutatedBytes += touched;
        const wrong = complaint(error, took, api.LinbpError);
        if (wrong !== undefined) faults.push(`${name}, input ${row.inputs} of seed ${seed}: ${wrong}`);
      }
      if (row.refused === 0 && !forgiving) faults.push(`${name}: nothing was refused`);
      row.seconds = Math.round(10 * row.seconds) / 10;
      row.slowestSeconds = Math.round(1000 * row.slowestSeconds) / 1000;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const least = Math.min(...rows.map(({ mutatedBytes }) => mutatedBytes));
  const figures = {
    formats: rows.length,
    inputs: rows.reduce((sum, { inputs }) => sum + inputs, 0),
    'mutated bytes of each format, at least': least,
  };
  return { rows, figures, wanted: { 'mutated bytes of each format, at least': bytesPerFormat }, faults };
}
