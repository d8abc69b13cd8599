import { elementCount } from '../graph/types.js';
import type { ParameterSpec } from '../nn/builder.js';
import { describeModel } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import { initialValues } from '../nn/initialValues.js';
import { initialState } from '../nn/model.js';
import type { StateDict } from '../nn/model.js';
import { normals, randomStreams } from '../random/philox.js';

/**
 * How the theory paper's CIFAR-10 networks, which are torchvision's, set the weights that are not PyTorch's defaults.
 */
interface Style {
  /**
   * Convolutions are normal with variance 2 / fan (K. He et al., 2015): over the outputs or the inputs of the kernel.
   */
  readonly fan: 'out' | 'in';
  /** Deviation of linear weights; PyTorch's default law unless given. */
  readonly linear?: number;
  /** Whether biases begin at zero. */
  readonly zeroBias: boolean;
}

const styles: Readonly<Record<string, Style>> = {
  vgg16_bn: { fan: 'out', linear: 0.01, zeroBias: true },
  mobilenet_v2: { fan: 'out', linear: 0.01, zeroBias: true },
  resnet50: { fan: 'out', zeroBias: false },
  densenet161: { fan: 'in', zeroBias: true },
};

function deviationOf({ shape, fanIn }: ParameterSpec, style: Style): number | undefined {
  if (shape.length === 2) return style.linear;
  return Math.sqrt(2 / (style.fan === 'in' ? fanIn : elementCount(shape) / shape[1]!));
}

/**
 * Initial weights as the theory paper's CIFAR-10 networks draw them (by distribution, not by number); PyTorch's
 * defaults for other networks.
 *
 * @param seed 0..2^32-1
 * @throws LinbpError `bad-range` for another seed
 */
export function officialWeights(definition: ModelDefinition, seed: number): StateDict {
  const style = styles[definition.name];
  if (style === undefined) return initialState(definition, seed);
  const { specs } = describeModel(definition).layout;
  return new Map(
    specs.map((spec, index) => [spec.name, { shape: spec.shape, data: valuesOf(spec, style, index, seed) }]),
  );
}

function valuesOf(spec: ParameterSpec, style: Style, index: number, seed: number): Float32Array {
  const count = elementCount(spec.shape);
  if (spec.kind === 'bias' && style.zeroBias) return new Float32Array(count);
  const deviation = spec.kind === 'weight' ? deviationOf(spec, style) : undefined;
  if (deviation === undefined) return initialValues(spec, index, seed);
  // Sample numbers from 2^31 on: those below are the uniform values of PyTorch's defaults.
  const data = normals(seed, randomStreams.initialization, 2 ** 31 + index, 0, count);
  for (let i = 0; i < count; i++) data[i]! *= deviation;
  return data;
}
