/**
 * Mutated files: whatever bytes a reader is given, it answers with a value or with one typed error of one readable line,
 * soon.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

const SLOWEST_SECONDS = 20;

/** A generator of whole numbers 0..n-1 (xorshift), so that a printed seed repeats a run. */
export function generator(seed) {
  let state = (seed >>> 0) + 0x9e3779b9;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

const interesting = [0, 1, 0x7f, 0x80, 0xff, 0x22, 0x5b, 0x7b, 0x2c, 0x2d, 0x39, 0x1b];

/** Changes up to 64 bytes of a copy: flips, sets, inserts, deletes, repeats, cuts. Returns the bytes touched, too. */
function mutate(original, random) {
  let bytes = Buffer.from(original);
  let touched = 0;
  // Most of what a reader believes stands at the beginning.
  const place = () => random(random(3) === 0 ? bytes.length || 1 : Math.min(bytes.length || 1, 256));
  // Few changes reach what lies behind the first checks; many find what nobody thought of.
  const times = 1 + random(random(2) === 0 ? 4 : 64);
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

/** Puts right the checksums of a PNG's chunks, as far as they can be found, so that their contents are looked at. */
function mendPng(bytes) {
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = bytes.readUInt32BE(at);
    if (at + 12 + length > bytes.length) break;
    bytes.writeUInt32BE(crc32(bytes.subarray(at + 4, at + 8 + length)), at + 8 + length);
    at += 12 + length;
  }
  return bytes;
}

/** The formats: an intact example and what reads it. */
async function formats(api, folder) {
  const { encodePng, decodePng, encodeSafetensors, readSafetensors, parseRules } = api;
  const image = encodePng({ channels: 3, height: 9, width: 7, data: new Uint8Array(189).map((_, i) => i) });
  const tensors = {
    input: { shape: [2, 3], data: Float32Array.from([1, 2, 3, 4, 5, 6]) },
    labels: { shape: [2], data: Int32Array.from([0, 1]) },
    deep: { shape: [0, 4], data: new Uint16Array(0), dtype: 'BF16' },
  };
  const safetensors = Buffer.concat(encodeSafetensors(tensors, { format: 'pt' }));
  const idx = Buffer.alloc(16 + 4 * 25, 7);
  [2051, 4, 5, 5].forEach((word, i) => idx.writeUInt32BE(word, 4 * i));
  const labels = Buffer.from(
    JSON.stringify([
      { file: 'a_1.png', index: 1 },
      { file: 'b.png', index: 0 },
    ]),
  );
  const file = (name, content) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const place = join(folder, 'folder');
  mkdirSync(place);
  return [
    {
      name: 'safetensors',
      example: safetensors,
      read: (bytes) => [...readSafetensors(bytes).tensors.values()].map((t) => t.data),
    },
    { name: 'png', example: image, read: (bytes) => decodePng(mendPng(bytes)) },
    { name: 'idx', example: idx, read: (bytes) => api.parseIdx(bytes, 3, 'fuzz') },
    {
      name: 'labels.json',
      example: labels,
      read: (bytes) => {
        writeFileSync(join(place, 'labels.json'), bytes);
        api.listImageFolder(place);
      },
    },
    {
      name: 'rules',
      example: Buffer.from('linbp:from=3_1,match=block+softplus:beta=0.5'),
      read: (bytes) => parseRules(bytes.toString('latin1')),
    },
    {
      name: 'weights',
      example: safetensors,
      read: (bytes) => api.readWeights(file('w.bin', bytes)),
    },
    ...(api.torchExample === undefined
      ? []
      : [{ name: 'pytorch', example: api.torchExample, read: (bytes) => api.readTorch(bytes) }]),
    {
      name: 'png by sharp',
      example: image,
      read: (bytes) => api.decodeImage({ bytes: mendPng(bytes), source: 'fuzz' }),
    },
  ];
}

// eslint-disable-next-line no-control-regex
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

/** Runs until the time is over and every format had its bytes, or `seconds` times two. */
export async function fuzz(api, { seconds, seed, bytesPerFormat }) {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-fuzz-'));
  const random = generator(seed);
  const rows = [];
  const faults = [];
  try {
    const all = await formats(api, folder);
    for (const { name, example, read } of all) {
      const until = performance.now() + (1000 * seconds) / all.length;
      const row = { format: name, inputs: 0, mutatedBytes: 0, accepted: 0, refused: 0, slowestSeconds: 0 };
      rows.push(row);
      while (performance.now() < until && row.mutatedBytes < bytesPerFormat && faults.length < 20) {
        const { bytes, touched } = mutate(example, random);
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
        row.slowestSeconds = Math.max(row.slowestSeconds, took);
        row.inputs++;
        row.mutatedBytes += touched;
        const wrong = complaint(error, took, api.LinbpError);
        if (wrong !== undefined) faults.push(`${name}, input ${row.inputs} of seed ${seed}: ${wrong}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { rows, faults };
}
