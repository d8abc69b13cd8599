import type { AttackNorm } from '../../attacks/stages.js';
import type { Dataset } from '../../data/dataset.js';
import { randomStreams, uniforms } from '../../random/philox.js';
import type { Classifier } from '../inference.js';
import { pixelRange } from '../common.js';

/** Counters of noise lie far from those of attacks, which draw from the same stream. */
const draw = 2 ** 31;

/** A random point on the edge of the ball around an image, keyed by the seed and the image's number. */
export function noisyImage(clean: Float32Array, norm: AttackNorm, eps: number, seed: number, id: number): Float32Array {
  const u = uniforms(seed, randomStreams.randomStart, id, draw, 2 * clean.length);
  const direction = clean.map((_, i) =>
    norm === 'linf'
      ? Math.sign(u[2 * i]! - 0.5)
      : Math.sqrt(-2 * Math.log(1 - u[2 * i]!)) * Math.cos(2 * Math.PI * u[2 * i + 1]!),
  );
  let length = 1;
  if (norm === 'l2') length = Math.sqrt(direction.reduce((sum, each) => sum + each * each, 0));
  if (norm === 'l1') length = direction.reduce((sum, each) => sum + Math.abs(each), 0);
  return clean.map((pixel, i) => Math.min(1, Math.max(0, pixel + (eps * direction[i]!) / (length || 1))));
}

/** Share of all images that are right both clean (`right`) and with noise of a norm. */
export async function noiseAccuracy(
  classify: Classifier,
  dataset: Dataset,
  right: readonly boolean[],
  { norm, eps, seed, batch }: { readonly norm: AttackNorm; eps: number; seed: number; batch: number },
  signal: AbortSignal,
): Promise<number | undefined> {
  let left = 0;
  for (let from = 0; from < dataset.count; from += batch) {
    if (signal.aborted) return undefined;
    const to = Math.min(dataset.count, from + batch);
    const clean = pixelRange(dataset, from, to);
    const size = clean.length / (to - from);
    const noisy = new Float32Array(clean.length);
    for (let n = 0; n < to - from; n++)
      noisy.set(noisyImage(clean.slice(n * size, (n + 1) * size), norm, eps, seed, from + n), n * size);
    const guesses = classesOf(await classify.logits(noisy), to - from);
    guesses.forEach((guess, n) => (left += right[from + n] === true && guess === dataset.labels[from + n] ? 1 : 0));
  }
  return left / dataset.count;
}

function classesOf(logits: ArrayLike<number>, count: number): number[] {
  const classes = logits.length / count;
  return Array.from({ length: count }, (_, n) => {
    let best = n * classes;
    for (let k = best; k < (n + 1) * classes; k++) if (logits[k]! > logits[best]!) best = k;
    return best - n * classes;
  });
}
