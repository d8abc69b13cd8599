/**
 * Feeds mutated PyTorch files to `readTorch` in this process: whatever comes of it must be tensors or a LinbpError.
 *
 *     node scripts/fuzz-torch.mjs [--count 200000] [--seed 1] [--seconds N] [--most 20] FILE.pth ...
 *
 * In half of the zip archives the checksums are made right again, so that what is inside is read, too.
 */
import { crc32 } from 'node:zlib';
import { readTorch } from '../dist/src/public/io.js';
import { fuzz } from './mutations.mjs';

/** Writes the CRC-32 of stored records into the headers of an archive, local and central ones. */
function withChecksums(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 46 <= bytes.length; at++) {
    if (view.getUint32(at, true) !== 0x02014b50) continue;
    const [method, size, local] = [
      view.getUint16(at + 10, true),
      view.getUint32(at + 20, true),
      view.getUint32(at + 42, true),
    ];
    if (method !== 0 || local + 30 > bytes.length || view.getUint32(local, true) !== 0x04034b50) continue;
    const data = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (data + size > bytes.length) continue;
    const sum = crc32(bytes.subarray(data, data + size));
    view.setUint32(at + 16, sum, true);
    view.setUint32(local + 14, sum, true);
  }
  return bytes;
}

await fuzz(
  'node scripts/fuzz-torch.mjs [--count N] [--seed N] [--seconds N] [--most N] FILE.pth ...',
  (bytes) => readTorch(bytes),
  (bytes, random) => (random.below(2) === 0 ? withChecksums(bytes) : bytes),
);
