import type { LossKind } from '../graph/types.js';
import { mostLead } from '../ops/loss.js';
import { stepValue } from './types.js';
import type { Reference } from './types.js';

/** Index of the first largest entry of `z`, leaving out `except`. */
function firstLargest(z: Float64Array, except = -1): number {
  let best = except === 0 ? 1 : 0;
  for (let i = 0; i < z.length; i++) if (i !== except && z[i]! > z[best]!) best = i;
  return best;
}

/** Class indices by falling logit; equal logits keep their order. */
function ranking(z: Float64Array): number[] {
  return Array.from(z, (_, i) => i).sort((a, b) => z[b]! - z[a]! || a - b);
}

function logSumExp(z: Float64Array): number {
  const largest = z[firstLargest(z)]!;
  return largest + Math.log(z.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/** A difference of ranks to divide by; ties are raised by the scale of the logits (as `apart` in `loss/ranks.wgsl`). */
function apart(gap: number, largest: number): number {
  const kept = Math.max(gap, 2 ** -26 * Math.abs(largest));
  return kept === 0 ? 1 : kept;
}

/**
 * What Croce and Hein add to the divisor of DLR. Where the label comes to third place, it is all that is left of the
 * loss's gradient, and what APGD compares losses by. In float32 the loss is 1 there; the shader has that gradient in
 * closed form.
 */
const added = 1e-12;

interface Loss {
  value(z: Float64Array, y: number, target: number): number;
  gradient(z: Float64Array, y: number, target: number): Float64Array;
}

const losses: Record<LossKind, Loss> = {
  /** log(sum exp z) - z_y */
  crossEntropy: {
    value: (z, y) => logSumExp(z) - z[y]!,
    gradient(z, y) {
      const lse = logSumExp(z);
      const gradient = z.map((value, j) => (j === y ? 0 : Math.exp(value - lse)));
      // p_y - 1 would cancel to zero once the margin is large.
      gradient[y] = -gradient.reduce((sum, value) => sum + value, 0);
      return gradient;
    },
  },
  /**
   * The same with the gradient at the label as float32 computes p - 1 behind a log-softmax: the sum of exponentials
   * is at least 1, where float32 numbers are 2^-23 apart, so the other classes' share of it is a multiple of 2^-23.
   */
  crossEntropyRounded: {
    value: (z, y) => logSumExp(z) - z[y]!,
    gradient(z, y) {
      const gradient = losses.crossEntropy.gradient(z, y, y);
      const rest = -gradient[y]!;
      if (rest < 0.5) gradient[y] = -Math.round(rest * 2 ** 23) / 2 ** 23;
      return gradient;
    },
  },
  /** max over j != y of z_j, minus z_y */
  margin: {
    value: (z, y) => z[firstLargest(z, y)]! - z[y]!,
    gradient(z, y) {
      const gradient = new Float64Array(z.length);
      gradient[firstLargest(z, y)]! += 1;
      gradient[y]! -= 1;
      return gradient;
    },
  },
  /** (max over j != y of z_j, minus z_y) / (z_(1) - z_(3) + 1e-12), ranks held fixed when differentiating */
  dlr: {
    value(z, y) {
      const [first, , third] = ranking(z) as [number, number, number];
      return (z[firstLargest(z, y)]! - z[y]!) / (apart(z[first]! - z[third]!, z[first]!) + added);
    },
    gradient(z, y) {
      const [first, , third] = ranking(z) as [number, number, number];
      const other = firstLargest(z, y);
      const denominator = apart(z[first]! - z[third]!, z[first]!) + added;
      const ratio = (z[other]! - z[y]!) / denominator;
      const gradient = new Float64Array(z.length);
      gradient[other]! += 1 / denominator;
      gradient[y]! -= 1 / denominator;
      gradient[first]! -= ratio / denominator;
      gradient[third]! += ratio / denominator;
      return gradient;
    },
  },
  /** -z_y */
  logit: {
    value: (z, y) => -z[y]!,
    gradient(z, y) {
      const gradient = new Float64Array(z.length);
      gradient[y] = -1;
      return gradient;
    },
  },
  /** cross entropy of z / (z_(1) - z_(2)), the divisor held fixed when differentiating */
  logitMargin: {
    value: (z, y) => losses.crossEntropy.value(overLead(z), y, y),
    gradient(z, y) {
      const lead = leadOf(z);
      return losses.crossEntropy.gradient(overLead(z), y, y).map((value) => value / lead);
    },
  },
  /** (z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2), ranks held fixed when differentiating */
  dlrTargeted: {
    value(z, y, target) {
      const [first, , third, fourth] = ranking(z) as [number, number, number, number];
      return (z[y]! - z[target]!) / (apart(z[first]! - 0.5 * (z[third]! + z[fourth]!), z[first]!) + added);
    },
    gradient(z, y, target) {
      const [first, , third, fourth] = ranking(z) as [number, number, number, number];
      const denominator = apart(z[first]! - 0.5 * (z[third]! + z[fourth]!), z[first]!) + added;
      const ratio = (z[y]! - z[target]!) / denominator;
      const gradient = new Float64Array(z.length);
      gradient[y]! += 1 / denominator;
      gradient[target]! -= 1 / denominator;
      gradient[first]! -= ratio / denominator;
      gradient[third]! += (0.5 * ratio) / denominator;
      gradient[fourth]! += (0.5 * ratio) / denominator;
      return gradient;
    },
  },
  /** z_t - z_y */
  logitDifference: {
    value: (z, y, target) => z[target]! - z[y]!,
    gradient(z, y, target) {
      const gradient = new Float64Array(z.length);
      gradient[target]! += 1;
      gradient[y]! -= 1;
      return gradient;
    },
  },
};

/** Lead of the first logit over the second, kept away from zero as the shader keeps it. */
function leadOf(z: Float64Array): number {
  const [first, second] = ranking(z) as [number, number];
  return apart(z[first]! - z[second]!, z[first]!);
}

function overLead(z: Float64Array): Float64Array {
  const lead = leadOf(z);
  return z.map((value) => value / lead);
}

const rows = (values: ArrayLike<number>, classes: number): Float64Array[] =>
  Array.from({ length: values.length / classes }, (_, n) =>
    Float64Array.from({ length: classes }, (_value, k) => values[n * classes + k]!),
  );

/** Comparisons pass over NaN, so the ranks alone would not show that a logit is not finite. */
const sound = (z: Float64Array): boolean => z.every(Number.isFinite);

export const loss: Reference<'loss'> = (node, [logits, labels, targets = labels]) => [
  Float64Array.from(rows(logits!, node.inputs[0]!.shape[1]!), (z, n) =>
    sound(z) ? losses[node.attrs.kind].value(z, labels![n]!, targets![n]!) : NaN,
  ),
];

export const lossBackward: Reference<'lossBackward'> = (node, [logits, labels, targets = labels]) => {
  const { kind, scale, raised } = node.attrs;
  const gradients = rows(logits!, node.inputs[0]!.shape[1]!).map((z, n) => {
    if (!sound(z)) return z.map(() => NaN);
    const y = labels![n]!;
    if (raised === true && z.length > 1) z[y] = Math.min(z[y]!, z[firstLargest(z, y)]! + mostLead);
    return losses[kind].gradient(z, y, targets![n]!);
  });
  return [Float64Array.from(gradients.flatMap((row) => Array.from(row, (value) => scale * value)))];
};

export const correct: Reference<'correct'> = (node, [logits, labels]) => [
  Uint32Array.from(rows(logits!, node.inputs[0]!.shape[1]!), (z, n) =>
    sound(z) && firstLargest(z) === labels![n]! ? 1 : 0,
  ),
];

export const classAtRank: Reference<'classAtRank'> = (node, [logits, labels], context) => {
  const rank = stepValue(node.attrs.rank, context);
  return [
    Uint32Array.from(
      rows(logits!, node.inputs[0]!.shape[1]!),
      (z, n) => ranking(z).filter((k) => k !== labels![n]!)[rank - 1]!,
    ),
  ];
};

export const record: Reference<'record'> = (node, [values, hits, log], context) => {
  const sum = (array: ArrayLike<number>): number => Array.from(array).reduce((total, value) => total + value, 0);
  const row = stepValue(node.attrs.row, context);
  log![2 * row] = sum(values!);
  log![2 * row + 1] = sum(hits!);
  return [];
};

export const logColumn: Reference<'logColumn'> = (node, [values, margins, lossLog, marginLog], context) => {
  const columns = node.inputs[2]!.shape[1]!;
  const column = stepValue(node.attrs.column, context);
  for (let n = 0; n < values!.length && column < columns; n++) {
    lossLog![n * columns + column] = values![n]!;
    marginLog![n * columns + column] = margins![n]!;
  }
  return [];
};
