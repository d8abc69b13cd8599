import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { targetedLosses } from '../graph/types.js';
import type { LossKind, Tensor } from '../graph/types.js';
import { expectInput, f32, u32 } from './definition.js';
import type { OpDefinition } from './definition.js';

/** Every loss, with the classes that it needs at least. */
export const leastClasses: Readonly<Record<LossKind, number>> = {
  crossEntropy: 1,
  crossEntropyRounded: 1,
  margin: 2,
  dlr: 3,
  logit: 1,
  logitMargin: 2,
  dlrTargeted: 4,
  logitDifference: 2,
};

/**
 * The lead of the label's logit from which on `raised` gradients of cross entropy get no smaller: e^-27 = 2^-39 at
 * the logits, from where gradients have 2^-87 to fall before they are denormal, which many GPUs take for zero.
 */
export const mostLead = 27;

function inferLogits(inputs: readonly Tensor[], kind?: LossKind): Tensor {
  const logits = expectInput(inputs, 0, 'logits', 'f32', 2);
  expectInput(inputs, 1, 'labels', 'u32', [logits.shape[0]!]);
  if (kind !== undefined && targetedLosses.has(kind)) expectInput(inputs, 2, 'targets', 'u32', [logits.shape[0]!]);
  const least = kind === undefined ? 1 : leastClasses[kind];
  check(
    logits.shape[1]! >= least,
    'bad-shape',
    `the ${kind} loss needs at least ${least} classes, got ${logits.shape[1]}`,
    'logits',
  );
  return logits;
}

export const loss: OpDefinition<'loss'> = {
  infer: (inputs, attrs) => [f32([inferLogits(inputs, attrs.kind).shape[0]!])],
  flops: (node) => 4 * elementCount(node.inputs[0]!.shape),
};

export const lossBackward: OpDefinition<'lossBackward'> = {
  infer: (inputs, attrs) => [f32(inferLogits(inputs, attrs.kind).shape)],
  flops: (node) => 4 * elementCount(node.inputs[0]!.shape),
};

export const correct: OpDefinition<'correct'> = {
  infer: (inputs) => [u32([inferLogits(inputs).shape[0]!])],
  flops: (node) => elementCount(node.inputs[0]!.shape),
};

export const classAtRank: OpDefinition<'classAtRank'> = {
  infer: (inputs) => [u32([inferLogits(inputs, 'margin').shape[0]!])],
  flops: (node) => elementCount(node.inputs[0]!.shape) ** 2 / node.inputs[0]!.shape[0]!,
};

export const record: OpDefinition<'record'> = {
  infer(inputs) {
    const losses = expectInput(inputs, 0, 'loss', 'f32', 1);
    expectInput(inputs, 1, 'correct', 'u32', losses.shape);
    expectInput(inputs, 2, 'log', 'f32', ['R', 2]);
    return [];
  },
  flops: (node) => 2 * elementCount(node.inputs[0]!.shape),
  mutates: () => [2],
};

export const logColumn: OpDefinition<'logColumn'> = {
  infer(inputs) {
    const losses = expectInput(inputs, 0, 'loss', 'f32', 1);
    expectInput(inputs, 1, 'margin', 'f32', losses.shape);
    const log = expectInput(inputs, 2, 'losses', 'f32', [losses.shape[0]!, 'R']);
    expectInput(inputs, 3, 'margins', 'f32', log.shape);
    return [];
  },
  flops: () => 0,
  mutates: () => [2, 3],
};
