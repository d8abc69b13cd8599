import { figuresOf, share } from '../../attacks/result.js';
import type { AttackResult, CurvePoint } from '../../attacks/result.js';

/*
 * The batches of an attack are runs of their own, so that each can be kept on disk as it is finished. What follows puts
 * them together as if they had been one.
 */

function joined<T extends Float32Array | Uint8Array>(arrays: readonly T[], empty: T): T {
  empty.set(arrays[0]!);
  for (let at = arrays[0]!.length, k = 1; k < arrays.length; at += arrays[k]!.length, k++) empty.set(arrays[k]!, at);
  return empty;
}

/** Rows of `losses`, one a point of the curve, over all images. */
function joinedLosses(parts: readonly AttackResult[], count: number): Float32Array {
  const rows = parts[0]!.curve.length;
  const losses = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++) {
    let at = row * count;
    for (const part of parts) {
      losses.set(part.losses.subarray(row * part.count, (row + 1) * part.count), at);
      at += part.count;
    }
  }
  return losses;
}

function joinedCurve(parts: readonly AttackResult[], losses: Float32Array, count: number): CurvePoint[] {
  return parts[0]!.curve.map(({ step, restart }, row) => {
    const right = parts.reduce((sum, part) => sum + Math.round(part.curve[row]!.robustAccuracy * part.count), 0);
    let loss = 0;
    for (let n = 0; n < count; n++) loss += losses[row * count + n]!;
    return { step, restart, loss: loss / count, robustAccuracy: right / count };
  });
}

/** Batches of one attack, in order, as one result. */
export function mergeResults(parts: readonly AttackResult[]): AttackResult {
  if (parts.length === 1) return parts[0]!;
  const sum = (of: (part: AttackResult) => number): number => parts.reduce((total, part) => total + of(part), 0);
  const count = sum((part) => part.count);
  const samples = parts.flatMap((part) => part.samples);
  const losses = joinedLosses(parts, count);
  const gradients = sum((part) => part.gradients);
  const seconds = sum((part) => part.seconds);
  return {
    ...figuresOf(samples),
    interrupted: false,
    images: joined(
      parts.map(({ images }) => images),
      new Float32Array(sum(({ images }) => images.length)),
    ),
    images8: joined(
      parts.map(({ images8 }) => images8),
      new Uint8Array(sum(({ images8 }) => images8.length)),
    ),
    curve: joinedCurve(parts, losses, count),
    losses,
    gradients,
    forwards: sum((part) => part.forwards),
    passes: parts.flatMap((part) => part.passes),
    overflows: sum((part) => part.overflows),
    dispatches: sum((part) => part.dispatches),
    submits: sum((part) => part.submits),
    readbacks: sum((part) => part.readbacks),
    seconds,
    imageGradientsPerSecond: share(gradients, seconds),
  };
}
