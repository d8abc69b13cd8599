import { firstNonFinite } from '../finite.js';
import { quantize } from '../io/quantize.js';
import type { AttackArrays } from './input.js';
import type { AttackSettings } from './options.js';
import type { Logged } from './schedule.js';
import type { AttackNorm } from './stages.js';

/** What became of one image. */
export interface AttackedSample {
  readonly id: number;
  readonly label: number;
  readonly target?: number;
  /** Whether the clean image is classified right. */
  readonly cleanCorrect: boolean;
  /** Whether the clean image and the adversarial one are both classified right. */
  readonly robustCorrect: boolean;
  /** The clean image is classified right, and the adversarial one wrongly (targeted: as the target). */
  readonly success: boolean;
  /** The same two for the image as saved in 8 bits. */
  readonly savedRobustCorrect: boolean;
  readonly savedSuccess: boolean;
  /** The objective at the clean and at the adversarial image. */
  readonly cleanLoss: number;
  readonly loss: number;
  /** Class that the network sees in the clean and in the adversarial image, as float32. */
  readonly cleanClass: number;
  readonly finalClass: number;
  /** Forward passes asked of the image until it fools, of attacks by queries alone. */
  readonly queries?: number;
  /**
   * Gradients spent on the image before the first logged iterate that fools the network (targeted: that it takes for
   * the target); 0 for the start, null where none does or the attack logs no iterates.
   */
  readonly firstStep: number | null;
  /** There only where true: within each restart all logged losses are the same, as without a gradient. */
  readonly unmoved?: true;
  /** Norms of the perturbation as saved, in pixels of [0, 1]. */
  readonly linf: number;
  readonly l2: number;
}

/** Passes through the network that an image took part in; forwards include those of gradients. */
export interface Passes {
  readonly gradients: number;
  readonly forwards: number;
}

/** One evaluated iterate, over all images. */
export interface CurvePoint {
  /** Gradients spent per image before it. */
  readonly step: number;
  readonly restart: number;
  /** Mean objective at this iterate. */
  readonly loss: number;
  /** Share of images right when clean and right at this iterate; with `keep: 'best'` at every iterate so far. */
  readonly robustAccuracy: number;
}

/** Counts and shares of one set of adversarial images. */
export interface AttackFigures {
  readonly robustCorrect: number;
  readonly robustAccuracy: number;
  /** Successes, of the images that were right before; 0 where there were none. */
  readonly successRate: number;
}

/** The outcome of an attack. `count` to `successRate` are about the float images, `saved` about the 8-bit ones. */
export interface AttackResult extends AttackFigures {
  /** Images that were attacked: all, or those of the first batches of an interrupted run. */
  readonly count: number;
  /** The signal stopped the run before its end. */
  readonly interrupted: boolean;
  readonly cleanCorrect: number;
  readonly cleanAccuracy: number;
  /** Adversarial images [N, C, H, W], inside the ball and [0, 1]. */
  readonly images: Float32Array;
  /** The same in 8 bits, rounded inside the ball (see `quantize`). */
  readonly images8: Uint8Array;
  readonly saved: AttackFigures;
  readonly samples: readonly AttackedSample[];
  /** Norms of the perturbations as saved, in pixels of [0, 1]. */
  readonly linf: { readonly largest: number; readonly mean: number };
  readonly l2: { readonly largest: number; readonly mean: number };
  readonly curve: readonly CurvePoint[];
  /**
   * Objective of each image at each logged iterate, one row of [N] per point of the curve: before every step and after
   * the last; only after the last where steps look elsewhere and `keep` is `last`.
   */
  readonly losses: Float32Array;
  /**
   * By image; their sums are `gradients` and `forwards`. With `compactEvery`, until it was seen to be fooled: what a
   * batch does with it after that, so as to stay full, is not counted.
   */
  readonly passes: readonly Passes[];
  /** Gradients with respect to one image, over all images. */
  readonly gradients: number;
  /** Forward passes of one image, over all images, those of gradients among them. */
  readonly forwards: number;
  /**
   * Of these, how many overflowed in f16 and counted as zero, so that their image kept its place for a step; 0 in f32.
   */
  readonly overflows: number;
  /** Counted by the device while the attack ran; zero on the reference. */
  readonly dispatches: number;
  readonly submits: number;
  readonly readbacks: number;
  readonly seconds: number;
  readonly imageGradientsPerSecond: number;
}

/** Raw values of all images, in their order. Logs are [N, rows]: clean, iterates, result, saved result. */
export interface RawOutcome {
  readonly images: Float32Array;
  readonly cleanCorrect: Uint8Array;
  readonly correct: Uint8Array;
  readonly hit: Uint8Array;
  readonly savedCorrect: Uint8Array;
  readonly savedHit: Uint8Array;
  readonly losses: Float32Array;
  readonly margins: Float32Array;
  /** Margins of the target, of targeted attacks; else empty. */
  readonly aims: Float32Array;
  readonly cleanClasses: Int32Array;
  readonly finalClasses: Int32Array;
  /** Queries until an image fools, of attacks that count them; else empty. */
  queries: Float32Array;
  overflows: number;
}

/** Iterates as float32, those in float64 rounded towards the clean images: further away they might leave the ball. */
export function roundedTowards(clean: Float32Array, iterates: Float32Array | Float64Array): Float32Array {
  return iterates instanceof Float32Array
    ? iterates
    : Float32Array.from(iterates, (pixel, i) => roundTowards(pixel, clean[i]!));
}

const bits = new DataView(new ArrayBuffer(4));

/** The float32 nearest to a pixel in [0, 1] that is not further from `origin`, a float32, than the pixel itself. */
function roundTowards(pixel: number, origin: number): number {
  const nearest = Math.fround(pixel);
  const away = pixel > origin ? nearest > pixel : nearest < pixel;
  if (!away || nearest === origin) return nearest;
  bits.setFloat32(0, nearest);
  // Neighbors of positive floats are neighbors as integers.
  bits.setInt32(0, bits.getInt32(0) + (pixel > origin ? -1 : 1));
  return bits.getFloat32(0);
}

/** Rounds to 8 bits inside the ball. */
export function saveImages(adversarial: Float32Array, clean: Float32Array, eps: number, norm: AttackNorm): Uint8Array {
  // Rounding towards the clean pixel shortens every norm.
  return quantize(adversarial, clean, Math.min(eps, 1e6), norm === 'linf' ? 'linf' : 'l2');
}

/** Norms of (saved - clean) of one image. */
function distance(saved: Uint8Array, clean: Float32Array, first: number, size: number): { linf: number; l2: number } {
  let linf = 0;
  let squares = 0;
  for (let i = first; i < first + size; i++) {
    // The clean pixel as read from an 8-bit file is k/255 rounded to float32; comparing in float32 makes equal pixels
    // equal.
    const difference = Math.abs(Math.fround(saved[i]! / 255) - clean[i]!);
    linf = Math.max(linf, difference);
    squares += difference * difference;
  }
  return { linf, l2: Math.sqrt(squares) };
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
/** A part of a whole, 0 of nothing. */
export const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/** Counts and shares of samples. */
function figures(
  samples: readonly AttackedSample[],
  robust: 'robustCorrect' | 'savedRobustCorrect',
  success: 'success' | 'savedSuccess',
): AttackFigures {
  const right = samples.filter((sample) => sample.cleanCorrect).length;
  const robustCorrect = samples.filter((sample) => sample[robust]).length;
  return {
    robustCorrect,
    robustAccuracy: share(robustCorrect, samples.length),
    successRate: share(samples.filter((sample) => sample[success]).length, right),
  };
}

const extremes = (values: readonly number[]): { readonly largest: number; readonly mean: number } => ({
  largest: values.reduce((most, value) => Math.max(most, value), 0),
  mean: mean(values),
});

/** The passes of several attacks together. */
export const sumOfPasses = (all: readonly Passes[]): Passes => ({
  gradients: all.reduce((sum, { gradients }) => sum + gradients, 0),
  forwards: all.reduce((sum, { forwards }) => sum + forwards, 0),
});

/** Everything of an {@link AttackResult} that follows from what is said about each image. */
export function figuresOf(samples: readonly AttackedSample[]) {
  const count = samples.length;
  const cleanCorrect = samples.filter((sample) => sample.cleanCorrect).length;
  return {
    ...{ count, samples, cleanCorrect, cleanAccuracy: share(cleanCorrect, count) },
    ...figures(samples, 'robustCorrect', 'success'),
    saved: figures(samples, 'savedRobustCorrect', 'savedSuccess'),
    linf: extremes(samples.map(({ linf }) => linf)),
    l2: extremes(samples.map(({ l2 }) => l2)),
  };
}

function curveOf(
  raw: RawOutcome,
  { keep }: AttackSettings,
  logged: readonly Logged[],
  count: number,
  columns: number,
): CurvePoint[] {
  const fooled = new Uint8Array(count);
  return logged.map(({ column, restart, step }) => {
    let sum = 0;
    let robust = 0;
    for (let n = 0; n < count; n++) {
      sum += raw.losses[n * columns + column]!;
      const wrong = raw.margins[n * columns + column]! > 0;
      if (wrong) fooled[n] = 1;
      if (raw.cleanCorrect[n] === 1 && !(keep === 'best' ? fooled[n] === 1 : wrong)) robust++;
    }
    return { step, restart, loss: sum / count, robustAccuracy: robust / count };
  });
}

/** See `firstStep` of {@link AttackedSample}; `row` is where the image's logs begin. */
function firstStep({ margins, aims }: RawOutcome, logged: readonly Logged[], row: number): number | null {
  const fools = ({ column }: Logged): boolean =>
    aims.length > 0 ? aims[row + column]! < 0 : margins[row + column]! > 0;
  return logged.find(fools)?.step ?? null;
}

/** See `unmoved` of {@link AttackedSample}. */
function isUnmoved({ losses }: RawOutcome, logged: readonly Logged[], row: number): boolean {
  const first = new Map<number, number>();
  let later = 0;
  for (const { column, restart } of logged) {
    const loss = losses[row + column]!;
    if (!first.has(restart)) first.set(restart, loss);
    else if (loss !== first.get(restart)) return false;
    else later++;
  }
  return later > 0;
}

/** What became of image `n`. */
function sampleOf(
  raw: RawOutcome,
  arrays: AttackArrays,
  images8: Uint8Array,
  logged: readonly Logged[],
  n: number,
): AttackedSample {
  const size = arrays.images.length / arrays.count;
  const rows = raw.losses.length / arrays.count;
  const last = rows - 2;
  const clean = raw.cleanCorrect[n] === 1;
  const [right, savedRight] = [raw.correct[n] === 1, raw.savedCorrect[n] === 1];
  const target = arrays.targets?.[n];
  return {
    id: arrays.sampleIds[n]!,
    label: arrays.labels[n]!,
    ...(target === undefined ? {} : { target }),
    cleanCorrect: clean,
    robustCorrect: clean && right,
    success: clean && (target === undefined ? !right : raw.hit[n] === 1),
    savedRobustCorrect: clean && savedRight,
    savedSuccess: clean && (target === undefined ? !savedRight : raw.savedHit[n] === 1),
    cleanLoss: raw.losses[n * rows]!,
    loss: raw.losses[n * rows + last]!,
    cleanClass: raw.cleanClasses[n]!,
    finalClass: raw.finalClasses[n]!,
    ...(raw.queries.length > 0 && { queries: raw.queries[n]! }),
    firstStep: firstStep(raw, logged, n * rows),
    ...(isUnmoved(raw, logged, n * rows) && { unmoved: true }),
    ...distance(images8, arrays.images, n * size, size),
  };
}

/** Everything of an {@link AttackResult} that follows from the raw values of the first `count` images. */
export function summarize(
  raw: RawOutcome,
  arrays: AttackArrays,
  images8: Uint8Array,
  settings: AttackSettings,
  logged: readonly Logged[],
  count: number,
): Omit<
  AttackResult,
  | 'interrupted'
  | 'gradients'
  | 'forwards'
  | 'passes'
  | 'overflows'
  | 'dispatches'
  | 'submits'
  | 'readbacks'
  | 'seconds'
  | 'imageGradientsPerSecond'
> {
  const size = arrays.images.length / arrays.count;
  const rows = raw.losses.length / arrays.count;
  const samples = Array.from({ length: count }, (_, n) => sampleOf(raw, arrays, images8, logged, n));
  const losses = new Float32Array(logged.length * count);
  for (let n = 0; n < count; n++)
    for (const [k, { column }] of logged.entries()) losses[k * count + n] = raw.losses[n * rows + column]!;
  return {
    ...figuresOf(samples),
    images: raw.images.subarray(0, count * size),
    images8: images8.subarray(0, count * size),
    curve: curveOf(raw, settings, logged, count, rows),
    losses,
  };
}

/** So that images with NaN can be rounded, until the logs have said where it comes from. */
export const finiteOrZero = (pixels: Float32Array): Float32Array =>
  firstNonFinite(pixels) < 0 ? pixels : pixels.map((pixel) => (Number.isFinite(pixel) ? pixel : 0));

/** Room for the raw values of all images; `rows` is the number of columns of a log. */
export function emptyOutcome({ count, images, targets }: AttackArrays, rows: number): RawOutcome {
  const flags = (): Uint8Array => new Uint8Array(count);
  return {
    images: new Float32Array(images.length),
    cleanCorrect: flags(),
    correct: flags(),
    hit: flags(),
    savedCorrect: flags(),
    savedHit: flags(),
    losses: new Float32Array(count * rows),
    margins: new Float32Array(count * rows),
    aims: new Float32Array(targets === undefined ? 0 : count * rows),
    cleanClasses: new Int32Array(count),
    finalClasses: new Int32Array(count),
    queries: new Float32Array(0),
    overflows: 0,
  };
}
