import { LinbpError } from '../errors.js';

/** A decoded image: RGB bytes, channel first [3, height, width]. */
export interface DecodedImage {
  readonly height: number;
  readonly width: number;
  readonly data: Uint8Array;
}

/** An encoded image (JPEG or PNG) and its name for messages. */
export interface EncodedImage {
  readonly bytes: Uint8Array;
  readonly source: string;
}

/** How a long decoding job reports and is stopped. */
export interface DecodeProgress {
  /** Called now and then with the number of images done. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Place of the color type in a PNG file, whose header always comes first, and one of its values. */
const PNG_COLOR_TYPE = 25;
const GRAY_AND_ALPHA = 4;

/** Larger images are refused before they are unpacked. */
const MAX_PIXELS = 1 << 26;

/** sharp is loaded when the first image is decoded: most commands need none, and it takes a tenth of a second. */
let loading: Promise<typeof import('sharp').default> | undefined;

async function loadSharp(): Promise<typeof import('sharp').default> {
  loading ??= import('sharp').then(
    ({ default: sharp }) => {
      // One thread per image: images are decoded side by side, and the rest of the machine belongs to the device.
      sharp.concurrency(1);
      sharp.cache(false);
      return sharp;
    },
    (cause: unknown) => {
      throw new LinbpError(
        'missing-package',
        'JPEG and PNG files are read by the package sharp, which cannot be loaded here; run: npm install sharp',
        {
          field: 'sharp',
          cause,
        },
      );
    },
  );
  return loading;
}

/**
 * Decodes a JPEG or PNG to RGB bytes, off the main thread. Gray becomes RGB, alpha is dropped, embedded color
 * profiles and orientation tags are ignored, CMYK becomes (255 - C)(255 - K) / 255 and so on, as Pillow's
 * `convert("RGB")` does. Gray of 16 bits without alpha is refused: Pillow clips it instead of scaling.
 *
 * @throws LinbpError `bad-file` naming the source for damaged, oversized or foreign content; `missing-package`
 */
export async function decodeImage({ bytes, source }: EncodedImage): Promise<DecodedImage> {
  const sharp = await loadSharp();
  const isJpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
  const isPng = bytes[0] === 0x89 && bytes[1] === 0x50;
  if (!isJpeg && !isPng) throw new LinbpError('bad-file', `${source} is neither a JPEG nor a PNG`, { field: source });
  try {
    const open = () => sharp(bytes, { failOn: 'error', limitInputPixels: MAX_PIXELS, ignoreIcc: true });
    const { space, depth } = await open().metadata();
    // Not metadata's `hasAlpha`: it also counts a transparent shade (tRNS), with which Pillow clips as well.
    const scales = space === 'rgb16' || bytes[PNG_COLOR_TYPE] === GRAY_AND_ALPHA;
    if (depth === 'ushort' && !scales)
      throw new LinbpError('bad-file', `${source}: gray with 16 bits is not read; save it with 8`, { field: source });
    if (space === 'cmyk') {
      const { data, info } = await open()
        .pipelineColorspace('cmyk')
        .toColorspace('cmyk')
        .raw({ depth: 'uchar' })
        .toBuffer({ resolveWithObject: true });
      return { height: info.height, width: info.width, data: rgbOfCmyk(data) };
    }
    const { data, info } = await open()
      .toColorspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { height: info.height, width: info.width, data: planarRgb(data, info.channels) };
  } catch (cause) {
    if (cause instanceof LinbpError) throw cause;
    throw new LinbpError('bad-file', `${source}: cannot be decoded: ${(cause as Error).message}`, {
      field: source,
      cause,
    });
  }
}

/**
 * Decodes many images, a few at a time, in no particular order.
 *
 * @param use called once per image with its index
 * @throws LinbpError as {@link decodeImage}; `aborted` when the signal says so
 */
export async function decodeMany(
  files: readonly EncodedImage[],
  use: (image: DecodedImage, index: number, source: string) => void,
  { onProgress, signal }: DecodeProgress = {},
): Promise<void> {
  let next = 0;
  let done = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (next < files.length && !failed) {
      if (signal?.aborted) throw new LinbpError('aborted', 'decoding of images was stopped', { cause: signal.reason });
      const index = next++;
      const file = files[index]!;
      use(await decodeImage(file), index, file.source);
      done++;
      if (done % 500 === 0 || done === files.length) onProgress?.(done, files.length);
    }
  };
  const lanes = Array.from({ length: Math.min(4, files.length) }, () =>
    lane().catch((error: unknown) => {
      failed = true;
      throw error;
    }),
  );
  // All lanes are waited for, so that nothing goes on behind a failure.
  for (const result of await Promise.allSettled(lanes)) if (result.status === 'rejected') throw result.reason;
}

/** CMYK bytes, pixel by pixel, as RGB planes, with Pillow's rounding (`cmyk2rgb` of its Convert.c). */
function rgbOfCmyk(data: Uint8Array): Uint8Array {
  const pixels = data.length / 4;
  const result = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) {
    const light = 255 - data[4 * i + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = data[4 * i + c]! * light + 128;
      result[c * pixels + i] = light - (((product >> 8) + product) >> 8);
    }
  }
  return result;
}

function planarRgb(data: Uint8Array, channels: number): Uint8Array {
  const pixels = data.length / channels;
  const result = new Uint8Array(3 * pixels);
  for (let c = 0; c < 3; c++) {
    const from = channels >= 3 ? c : 0;
    for (let i = 0; i < pixels; i++) result[c * pixels + i] = data[i * channels + from]!;
  }
  return result;
}
