import { expectBytes, expectMembers } from '../arguments.js';
import { inflateSync } from 'node:zlib';
import { convertIndexedToRgb, decode, encode, type DecodedPng } from 'fast-png';
import { LinbpError, check } from '../errors.js';
import { writeFileAtomic } from './atomic.js';
import { readWhole } from './read.js';

/** An 8-bit image, channel first: `data` is [channels, height, width], 1 channel (gray) or 3 (red, green, blue). */
export interface EightBitImage {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly data: Uint8Array;
}

/** Larger images are refused before anything is unpacked. */
const MAX_PIXELS = 1 << 26;
/** Bytes that an image may unpack to, such as 8192 x 8192 in RGBA. */
const MAX_SAMPLES = 1 << 28;

/**
 * PNG file content of an 8-bit gray or RGB image. Lossless: {@link decodePng} gives the same bytes back.
 *
 * @throws LinbpError `bad-shape` when the channels are not 1 or 3 or the data do not fit the shape
 */
export function encodePng(image: EightBitImage): Uint8Array {
  expectMembers(image, 'image', { data: 'list' });
  const { channels, height, width, data } = image;
  check(channels === 1 || channels === 3, 'bad-shape', `a PNG needs 1 or 3 channels, got ${channels}`, 'channels');
  check(
    [height, width].every((size) => Number.isSafeInteger(size) && size > 0) &&
      data.length === channels * height * width,
    'bad-shape',
    `image [${channels}, ${height}, ${width}] does not fit ${data.length} bytes`,
    'data',
  );
  return encode({ width, height, channels, depth: 8, data: toInterleaved(data, channels) });
}

/**
 * Writes an 8-bit gray or RGB PNG atomically.
 *
 * @throws LinbpError `bad-shape` as {@link encodePng}; `not-writable`
 */
export async function writePng(path: string, image: EightBitImage): Promise<void> {
  await writeFileAtomic(path, encodePng(image));
}

/**
 * Reads a PNG as 8-bit gray or RGB. Palettes are looked up, 16-bit samples keep their upper byte, 1- to 4-bit gray is
 * scaled to
 * 0..255, and an alpha channel is dropped.
 *
 * @throws LinbpError `missing-file`; `bad-file` naming the file
 */
export async function readPng(path: string): Promise<EightBitImage> {
  return decodePng(await readWhole(path, 2 * MAX_SAMPLES), path);
}

/**
 * Decodes PNG file content, see {@link readPng}.
 *
 * @param source name used in messages
 * @throws LinbpError `bad-file`
 */
export function decodePng(bytes: Uint8Array, source = '(bytes)'): EightBitImage {
  expectBytes(bytes);
  const isPng = bytes.length >= 33 && [137, 80, 78, 71, 13, 10, 26, 10].every((byte, i) => bytes[i] === byte);
  check(isPng, 'bad-file', `${source} is not a PNG file`, source);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  check(
    width * height > 0 && width * height <= MAX_PIXELS,
    'bad-file',
    `${source}: a size of ${width} x ${height} pixels is refused`,
    source,
  );
  let png: DecodedPng;
  try {
    png = decode(boundedPng(bytes, width, height), { checkCrc: true });
  } catch (cause) {
    throw new LinbpError('bad-file', `${source}: damaged PNG: ${(cause as Error).message}`, { field: source, cause });
  }
  const samples = eightBitSamples(png);
  const channels = png.palette ? (png.palette[0]?.length ?? 3) : png.channels;
  check(samples.length >= width * height * channels, 'bad-file', `${source}: damaged PNG: too few pixels`, source);
  const kept = channels <= 2 ? 1 : 3;
  return { channels: kept, height, width, data: toPlanar(samples, width * height, channels, kept) };
}

/** Samples a pixel by PNG color type: gray, RGB, palette, gray and alpha, RGBA. */
const samplesByType: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/**
 * The chunks that hold the picture, without those that only describe it (some are compressed too), once it is known
 * that the pixels unpack to no more than the size in the header promises.
 */
function boundedPng(bytes: Uint8Array, width: number, height: number): Uint8Array {
  const [depth, type] = [bytes[24]!, bytes[25]!];
  const rowBytes = Math.ceil((width * depth * (samplesByType[type] ?? 4)) / 8);
  if (rowBytes * height > MAX_SAMPLES) throw new Error(`more than ${MAX_SAMPLES} bytes of pixels`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kept: Uint8Array[] = [bytes.subarray(0, 8)];
  const pixels: Uint8Array[] = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const end = at + 12 + length;
    if (end > bytes.length) throw new Error('a chunk ends behind the file');
    const name = Buffer.from(bytes.buffer, bytes.byteOffset + at + 4, 4).toString('latin1');
    // Every name that begins with a capital is needed to draw the picture; of the others, the transparent color.
    if (/^[A-Z]/.test(name) || name === 'tRNS') kept.push(bytes.subarray(at, end));
    if (name === 'IDAT') pixels.push(bytes.subarray(at + 8, end - 4));
    at = end;
    if (name === 'IEND') break;
  }
  // Each row has a byte for its filter; an interlaced image has seven passes with rows of their own.
  const most = (rowBytes + 8) * height + 8 * (width + height) + 1024;
  inflateSync(Buffer.concat(pixels), { maxOutputLength: most });
  return Buffer.concat(kept);
}

function eightBitSamples(png: DecodedPng): Uint8Array {
  if (png.palette) return new Uint8Array(convertIndexedToRgb(png));
  if (png.depth === 16) {
    const upper = new Uint8Array(png.data.length);
    for (let i = 0; i < upper.length; i++) upper[i] = png.data[i]! >> 8;
    return upper;
  }
  if (png.depth === 8) return png.data as Uint8Array;
  // Below 8 bits only single-channel images exist; each row begins at a byte.
  const { depth, width, height } = png;
  const rowBytes = Math.ceil((width * depth) / 8);
  const top = (1 << depth) - 1;
  const samples = new Uint8Array(width * height);
  for (let i = 0; i < samples.length; i++) {
    const bit = (i % width) * depth;
    const byte = png.data[Math.floor(i / width) * rowBytes + (bit >> 3)] ?? 0;
    samples[i] = (((byte >> (8 - depth - (bit & 7))) & top) * 255) / top;
  }
  return samples;
}

function toInterleaved(planar: Uint8Array, channels: number): Uint8Array {
  const pixels = planar.length / channels;
  const result = new Uint8Array(planar.length);
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < pixels; i++) result[i * channels + c] = planar[c * pixels + i]!;
  return result;
}

function toPlanar(interleaved: Uint8Array, pixels: number, stride: number, kept: number): Uint8Array {
  const result = new Uint8Array(pixels * kept);
  for (let c = 0; c < kept; c++) for (let i = 0; i < pixels; i++) result[c * pixels + i] = interleaved[i * stride + c]!;
  return result;
}
