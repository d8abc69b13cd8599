import { check } from '../errors.js';
import type { DecodedImage } from './images.js';

/** How images of any size become images of the size that a model wants. */
export interface FitOptions {
  /** Length of the short side after a bilinear resize; no resize unless given. */
  readonly resize?: number;
  /** Side of the square cut from the center; no crop unless given. */
  readonly crop?: number;
  /** Images of this height and width are neither resized nor cropped. */
  readonly asTheyAre?: readonly [number, number];
  /** Order of the color planes; `rgb` unless given. */
  readonly channelOrder?: 'rgb' | 'bgr';
  /** 3 unless given; 1 makes images gray (ITU-R 601 luma). */
  readonly channels?: 1 | 3;
}

/** An image of one row and 60,000 columns has 4 billion pixels where its short side becomes 256. */
const MOST_PIXELS = 2 ** 26;

/** Checks the sizes before any file is read. @throws LinbpError `bad-range`, `unknown-option` */
export function checkFit({ resize, crop, channelOrder, channels }: FitOptions): void {
  for (const [field, value] of Object.entries({ resize, crop })) {
    check(
      value === undefined || (Number.isSafeInteger(value) && value > 0 && value <= 16384),
      'bad-range',
      `${field} must be a whole number from 1 to 16384, got ${value}`,
      field,
    );
  }
  check(
    resize === undefined || crop === undefined || crop <= resize,
    'bad-range',
    `crop ${crop} is larger than resize ${resize}`,
    'crop',
  );
  check(
    channelOrder === undefined || channelOrder === 'rgb' || channelOrder === 'bgr',
    'unknown-option',
    `channelOrder must be rgb or bgr, got ${String(channelOrder)}`,
    'channelOrder',
  );
  check(
    channels === undefined || channels === 1 || channels === 3,
    'bad-range',
    `channels must be 1 or 3, got ${String(channels)}`,
    'channels',
  );
}

/**
 * Resizes the short side, crops the center and orders the planes.
 *
 * The other side becomes floor(resize * long / short), the crop begins at the rounded half of what is left, as
 * torchvision's `Resize` and `CenterCrop` do.
 *
 * @throws LinbpError `bad-shape` naming the image when it is smaller than the crop, or too long to be resized
 */
export function fitImage(image: DecodedImage, options: FitOptions, source: string): DecodedImage {
  const { channelOrder = 'rgb', channels = 3, asTheyAre } = options;
  const fits = asTheyAre !== undefined && image.height === asTheyAre[0] && image.width === asTheyAre[1];
  const { resize, crop } = fits ? {} : options;
  let result = image;
  if (resize !== undefined) {
    const short = Math.min(result.height, result.width);
    const side = (length: number) => (length === short ? resize : Math.floor((resize * length) / short));
    const [height, width] = [side(result.height), side(result.width)];
    check(
      height * width <= MOST_PIXELS,
      'bad-shape',
      `${source}: ${result.height} x ${result.width} pixels ` +
        `would become ${height} x ${width}, more than ${MOST_PIXELS}`,
      source,
    );
    result = resizeBilinear(result, height, width);
  }
  if (crop !== undefined) {
    check(
      crop <= result.height && crop <= result.width,
      'bad-shape',
      `${source}: ${result.height} x ${result.width} pixels are smaller than the crop ${crop}`,
      source,
    );
    result = cropCenter(result, crop);
  }
  if (channels === 1) return toGray(result);
  return channelOrder === 'bgr' ? reversePlanes(result) : result;
}

/**
 * Bilinear resize with antialiasing: each output pixel is the average of the input under a triangle as wide as two
 * output pixels when shrinking, two input pixels when enlarging; horizontally, then vertically, rounded to bytes
 * after each. Weights are normalized inside the image and rounded to 22 bits. These are Pillow's conventions for
 * `BILINEAR`, so that bytes agree.
 */
export function resizeBilinear(image: DecodedImage, height: number, width: number): DecodedImage {
  if (height === image.height && width === image.width) return image;
  const planes = image.data.length / (image.height * image.width);
  const across = width === image.width ? image.data : new Uint8Array(planes * image.height * width);
  if (width !== image.width)
    resample(image.data, across, planes * image.height, { from: image.width, to: width, stride: 1 });
  if (height === image.height) return { height, width, data: across };
  const data = new Uint8Array(planes * height * width);
  for (let plane = 0; plane < planes; plane++) {
    const input = across.subarray(plane * image.height * width, (plane + 1) * image.height * width);
    resample(input, data.subarray(plane * height * width, (plane + 1) * height * width), width, {
      from: image.height,
      to: height,
      stride: width,
    });
  }
  return { height, width, data };
}

// `lines` lines of `from` bytes, `stride` apart, become lines of `to` bytes. Lines follow one another at stride 1,
// else lie side by side.
function resample(
  input: Uint8Array,
  output: Uint8Array,
  lines: number,
  axis: { from: number; to: number; stride: number },
): void {
  const { from, to, stride } = axis;
  const lineStep = stride === 1 ? { input: from, output: to } : { input: 1, output: 1 };
  const half = 2 ** 21;
  for (let i = 0; i < to; i++) {
    const { first, weights } = triangle(i, from, to);
    for (let line = 0; line < lines; line++) {
      const base = line * lineStep.input + first * stride;
      let sum = half;
      for (let k = 0; k < weights.length; k++) sum += input[base + k * stride]! * weights[k]!;
      output[line * lineStep.output + i * stride] = Math.min(Math.max(Math.floor(sum / 2 ** 22), 0), 255);
    }
  }
}

function triangle(i: number, from: number, to: number): { first: number; weights: Float64Array } {
  const scale = from / to;
  const support = Math.max(scale, 1);
  const center = (i + 0.5) * scale;
  const first = Math.max(Math.trunc(center - support + 0.5), 0);
  const end = Math.min(Math.trunc(center + support + 0.5), from);
  const weights = Float64Array.from({ length: end - first }, (_, k) =>
    Math.max(1 - Math.abs((first + k - center + 0.5) / support), 0),
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { first, weights: weights.map((weight) => Math.floor((weight / total) * 2 ** 22 + 0.5)) };
}

function cropCenter(image: DecodedImage, side: number): DecodedImage {
  const { height, width, data } = image;
  const planes = data.length / (height * width);
  const [top, left] = [roundHalfEven((height - side) / 2), roundHalfEven((width - side) / 2)];
  const result = new Uint8Array(planes * side * side);
  for (let row = 0; row < planes * side; row++) {
    const plane = Math.floor(row / side);
    const start = (plane * height + top + (row % side)) * width + left;
    result.set(data.subarray(start, start + side), row * side);
  }
  return { height: side, width: side, data: result };
}

// Python's round, which torchvision's crop uses.
function roundHalfEven(value: number): number {
  return value % 2 === 0.5 ? Math.floor(value) : Math.round(value);
}

function toGray({ height, width, data }: DecodedImage): DecodedImage {
  const pixels = height * width;
  // The weights 0.299, 0.587, 0.114 in 16 bits; they add up to 65536, so gray stays gray.
  const luma = (i: number) =>
    (19595 * data[i]! + 38470 * data[pixels + i]! + 7471 * data[2 * pixels + i]! + 32768) >> 16;
  return { height, width, data: Uint8Array.from({ length: pixels }, (_, i) => luma(i)) };
}

function reversePlanes({ height, width, data }: DecodedImage): DecodedImage {
  const pixels = height * width;
  const result = new Uint8Array(data.length);
  for (let c = 0; c < 3; c++) result.set(data.subarray((2 - c) * pixels, (3 - c) * pixels), c * pixels);
  return { height, width, data: result };
}
