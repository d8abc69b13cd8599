import type { AttackSettings } from '../../attacks/options.js';
import { figuresOf, sumOfPasses } from '../../attacks/result.js';
import type { AttackedSample, AttackResult, CurvePoint } from '../../attacks/result.js';

/*
 * Restarts fold into the batch: each image stands there once for each restart, with random numbers of its own, and the
 * best of its rows is the result. So few images with many restarts fill a program as many images do.
 */

/** Whether restarts can be rows of one program: the best row is known by its loss and class alone. */
export const folds = ({ definition, keep, targeted }: AttackSettings): boolean =>
  keep === 'best' && !targeted && definition.plan === undefined && definition.rankedTargets === undefined;

/** What the random numbers of a restart are keyed by; those of the first are those of an attack without restarts. */
const keyOf = (id: number, restart: number): number => (id + Math.imul(restart, 0x9e3779b1)) >>> 0;

/** Each image `restarts` times in a row. */
export function repeatImages(
  images: Float32Array,
  labels: Int32Array,
  ids: Uint32Array,
  restarts: number,
): { readonly images: Float32Array; readonly labels: Int32Array; readonly sampleIds: Uint32Array } {
  const size = images.length / ids.length;
  const rows = ids.length * restarts;
  const all = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++) {
    const n = Math.floor(row / restarts);
    all.set(images.subarray(n * size, (n + 1) * size), row * size);
  }
  return {
    images: all,
    labels: Int32Array.from({ length: rows }, (_, row) => labels[Math.floor(row / restarts)]!),
    sampleIds: Uint32Array.from({ length: rows }, (_, row) => keyOf(ids[Math.floor(row / restarts)]!, row % restarts)),
  };
}

const fooled = ({ finalClass, label }: AttackedSample): boolean => finalClass !== label;

/** The best row of an image: one that fools before one that does not, then the largest loss, then the earliest. */
function bestRow(samples: readonly AttackedSample[], first: number, restarts: number): number {
  let best = first;
  for (let row = first + 1; row < first + restarts; row++) {
    const [own, other] = [samples[row]!, samples[best]!];
    if (fooled(own) !== fooled(other) ? fooled(own) : own.loss > other.loss) best = row;
  }
  return best;
}

/** Gradients before the first success of an image, restart after restart. */
function firstStep(samples: readonly AttackedSample[], first: number, restarts: number, each: number): number | null {
  for (let restart = 0; restart < restarts; restart++) {
    const step = samples[first + restart]!.firstStep;
    if (step !== null) return restart * each + step;
  }
  return null;
}

function foldedCurve(
  { curve, losses, samples, count }: AttackResult,
  restarts: number,
  each: number,
): { readonly curve: CurvePoint[]; readonly losses: Float32Array } {
  const images = count / restarts;
  const all = new Float32Array(curve.length * restarts * images);
  const points: CurvePoint[] = [];
  for (let restart = 0; restart < restarts; restart++)
    for (const [k, { step }] of curve.entries()) {
      let [sum, robust] = [0, 0];
      for (let n = 0; n < images; n++) {
        const loss = losses[k * count + n * restarts + restart]!;
        all[points.length * images + n] = loss;
        sum += loss;
        const broken = firstStep(samples, n * restarts, restart + 1, each);
        if (samples[n * restarts]!.cleanCorrect && (broken === null || broken > restart * each + step)) robust += 1;
      }
      points.push({ step: restart * each + step, restart, loss: sum / images, robustAccuracy: robust / images });
    }
  return { curve: points, losses: all };
}

/** The result of rows made by {@link repeatImages} as one of the images, numbered from `first`. */
export function foldRestarts(rows: AttackResult, restarts: number, first: number): AttackResult {
  const images = rows.count / restarts;
  const size = rows.images.length / rows.count;
  const each = rows.gradients / rows.count;
  const chosen = Array.from({ length: images }, (_, n) => bestRow(rows.samples, n * restarts, restarts));
  const [floats, levels] = [new Float32Array(images * size), new Uint8Array(images * size)];
  for (const [n, row] of chosen.entries()) {
    floats.set(rows.images.subarray(row * size, (row + 1) * size), n * size);
    levels.set(rows.images8.subarray(row * size, (row + 1) * size), n * size);
  }
  const samples = chosen.map((row, n): AttackedSample => {
    const { unmoved, ...sample } = rows.samples[row]!;
    const still = rows.samples.slice(n * restarts, (n + 1) * restarts).every((other) => other.unmoved === true);
    return {
      ...sample,
      id: first + n,
      firstStep: firstStep(rows.samples, n * restarts, restarts, each),
      ...(unmoved && still && { unmoved }),
    };
  });
  const passes = samples.map((_, n) => sumOfPasses(rows.passes.slice(n * restarts, (n + 1) * restarts)));
  return {
    ...rows,
    ...figuresOf(samples),
    passes,
    ...{ images: floats, images8: levels, ...foldedCurve(rows, restarts, each) },
  };
}
