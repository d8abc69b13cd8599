import type { ActivationKind } from '../../graph/functions.js';
import type { DataValue, Step } from '../lower/steps.js';
import { isStep } from '../lower/steps.js';
import { consumersOf } from './rewrite.js';

/** Functions that networks have as activations; what else acts on one number is arithmetic. */
const functions: ReadonlySet<string> = new Set<ActivationKind>([
  'relu',
  'relu6',
  'relu6Official',
  'leakyRelu',
  'thresholdedRelu',
  'hardSwish',
  'silu',
  'gelu',
  'geluTanh',
  'elu',
  'celu',
  'selu',
  'softplus',
  'softsign',
  'mish',
  'sigmoid',
  'tanh',
  'hardSigmoid',
]);
/** Those that are gates where their result is a factor only, as in squeeze and excitation. */
const gates: ReadonlySet<string> = new Set<ActivationKind>(['sigmoid', 'hardSigmoid', 'tanh']);

/** The steps that backward rules may act on, with their functions. */
export function findActivations(steps: readonly Step[]): Map<Step, ActivationKind> {
  const consumers = consumersOf(steps);
  const isFactor = (value: DataValue): boolean => {
    const readers = consumers.get(value) ?? [];
    return (
      readers.length > 0 &&
      readers.every((reader) => {
        if (isStep(reader, 'binary')) return reader.attributes.kind === 'mul';
        return (reader.op === 'reshape' || reader.op === 'expand') && isFactor(reader.output);
      })
    );
  };
  const found = new Map<Step, ActivationKind>();
  for (const step of steps) {
    if (step.op === 'prelu') found.set(step, 'prelu');
    if (!isStep(step, 'unary')) continue;
    const { fn } = step.attributes;
    if (functions.has(fn) && !(gates.has(fn) && isFactor(step.output))) found.set(step, fn as ActivationKind);
  }
  return found;
}
