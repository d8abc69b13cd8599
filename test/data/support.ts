import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Context } from 'mocha';
import { pending } from '../support/pending.js';

/** IDX file content of unsigned bytes. */
export function idx(shape: readonly number[], data: Uint8Array, magic = 0x0800 + shape.length): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt32BE(magic);
  shape.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
  return Buffer.concat([header, data]);
}

/** Writes a file under `folder`, making its parents; gzipped when the name ends in .gz. */
export function put(folder: string, name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, name.endsWith('.gz') ? gzipSync(content) : content);
  return path;
}

/** The folder of real data sets; skips the test where there is none. */
export function realData(test: Context): string {
  const folder = process.env['LINBP_DATA'];
  if (!folder) return pending(test, 'LINBP_DATA');
  return folder;
}
