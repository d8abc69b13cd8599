import type { ParameterKind } from '../nn/builder.js';
import type { ConstantValue, Step } from './lower/steps.js';
import { fixedPrefix, isFloat } from './types.js';
import type { HostTensor } from './types.js';
import { UniqueNames } from './recognize/names.js';

/** A constant of a graph that is a parameter of the model. */
export interface Weight {
  readonly key: string;
  readonly kind: ParameterKind;
  readonly fanIn: number;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Names that exporters make up, which say nothing. */
const anonymous = /^(onnx::|.*::\w+_\d+$|\d+$|.*[/\\\s>]|constant|$)/i;

/** What the operands of a step are for, from the second on. */
function roles(step: Step): readonly ParameterKind[] {
  switch (step.op) {
    case 'conv':
    case 'convTranspose':
    case 'linear':
    case 'layerNorm':
      return ['weight', 'bias'];
    case 'batchNorm':
      return ['bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var'];
    case 'prelu':
      return ['weight'];
    default:
      return [];
  }
}

const suffixes: Readonly<Record<ParameterKind, string>> = {
  weight: 'weight',
  bias: 'bias',
  'bn.weight': 'weight',
  'bn.bias': 'bias',
  'bn.running_mean': 'running_mean',
  'bn.running_var': 'running_var',
};

const isFixed = ({ tensor }: { readonly tensor: HostTensor }): boolean =>
  tensor.origin?.startsWith(fixedPrefix) === true;

/** Constants of the step that may be learned: those of layers, and others that the file stores under a name. */
const learnable = (step: Step): { tensor: HostTensor; kind: ParameterKind }[] =>
  learnableOperands(step).filter((each) => !isFixed(each));

function learnableOperands(step: Step): { tensor: HostTensor; kind: ParameterKind }[] {
  const known = roles(step);
  if (known.length > 0)
    return (
      step.inputs
        .slice(1)
        .map((input, i) => ({ tensor: (input as ConstantValue).tensor, kind: known[i] ?? ('bias' as const) }))
        // The kernel of a transposed convolution is turned when it is built, so it is no parameter.
        .filter(({ kind }) => step.op !== 'convTranspose' || kind === 'bias')
    );
  if (step.op !== 'binary' && step.op !== 'concat' && step.op !== 'matmul') return [];
  return step.inputs.flatMap((input) =>
    input.kind === 'constant' &&
    input.tensor.origin !== undefined &&
    !anonymous.test(input.tensor.origin) &&
    isFloat(input.tensor.type) &&
    input.tensor.data.length > 1
      ? [
          {
            tensor: input.tensor,
            kind: step.op === 'binary' && binaryAdds(step) ? ('bias' as const) : ('weight' as const),
          },
        ]
      : [],
  );
}

const binaryAdds = (step: Step): boolean => (step as unknown as Step<'binary'>).attributes.kind === 'add';

function fanIn(step: Step, tensor: HostTensor): number {
  const first = step.inputs.slice(1).find((input) => input.kind === 'constant') as ConstantValue | undefined;
  const shape = step.op === 'conv' || step.op === 'linear' ? (first?.tensor.shape ?? []) : tensor.shape.slice(-1);
  const sizes = step.op === 'conv' || step.op === 'linear' ? shape.slice(1) : shape;
  return Math.max(
    1,
    sizes.reduce((product, size) => product * size, 1),
  );
}

/** The module whose four tensors a batch norm has, where their names say so. */
export function batchNormModule(step: Step): string | undefined {
  const names = step.inputs.slice(1).map((input) => (input as ConstantValue).tensor.origin ?? '');
  const module = names[0]?.replace(/\.weight$/, '');
  const wanted = ['weight', 'bias', 'running_mean', 'running_var'].map((suffix) => `${module}.${suffix}`);
  return module !== undefined && names.every((name, i) => name === wanted[i]) ? module : undefined;
}

/**
 * Gives the learnable constants of steps their state-dict keys: the names of the file where they say something,
 * otherwise those of the layers. One tensor that several steps read is one parameter.
 */
export function assignWeights(steps: readonly Step[], layerOf: (step: Step) => string): Map<HostTensor, Weight> {
  const weights = new Map<HostTensor, Weight>();
  const bySource = new Map<string, HostTensor>();
  const names = new UniqueNames();
  const modules = new UniqueNames();
  for (const step of steps) {
    const layer = step.op === 'batchNorm' ? modules.unique(batchNormModule(step) ?? layerOf(step)) : layerOf(step);
    for (const { tensor, kind } of learnable(step)) {
      if (weights.has(tensor)) continue;
      const { origin } = tensor;
      const shared = origin === undefined ? undefined : bySource.get(`${origin} ${tensor.shape.join()} ${kind}`);
      if (shared !== undefined && equal(shared, tensor)) {
        weights.set(tensor, weights.get(shared)!);
        continue;
      }
      const named = origin !== undefined && !anonymous.test(origin) && step.op !== 'batchNorm';
      const key = names.unique(named ? origin : `${layer}.${suffixes[kind]}`);
      const data = Float32Array.from(tensor.data);
      weights.set(tensor, { key, kind, fanIn: fanIn(step, tensor), shape: tensor.shape, data });
      if (origin !== undefined) bySource.set(`${origin} ${tensor.shape.join()} ${kind}`, tensor);
    }
  }
  return weights;
}

const equal = (a: HostTensor, b: HostTensor): boolean =>
  a.data.length === b.data.length && a.data.every((value, i) => value === b.data[i]);
