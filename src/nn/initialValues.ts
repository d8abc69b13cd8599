import { elementCount } from '../graph/types.js';
import { randomStreams, uniforms } from '../random/philox.js';
import type { ParameterSpec } from './builder.js';

/**
 * PyTorch's default initial values: weights and biases of convolutions and linear layers uniform in +-1/sqrt(fan_in)
 * (Kaiming uniform with a = sqrt(5)); batch norm 1 and 0, running mean 0 and variance 1.
 */
export function initialValues(spec: ParameterSpec, index: number, seed: number): Float32Array {
  const count = elementCount(spec.shape);
  switch (spec.kind) {
    case 'bn.weight':
    case 'bn.running_var':
      return new Float32Array(count).fill(1);
    case 'bn.bias':
    case 'bn.running_mean':
      return new Float32Array(count);
    default: {
      const bound = 1 / Math.sqrt(spec.fanIn);
      const values = uniforms(seed, randomStreams.initialization, index, 0, count);
      for (let i = 0; i < count; i++) values[i] = (2 * values[i]! - 1) * bound;
      return values;
    }
  }
}
